"""An agent pipeline, between an offset tracker and a producer that the test controls."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any, Self

import orjson
import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from agents.outcomes import DeadLettered, Element, Escalated, Incoming, Outcome, Triaged
from schemas.audit.record import sha256
from schemas.event import Event
from streams.audit.trail import AuditTrail
from streams.config import PipelineSection, Settings
from streams.errors import DeliveryFailed
from streams.kafka.offsets import OffsetTracker, Partition
from streams.kafka.producer import Receipt
from streams.kafka.record import Record
from streams.metrics import Metrics
from streams.pipeline.agent_pipeline import AgentPipeline, unread
from streams.pipeline.failures import MAX_FAILURES_IN_A_ROW, AtOnce, Process, Read
from streams.pipeline.in_flight import InFlight
from streams.traces import NO_TRACES, Traces
from tests.doubles import INPUT_PARTITION, TOPICS, FakeProducer, header_texts, incoming
from tests.patience import PATIENCE_S, until
from tests.records import case, triaged
from tests.unit.test_labels_topic import row


async def accept_all(batch: Sequence[Incoming]) -> list[Outcome]:
    """Decide every event, under an id that is its offset."""
    return [Triaged(triaged(str(record.origin.offset))) for record in batch]


class Bench:
    """An agent pipeline, its offset tracker and its producer, and the errors that it reported."""

    def __init__(
        self,
        process: Process = accept_all,
        producer: FakeProducer | None = None,
        read: Read = unread,
        traces: Traces = NO_TRACES,
        name: str = "classify-alerts",
        trail_round_s: float = 0.0,
        **pipeline: Any,
    ) -> None:
        self.failures: list[BaseException] = []
        self.ended: list[tuple[int, bool]] = []
        self.offsets = OffsetTracker(lambda _: 0)
        self.producer = producer or FakeProducer()
        self.metrics = Metrics()
        sizes: dict[str, Any] = {
            "max_batch_events": 4,
            "max_batch_wait_ms": 0,
            "batches_in_flight": 2,
        } | pipeline
        self.pipeline = AgentPipeline(
            name,
            AtOnce(process),
            read=read,
            pipeline=PipelineSection(**sizes),
            topics=TOPICS,
            producer=self.producer,
            offsets=self.offsets,
            audit=AuditTrail(Settings()),
            metrics=self.metrics,
            fail=self.failures.append,
            on_ended=self.note_ended,
            traces=traces,
            trail_round_s=trail_round_s,
        )

    def note_ended(self, in_flight: InFlight, /, *, invalid: bool) -> None:
        """Note which record has ended, and whether it was invalid."""
        self.ended.append((in_flight.incoming.origin.offset, invalid))

    async def __aenter__(self) -> Self:
        self.pipeline.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pipeline.stop()

    async def accept(
        self,
        *offsets: int,
        value: bytes = b"{}",
        key: bytes | None = None,
        outcome: DeadLettered | None = None,
    ) -> None:
        """Read records with this key, and hand them to the pipeline."""
        for offset in offsets:
            pending_offset = self.offsets.take(INPUT_PARTITION, offset, size=len(value))
            in_flight = InFlight(incoming(offset, value, key), pending_offset, outcome)
            await self.pipeline.accept(in_flight)

    async def accept_record(self, record: Incoming) -> None:
        """Hand this record to the pipeline."""
        pending_offset = self.offsets.take(INPUT_PARTITION, record.origin.offset, size=2)
        await self.pipeline.accept(InFlight(record, pending_offset))

    @property
    def position(self) -> int:
        """The offset that would be committed now."""
        return self.offsets.positions()[INPUT_PARTITION]

    def ids(self) -> list[str]:
        """The ids of the events that were sent, in order."""
        return [(record.key or b"").decode() for record in self.producer.sent]


async def settle_down() -> None:
    """Let every task run until it waits for the test."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_an_event_is_settled_as_soon_as_its_own_outputs_are_acknowledged() -> None:
    """An event would be committed without its output, or wait for those of its whole batch."""
    async with Bench() as bench:
        await bench.accept(0, 1, 2)
        await settle_down()
        assert bench.ids() == ["0", "1", "2"]
        bench.producer.acknowledge(0, 2)
        await settle_down()
        assert [offset for offset, _ in bench.ended] == [0, 2]
        assert bench.position == 1, "a commit passes no event that has not ended"
        bench.producer.acknowledge(1)
        await settle_down()
        assert bench.position == 3


