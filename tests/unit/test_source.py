"""Files as input: their records, the keys and the kinds of these."""

import gzip
import io
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from inference.errors import DataError
from inference.record_file import open_records, read_lines
from schemas.errors import InvalidEvent
from streams import source
from streams.config import Settings
from streams.errors import StreamError
from streams.files import incoming, key_of, kind_of
from streams.source import produce
from tests.doubles import INPUT, FakeProducer
from tests.unit.conftest import Triage


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
    assert key_of(line, "alert") == key


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
    with pytest.raises(DataError, match="cannot read"):
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


async def test_a_rate_is_kept(producer: FakeProducer) -> None:
    """A load test with `--rate` would send everything at once."""
    started_s = time.monotonic()
    await produce(Settings(), [b'{"kind":"alert"}'] * 5, None, rate=50)
    assert time.monotonic() - started_s >= 4 / 50
    assert len(producer.sent) == 5


async def test_only_so_many_lines_wait_for_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of gigabytes would be held in memory until the broker has acknowledged it."""
    monkeypatch.setattr(source, "IN_FLIGHT", 2)
    unprompt = FakeProducer(timeout_s=0.05)
    monkeypatch.setattr(source, "Producer", lambda _: unprompt)
    with pytest.raises(StreamError, match="did not acknowledge"):
        await produce(Settings(), [b'{"kind":"alert"}'] * 5, None)
    assert len(unprompt.sent) == 2
    unprompt.acknowledge()


async def test_more_lines_than_may_wait_are_all_sent(
    producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines behind the first pause would be lost, or be sent twice."""
    monkeypatch.setattr(source, "IN_FLIGHT", 2)
    lines = [b'{"kind":"alert","id":%d}' % number for number in range(5)]
    await produce(Settings(), lines, None)
    assert [record.value for record in producer.sent] == lines


async def test_a_line_that_is_too_large_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user would believe that every line was sent, or not know which limit to raise."""
    small = FakeProducer(prompt=True, takes_bytes={INPUT: 20})
    monkeypatch.setattr(source, "Producer", lambda _: small)
    with pytest.raises(StreamError, match=rf"larger than {INPUT} takes.*max\.message\.bytes"):
        await produce(Settings(), [b'{"kind":"alert","text":"too long"}'], None)


def test_a_person_sees_how_many_were_sent(
    triage: Triage, producer: FakeProducer, tmp_path: Path
) -> None:
    """A user would not know whether the broker has the events, or the pipe would get the text."""
    (tmp_path / "in.ndjson").write_bytes(b'{"kind":"alert"}\n{"kind":"ticket"}\n')
    code, out, err = triage("send", "in.ndjson")
    assert (code, out) == (0, "")
    assert "2/2" in err
    assert err.endswith("2 records sent and acknowledged; the file is NDJSON, one event per line\n")
    assert len(producer.sent) == 2


def test_a_program_sees_how_many_were_sent(
    triage: Triage, producer: FakeProducer, tmp_path: Path
) -> None:
    """A program would have to parse the sentence, or the progress bar would disturb it."""
    (tmp_path / "in.ndjson").write_bytes(b"{broken\n")
    code, out, err = triage("send", "in.ndjson", "--domain", "tickets", "--json")
    assert (code, orjson.loads(out), err) == (0, {"sent": 1}, "")
    assert [record.topic for record in producer.sent] == ["triage.tickets.v1"]


def opened(path: Path) -> tuple[str, list[bytes]]:
    """What a file is taken for, and its records."""
    with open_records(str(path)) as records:
        return records.taken_for, [record for _, record in records.numbered]


MAIL = b"From: d@example.com\r\nSubject: Card\r\n\r\nI lost my card\r\n"
XML = b"<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>\n</Event>\n"


@pytest.mark.parametrize(
    ("content", "taken_for", "records"),
    [
        (b'{"id":1}\n{"id":2}\n', "NDJSON", [b'{"id":1}', b'{"id":2}']),
        (b'\xef\xbb\xbf{"id":1}\n{"id":2}', "NDJSON", None),
        (b'{\n "id": 1\n}\n', "one JSON document", [b'{\n "id": 1\n}\n']),
        (b'{\n "id": 1\n}\n{\n "id": 2\n}\n', "2 JSON documents", [b'{"id":1}', b'{"id":2}']),
        (b'[\n {"id": 1},\n {"id": 2}\n]', "an array of 2", [b'{"id":1}', b'{"id":2}']),
        (b'[{"id":1},{"id":2}]', "an array of 2", [b'{"id":1}', b'{"id":2}']),
        (b'{"id":1\n{"id":2}\n', "one record per line", [b'{"id":1', b'{"id":2}']),
        (b'{"id":1}\n{"id":\n', "NDJSON", [b'{"id":1}', b'{"id":']),
        (b"CEF:0|a|b|1|2|n|5|\nCEF:0|a|b|1|2|n|5|\n", "one record per line", None),
        (MAIL, "one mail", [MAIL]),
        (XML, "Windows events", [XML]),
        (b"", "one record per line", []),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_what_a_file_is_taken_for(
    tmp_path: Path,
    content: bytes,
    taken_for: str,
    records: list[bytes] | None,
    compressed: bool,
) -> None:
    """A pretty-printed document would become as many dead letters as it has lines."""
    path = tmp_path / "events"
    path.write_bytes(gzip.compress(content) if compressed else content)
    named, read = opened(path)
    assert named.startswith(taken_for)
    assert records is None or read == records


def test_a_long_first_line_is_ndjson(tmp_path: Path) -> None:
    """A file of long events would be read into memory as a whole."""
    path = tmp_path / "in.ndjson"
    line = orjson.dumps({"text": "x" * 200_000})
    path.write_bytes(line + b"\n" + line)
    assert opened(path) == ("NDJSON, one event per line", [line, line])


def test_a_damaged_gzip_file_is_reported_in_one_sentence(tmp_path: Path) -> None:
    """A download that broke off would end in a traceback."""
    path = tmp_path / "in.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"id":1}\n' * 1_000)[:-10])
    with pytest.raises(DataError, match=r"^cannot read .*; name a file of events"):
        opened(path)
    path.write_bytes(gzip.compress(b'{"id":1}')[:6])
    with pytest.raises(DataError, match=r"^cannot read "):
        opened(path)


def test_an_error_of_the_reader_is_not_one_of_the_file(tmp_path: Path) -> None:
    """`triage formats test FILE | head` would say that the file cannot be read."""
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"{}")
    with pytest.raises(BrokenPipeError), open_records(str(path)):
        raise BrokenPipeError


def test_the_key_of_a_vendors_document_is_its_id() -> None:
    """Messages about one incident would be spread over the partitions."""
    assert key_of(b'{"incidentId":"i-1","title":"x","severity":"low"}', "alert") == b"i-1"
    assert key_of(b'[{"title":"x"},{"title":"y"}]', "alert") is None
