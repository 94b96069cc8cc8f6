"""Who may give verdicts: people and programs that sign them, each with a key of its own.

A verdict of a reviewer has two headers: `triage.reviewer` is the reviewer's name, and
`triage.reviewer.signature` is the HMAC-SHA256 (RFC 2104) of the value of the record with the
reviewer's key, in hexadecimal.
"""

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from agents.outcomes import Incoming
from schemas.errors import InvalidEvent
from schemas.folding import fold
from schemas.signing import header

REVIEWER_HEADER = "triage.reviewer"
REVIEWER_SIGNATURE_HEADER = "triage.reviewer.signature"


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who signs verdicts with `key`, for these tenants and axes, and in the name of these people.

    An empty list allows all.
    """

    name: str
    key: bytes = field(repr=False)
    tenants: Collection[str] = ()
    axes: Collection[str] = ()
    people: Collection[str] = ()

    def has_signed(self, value: bytes, signature: bytes) -> bool:
        """Whether the signature, in hexadecimal, is this reviewer's over the value."""
        own = hmac.digest(self.key, value, "sha256").hex().encode()
        return hmac.compare_digest(own, signature.strip().lower())

    def check(self, tenant: str, axes: Collection[str], by: str) -> None:
        """Refuse a verdict `by` somebody about an event of this tenant that sets these axes.

        Raises:
            InvalidEvent: the tenant, an axis or the person is not one of this reviewer's.
        """
        if self.people and not _is_among(by, self.people):
            raise InvalidEvent(
                f"the reviewer {self.name} may not decide as {by[:100]!r}, only as "
                f"{', '.join(sorted(self.people))}; let them sign it themselves",
                stage="authorize",
            )
        if self.tenants and tenant not in self.tenants:
            raise _not_allowed(self.name, "tenants", tenant, self.tenants)
        for axis in axes:
            if self.axes and axis not in self.axes:
                raise _not_allowed(self.name, "axes", axis, self.axes)


def reviewer_of(incoming: Incoming, reviewers: Sequence[Reviewer]) -> Reviewer | None:
    """The reviewer who has signed a verdict; None if no reviewers are configured.

    Raises:
        InvalidEvent: none of the reviewers has signed it.
    """
    if not reviewers:
        return None
    name = (header(incoming.headers, REVIEWER_HEADER) or b"").decode(errors="replace")
    signature = header(incoming.headers, REVIEWER_SIGNATURE_HEADER) or b""
    for reviewer in reviewers:
        if reviewer.name == name and reviewer.has_signed(incoming.value or b"", signature):
            return reviewer
    raise InvalidEvent(
        "no configured reviewer has signed this verdict; sign its value with the reviewer's key "
        f"and send the headers {REVIEWER_HEADER} and {REVIEWER_SIGNATURE_HEADER}",
        stage="authenticate",
    )


def check_person(by: str, people: Collection[str]) -> None:
    """Refuse a verdict by somebody who is not among `people`, if there are any.

    Names are compared as they are read: without regard to case, width and invisible characters.

    Raises:
        InvalidEvent: nobody of this name may decide.
    """
    if people and not _is_among(by, people):
        raise InvalidEvent(
            f"{by[:100]!r} may not give verdicts; add them to security.people, or let one of those "
            "who are there decide",
            stage="authorize",
        )


def _is_among(by: str, people: Collection[str]) -> bool:
    return fold(by) in set(map(fold, people))


def _not_allowed(name: str, what: str, value: str, allowed: Collection[str]) -> InvalidEvent:
    return InvalidEvent(
        f"the reviewer {name} may not decide about {value[:100]!r}, only about the {what} "
        f"{', '.join(sorted(allowed))}; let another reviewer decide",
        stage="authorize",
    )