async def test_an_event_is_published_when_its_own_outcome_is_known() -> None:
    """A short ticket would wait for the forward passes of the long alerts in its batch."""
    may_go_on = asyncio.Event()

    async def process(batch: Sequence[Incoming]) -> AsyncGenerator[tuple[int, Outcome], None]:
        assert len(batch) == 3
        yield 2, Triaged(triaged("2"))
        await may_go_on.wait()
        for place in (1, 0):
            yield place, Triaged(triaged(str(place)))

    bench = Bench(producer=FakeProducer(prompt=True))
    bench.pipeline._process = process
    await bench.accept(0, key=b"one")
    await bench.accept(1, 2, key=b"other")
    async with bench:
        await settle_down()
        assert bench.ids() == [], "the third event stays behind the second, which has its key"
        may_go_on.set()
        await settle_down()
        assert bench.ids() in (["1", "0", "2"], ["1", "2", "0"])
        assert bench.position == 3
    bench = Bench(producer=FakeProducer(prompt=True))
    bench.pipeline._process = process
    may_go_on.clear()
    for offset in range(3):
        await bench.accept(offset, key=b"%d" % offset)
    async with bench:
        await settle_down()
        assert bench.ids() == ["2"]
        assert [offset for offset, _ in bench.ended] == [2]
        assert bench.position == 0
        may_go_on.set()
        await settle_down()
        assert bench.position == 3


async def test_only_a_busy_pipeline_waits_to_fill_a_batch() -> None:
    """An event that comes alone would wait for others that do not come."""
    an_hour_ms = 3_600_000
    may_end = asyncio.Event()
    started: list[int] = []

    async def process(batch: Sequence[Incoming]) -> list[Outcome]:
        started.append(len(batch))
        await may_end.wait()
        return await accept_all(batch)

    async with Bench(process, max_batch_wait_ms=an_hour_ms) as bench:
        await bench.accept(0)
        await until(lambda: started)
        await bench.accept(1)
        await settle_down()
        assert started == [1], "the second event waits for more, as the first is being processed"


async def test_every_output_of_an_escalated_event_is_awaited() -> None:
    """Without its case for enrichment, an event with a provisional answer would never end."""

    async def escalate(batch: Sequence[Incoming]) -> list[Outcome]:
        return [Escalated(case()) for _ in batch]

    async with Bench(escalate) as bench:
        await bench.accept(0)
        await settle_down()
        assert [record.topic for record in bench.producer.sent] == [
            TOPICS.triaged("alerts"),
            TOPICS.enrichment,
        ]
        bench.producer.acknowledge(0)
        await settle_down()
        assert bench.position == 0
        bench.producer.acknowledge(1)
        await settle_down()
        assert bench.position == 1


async def test_the_labelled_row_of_a_decision_is_awaited() -> None:
    """The offset would be committed before the row is there, and a crash would lose the row."""

    async def decide_all(batch: Sequence[Incoming]) -> list[Outcome]:
        return [Triaged(triaged(str(record.origin.offset)), row("a")) for record in batch]

    async with Bench(decide_all) as bench:
        await bench.accept(0)
        await settle_down()
        assert [record.topic for record in bench.producer.sent] == [
            "triage.alerts.triaged.v1",
            "triage.labels.v1",
        ]
        bench.producer.acknowledge(0)
        await settle_down()
        assert bench.position == 0
        bench.producer.acknowledge(1)
        await settle_down()
        assert bench.position == 1


async def test_a_refused_output_fails_the_pipeline_and_settles_nothing_behind_it() -> None:
    """If the broker loses an output, later batches would commit its input."""
    async with Bench(max_batch_events=1) as bench:
        await bench.accept(0)
        await bench.accept(1)
        await settle_down()
        bench.producer.receipts[0].set_exception(OSError("disk full"))
        bench.producer.acknowledge(1)
        await settle_down()
        assert [type(error) for error in bench.failures] == [DeliveryFailed]
        assert "disk full" in str(bench.failures[0])
        assert bench.position == 0


