"""Stepping over a damaged batch: only that batch, only while nobody reads, and on the record."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    GroupLoadInProgressError,
    KafkaError,
    OffsetOutOfRangeError,
)

from agents.outcomes import Incoming
from schemas.audit.record import UnreadRecord
from schemas.codec import decode
from schemas.event import Origin
from streams.config import Settings
from streams.deadletters import Letter, PlaceOfRecord, skip, skipping
from streams.errors import BatchTooLarge, StreamError
from streams.kafka import admin as kafka_admin
from streams.kafka import reader, stopped_group
from streams.kafka.batches import CorruptBatch
from streams.kafka.commit_note import CommitNote
from streams.kafka.producer import Receipt
from streams.kafka.stopped_group import check_stopped
from tests.doubles import INPUT, TOPICS, FakeProducer
from tests.kafka_log import KafkaLog
from tests.unit.conftest import Triage

P = TopicPartition(INPUT, 2)
PLACE = PlaceOfRecord(INPUT, 2, 7)
EMPTY: dict[str, Any] = {"error_code": 0, "group": "triage", "state": "Empty", "members": []}
REFUSED = EMPTY | {"error_code": GroupAuthorizationFailedError.errno}


class Writer(FakeProducer):
    """A producer that notes when its records were confirmed."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__(prompt=True)
        self._calls = calls

    async def confirm(self, receipts: Sequence[Receipt]) -> None:
        """Wait for the receipts, and note that."""
        await super().confirm(receipts)
        self._calls.append("confirmed")


