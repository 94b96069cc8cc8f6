"""NDJSON from a file or standard input, and its lines as records."""

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from agents.outcomes import Incoming
from schemas.codec import decode_json
from schemas.errors import InvalidEvent
from schemas.event import DOMAIN_OF_KIND, KIND_OF_DOMAIN, Domain, Kind, Origin
from schemas.limits import LIMITS, Limits
from streams.errors import StreamError

STDIN = "-"


def read_lines(file: str) -> Iterator[bytes]:
    """Yield the lines that are not empty, without their line ends; `-` is standard input.

    Raises:
        StreamError: the file cannot be read.
    """
    return (line for _, line in read_numbered(file))


def read_numbered(file: str) -> Iterator[tuple[int, bytes]]:
    """Yield the same lines as `read_lines`, each with its number in the file, from 0.

    Raises:
        StreamError: the file cannot be read.
    """
    try:
        if file == STDIN:
            yield from _not_empty(sys.stdin.buffer)
        else:
            with Path(file).open("rb") as stream:
                yield from _not_empty(stream)
    except OSError as error:
        raise StreamError(
            f"cannot read {file} ({error.strerror}); name an NDJSON file, or - for standard input"
        ) from None


def incoming(file: str, number: int, line: bytes) -> Incoming:
    """One line as a record. Its origin is the file's name and the line's number, from 0."""
    # A file may have a name that is not Unicode; a record on a topic cannot.
    name = "stdin" if file == STDIN else Path(file).stem.encode("utf-8", "replace").decode()
    origin = Origin(topic=name, partition=0, offset=number)
    return Incoming(value=line, key=None, headers=(), origin=origin, received_at_s=time.time())


def kind_of(line: bytes, domain: Domain | None, limits: Limits = LIMITS) -> Kind:
    """The kind to assume for a line: that of the domain, or else the one that the line names.

    Raises:
        InvalidEvent: there is no domain, and the line names no kind or is beyond the limits.
    """
    if domain is not None:
        return KIND_OF_DOMAIN[domain]
    document = decode_json(line, limits)
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(kind, str) or kind not in DOMAIN_OF_KIND:
        raise InvalidEvent(
            "the event names no kind; add --domain alerts or --domain tickets", stage="recognise"
        )
    return kind


def key_of(line: bytes, limits: Limits = LIMITS) -> bytes | None:
    """The id of a line as a record key; None if it has no id or cannot be read."""
    try:
        document = decode_json(line, limits)
    except InvalidEvent:
        return None
    id_ = document.get("id") if isinstance(document, dict) else None
    return str(id_).encode() if isinstance(id_, str | int) and id_ != "" else None


def _not_empty(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(stream):
        if stripped := line.rstrip(b"\r\n"):
            yield number, stripped
