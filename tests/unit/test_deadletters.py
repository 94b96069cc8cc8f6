"""Dead letters, and which of them are sent back."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from agents.outcomes import DeadLettered, Incoming
from schemas.event import Origin
from streams import deadletters
from streams.config import Settings
from streams.deadletters import Letter, replay
from streams.errors import DeliveryFailed
from streams.kafka.record import Record
from streams.pipeline.records import dead_letter
from tests.doubles import TOPICS, FakeProducer, header_texts, incoming
from tests.unit.conftest import Triage

HEADERS = [("traceparent", b"00-1"), ("empty", None)]


def letter(
    offset: int = 0,
    disposition: Any = "retryable",
    value: bytes | None = b"{",
    headers: Sequence[Any] = HEADERS,
) -> Letter:
    """A dead letter on its topic, at the offset that its input had."""
    outcome = DeadLettered("decode", "InvalidEvent", "not JSON", disposition)
    record = dead_letter(outcome, incoming(offset, value, b"\xff", headers), TOPICS)
    return Letter(
        Incoming(
            record.value,
            record.key,
            record.headers,
            Origin(topic=record.topic, partition=0, offset=offset),
            0.0,
        )
    )


def test_the_original_comes_back() -> None:
    """A replay would change the key, the value or the headers of the event."""
    original = letter().original()
    assert (original.topic, original.key, original.value) == (
        TOPICS.input("alerts"),
        b"\xff",
        b"{",
    )
    assert original.headers == [*HEADERS, ("triage.attempt", b"1")]


def test_it_can_be_described_to_a_person_and_to_a_program() -> None:
    """`triage deadletters list` would fail on the very bytes that it is for."""
    line = letter(value=b"\xc3(").line()
    assert "triage.alerts.v1[2]@0" in line
    assert "not JSON" in line
    assert letter(value=None).describe()["value"] is None
    assert letter().describe()["key"] == "\ufffd"


class FakeConsumer:
    """Remembers commits. Like aiokafka's, it has fetched everything before the first record."""

    def __init__(self) -> None:
        self.offset = 0

    async def commit(self, offsets: dict[Any, int]) -> None:
        """Set where the next replay begins."""
        (self.offset,) = offsets.values()


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> "ReplayBench":
    """The dead-letter topic, without a broker."""
    return ReplayBench(monkeypatch)


class ReplayBench:
    """A topic of dead letters, a group that reads it, and the producer of the replay."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.letters: list[Letter] = []
        self.consumer = FakeConsumer()
        self.producer = FakeProducer(prompt=True)
        monkeypatch.setattr(deadletters, "Producer", lambda _: self.producer)
        monkeypatch.setattr(deadletters, "reading", self._reading)
        monkeypatch.setattr(deadletters, "until_quiet", self._records)

    @asynccontextmanager
    async def _reading(self, *_: Any, **__: Any) -> AsyncIterator[FakeConsumer]:
        yield self.consumer

    async def _records(self, consumer: FakeConsumer) -> AsyncIterator[Incoming]:
        for unseen in self.letters[consumer.offset :]:
            yield unseen.record


async def test_with_a_limit_each_letter_is_replayed_once(topic: ReplayBench) -> None:
    """`--limit 1` would skip the letters that were fetched too, or send the first one again."""
    topic.letters = [letter(offset) for offset in range(3)]
    for _ in range(4):
        await replay(Settings(), stage=None, poison=False, limit=1)
    assert [record.topic for record in topic.producer.sent] == [TOPICS.input("alerts")] * 3


async def test_a_replay_that_fails_remembers_what_it_has_sent(
    topic: ReplayBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The letters before the failure would be sent twice."""
    topic.letters = [letter(offset) for offset in range(3)]
    send, sent = topic.producer.send, topic.producer.sent

    async def fail_second(record: Record) -> Any:
        if len(sent) == 1:
            raise DeliveryFailed("gone")
        return await send(record)

    monkeypatch.setattr(topic.producer, "send", fail_second)
    with pytest.raises(DeliveryFailed):
        await replay(Settings(), stage=None, poison=False, limit=None)
    assert topic.consumer.offset == 1


