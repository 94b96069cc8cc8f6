"""NDJSON as input: lines, their keys and their kinds."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import InvalidEvent
from streams import source
from streams.config import Settings
from streams.errors import StreamError
from streams.ndjson import incoming, key_of, kind_of, read_lines
from streams.source import produce
from tests.doubles import FakeProducer


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b'{"id":"a"}', b"a"),
        (b'{"id":7}', b"7"),
        ('{"id":"é"}'.encode(), "é".encode()),
        (b'{"id":""}', None),
        (b'{"id":null}', None),
        (b'{"id":{"a":1}}', None),
        (b'{"id":1.5}', None),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_the_key_is_the_events_id(line: bytes, key: bytes | None) -> None:
    """Two revisions of an event would be on two partitions, or a bad line would not be sent."""
    assert key_of(line) == key


def test_the_kind_is_that_of_the_domain_or_the_events_own() -> None:
    """Tickets would be sent to the alerts topic."""
    assert kind_of(b"anything", "tickets") == "ticket"
    assert kind_of(b'{"kind":"alert"}', None) == "alert"


@pytest.mark.parametrize(
    "line", [b"{}", b'{"kind":"other"}', b'{"kind":["alert"]}', b'{"kind":null}', b"3", b"{"]
)
def test_a_line_without_a_kind_is_refused(line: bytes) -> None:
    """It would be triaged as another kind of event."""
    with pytest.raises(InvalidEvent):
        kind_of(line, None)


def test_lines_are_kept_as_they_are(tmp_path: Path) -> None:
    """Bad bytes would be replaced, or empty lines counted as events."""
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'{"id":1}\r\n\n\xff\xfe\n  \nlast')
    assert list(read_lines(str(path))) == [b'{"id":1}', b"\xff\xfe", b"  ", b"last"]


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cat events | triage classify -` would look for a file with the name `-`."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\nb\n")))
    assert list(read_lines("-")) == [b"a", b"b"]


@pytest.mark.parametrize("name", ["", "none.ndjson"])
def test_a_file_that_cannot_be_read_is_reported_in_one_sentence(tmp_path: Path, name: str) -> None:
    """A wrong file name would end in a traceback."""
    with pytest.raises(StreamError, match="cannot read"):
        list(read_lines(str(tmp_path / name)))


def test_a_line_has_its_origin() -> None:
    """Dead letters of `triage classify` would not name their line."""
    assert incoming("/some/where/x.ndjson", 3, b"a").origin.topic == "x"
    assert incoming("-", 3, b"a").origin.offset == 3


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    """The producer that `produce` uses."""
    fake = FakeProducer(prompt=True)
    monkeypatch.setattr(source, "Producer", lambda _: fake)
    return fake


async def test_lines_go_to_their_topics(producer: FakeProducer) -> None:
    """Lines would go to the wrong topic, or bad lines be dropped before the pipeline sees them."""
    advanced: list[Any] = []
    lines = [b'{"id":"a","kind":"alert"}', b'{"id":"t","kind":"ticket"}']
    await produce(Settings(), lines, None, advance=lambda: advanced.append(1))
    await produce(Settings(), [b"{broken"], "alerts")
    assert [(record.topic, record.key, record.value) for record in producer.sent] == [
        ("triage.alerts.v1", b"a", lines[0]),
        ("triage.tickets.v1", b"t", lines[1]),
        ("triage.alerts.v1", None, b"{broken"),
    ]
    assert len(advanced) == 2


async def test_a_line_without_a_kind_is_reported_by_its_number(producer: FakeProducer) -> None:
    """Nobody would find the line without a kind among a million lines."""
    with pytest.raises(InvalidEvent, match=r"line 2: .*add --domain"):
        await produce(Settings(), [b'{"kind":"alert"}', b"{}"], None)