async def test_a_refused_output_leaves_the_events_beside_it_alone() -> None:
    """Events whose outputs are on the broker would be triaged again, or one that is not pass."""
    async with Bench() as bench:
        await bench.accept(0, 1, 2)
        await settle_down()
        bench.producer.receipts[1].set_exception(OSError("gone"))
        bench.producer.acknowledge(0, 2)
        await settle_down()
        assert [type(error) for error in bench.failures] == [DeliveryFailed]
        assert bench.position == 1


async def test_an_acknowledgement_may_take_as_long_as_it_takes() -> None:
    """A partition without a leader would stop the worker, and all others with it."""
    async with Bench(producer=FakeProducer(timeout_s=0.001)) as bench:
        await bench.accept(0, 1)
        await settle_down()
        assert bench.failures == []
        bench.producer.acknowledge()
        await settle_down()
        assert bench.position == 2


async def test_a_record_that_finds_no_leader_is_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One output partition without a leader would stop everything."""
    async with Bench(producer=FakeProducer(prompt=True)) as bench:
        bench.producer.refusals[TOPICS.triaged("alerts")] = [
            KafkaTimeoutError(),
            UnknownTopicOrPartitionError(),
        ]
        await bench.accept(0)
        await settle_down()
        assert bench.ids() == ["0"]
        assert bench.position == 1
        assert not bench.failures
        assert [message.endswith("; trying again") for message in caplog.messages] == [True] * 2


async def test_a_record_that_is_not_taken_at_all_fails_the_pipeline() -> None:
    """The worker would try for ever what can never succeed."""
    async with Bench() as bench:
        bench.producer.refusals[TOPICS.triaged("alerts")] = [KafkaError("not authorized")]
        await bench.accept(0)
        await settle_down()
        assert [type(error) for error in bench.failures] == [DeliveryFailed]
        assert bench.position == 0


class Stuck(FakeProducer):
    """A producer that cannot send the events with these ids until they are let go."""

    def __init__(self, *ids: str) -> None:
        super().__init__(prompt=True)
        self.ids = {id_.encode() for id_ in ids}
        self.leader = asyncio.Event()

    async def send(self, record: Record) -> Receipt:
        """Wait for the leader, as aiokafka does."""
        if record.key in self.ids:
            await self.leader.wait()
        return await super().send(record)


async def test_an_output_that_waits_holds_up_only_what_must_stay_behind_it() -> None:
    """One output partition without a leader would hold up all tickets."""
    producer = Stuck("0")
    async with Bench(producer=producer, max_batch_events=1) as bench:
        for offset, key in enumerate((b"a", b"b", b"a", None, b"b")):
            await bench.accept(offset, key=key)
        await settle_down()
        assert bench.ids() == ["1", "3", "4"], "2 has the key of 0"
        assert bench.position == 0
        producer.leader.set()
        await settle_down()
        assert bench.ids()[3:] == ["0", "2"]
        assert bench.position == 5


async def test_records_of_another_partition_have_no_order_with_ours() -> None:
    """A partition would wait for another one."""
    producer = Stuck("0")
    async with Bench(producer=producer, max_batch_events=1) as bench:
        await bench.accept(0, key=b"a")
        other = bench.offsets.take(Partition("other", 0), 7)
        await bench.pipeline.accept(InFlight(incoming(7, key=b"a"), other))
        await settle_down()
        assert bench.ids() == ["7"]


async def test_an_outcome_that_was_given_does_not_reach_the_agent() -> None:
    """An event that kills workers would be processed once more."""
    seen: list[int] = []

    async def note(batch: Sequence[Incoming]) -> list[Outcome]:
        seen.extend(record.origin.offset for record in batch)
        return await accept_all(batch)

    letter = DeadLettered("fetch", "BatchTooLarge", "too large")
    async with Bench(note, FakeProducer(prompt=True)) as bench:
        await bench.accept(0)
        await bench.accept(1, outcome=letter)
        await bench.accept(2)
        await settle_down()
        await bench.accept(3, outcome=letter)
        await settle_down()
        assert seen == [0, 2]
        topics = [record.topic for record in bench.producer.sent]
        assert topics == [
            TOPICS.triaged("alerts"),
            TOPICS.deadletter,
            TOPICS.triaged("alerts"),
            TOPICS.deadletter,
        ]
        assert sorted(offset for offset, _ in bench.ended) == [0, 1, 2, 3]
        assert bench.position == 4


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([40, 40, 20, 1], [[0, 1, 2], [3]]),
        ([200, 10, 10], [[0], [1, 2]]),
        ([10, 200, 10], [[0], [1], [2]]),
    ],
)
async def test_batches_are_bounded_in_bytes(sizes: list[int], batches: list[list[int]]) -> None:
    """A batch of 64 large events would take all memory; a larger event would never be processed."""
    seen: list[list[int]] = []

    async def note(batch: Sequence[Incoming]) -> list[Outcome]:
        seen.append([record.origin.offset for record in batch])
        return await accept_all(batch)

    bench = Bench(
        note,
        FakeProducer(prompt=True),
        max_batch_bytes=100,
        max_batch_events=8,
        batches_in_flight=1,
    )
    for offset, size in enumerate(sizes):
        await bench.accept(offset, value=bytes(size))
    async with bench:
        await settle_down()
        assert seen == batches
        assert bench.position == len(sizes)


async def test_one_poisonous_event_becomes_the_only_dead_letter() -> None:
    """An event that triggers a bug would stop its partition, or make dead letters of its batch."""

    async def trip(batch: Sequence[Incoming]) -> list[Outcome]:
        if any(record.origin.offset == 1 for record in batch):
            raise ZeroDivisionError("by event 1")
        return await accept_all(batch)

    async with Bench(trip, FakeProducer(prompt=True)) as bench:
        await bench.accept(0, 1, 2)
        await settle_down()
        assert [record.topic for record in bench.producer.sent] == [
            TOPICS.triaged("alerts"),
            TOPICS.deadletter,
            TOPICS.triaged("alerts"),
        ]
        headers = header_texts(bench.producer.sent[1].headers)
        assert headers["triage.disposition"] == "retryable"
        assert headers["__connect.errors.stage"] == "classify-alerts"
        assert headers["__connect.errors.exception.class.name"] == "ZeroDivisionError"
        assert bench.position == 3
        assert not bench.failures


async def test_a_lone_event_that_fails_becomes_a_dead_letter_but_not_too_many_in_a_row() -> None:
    """A bad event on a quiet topic would stop all workers, or a broken model empty the topic."""

    async def trip(batch: Sequence[Incoming]) -> list[Outcome]:
        if any(record.origin.offset != 1 for record in batch):
            raise ZeroDivisionError("by all but event 1")
        return await accept_all(batch)

    async with Bench(trip, FakeProducer(prompt=True), batches_in_flight=1) as bench:
        for offset in range(6):
            await bench.accept(offset)
            await settle_down()
        letters = [record for record in bench.producer.sent if record.topic == TOPICS.deadletter]
        assert len(letters) == 1 + MAX_FAILURES_IN_A_ROW
        assert [type(error) for error in bench.failures] == [ZeroDivisionError]
        assert bench.position == 5


@pytest.mark.parametrize("count", [4, 5])
async def test_a_broken_model_makes_no_dead_letters(count: int) -> None:
    """A missing file of the model would make a dead letter of every event of the topic."""

    async def break_(batch: Sequence[Incoming]) -> list[Outcome]:
        raise RuntimeError("no model")

    async with Bench(break_) as bench:
        await bench.accept(*range(count))
        await settle_down()
        assert [str(error) for error in bench.failures] == ["no model"]
        assert bench.producer.sent == []
        assert bench.position == 0


@pytest.mark.parametrize("size", [0, 2, 4])
async def test_an_agent_that_returns_too_few_or_too_many_outcomes_fails_the_pipeline(
    size: int,
) -> None:
    """Outcomes would be written under other events' keys."""

    async def miscount(batch: Sequence[Incoming]) -> list[Outcome]:
        return [Triaged(triaged())] * size

    async with Bench(miscount) as bench:
        await bench.accept(0, 1, 2)
        await settle_down()
        assert len(bench.failures) == 1
        assert bench.position == 0


