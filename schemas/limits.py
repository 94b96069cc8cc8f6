"""Limits on a record, checked on its bytes before they become Python objects.

A stranger writes the records. An object takes some twenty times as much memory as the bytes that it
was read from, and Python's garbage collector walks through all of them, so a record of a few
megabytes could stop the process for seconds.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.errors import LimitExceeded

MAX_DEPTH = 128
"""The deepest document that any configuration allows.

orjson writes at most 254 levels, and msgspec recurses on Python's stack. A document that can be
read but not written would stop the worker at the enrichment topic, after its triage.
"""

_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large an event may be; a larger one becomes a dead letter.

    `max_event_bytes` limits the value and the headers of its record together. `max_event_nodes`
    limits the values of its JSON, counted as commas and opening brackets outside strings.
    `max_event_depth` limits how deep its objects and arrays are nested.
    """

    max_event_bytes: Annotated[int, Meta(ge=1_000, le=64_000_000)] = 1_048_576
    max_event_nodes: Annotated[int, Meta(ge=100, le=1_000_000)] = 25_000
    max_event_depth: Annotated[int, Meta(ge=4, le=MAX_DEPTH)] = 64

    def of_records(self) -> "Limits":
        """The limits of a record of our own that holds such an event.

        A case holds the event beside its decision. Texts of the document are then also in the
        title, the text and the body. A float may be written longer than it was sent.
        """
        return Limits(
            max_event_bytes=8 * self.max_event_bytes + 1_048_576,
            max_event_nodes=3 * self.max_event_nodes + 10_000,
            max_event_depth=self.max_event_depth + 8,
        )


LIMITS = Limits()
"""The limits where none are configured."""


def refuse_oversized(data: bytes, limits: Limits) -> None:
    """Check the bytes of one JSON text.

    Most texts pass by three counts. Only one with many commas and brackets is read a second time,
    without its strings: a long text of a ticket may hold thousands of commas. What is no JSON may
    pass; the decoder refuses it.

    Raises:
        LimitExceeded: the text has too many bytes, too many nodes, or is nested too deep.
    """
    refuse_long(len(data), limits)
    brackets = data.count(b"{") + data.count(b"[")
    if data.count(b",") + brackets > limits.max_event_nodes:
        structure = _outside_strings(data)
        brackets = structure.count(b"{") + structure.count(b"[")
        _refuse_many(structure.count(b",") + brackets, limits)
    elif brackets <= limits.max_event_depth:
        return
    else:
        structure = _outside_strings(data)
    if brackets > limits.max_event_depth:
        _refuse_deep(structure, limits)


def refuse_long(size: int, limits: Limits) -> None:
    """Check a size in bytes.

    Raises:
        LimitExceeded: it is above `max_event_bytes`.
    """
    if size > limits.max_event_bytes:
        raise LimitExceeded(
            f"the record has {size} bytes and limits.max_event_bytes is "
            f"{limits.max_event_bytes}; shorten it, or raise the limit",
            stage="decode",
        )


def _refuse_many(nodes: int, limits: Limits) -> None:
    if nodes > limits.max_event_nodes:
        raise LimitExceeded(
            f"the record has {nodes} values and limits.max_event_nodes is "
            f"{limits.max_event_nodes}; split it, or raise the limit",
            stage="decode",
        )


def _refuse_deep(structure: bytes, limits: Limits) -> None:
    """Remove the innermost pairs of brackets, level after level, and count the levels."""
    brackets = structure.translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(limits.max_event_depth):
        outer = brackets.replace(b"[]", b"")
        if len(outer) in (0, len(brackets)):
            return  # all levels are counted, or these brackets do not fit together
        brackets = outer
    if b"[]" in brackets:
        raise LimitExceeded(
            f"the record is nested deeper than limits.max_event_depth, which is "
            f"{limits.max_event_depth}; flatten it",
            stage="decode",
        )


def _outside_strings(data: bytes) -> bytes:
    """The text without its strings. Its quotes are found after the escaped ones are removed."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(data.split(b'"')[::2])