@pytest.mark.parametrize(
    "left",
    [
        letter(disposition="poison"),
        letter(value=None, headers=()),
        Letter(incoming(0, b"{}", headers=[("__connect.errors.topic", b"somebody.elses")])),
    ],
    ids=["poison", "without its value", "not from our topics"],
)
async def test_what_cannot_be_replayed_is_left(topic: ReplayBench, left: Letter) -> None:
    """An empty or hopeless record would be sent, or a record sent to a topic that is not ours."""
    if left.record.value is None:
        left = Letter(
            Incoming(
                None,
                None,
                [*left.record.headers, ("triage.value.bytes", b"9000000")],
                left.record.origin,
                0.0,
            )
        )
    topic.letters = [left]
    assert await replay(Settings(), stage=None, poison=False, limit=None) == deadletters.Replay(
        replayed=0, left=1
    )
    assert topic.producer.sent == []


async def test_poison_is_replayed_on_request(topic: ReplayBench) -> None:
    """After a fix of a parser, the events that it had refused could not be sent again."""
    topic.letters = [letter(disposition="poison")]
    assert (await replay(Settings(), stage="decode", poison=True, limit=None)).replayed == 1
    assert header_texts(topic.producer.sent[0].headers)["triage.attempt"] == "1"


def test_a_person_sees_the_oldest_letters_first(triage: Triage, topic: ReplayBench) -> None:
    """A user would see the newest letters, or all of a million."""
    topic.letters = [letter(offset) for offset in range(4)]
    code, out, err = triage("deadletters", "list", "--limit", "2")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"triage.alerts.v1[2]@{offset}  decode  retryable  not JSON  '{{'" for offset in range(2)
    ]


def test_programs_get_one_document_for_each_letter(triage: Triage, topic: ReplayBench) -> None:
    """A program would have to parse the lines for people."""
    topic.letters = [letter(7), letter(8, "poison")]
    code, out, _ = triage("deadletters", "list", "--json")
    documents = [orjson.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(document["offset"], document["disposition"]) for document in documents] == [
        ("7", "retryable"),
        ("8", "poison"),
    ]


@pytest.mark.parametrize(("json", "printed"), [([], "no dead letters\n"), (["--json"], "")])
def test_letters_of_another_stage_are_not_listed(
    triage: Triage, topic: ReplayBench, json: list[str], printed: str
) -> None:
    """A user would see an empty screen, or letters that are not of the stage."""
    topic.letters = [letter()]
    assert triage("deadletters", "list", "--stage", "deliver", *json) == (0, printed, "")
    assert triage("deadletters", "list", "--stage", "decode", *json)[1] not in ("", printed)


def test_the_replay_says_what_it_has_done(triage: Triage, topic: ReplayBench) -> None:
    """A user would not notice that some letters were left."""
    topic.letters = [letter(0), letter(1, "poison"), letter(2)]
    replayed = triage("deadletters", "replay")
    assert replayed == (0, "2 replayed, 1 left where they are\n", "")
    assert len(topic.producer.sent) == 2
    code, out, _ = triage("deadletters", "replay", "--json")
    assert (code, orjson.loads(out)) == (0, {"replayed": 0, "left": 0})


def test_the_options_of_the_replay_are_used(triage: Triage, topic: ReplayBench) -> None:
    """Poison would be sent again although nobody asked for it, or more than `--limit` letters."""
    topic.letters = [letter(offset, "poison") for offset in range(3)]
    arguments = ("--stage", "decode", "--poison", "--limit", "2", "--json")
    code, out, _ = triage("deadletters", "replay", *arguments)
    assert (code, orjson.loads(out)) == (0, {"replayed": 2, "left": 0})
    assert len(topic.producer.sent) == 2


async def test_a_letter_that_became_too_large_is_left(topic: ReplayBench) -> None:
    """One large letter would stop the replay, and block all letters behind it."""
    topic.producer = FakeProducer(prompt=True, takes_bytes={TOPICS.input("alerts"): 10})
    topic.letters = [letter(0, value=b"{" * 11), letter(1)]
    done = await replay(Settings(), stage=None, poison=False, limit=None)
    assert done == deadletters.Replay(replayed=1, left=1)
    assert [record.value for record in topic.producer.sent] == [b"{"]