async def test_an_agent_that_is_cancelled_from_within_fails_the_pipeline() -> None:
    """The pipeline would wait for ever, with nothing in the log."""

    async def cancel(batch: Sequence[Incoming]) -> list[Outcome]:
        raise asyncio.CancelledError

    async with Bench(cancel) as bench:
        await bench.accept(0)
        await settle_down()
        assert len(bench.failures) == 1
        assert "cancelled" in str(bench.failures[0])
        assert bench.position == 0


async def test_an_output_too_large_for_its_topic_becomes_a_dead_letter() -> None:
    """An event whose decision does not fit its topic would stop the worker after every restart."""
    producer = FakeProducer(prompt=True, takes_bytes={TOPICS.triaged("alerts"): 10})
    async with Bench(producer=producer) as bench:
        await bench.accept(0, value=b'{"id":"0"}')
        await settle_down()
        letter = bench.producer.sent[-1]
        assert (letter.topic, letter.value) == (TOPICS.deadletter, b'{"id":"0"}')
        assert header_texts(letter.headers)["triage.disposition"] == "retryable"
        assert header_texts(letter.headers)["__connect.errors.stage"] == "deliver"
        assert "triage.value.bytes" not in header_texts(letter.headers)
        assert bench.position == 1
        assert not bench.failures


