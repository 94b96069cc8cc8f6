"""What must be the same in the two halves of a record that anybody may have put together.

A case has an event and the decision about it, and a verdict has the decision that it is about. The
text comes from one half and the policy from the other, so both must be about the same event.
"""

import hashlib

import msgspec
import orjson

from schemas.errors import InvalidEvent
from schemas.event import Event
from schemas.triaged import Case, Verdict

CASE_FIELDS = ("id", "domain", "tenant", "source")
VERDICT_FIELDS = ("id", "domain", "tenant")


def input_digest(event: Event) -> str:
    """The SHA-256 digest of everything that an event says, in hexadecimal.

    Fields without content are left out, so that a later version may add fields.
    """
    fields = {name: value for name, value in msgspec.to_builtins(event).items() if value}
    return hashlib.sha256(orjson.dumps(fields)).hexdigest()


def check_case(case: Case) -> None:
    """Refuse a case whose event and decision are not about the same event.

    Cases of the first release carry no digest of their event.

    Raises:
        InvalidEvent: names the field in which the two differ.
    """
    for name in CASE_FIELDS:
        if getattr(case.event, name) != getattr(case.triaged, name):
            raise _differs("event and triaged", name)
    digest = case.triaged.input_digest
    if digest is not None and digest != input_digest(case.event):
        raise _differs("event and triaged", "input_digest")


def check_verdict(verdict: Verdict, key: bytes | None) -> str:
    """Refuse a verdict that names no event, or that says that it is about another one than it is.

    `key` is the key of its record. What a verdict does not say is not compared.

    Returns:
        The id of the event.

    Raises:
        InvalidEvent: no event is named, or the message names the field in which the two differ.
    """
    triaged = verdict.triaged
    id_ = verdict.id if triaged is None else triaged.id
    if id_ is None:
        raise InvalidEvent(
            "the verdict names no event; send its id, or the whole triaged event as triaged",
            stage="validate",
        )
    if triaged is not None:
        for name in VERDICT_FIELDS:
            if getattr(verdict, name) not in (None, getattr(triaged, name)):
                raise _differs("the verdict and its triaged event", name)
        if verdict.about not in (None, triaged.revision):
            raise _differs("the verdict and its triaged event", "revision")
    if key and key != id_.encode():
        raise InvalidEvent(
            "the key of the verdict is not the id of its event; send the id as the key",
            stage="validate",
        )
    return id_


def _differs(halves: str, name: str) -> InvalidEvent:
    return InvalidEvent(f"{halves} differ in {name}; send both as you read them", stage="validate")
