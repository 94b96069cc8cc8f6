"""Records with several events in an agent pipeline: one offset, and everything else for each."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from agents.outcomes import DeadLettered, Element, Incoming, Outcome, Triaged
from schemas.audit.record import sha256
from schemas.event import Event
from streams.kafka.offsets import Partition
from streams.pipeline.failures import MAX_FAILURES_IN_A_ROW, Process
from streams.pipeline.in_flight import InFlight
from tests.doubles import INPUT_PARTITION, TOPICS, FakeProducer, header_texts, incoming
from tests.patience import PATIENCE_S, until
from tests.records import triaged
from tests.unit.test_agent_pipeline import Bench as OneEventBench
from tests.unit.test_agent_pipeline import settle_down

BAD = DeadLettered("validate", "InvalidEvent", "nothing to read; fill text")


async def split(record: Incoming) -> list[Incoming]:
    """One event for each word of the record; the word `bad` cannot be read."""
    words = (record.value or b"").split()
    several = len(words) > 1
    return [
        replace(
            record,
            element=Element(
                BAD if word == b"bad" else Event(id=word.decode(), kind="alert", text="x"),
                position if several else None,
                word if word == b"bad" else None,
                sha256(record.value or b"") if several else "",
            ),
        )
        for position, word in enumerate(words)
    ]


def id_of(incoming_event: Incoming) -> str:
    """The id of an event that was read."""
    assert incoming_event.element is not None
    assert isinstance(incoming_event.element.content, Event)
    return incoming_event.element.content.id


async def decide(batch: Sequence[Incoming]) -> list[Outcome]:
    """Decide every event, under its own id."""
    return [Triaged(triaged(id_of(event), origin=event.origin)) for event in batch]


class Bench(OneEventBench):
    """An agent pipeline that splits its records into words."""

    def __init__(
        self, process: Process = decide, producer: FakeProducer | None = None, **pipeline: Any
    ) -> None:
        super().__init__(process, producer, read=split, **pipeline)

    def count(self, name: str, **labels: str) -> float | None:
        """The value of a metric."""
        return self.metrics.registry.get_sample_value(f"triage_{name}", labels)


async def test_an_offset_waits_for_every_event_of_its_record() -> None:
    """The other events of a record would be lost if the worker died after the first."""
    async with Bench() as bench:
        await bench.accept(0, value=b"a b c")
        await bench.accept(1, value=b"d")
        await settle_down()
        assert bench.ids() == ["a", "b", "c", "d"]
        bench.producer.acknowledge(0, 2, 3)
        await settle_down()
        assert bench.position == 0
        assert bench.ended == [(1, False)]
        bench.producer.acknowledge(1)
        await settle_down()
        assert bench.position == 2
        assert bench.count("events_total", domain="alerts", outcome="accepted") == 4


async def test_an_offset_waits_for_the_audit_record_of_every_event() -> None:
    """The trail would lack a decision that is on its topic."""
    async with Bench(producer=FakeProducer(prompt=False, awaits_audit=True)) as bench:
        await bench.accept(0, value=b"a b")
        await settle_down()
        bench.producer.acknowledge(0, 1)
        await settle_down()
        assert [record.topic for record in bench.producer.sent[2:]] == [TOPICS.audit] * 2
        bench.producer.acknowledge(2)
        await settle_down()
        assert bench.position == 0
        bench.producer.acknowledge()
        await settle_down()
        assert bench.position == 1


async def test_every_event_has_its_audit_record_over_the_whole_record() -> None:
    """An auditor would find no record for an event, or a digest that nothing on the topic has."""
    async with Bench(producer=FakeProducer(prompt=True)) as bench:
        await bench.accept(0, value=b"a b bad")
        await until(lambda: bench.position == 1)
        audited = [orjson.loads(record.value or b"") for record in bench.producer.audited]
        assert [entry["id"] for entry in audited] == ["a", "b"]
        assert [entry["sequence"] for entry in audited] == [0, 1]
        assert {entry["input_digest"] for entry in audited} == {sha256(b"a b bad")}
        assert audited[1]["previous"] == audited[0]["digest"]


async def test_an_element_that_cannot_be_read_is_a_dead_letter_of_its_own() -> None:
    """A replay would send the good events of the record again, or the bad one would be lost."""
    async with Bench(producer=FakeProducer(prompt=True)) as bench:
        await bench.accept(5, value=b"a bad c", key=b"k")
        await until(lambda: bench.position == 6)
        assert [record.topic for record in bench.producer.sent] == [
            TOPICS.triaged("alerts"),
            TOPICS.deadletter,
            TOPICS.triaged("alerts"),
        ]
        letter = bench.producer.sent[1]
        assert (letter.key, letter.value) == (b"k", b"bad")
        headers = header_texts(letter.headers)
        assert headers["triage.element"] == "1"
        assert headers["__connect.errors.offset"] == "5"
        assert headers["triage.attempt"] == "1"
        assert bench.count("dead_letters_total", stage="validate") == 1


async def test_a_record_of_one_event_names_no_element() -> None:
    """Every dead letter would seem to be a part of something."""
    async with Bench(producer=FakeProducer(prompt=True)) as bench:
        await bench.accept(0, value=b"bad")
        await until(lambda: bench.position == 1)
        assert "triage.element" not in header_texts(bench.producer.sent[0].headers)


async def test_the_model_never_gets_more_events_than_a_batch_may_have() -> None:
    """A record of a thousand events would be one batch: of all memory, and of a minute."""
    sizes: list[int] = []

    async def note(batch: Sequence[Incoming]) -> list[Outcome]:
        sizes.append(len(batch))
        return await decide(batch)

    async with Bench(note, FakeProducer(prompt=True), max_batch_events=8) as bench:
        words = [b"e%d" % number for number in range(100)]
        accepted = asyncio.create_task(bench.accept(0, value=b" ".join(words)))
        await until(lambda: accepted.done() and bench.position == 1)
        assert max(sizes) <= 8
        assert sum(sizes) == 100
        assert bench.ids() == [word.decode() for word in words]
        assert bench.count("record_events_sum", lane="classify-alerts") == 100
        assert bench.count("record_events_count", lane="classify-alerts") == 1
        assert bench.count("batch_events_sum", lane="classify-alerts") == 100


async def test_the_events_of_a_record_share_its_bytes() -> None:
    """Each event of a large record would be a batch of its own, and the model ten times slower."""
    sizes: list[int] = []

    async def note(batch: Sequence[Incoming]) -> list[Outcome]:
        sizes.append(len(batch))
        return await decide(batch)

    bench = Bench(note, FakeProducer(prompt=True), max_batch_events=8, max_batch_bytes=20)
    words = b"aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd"
    await bench.accept(0, value=words)
    async with bench:
        await until(lambda: bench.position == 1)
        assert sizes == [2, 2]


async def test_a_large_record_makes_the_reader_wait() -> None:
    """The events of many large records would fill the memory while the model is slow."""
    answers = asyncio.Event()

    async def wait(batch: Sequence[Incoming]) -> list[Outcome]:
        await answers.wait()
        return await decide(batch)

    async with Bench(wait, FakeProducer(prompt=True), max_batch_events=2) as bench:
        waiting = asyncio.create_task(bench.accept(0, value=b"a b c d e f g h i j k l m"))
        await settle_down()
        assert not waiting.done()
        answers.set()
        await asyncio.wait_for(waiting, PATIENCE_S)
        await until(lambda: bench.position == 1)


async def test_the_room_of_a_partition_is_counted_in_events() -> None:
    """While the broker is away, a thousand records of a thousand events would be in memory."""
    async with Bench(max_batch_events=8) as bench:
        await bench.accept(0, value=b"a b c")
        room = asyncio.create_task(bench.offsets.wait_for_room(INPUT_PARTITION, 3, 1_000))
        await settle_down()
        assert not room.done()
        bench.producer.acknowledge()
        await asyncio.wait_for(room, PATIENCE_S)
        await asyncio.wait_for(bench.offsets.wait_until_settled(INPUT_PARTITION), PATIENCE_S)


async def test_two_events_with_one_id_keep_their_order() -> None:
    """The older state of a thing would replace the newer one."""
    reasons = iter("123456")

    async def number(batch: Sequence[Incoming]) -> list[Outcome]:
        # The first batch is the slowest.
        turn = [next(reasons) for _ in batch]
        await asyncio.sleep(0.02 / int(turn[0]))
        return [
            Triaged(triaged(id_of(event), reasons=[reason]))
            for event, reason in zip(batch, turn, strict=True)
        ]

    bench = Bench(number, FakeProducer(prompt=True), max_batch_events=2, batches_in_flight=3)
    async with bench:
        await bench.accept(0, value=b"a b a", key=b"k")
        await bench.accept(1, value=b"a c a", key=b"k")
        await until(lambda: bench.position == 2)
        assert bench.ids() == ["a", "b", "a", "a", "c", "a"]
        sent = [orjson.loads(record.value or b"")["reasons"] for record in bench.producer.sent]
        assert sent == [[str(number)] for number in range(1, 7)]


async def test_a_failure_of_the_model_on_one_event_leaves_its_siblings_alone() -> None:
    """An event that triggers a bug would cost its whole record."""

    async def trip(batch: Sequence[Incoming]) -> list[Outcome]:
        if "b" in map(id_of, batch):
            raise ZeroDivisionError("by b")
        return await decide(batch)

    async with Bench(trip, FakeProducer(prompt=True)) as bench:
        await bench.accept(0, value=b"a b c")
        await until(lambda: bench.position == 1)
        assert bench.ids()[::2] == ["a", "c"]
        letter = bench.producer.sent[1]
        assert letter.topic == TOPICS.deadletter
        assert orjson.loads(letter.value or b"") == {"id": "b", "kind": "alert", "text": "x"}
        headers = header_texts(letter.headers)
        assert (headers["triage.element"], headers["triage.disposition"]) == ("1", "retryable")
        assert not bench.failures


async def test_one_record_of_events_that_fail_does_not_stop_the_worker() -> None:
    """A single record that the model cannot digest would stop every worker that reads it."""

    async def trip(batch: Sequence[Incoming]) -> list[Outcome]:
        if any(event.origin.offset for event in batch):
            raise ZeroDivisionError("by all others")
        return await decide(batch)

    async with Bench(trip, FakeProducer(prompt=True), batches_in_flight=1) as bench:
        for offset in range(MAX_FAILURES_IN_A_ROW + 2):
            await bench.accept(offset, value=b"a b c d e f g h")
            await settle_down()
        letters = [record for record in bench.producer.sent if record.topic == TOPICS.deadletter]
        assert len(letters) == 8 * MAX_FAILURES_IN_A_ROW
        assert [type(error) for error in bench.failures] == [ZeroDivisionError]
        assert bench.position == 1 + MAX_FAILURES_IN_A_ROW


async def test_a_record_that_the_reader_fails_on_is_one_dead_letter() -> None:
    """A bug in the reader of a format would stop the worker after every restart."""

    async def broken(record: Incoming) -> list[Incoming]:
        if record.value == b"trap":
            raise RecursionError("too deep")
        return await split(record)

    async with OneEventBench(decide, FakeProducer(prompt=True), read=broken) as bench:
        await bench.accept(0, value=b"a b")
        await bench.accept(1, value=b"trap")
        await bench.accept(2, value=b"c")
        await until(lambda: bench.position == 3)
        letter = bench.producer.sent[2]
        assert (letter.topic, letter.value) == (TOPICS.deadletter, b"trap")
        headers = header_texts(letter.headers)
        assert headers["__connect.errors.exception.class.name"] == "RecursionError"
        assert headers["triage.disposition"] == "retryable"
        assert not bench.failures


async def test_an_output_too_large_replaces_that_event_only() -> None:
    """The largest event of a record would make dead letters of its siblings."""
    producer = FakeProducer(prompt=True, takes_bytes={TOPICS.triaged("alerts"): 1200})

    async def enlarge(batch: Sequence[Incoming]) -> list[Outcome]:
        reasons = {"b": ["x" * 2000]}
        return [
            Triaged(triaged(id_of(event), reasons=reasons.get(id_of(event), ["x"])))
            for event in batch
        ]

    async with Bench(enlarge, producer) as bench:
        await bench.accept(0, value=b"a b c")
        await until(lambda: bench.position == 1)
        topics = [record.topic for record in producer.sent]
        assert topics.count(TOPICS.triaged("alerts")) == 2
        (letter,) = (record for record in producer.sent if record.topic == TOPICS.deadletter)
        assert orjson.loads(letter.value or b"")["id"] == "b"
        headers = header_texts(letter.headers)
        assert (headers["triage.element"], headers["__connect.errors.stage"]) == ("1", "deliver")


@pytest.mark.parametrize(
    ("value", "invalid"),
    [
        (b"bad", True),
        (b"a", False),
        (b"bad bad a", True),
        (b"bad a", False),
        (b"bad " * 1000, True),
        (b"bad a c", False),
    ],
)
async def test_a_record_counts_once_in_a_storm(value: bytes, invalid: bool) -> None:
    """One bad export would pause its partition as if a thousand records had been bad."""
    async with Bench(producer=FakeProducer(prompt=True)) as bench:
        await bench.accept(0, value=value)
        await until(lambda: bench.position == 1)
        assert bench.ended == [(0, invalid)]


async def test_a_bug_of_ours_is_no_storm() -> None:
    """A model that fails on some events would pause the partition for minutes."""

    async def trip(batch: Sequence[Incoming]) -> list[Outcome]:
        raise ZeroDivisionError("a bug")

    async with Bench(trip, FakeProducer(prompt=True)) as bench:
        await bench.accept(0, value=b"a b")
        await until(lambda: bench.position == 1)
        assert bench.ended == [(0, False)]


async def test_a_record_that_killed_workers_is_not_read() -> None:
    """The record would kill the next worker while it is read."""
    letter = DeadLettered("worker", "WorkerKilled", "look at the logs")
    async with Bench(producer=FakeProducer(prompt=True)) as bench:
        await bench.accept(0, value=b"a b c", outcome=letter)
        await until(lambda: bench.position == 1)
        (sent,) = bench.producer.sent
        assert (sent.topic, sent.value) == (TOPICS.deadletter, b"a b c")


async def test_no_more_events_of_a_record_come_after_its_partition_was_taken_away() -> None:
    """The model would go on with a record that the next owner of the partition reads again."""
    answers = asyncio.Event()
    seen: list[str] = []

    async def wait(batch: Sequence[Incoming]) -> list[Outcome]:
        seen.extend(map(id_of, batch))
        await answers.wait()
        return await decide(batch)

    bench = Bench(wait, FakeProducer(prompt=True), max_batch_events=1, batches_in_flight=1)
    async with bench:
        accepting = asyncio.create_task(bench.accept(0, value=b"a b c d e f g h"))
        await settle_down()
        assert not accepting.done()
        bench.pipeline.discard()
        bench.offsets.forget()
        answers.set()
        await asyncio.wait_for(accepting, PATIENCE_S)
        await settle_down()
        assert len(seen) < 5
        assert bench.producer.sent == []
        pending_offset = bench.offsets.take(INPUT_PARTITION, 0)
        await bench.pipeline.accept(InFlight(incoming(0, b"a b"), pending_offset))
        await until(lambda: bench.position == 1)
        assert bench.ids() == ["a", "b"]


async def test_drain_ends_what_is_in_flight_and_leaves_the_rest_of_a_record() -> None:
    """SIGTERM would wait for a thousand events, or commit a record of which some are missing."""
    answers = asyncio.Event()

    async def wait(batch: Sequence[Incoming]) -> list[Outcome]:
        await answers.wait()
        return await decide(batch)

    bench = Bench(wait, FakeProducer(prompt=True), max_batch_events=1, batches_in_flight=1)
    async with bench:
        accepting = asyncio.create_task(bench.accept(0, value=b"a b c d e f g h"))
        await settle_down()
        draining = asyncio.create_task(bench.pipeline.drain(PATIENCE_S))
        await settle_down()
        answers.set()
        assert await draining
        await asyncio.wait_for(accepting, PATIENCE_S)
        await settle_down()
        assert bench.ids() == ["a"]
        assert bench.position == 0


async def test_a_large_record_does_not_hold_up_other_partitions() -> None:
    """One export of a thousand rows would delay every alert of its topic by a minute."""
    urgent: list[asyncio.Task[None]] = []

    async def interrupted(batch: Sequence[Incoming]) -> list[Outcome]:
        await asyncio.sleep(0)
        if not urgent:
            other = bench.offsets.take(Partition("other", 0), 7)
            in_flight = InFlight(incoming(7, b"urgent"), other)
            urgent.append(asyncio.create_task(bench.pipeline.accept(in_flight)))
        return await decide(batch)

    bench = Bench(interrupted, FakeProducer(prompt=True), max_batch_events=4)
    async with bench:
        words = b" ".join(b"e%d" % number for number in range(1000))
        await asyncio.wait_for(bench.accept(0, value=words), PATIENCE_S)
        await until(lambda: bench.position == 1)
        assert bench.ids().index("urgent") < 100