async def test_one_output_too_large_does_not_affect_its_batch() -> None:
    """The largest event of a batch would make dead letters of all others."""
    producer = FakeProducer(prompt=True, takes_bytes={TOPICS.triaged("alerts"): 1200})

    async def enlarge(batch: Sequence[Incoming]) -> list[Outcome]:
        return [
            Triaged(triaged(str(n), reasons=["x" * (2000 if n == 1 else 1)]))
            for n, _ in enumerate(batch)
        ]

    async with Bench(enlarge, producer) as bench:
        await bench.accept(0, 1, 2)
        await settle_down()
        assert [record.topic for record in producer.sent].count(TOPICS.deadletter) == 1
        assert header_texts(producer.sent[-1].headers)["__connect.errors.offset"] == "1"
        count = bench.metrics.registry.get_sample_value
        assert count("triage_events_total", {"domain": "alerts", "outcome": "accepted"}) == 2
        assert count("triage_dead_letters_total", {"stage": "deliver"}) == 1
        assert bench.position == 3


async def test_a_dead_letter_too_large_goes_without_its_value() -> None:
    """The worker would stop for ever at an event that no topic takes."""
    producer = FakeProducer(
        prompt=True, takes_bytes={TOPICS.triaged("alerts"): 10, TOPICS.deadletter: 5}
    )
    async with Bench(producer=producer) as bench:
        await bench.accept(0, value=b"0123456789", key=b"k")
        await settle_down()
        letter = bench.producer.sent[-1]
        assert letter.value is None
        assert header_texts(letter.headers)["triage.value.bytes"] == "10"
        assert bench.position == 1