class StoppedLog(KafkaLog):
    """A log of twelve records whose batch of offsets 7 to 9 is damaged; the group stands at 7.

    `batches` are the first offsets of the batches that the broker has for an offset. `answer` is
    what it says of the group, and `calls` in which order something was done.
    """

    def __init__(self) -> None:
        super().__init__({P: 12})
        self.damaged, self.error = {P: 7}, CorruptBatch("CorruptRecordException", 7, 9)
        self.position_of_group: int | None = 7
        self.batches: dict[int, int] = {10: 10}
        self.code = 0
        self.answer: Any = EMPTY
        self.passing: list[KafkaError] = []
        self.commit_error: KafkaError | None = None
        self.calls: list[str] = []
        self.commits: dict[Any, Any] = {}
        self.producer = Writer(self.calls)
        self._client = SimpleNamespace(
            cluster=SimpleNamespace(leader_for_partition=lambda _: 1),
            force_metadata_update=self._know_topics,
            send=self._send,
        )

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions, whether they exist or not."""

    async def _know_topics(self) -> None:
        """Nothing to learn: the logs are there."""

    def partitions_for_topic(self, topic: str) -> set[int]:
        """The partitions of a topic."""
        return {each.partition for each in self.ends if each.topic == topic}

    async def committed(self, partition: TopicPartition) -> int | None:  # noqa: ARG002 - one group
        """Where the group stands."""
        return self.position_of_group

    async def _send(self, node: int, request: Any) -> Any:
        """Answer a fetch with the header of a batch."""
        assert node == 1
        ((topic, ((partition, offset, _),)),) = request.topics
        records = b""
        if offset in self.batches:
            records = struct.pack(">q", self.batches[offset]) + bytes(60)
        fetched: tuple[Any, ...] = (partition, self.code, self.ends[P], -1, 0, [], -1, records)
        return SimpleNamespace(topics=[(topic, [fetched])])

    async def commit(self, commits: dict[Any, Any]) -> None:
        """Commit, unless it is refused."""
        self.calls.append("commit")
        if self.commit_error:
            raise self.commit_error
        self.commits |= commits

    async def describe_consumer_groups(self, groups: list[str]) -> Any:
        """Say who is in the group."""
        assert groups == ["triage"]
        if self.passing and (error := self.passing.pop(0)):
            raise error
        if isinstance(self.answer, KafkaError):
            raise self.answer
        return [SimpleNamespace(to_object=lambda: {"groups": [self.answer]})]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> StoppedLog:
    """The cluster of the command."""
    made = StoppedLog()

    @asynccontextmanager
    async def admin(_: Settings) -> AsyncIterator[StoppedLog]:
        yield made

    async def present(*_: Any) -> None:
        made.calls.append("present")

    monkeypatch.setattr(stopped_group, "admin_client", admin)
    monkeypatch.setattr(stopped_group, "GROUP_PATIENCE_S", 0.5)
    monkeypatch.setattr(kafka_admin, "GROUP_RETRY_S", 0.01)
    monkeypatch.setattr(skipping, "check_present", present)
    monkeypatch.setattr(skipping, "Producer", lambda _: made.producer)
    audit_topic = KafkaLog({TopicPartition(TOPICS.audit, 0): 0})
    audit_topic.install(monkeypatch, reader)

    def opened(*topics: str, **options: Any) -> KafkaLog:
        # Only the audit trail names its topic; a partition of the group is assigned.
        log = audit_topic if topics else made
        return log.open(*topics, **options)

    monkeypatch.setattr(reader, "AIOKafkaConsumer", opened)
    return made


async def test_a_batch_is_stepped_over_once_that_is_on_record(log: StoppedLog) -> None:
    """Good events would be lost with it, or the bad ones without anybody knowing."""
    damage = await skip(Settings(), PLACE, by="dana", reason="disk 3")
    assert (damage.first, damage.last, damage.next, damage.at_end) == (7, 9, 10, False)
    assert log.calls == ["present", "confirmed", "commit"]
    (commit,) = log.commits.values()
    assert (commit.offset, CommitNote.decode(commit.metadata)) == (10, CommitNote())
    (sent,) = log.producer.sent
    origin = Origin(topic=sent.topic, partition=0, offset=0)
    letter = Letter(Incoming(sent.value, sent.key, sent.headers, origin, 0.0))
    assert (letter.original_record, letter.headers.stage) == (f"{INPUT}[2]@7", "fetch")
    assert not letter.headers.whole
    assert letter.headers.message == (
        f"the batch of offsets 7 to 9 of {INPUT}[2] is damaged (CorruptRecordException), and at "
        "most 3 records are lost; have them sent again. dana stepped over it: disk 3"
    )
    (audited,) = log.producer.audited
    unread = decode(audited.value or b"", UnreadRecord)
    assert (unread.offsets.first, unread.offsets.last, unread.cause) == (7, 9, "damaged")
    assert (unread.by, unread.reason, unread.tenant) == ("dana", "disk 3", "default")


async def test_a_dry_run_only_looks(log: StoppedLog) -> None:
    """Whoever only wants to see what would be lost would lose it."""
    damage = await skip(Settings(), PLACE, by="dana", reason="disk 3", dry_run=True)
    assert damage.count == 3
    assert (log.calls, log.producer.sent, log.producer.audited) == (["present"], [], [])


async def test_the_log_may_end_behind_the_batch(log: StoppedLog) -> None:
    """The last batch of a log could never be stepped over."""
    log.ends, log.batches = {P: 10}, {}
    damage = await skip(Settings(), PLACE, by="dana", reason="disk 3")
    assert (damage.at_end, log.commits[P].offset) == (True, 10)


async def test_without_a_commit_the_group_stands_at_the_beginning(log: StoppedLog) -> None:
    """A new group whose first batch is damaged would never begin."""
    log.position_of_group, log.begins = None, {P: 7}
    assert (await skip(Settings(), PLACE, by="dana", reason="disk 3")).first == 7


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"position_of_group": 5}, r"offset 5 .* can be read; start the workers"),
        ({"position_of_group": 12}, "to its end; nothing is damaged"),
        ({"error": ValueError("not enough bytes")}, "the header of the batch is damaged, too"),
        ({"error": BatchTooLarge(INPUT, 2, 7, 9)}, "too large when it is decompressed"),
        ({"error": CorruptBatch("ValueError", 6, 9)}, r"begins at 6 for the group; give .*@6$"),
        ({"batches": {10: 8}}, "ends at 9 .* but the next one begins at 8"),
        ({"batches": {10: 11}}, "ends at 9 .* but the next one begins at 11"),
        ({"batches": {}}, "sends nothing of .* from 10 on"),
        ({"code": OffsetOutOfRangeError.errno}, r"behind .* \(OffsetOutOfRangeError\)"),
        ({"answer": EMPTY | {"members": ["a", "b"]}}, r"members \(2\); stop all"),
        ({"answer": REFUSED}, "credentials of a worker"),
        ({"answer": CoordinatorNotAvailableError()}, r"group triage .*; check its log, and run"),
    ],
)
async def test_what_is_not_sure_is_not_stepped_over(
    log: StoppedLog, changes: dict[str, Any], sentence: str
) -> None:
    """Events that can be read, or that another worker reads, would be lost."""
    for name, value in changes.items():
        setattr(log, name, value)
    with pytest.raises(StreamError, match=sentence):
        await skip(Settings(), PLACE, by="dana", reason="disk 3")
    assert (log.commits, log.producer.sent, log.producer.audited) == ({}, [], [])


@pytest.mark.parametrize("place", [PLACE._replace(partition=9), PLACE._replace(topic="other")])
async def test_a_place_that_workers_do_not_read_is_named(
    log: StoppedLog, place: PlaceOfRecord
) -> None:
    """A typing error would be committed, or end in a traceback."""
    with pytest.raises(StreamError, match=r"no partition .*\[9\]|does not read other; it reads"):
        await skip(Settings(), place, by="dana", reason="disk 3")
    assert log.commits == {}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (CommitFailedError("members"), "has members again; stop all workers"),
        (KafkaError("no"), "does not take the commit"),
    ],
)
async def test_a_commit_that_is_refused_is_one_sentence(
    log: StoppedLog, error: KafkaError, sentence: str
) -> None:
    """A worker that starts in between reads on; the operator would take the batch for done."""
    log.commit_error = error
    with pytest.raises(StreamError, match=sentence):
        await skip(Settings(), PLACE, by="dana", reason="disk 3")


async def test_a_group_that_nobody_knows_has_no_members(log: StoppedLog) -> None:
    """A group that has never committed could not go on."""
    log.answer = EMPTY | {"state": "Dead"}
    await asyncio.wait_for(check_stopped(Settings()), 5)


async def test_a_broker_that_has_just_started_is_asked_again(log: StoppedLog) -> None:
    """An operator would be told to use other credentials, right after the repair of a disk."""
    log.passing = [CoordinatorNotAvailableError(), GroupLoadInProgressError()]
    await check_stopped(Settings())
    assert log.passing == []


def test_the_command_says_what_it_would_do_and_what_it_did(triage: Triage, log: StoppedLog) -> None:
    """An operator would not know what is lost, or take a plan for done."""
    words = ("deadletters", "skip", str(PLACE), "--by", "dana", "--reason", " disk 3 ")
    code, out, _ = triage(*words)
    lost = "cannot be read (CorruptRecordException); at most 3 records are lost"
    assert (code, out.splitlines()) == (
        0,
        [
            f"offsets 7 to 9 of {INPUT}[2] {lost}",
            "the next batch begins at offset 10",
            "nothing was done; compare the broker's replicas first, then step over it with --yes",
        ],
    )
    assert log.commits == {}
    planned = orjson.loads(triage(*words, "--json")[1])
    log.ends, log.batches = {P: 10}, {}
    code, out, _ = triage(*words, "--yes")
    assert (code, out.splitlines()[1:]) == (
        0,
        [
            "the log ends behind them; what is written next has offset 10",
            "it is stepped over, with a dead letter and an audit record; start the workers",
        ],
    )
    assert planned == {
        "dry_run": True,
        "topic": INPUT,
        "partition": 2,
        "first": 7,
        "last": 9,
        "error": "CorruptRecordException",
        "next": 10,
        "at_end": False,
    }
    unread = decode(log.producer.audited[0].value or b"", UnreadRecord)
    assert unread.reason == "disk 3"


@pytest.mark.parametrize(
    "words",
    [
        (str(PLACE),),
        (str(PLACE), "--reason", "  "),
        (str(PLACE), "--reason", "r" * 501),
        (f"{PLACE}#1", "--reason", "disk 3"),
        ("nowhere", "--reason", "disk 3"),
    ],
)
def test_a_command_without_place_or_reason_is_refused(
    triage: Triage, log: StoppedLog, words: tuple[str, ...]
) -> None:
    """Events would be given up with no word why."""
    code, _, err = triage("deadletters", "skip", *words, "--yes")
    assert (code, err.startswith("triage: ")) == (2, True)
    assert log.calls == []
