"""Whatever a document is and however it is wrapped: all of it is kept, and it is read alike."""

import time
from collections.abc import Iterator
from typing import Any

import orjson

from schemas.agreement import input_digest
from schemas.codec import decode, encode
from schemas.errors import InvalidEvent
from schemas.event import MAX_ID_CHARS, Event, Kind, Origin
from schemas.formats import Reading, Rejected, read_record
from schemas.formats.wrapped import inner_document
from schemas.limits import LIMITS
from tests.property.hostile_documents import hostile_documents

ORIGIN = Origin(topic="t", partition=0, offset=1)
FUZZED = 20_000
CHECKED_TWICE = 10
MEAN_CPU_S = 0.01
RECEIVED_AT = 1930000000.0


def test_hostile_documents() -> None:
    """A worker would crash, answer two deliveries differently, or drop a part of a document."""
    read = 0
    cpu_s = 0.0
    for number, document in enumerate(hostile_documents(seed=14, count=FUZZED)):
        kind: Kind = "alert" if number % 2 else "ticket"
        value = document.encode() if isinstance(document, str) else orjson.dumps(document)
        started = time.process_time()
        readings = read_or_refuse(value, kind)
        cpu_s += time.process_time() - started
        if readings is None:
            continue
        read += 1
        check_events(readings)
        if number % CHECKED_TWICE == 0:
            assert outcome(readings) == outcome(read_or_refuse(value, kind) or [])
        if not isinstance(document, str):
            check_nothing_is_lost(document, readings)
    assert 0.9 < read / FUZZED < 1
    assert cpu_s / FUZZED < MEAN_CPU_S


def read_or_refuse(value: bytes, kind: Kind) -> list[Reading] | None:
    """The readings of a record, or None if it was refused with a sentence."""
    try:
        return read_record(value, origin=ORIGIN, kind=kind, received_at=RECEIVED_AT)
    except InvalidEvent as refused:
        check_refusal(refused)
        return None


def outcome(readings: list[Reading]) -> list[tuple[Any, ...]]:
    """What can be compared: two errors are never equal."""
    return [
        (reading.formats, reading.event.value, str(reading.event.error))
        if isinstance(reading.event, Rejected)
        else (reading.formats, reading.event)
        for reading in readings
    ]


def check_refusal(refused: InvalidEvent) -> None:
    """Check that the message fits the header of a dead letter."""
    assert refused.stage in {"decode", "recognise", "validate"}
    assert len(str(refused)) < 300
    assert "\n" not in str(refused)


def check_events(readings: list[Reading]) -> None:
    """Check what every consumer relies on; ids that we make are unique inside a record."""
    made = []
    for reading in readings:
        event = reading.event
        if isinstance(event, Rejected):
            check_refusal(event.error)
            continue
        assert 0 < len(event.id) <= MAX_ID_CHARS + len("#999#999")
        assert event.text or event.title or event.body or event.event
        written = decode(encode(event), Event)
        assert written == event
        assert input_digest(written) == input_digest(event)
        made += [event.id] if event.id.startswith("t-0-1") else []
    assert len(made) == len(set(made))


def check_nothing_is_lost(document: Any, readings: list[Reading]) -> None:
    """Check that each value of the document is in some event, or in a rejected element.

    The texts of our own format are left out, because markup is removed from them, and what is
    around nothing but rejected elements.
    """
    if any("native" in reading.formats for reading in readings):
        return
    if all(isinstance(reading.event, Rejected) for reading in readings):
        return
    kept = set()
    for reading in readings:
        event = reading.event
        written = event.value if isinstance(event, Rejected) else encode(event)
        kept |= {value for value in leaves(orjson.loads(written)) if says_something(value)}
    waiting = [document]
    while waiting:
        lost = [
            value for value in leaves(waiting.pop()) if says_something(value) and value not in kept
        ]
        for value in lost:
            opened = inner_document(value, LIMITS)
            assert opened is not None or str(value) in kept, value
            waiting += [opened] if opened is not None else []


def leaves(document: Any) -> Iterator[Any]:
    """The texts and numbers of a document, without blank ones."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict | list):
            waiting += node.values() if isinstance(node, dict) else node
        elif isinstance(node, int | float) or (isinstance(node, str) and node.strip()):
            yield node


def says_something(value: Any) -> bool:
    """Whether the value says something by itself: ``true`` does not."""
    return not isinstance(value, bool)