class SlowFirst:
    """A `Process` whose batch with the first event does not end before the test opens the gate."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.ended: list[int] = []

    async def __call__(self, batch: Sequence[Incoming]) -> list[Outcome]:
        """Decide every event."""
        offsets = [record.origin.offset for record in batch]
        if 0 in offsets:
            await self.gate.wait()
        self.ended += offsets
        return await accept_all(batch)


async def test_records_with_one_key_are_sent_in_the_order_they_were_read() -> None:
    """A faster later batch would overtake, and an older revision would replace a newer one."""
    slow_first = SlowFirst()
    async with Bench(slow_first, FakeProducer(prompt=True), max_batch_events=2) as bench:
        await bench.accept(0, 1, key=b"k")
        await bench.accept(2, key=b"other")
        await bench.accept(3, key=b"k")
        await until(lambda: slow_first.ended == [2, 3])
        await settle_down()
        assert bench.ids() == ["2"]
        slow_first.gate.set()
        await until(lambda: bench.position == 4)
        assert bench.ids() == ["2", "0", "1", "3"]


async def test_a_full_pipeline_makes_the_reader_wait() -> None:
    """With a slow model, events would fill the memory."""
    answers = asyncio.Event()

    async def wait(batch: Sequence[Incoming]) -> list[Outcome]:
        await answers.wait()
        return await accept_all(batch)

    async with Bench(wait, max_batch_events=2, batches_in_flight=1) as bench:
        # Two are in flight, the collector has one, and the queue two. The sixth has no room.
        await asyncio.wait_for(bench.accept(0, 1), PATIENCE_S)
        await settle_down()
        await asyncio.wait_for(bench.accept(2, 3, 4), PATIENCE_S)
        waiting = asyncio.create_task(bench.accept(5))
        await settle_down()
        assert not waiting.done()
        answers.set()
        await asyncio.wait_for(waiting, PATIENCE_S)


async def test_the_flood_of_a_tenant_leaves_half_of_each_batch_to_the_others() -> None:
    """An event of a quiet tenant would wait until the events of a flood are processed.

    The flood comes through eight partitions at once. `b` is alone in the ninth.
    """
    batches: list[list[str]] = []

    async def note(batch: Sequence[Incoming]) -> list[Outcome]:
        await asyncio.sleep(0.001)
        batches.append([(record.value or b"").decode() for record in batch])
        return await accept_all(batch)

    async def read(record: Incoming) -> list[Incoming]:
        event = Event(id="x", kind="ticket", text="x", tenant=(record.value or b"").decode())
        return [replace(record, element=Element(event))]

    async with Bench(note, read=read, max_batch_events=8) as bench:
        partitions = [
            bench.accept(*range(place, 1_800, 9), value=b"b" if place == 8 else b"flood")
            for place in range(9)
        ]
        reading = asyncio.gather(*partitions)
        await asyncio.wait_for(reading, PATIENCE_S)
    halves = [batch.count("b") for batch in batches[4:24]]
    assert all(count >= 3 for count in halves), halves


async def test_drain_ends_what_is_in_flight_and_leaves_the_rest() -> None:
    """SIGTERM would lose the batch in flight, or never end because more records arrive."""
    async with Bench(max_batch_events=1, batches_in_flight=1) as bench:
        await bench.accept(0)
        await settle_down()
        draining = asyncio.create_task(bench.pipeline.drain(PATIENCE_S))
        await settle_down()
        late = asyncio.create_task(bench.accept(1))
        await settle_down()
        assert not draining.done()
        bench.producer.acknowledge()
        assert await draining
        await settle_down()
        assert bench.ids() == ["0"]
        assert bench.position == 1
        assert not late.done()
        late.cancel()


async def test_drain_begins_no_batch() -> None:
    """Each batch that ends would be followed by another one, until the worker is killed."""
    answers = asyncio.Event()

    async def wait(batch: Sequence[Incoming]) -> list[Outcome]:
        await answers.wait()
        return await accept_all(batch)

    bench = Bench(wait, FakeProducer(prompt=True), max_batch_events=1, batches_in_flight=1)
    async with bench:
        await bench.accept(0, 1, 2)
        await settle_down()
        draining = asyncio.create_task(bench.pipeline.drain(PATIENCE_S))
        await settle_down()
        answers.set()
        assert await draining
        await settle_down()
        assert bench.ids() == ["0"]
        assert bench.position == 1


async def test_drain_gives_up_in_time() -> None:
    """Without a broker, the worker would never end."""
    async with Bench() as bench:
        await bench.accept(0)
        await settle_down()
        assert not await bench.pipeline.drain(0.01)
        assert bench.position == 0


async def test_stop_settles_nothing() -> None:
    """A worker that is stopped would commit what was not delivered."""
    bench = Bench(max_batch_events=1)
    async with bench:
        await bench.accept(0, 1)
        await settle_down()
    bench.producer.acknowledge()
    await settle_down()
    assert bench.position == 0
    assert not bench.failures


async def test_discard_drops_what_has_not_begun() -> None:
    """Events of a partition that another worker has now would be triaged here too."""
    answers = asyncio.Event()

    async def wait(batch: Sequence[Incoming]) -> list[Outcome]:
        await answers.wait()
        return await accept_all(batch)

    bench = Bench(wait, FakeProducer(prompt=True), max_batch_events=2, batches_in_flight=1)
    async with bench:
        await bench.accept(0, 1)
        await settle_down()
        await bench.accept(2, 3, 4)
        await settle_down()
        bench.pipeline.discard()
        answers.set()
        await settle_down()
        assert not {"3", "4"} & set(bench.ids())
        await bench.pipeline.wait_until_idle(PATIENCE_S)


async def test_outcomes_are_counted_once_they_are_acknowledged() -> None:
    """The dashboards would count events that were never published."""

    async def refuse(batch: Sequence[Incoming]) -> list[Outcome]:
        return [DeadLettered("decode", "InvalidEvent", "not JSON") for _ in batch]

    async with Bench(refuse) as bench:
        await bench.accept(0)
        await settle_down()
        count, labels = bench.metrics.registry.get_sample_value, {"stage": "decode"}
        assert count("triage_dead_letters_total", labels) is None
        bench.producer.acknowledge()
        await settle_down()
        assert count("triage_dead_letters_total", labels) == 1


async def test_every_decision_is_audited_once_it_is_delivered() -> None:
    """The trail would lack decisions, or hold some that were never published."""

    async def mixed(batch: Sequence[Incoming]) -> list[Outcome]:
        return [
            Triaged(triaged("0")),
            Escalated(case("1")),
            DeadLettered("decode", "InvalidEvent", "not JSON"),
        ]

    async with Bench(mixed) as bench:
        await bench.accept(0, 1, 2)
        await settle_down()
        assert not bench.producer.audited
        bench.producer.acknowledge()
        await settle_down()
        entries = [orjson.loads(record.value or b"") for record in bench.producer.audited]
        assert [(entry["id"], entry["sequence"]) for entry in entries] == [("0", 0), ("1", 1)]
        assert [entry["output_digest"] for entry in entries] == [
            sha256(record.value or b"")
            for record in bench.producer.sent
            if record.topic == TOPICS.triaged("alerts")
        ]
        assert bench.position == 3


async def test_an_event_is_settled_only_when_its_audit_record_is_acknowledged() -> None:
    """A worker that dies between the two would leave a decision that is on no trail."""
    async with Bench(producer=FakeProducer(awaits_audit=True)) as bench:
        await bench.accept(0)
        await settle_down()
        bench.producer.acknowledge(0)
        await settle_down()
        assert [record.topic for record in bench.producer.sent] == [
            TOPICS.triaged("alerts"),
            TOPICS.audit,
        ]
        assert bench.position == 0
        bench.producer.acknowledge(1)
        await settle_down()
        assert bench.position == 1


async def test_audit_records_wait_for_their_round_and_outputs_do_not() -> None:
    """Each record would cost a request of its own, or subscribers would wait for the round."""
    async with Bench(producer=FakeProducer(prompt=True), trail_round_s=3_600.0) as bench:
        await bench.accept(0, 1)
        await settle_down()
        assert [record.topic for record in bench.producer.sent] == [TOPICS.triaged("alerts")] * 2
        assert bench.position == 0


async def test_no_event_waits_for_a_slower_one_with_another_key() -> None:
    """One slow call would hold back all other answers, and a crash would then lose them."""
    slow_first = SlowFirst()
    async with Bench(slow_first, FakeProducer(prompt=True), max_batch_events=1) as bench:
        await bench.accept(0, key=b"a")
        await bench.accept(1, key=b"b")
        await until(lambda: bench.ids() == ["1"])
        await settle_down()
        assert bench.position == 0, "a commit still passes no event that has not ended"
        slow_first.gate.set()
        await until(lambda: bench.position == 2)
        assert bench.ids() == ["1", "0"]


async def test_an_event_whose_partition_was_revoked_is_not_published() -> None:
    """A second, different answer would follow that of the partition's new owner."""
    answered = asyncio.Event()

    async def slow(batch: Sequence[Incoming]) -> list[Outcome]:
        await answered.wait()
        return await accept_all(batch)

    async with Bench(slow, FakeProducer(prompt=True)) as bench:
        await bench.accept(0)
        await settle_down()
        bench.offsets.forget()
        answered.set()
        await settle_down()
        assert bench.ids() == []
        assert not bench.failures
        await bench.accept(0)
        await until(bench.ids)
        assert bench.ids() == ["0"]
