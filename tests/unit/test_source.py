"""NDJSON in: lines, their keys, their kinds."""

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
    """Two revisions of an event would land on two partitions, or a malformed line would not be sent at all."""
    assert key_of(line) == key


def test_the_kind_is_the_one_asked_for_else_the_events_own() -> None:
    """Tickets would be sent to the alerts topic."""
    assert kind_of(b"anything", "tickets") == "ticket"
    assert kind_of(b'{"kind":"alert"}', None) == "alert"


@pytest.mark.parametrize(
    "line", [b"{}", b'{"kind":"other"}', b'{"kind":["alert"]}', b'{"kind":null}', b"3", b"{"]
)
def test_a_line_without_a_kind_is_refused(line: bytes) -> None:
    """It would be triaged as something it is not, or stop the whole file."""
    with pytest.raises(InvalidEvent):
        kind_of(line, None)


def test_lines_are_kept_as_they_are(tmp_path: Path) -> None:
    """Bad bytes would be mended, or blank lines counted as events."""
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'{"id":1}\r\n\n\xff\xfe\n  \nlast')
    assert list(read_lines(str(path))) == [b'{"id":1}', b"\xff\xfe", b"  ", b"last"]


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cat events | triage classify -` would look for a file named -."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\nb\n")))
    assert list(read_lines("-")) == [b"a", b"b"]


@pytest.mark.parametrize("name", ["", "none.ndjson"])
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str) -> None:
    """A mistyped file name would end in a traceback."""
    with pytest.raises(StreamError, match="cannot read"):
        list(read_lines(str(tmp_path / name)))


def test_a_line_knows_where_it_was() -> None:
    """Dead letters of `triage classify` would not say which line they are."""
    assert incoming("/some/where/x.ndjson", 3, b"a").origin.topic == "x"
    assert incoming("-", 3, b"a").origin.offset == 3


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    """Where `produce` sends to."""
    fake = FakeProducer(prompt=True)

    async def nothing() -> None:
        pass

    monkeypatch.setattr(fake, "start", nothing)
    monkeypatch.setattr(source, "Producer", lambda _: fake)
    return fake


async def test_lines_go_to_their_topics(producer: FakeProducer) -> None:
    """Malformed lines would be kept back: what becomes of them is the pipeline's to say."""
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


async def test_an_undecided_line_is_named(producer: FakeProducer) -> None:
    """Of a million lines nobody would find the one without a kind."""
    with pytest.raises(InvalidEvent, match=r"line 2: .*add --domain"):
        await produce(Settings(), [b'{"kind":"alert"}', b"{}"], None)
