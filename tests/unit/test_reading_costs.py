"""What reading a document costs: how often it is opened, how many formats are tried, CPU time."""

import base64
import time
from typing import Any

import orjson
import pytest

from schemas.codec import decode_json
from schemas.errors import InvalidEvent
from schemas.event import Kind, Origin
from schemas.formats import Mapping, paths, read_events
from schemas.formats.mapping_values import MAX_READ
from schemas.formats.shipped import FormatIndex, shipped_formats
from tests.shipped_samples import Sample, shipped_samples

ORIGIN = Origin(topic="t", partition=0, offset=7)
CPU_S_PER_100_KB, CPU_S_PER_EVENT, CPU_S_PER_VENDOR_EVENT = 0.02, 0.0001, 0.0005
SLOWER = 4
"""How much longer one document may take than another of its size."""

ORDINARY = orjson.dumps([{"id": number, "title": "x", "message": "y"} for number in range(100)])
ORDINARY_CPU_S = 0.008
"""What `ORDINARY` takes on the machine for which the costs above hold."""


def in_json(document: Any) -> str:
    """The document as JSON in a string."""
    return orjson.dumps(document).decode()


def test_json_in_a_string_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten fields that lead into one string of a megabyte would decode ten megabytes."""
    opened = []

    def counted(data: bytes) -> Any:
        opened.append(len(data))
        return decode_json(data)

    monkeypatch.setattr(paths, "decode_json", counted)
    fields: dict[str, Any] = {
        name: f"payload.{name}" for name in ("id", "title", "body", "source", "link", "text")
    }
    read = [f"payload.field{number}" for number in range(MAX_READ)]
    mappings = [
        Mapping(name="other", when={"payload.absent": True}),
        Mapping(name="m", when={"payload.title": True}, fields=fields | {"read": read}),
    ]
    payload = in_json({"title": "x", "pad": ["y" * 50] * 15_000})
    value = orjson.dumps({"payload": payload})
    for times in (1, 2):
        (event,) = read_events(value, origin=ORIGIN, kind="alert", mappings=mappings)
        assert len(opened) == times
    assert event.title == "x"  # type: ignore[union-attr] # it is no rejected element
    assert paths._open.cache_info().currsize == 0, "its memory is free after the record"


def test_only_formats_that_may_fit_are_read() -> None:
    """Every start would read hundreds of formats, and every document try them."""
    formats = len(shipped_formats().mappings)
    samples = [sample for sample in shipped_samples() if isinstance(sample.record, dict)]
    read = [_read_for(sample) for sample in samples[::10]]
    assert sum(read) / len(read) < 6
    assert max(read) < formats / 10


def _read_for(sample: Sample) -> int:
    """How many formats a new index reads to recognise a sample."""
    index: FormatIndex = shipped_formats.__wrapped__()
    index.recognise(sample.record)
    return sum(isinstance(mapping, Mapping) for mapping in index._mappings)


def nested(levels: int, value: Any) -> Any:
    """The value in that many objects."""
    for _ in range(levels):
        value = {"a": value}
    return value


def doubling() -> bytes:
    """JSON in JSON in JSON: its escapes double at each level."""
    text = '{"title":"x"}'
    while len(text) < 450_000:
        text = in_json({"message": text})
    return text.encode()


def in_cloudevents(levels: int) -> Any:
    """CloudEvents in base64 inside each other."""
    document: Any = {"text": "x"}
    for _ in range(levels):
        data = base64.b64encode(orjson.dumps(document)).decode()
        document = {"specversion": "1.0", "type": "t", "data_base64": data}
    return document


def of_every_format() -> dict[str, Any]:
    """A document with the keys of every format, of which none is recognised."""
    document: dict[str, Any] = {}
    for mapping in shipped_formats().mappings:
        for path in mapping.when:
            node = document
            *parents, last = path.split(".")
            for parent in parents:
                node = node.setdefault(parent, {})
                if not isinstance(node, dict):
                    break
            else:
                node.setdefault(last, "nothing that fits")
    return document


EVERY = of_every_format()
LONG = in_json({"pad": [{"k": "v", "list": ["x"] * 3}] * 4_000})
COSTS: dict[str, Any] = {
    "many keys": {f"k{number}": number for number in range(24_000)},
    "keys of 100 kB": {f"{number}{'x' * 100_000}": {"title" * 20_000: 1} for number in range(4)},
    "blank texts": {"title": " " * 100_000, "description": "\u200b" * 30_000, "body": "&" * 90_000},
    "tiny elements": [{"a": number} for number in range(1_000)],
    "tiny elements of one event": {"title": "x", "alerts": [{"a": 1}] * 12_000},
    "too many elements": [{}] * 20_000,
    "deep": nested(60, "x"),
    "deep lists": {"records": nested(30, [[[[]]]])},
    "JSON in JSON": doubling(),
    "CloudEvents in base64": [in_cloudevents(20)],
    "base64 of many values": {
        "message": {
            "data": base64.b64encode(orjson.dumps([0] * 300_000)).decode(),
            "messageId": "x",
        }
    },
    "base64 and spaces": {"data": "ey" + "A\n" * 450_000},
    "elements in base64": {
        "requestId": "x",
        "records": [{"data": base64.b64encode(b'{"a":"' + b"x" * 600 + b'"}').decode()}] * 1_000,
    },
    "keys of every format": [EVERY] * 20,
    "JSON at the keys of every format": dict.fromkeys(EVERY, in_json({"q": ["y"] * 100})),
    **{
        f"JSON at {name}": {name: LONG, "id": 1, "type": "x", "time": "x", "source": "x"}
        for name in ("message", "data", "body", "event", "result", "payload", "fields", "alert")
    },
    "long strings in each element": {"records": [{"title": "x" * 800, "body": "y" * 100}] * 1_000},
    "a long wrapper": {"records": [{"title": "x"}] * 1_000, "pad": "z" * 700_000},
    "rejected elements": [{"kind": "alert", "id": "x" * 900}] * 1_000,
    "names that are taken": {
        "kind": "alert",
        "text": "x",
        "attributes": {f"k{number}": 1 for number in range(8_000)},
        **{f"k{number}": 2 for number in range(8_000)},
    },
    "levels": {f"a{number}": {"severity": "critical" * 12} for number in range(900)},
    "invisible": {"title": "\u202e" * 30_000, "id": "\x00" * 400, "severity": "\u202e" * 30_000},
}


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("kind", ["alert", "ticket"])
def test_the_worst_documents_are_read_in_bounded_time(name: str, kind: Kind) -> None:
    """One record would hold up every other one of its worker."""
    document = COSTS[name]
    value = document if isinstance(document, bytes) else orjson.dumps(document)
    check_cost(value, kind, CPU_S_PER_EVENT)


def check_cost(value: bytes, kind: Kind, per_event_s: float) -> None:
    """Read a record up to three times: the first time may include other work.

    A slow or busy machine, and one that measures coverage, takes longer for an ordinary record too.
    """
    for _ in range(3):
        slowness = max(1.0, _cpu_s(ORDINARY, kind)[0] / ORDINARY_CPU_S)
        cpu_s, events = _cpu_s(value, kind)
        allowed_s = CPU_S_PER_100_KB * max(len(value), 100_000) / 100_000 + per_event_s * events
        if cpu_s < SLOWER * slowness * allowed_s:
            return
    pytest.fail(
        f"{cpu_s:.3f} s for {len(value)} bytes and {events} events, slowness {slowness:.1f}"
    )


def _cpu_s(value: bytes, kind: Kind) -> tuple[float, int]:
    """The processor time that a record takes, and the number of its events."""
    started = time.process_time()
    try:
        events = len(read_events(value, origin=ORIGIN, kind=kind))
    except InvalidEvent:
        events = 1
    return time.process_time() - started, events


@pytest.mark.parametrize(
    "sample",
    [sample for sample in shipped_samples() if isinstance(sample.record, dict)],
    ids=lambda sample: sample.name,
)
def test_the_lists_of_a_sample_may_be_long(sample: Sample) -> None:
    """An expression of a mapping would walk through a long list once for each of its elements."""
    times = 1
    while times < 1_024 and len(orjson.dumps(_longer(sample.record, 2 * times))) < 100_000:
        times *= 2
    value = orjson.dumps(_longer(sample.record, times))
    check_cost(value, sample.kind, CPU_S_PER_VENDOR_EVENT)


def _longer(node: Any, times: int) -> Any:
    if isinstance(node, dict):
        return {name: _longer(value, times) for name, value in node.items()}
    if isinstance(node, list):
        return [_longer(value, 1) for value in node] * times
    return node
