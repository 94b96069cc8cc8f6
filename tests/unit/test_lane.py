"""One lane between a ledger and a producer that answers when the test wants it to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import orjson
import pytest

from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Triaged
from streams.audit.trail import AuditTrail
from streams.config import PipelineSection, Settings
from streams.errors import DeliveryFailed
from streams.kafka.offsets import OffsetTracker, Partition
from streams.metrics import Metrics
from streams.pipeline.agent_pipeline import MAX_BLAMED_IN_A_ROW, AgentPipeline, InFlight
from streams.topics import Topics
from tests.doubles import INPUT, FakeProducer, incoming, text
from tests.records import case, triaged

P = Partition(INPUT, 0)
TOPICS = Topics("triage")
Process = Callable[[Sequence[Incoming]], Awaitable[list[Outcome]]]


async def accept_all(batch: Sequence[Incoming]) -> list[Outcome]:
    """Every event is decided, under an id that says where it was read."""
    return [Triaged(triaged(str(each.origin.offset))) for each in batch]


class Bench:
    """A lane, its ledger, and what it said."""

    def __init__(
        self,
        process: Process = accept_all,
        producer: FakeProducer | None = None,
        *,
        in_order: bool = True,
        **pipeline: Any,
    ) -> None:
        self.failures: list[BaseException] = []
        self.offsets = OffsetTracker(lambda _: 0)
        self.producer = producer or FakeProducer()
        self.metrics = Metrics()
        sizes: dict[str, Any] = {
            "max_batch_events": 4,
            "max_batch_wait_ms": 0,
            "batches_in_flight": 2,
        } | pipeline
        self.lane = AgentPipeline(
            "classify-alerts",
            process,
            pipeline=PipelineSection(**sizes),
            topics=TOPICS,
            producer=self.producer,
            offsets=self.offsets,
            audit=AuditTrail(Settings()),
            in_order=in_order,
            metrics=self.metrics,
            fail=self.failures.append,
        )

    async def __aenter__(self) -> Self:
        self.lane.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.lane.stop()

    async def accept(self, *offsets: int, value: bytes = b"{}") -> None:
        """Read and hand over."""
        for offset in offsets:
            await self.lane.accept(InFlight(incoming(offset, value), self.offsets.take(P, offset)))

    @property
    def done(self) -> int:
        """The offset a commit would say now."""
        return self.offsets.positions()[P]

    def ids(self) -> list[str]:
        """Which events have gone to the producer, in order."""
        return [(record.key or b"").decode() for record in self.producer.sent]


async def calm() -> None:
    """Let everything that can go on without the test go on."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_an_event_is_settled_only_when_its_whole_batch_is_acknowledged() -> None:
    """An offset would be committed whose output the broker may never get."""
    async with Bench() as bench:
        await bench.accept(0, 1, 2)
        await calm()
        assert bench.ids() == ["0", "1", "2"]
        bench.producer.acknowledge(0, 2)
        await calm()
        assert bench.done == 0
        bench.producer.acknowledge(1)
        await calm()
        assert bench.done == 3


async def test_every_output_of_an_escalated_event_is_awaited() -> None:
    """The provisional answer is out, the case for enrichment is not: the event would never end."""

    async def escalate(batch: Sequence[Incoming]) -> list[Outcome]:
        return [Escalated(case()) for _ in batch]

    async with Bench(escalate) as bench:
        await bench.accept(0)
        await calm()
        assert [record.topic for record in bench.producer.sent] == [
            TOPICS.triaged("alerts"),
            TOPICS.enrichment,
        ]
        bench.producer.acknowledge(0)
        await calm()
        assert bench.done == 0
        bench.producer.acknowledge(1)
        await calm()
        assert bench.done == 1


async def test_a_refused_output_fails_the_lane_and_settles_nothing_behind_it() -> None:
    """A broker that loses one output would have its input committed by the batches after it."""
    async with Bench(max_batch_events=1) as bench:
        await bench.accept(0)
        await bench.accept(1)
        await calm()
        bench.producer.receipts[0].set_exception(OSError("disk full"))
        bench.producer.acknowledge(1)
        await calm()
        assert [type(error) for error in bench.failures] == [DeliveryFailed]
        assert "disk full" in str(bench.failures[0])
        assert bench.done == 0


async def test_a_refused_output_spoils_its_whole_batch() -> None:
    """Half a batch would be settled although the worker stops in the middle of it."""
    async with Bench() as bench:
        await bench.accept(0, 1, 2)
        await calm()
        bench.producer.receipts[2].set_exception(OSError("gone"))
        bench.producer.acknowledge(0, 1)
        await calm()
        assert len(bench.failures) == 1
        assert bench.done == 0


async def test_an_acknowledgement_that_does_not_come_fails_the_lane() -> None:
    """A silent broker would leave the worker waiting for ever, with its partitions."""
    async with Bench(producer=FakeProducer(timeout_s=0.01)) as bench:
        await bench.accept(0)
        await asyncio.sleep(0.05)
        assert [type(error) for error in bench.failures] == [DeliveryFailed]
        assert bench.done == 0


async def test_one_poisonous_event_becomes_the_only_dead_letter() -> None:
    """One event that a bug trips over would stop the partition, or take its neighbours with it."""

    async def trip(batch: Sequence[Incoming]) -> list[Outcome]:
        if any(each.origin.offset == 1 for each in batch):
            raise ZeroDivisionError("by event 1")
        return await accept_all(batch)

    async with Bench(trip, FakeProducer(prompt=True)) as bench:
        await bench.accept(0, 1, 2)
        await calm()
        assert [record.topic for record in bench.producer.sent] == [
            TOPICS.triaged("alerts"),
            TOPICS.deadletter,
            TOPICS.triaged("alerts"),
        ]
        headers = text(bench.producer.sent[1].headers)
        assert headers["triage.disposition"] == "retryable"
        assert headers["__connect.errors.stage"] == "classify-alerts"
        assert headers["__connect.errors.exception.class.name"] == "ZeroDivisionError"
        assert bench.done == 3
        assert not bench.failures


async def test_a_lone_event_that_fails_becomes_a_dead_letter_a_few_in_a_row_do_not() -> None:
    """One event on a quiet topic would stop every worker that reads it, or a broken model would empty the topic."""

    async def trip(batch: Sequence[Incoming]) -> list[Outcome]:
        if any(each.origin.offset != 1 for each in batch):
            raise ZeroDivisionError("by all but event 1")
        return await accept_all(batch)

    async with Bench(trip, FakeProducer(prompt=True), batches_in_flight=1) as bench:
        for offset in range(6):
            await bench.accept(offset)
            await calm()
        letters = [record for record in bench.producer.sent if record.topic == TOPICS.deadletter]
        assert len(letters) == 1 + MAX_BLAMED_IN_A_ROW
        assert [type(error) for error in bench.failures] == [ZeroDivisionError]
        assert bench.done == 5


@pytest.mark.parametrize("count", [4, 5])
async def test_a_broken_model_makes_no_dead_letters(count: int) -> None:
    """Every event of the topic would be dead-lettered because one file of the model is gone."""

    async def break_(batch: Sequence[Incoming]) -> list[Outcome]:
        raise RuntimeError("no model")

    async with Bench(break_) as bench:
        await bench.accept(*range(count))
        await calm()
        assert [str(error) for error in bench.failures] == ["no model"]
        assert bench.producer.sent == []
        assert bench.done == 0


@pytest.mark.parametrize("size", [0, 2, 4])
async def test_an_agent_that_miscounts_fails_the_lane(size: int) -> None:
    """Outcomes would be written under other events' keys."""

    async def miscount(batch: Sequence[Incoming]) -> list[Outcome]:
        return [Triaged(triaged())] * size

    async with Bench(miscount) as bench:
        await bench.accept(0, 1, 2)
        await calm()
        assert len(bench.failures) == 1
        assert bench.done == 0


async def test_an_agent_that_is_cancelled_from_within_fails_the_lane() -> None:
    """The lane would wait for ever, with nothing in the log."""

    async def cancel(batch: Sequence[Incoming]) -> list[Outcome]:
        raise asyncio.CancelledError

    async with Bench(cancel) as bench:
        await bench.accept(0)
        await calm()
        assert len(bench.failures) == 1
        assert "cancelled" in str(bench.failures[0])
        assert bench.done == 0


async def test_an_output_too_large_for_its_topic_becomes_a_dead_letter() -> None:
    """An event that fits its topic and whose decision does not would stop the worker again after every restart."""
    producer = FakeProducer(prompt=True, takes_bytes={TOPICS.triaged("alerts"): 10})
    async with Bench(producer=producer) as bench:
        await bench.accept(0, value=b'{"id":"0"}')
        await calm()
        letter = bench.producer.sent[-1]
        assert (letter.topic, letter.value) == (TOPICS.deadletter, b'{"id":"0"}')
        assert text(letter.headers)["triage.disposition"] == "retryable"
        assert text(letter.headers)["__connect.errors.stage"] == "deliver"
        assert "triage.value.bytes" not in text(letter.headers)
        assert bench.done == 1
        assert not bench.failures


async def test_one_output_too_large_leaves_its_neighbours_alone() -> None:
    """A whole batch would be dead-lettered for its largest event."""
    producer = FakeProducer(prompt=True, takes_bytes={TOPICS.triaged("alerts"): 1200})

    async def enlarge(batch: Sequence[Incoming]) -> list[Outcome]:
        return [
            Triaged(triaged(str(n), reasons=["x" * (2000 if n == 1 else 1)]))
            for n, _ in enumerate(batch)
        ]

    async with Bench(enlarge, producer) as bench:
        await bench.accept(0, 1, 2)
        await calm()
        assert [r.topic for r in producer.sent].count(TOPICS.deadletter) == 1
        assert text(producer.sent[-1].headers)["__connect.errors.offset"] == "1"
        counted = bench.metrics.registry.get_sample_value
        assert counted("triage_events_total", {"domain": "alerts", "outcome": "accepted"}) == 2
        assert counted("triage_dead_letters_total", {"stage": "deliver"}) == 1
        assert bench.done == 3


async def test_a_dead_letter_too_large_goes_without_its_value() -> None:
    """The worker would stop at an event that no topic takes, for ever."""
    producer = FakeProducer(
        prompt=True, takes_bytes={TOPICS.triaged("alerts"): 10, TOPICS.deadletter: 5}
    )
    async with Bench(producer=producer) as bench:
        await bench.accept(0, value=b"0123456789")
        await calm()
        letter = bench.producer.sent[-1]
        assert letter.value is None
        assert text(letter.headers)["triage.value.bytes"] == "10"
        assert bench.done == 1


async def test_records_are_sent_in_the_order_they_were_read() -> None:
    """A later batch that is quicker would overtake, and an older revision would supersede a newer one."""

    async def slow_first(batch: Sequence[Incoming]) -> list[Outcome]:
        await asyncio.sleep(0.02 if batch[0].origin.offset == 0 else 0)
        return await accept_all(batch)

    async with Bench(slow_first, FakeProducer(prompt=True), max_batch_events=2) as bench:
        await bench.accept(*range(4))
        await asyncio.sleep(0.05)
        assert bench.ids() == ["0", "1", "2", "3"]
        assert bench.done == 4


async def test_a_full_lane_makes_the_reader_wait() -> None:
    """A slow broker would fill the memory with events."""
    async with Bench(max_batch_events=2, batches_in_flight=1) as bench:
        # In flight 2, with the collector 1, in the queue 2; the sixth has no room.
        await asyncio.wait_for(bench.accept(0, 1), 1)
        await calm()
        await asyncio.wait_for(bench.accept(2, 3, 4), 1)
        waiting = asyncio.create_task(bench.accept(5))
        await calm()
        assert not waiting.done()
        bench.producer.acknowledge()
        await asyncio.wait_for(waiting, 1)


async def test_drain_ends_what_is_in_flight_and_leaves_the_rest() -> None:
    """SIGTERM would lose the batch in flight, or never end because records keep coming."""
    async with Bench(max_batch_events=1, batches_in_flight=1) as bench:
        await bench.accept(0, 1)
        await calm()
        draining = asyncio.create_task(bench.lane.drain(5))
        await calm()
        late = asyncio.create_task(bench.accept(2))
        await calm()
        assert not draining.done()
        bench.producer.acknowledge()
        assert await draining
        await calm()
        assert bench.ids() == ["0"]
        assert bench.done == 1
        assert not late.done()
        late.cancel()


async def test_drain_gives_up_in_time() -> None:
    """A broker that is gone would keep the worker from ending."""
    async with Bench() as bench:
        await bench.accept(0)
        await calm()
        assert not await bench.lane.drain(0.01)
        assert bench.done == 0


async def test_stop_settles_nothing() -> None:
    """A worker that is being cancelled would commit what it never delivered."""
    bench = Bench(max_batch_events=1)
    async with bench:
        await bench.accept(0, 1)
        await calm()
    bench.producer.acknowledge()
    await calm()
    assert bench.done == 0
    assert not bench.failures


async def test_discard_lets_go_of_what_has_not_begun() -> None:
    """Events of a partition that went to another worker would be triaged here too."""
    async with Bench(max_batch_events=2, batches_in_flight=1) as bench:
        await bench.accept(0, 1)
        await calm()
        await bench.accept(2, 3, 4)
        await calm()
        bench.lane.discard()
        bench.producer.acknowledge()
        await calm()
        assert not {"3", "4"} & set(bench.ids())
        await bench.lane.quiet(1)


async def test_outcomes_are_counted_once_they_are_acknowledged() -> None:
    """The dashboards would show events that never came out."""

    async def refuse(batch: Sequence[Incoming]) -> list[Outcome]:
        return [DeadLettered("decode", "InvalidEvent", "not JSON") for _ in batch]

    async with Bench(refuse) as bench:
        await bench.accept(0)
        await calm()
        labels = {"stage": "decode"}
        assert bench.metrics.registry.get_sample_value("triage_dead_letters_total", labels) is None
        bench.producer.acknowledge()
        await calm()
        assert bench.metrics.registry.get_sample_value("triage_dead_letters_total", labels) == 1


async def test_every_decision_is_audited_once_it_is_delivered() -> None:
    """The trail would lack decisions, or hold some that nobody was told of."""

    async def mixed(batch: Sequence[Incoming]) -> list[Outcome]:
        return [
            Triaged(triaged("0")),
            Escalated(case("1")),
            DeadLettered("decode", "InvalidEvent", "not JSON"),
        ]

    async with Bench(mixed) as bench:
        await bench.accept(0, 1, 2)
        await calm()
        assert not bench.producer.audited
        bench.producer.acknowledge()
        await calm()
        entries = [orjson.loads(record.value or b"") for record in bench.producer.audited]
        assert [(entry["id"], entry["sequence"]) for entry in entries] == [("0", 0), ("1", 1)]
        assert bench.done == 3


async def test_an_event_is_settled_only_when_it_is_on_the_trail() -> None:
    """A worker that dies between the two would leave a decision that was never audited."""
    async with Bench(producer=FakeProducer(awaits_audit=True)) as bench:
        await bench.accept(0)
        await calm()
        bench.producer.acknowledge(0)
        await calm()
        assert [record.topic for record in bench.producer.sent] == [
            TOPICS.triaged("alerts"),
            TOPICS.audit,
        ]
        assert bench.done == 0
        bench.producer.acknowledge(1)
        await calm()
        assert bench.done == 1


async def test_out_of_order_no_event_waits_for_a_slower_one() -> None:
    """One hanging call would hold back the answers of all others, which a crash then throws away."""

    async def slow_first(batch: Sequence[Incoming]) -> list[Outcome]:
        await asyncio.sleep(0.1 if batch[0].origin.offset == 0 else 0)
        return await accept_all(batch)

    async with Bench(
        slow_first, FakeProducer(prompt=True), in_order=False, max_batch_events=1
    ) as bench:
        await bench.accept(0, 1)
        await calm()
        assert bench.ids() == ["1"]
        assert bench.done == 0, "what may be committed has no holes all the same"
        await asyncio.sleep(0.12)
        assert bench.ids() == ["1", "0"]
        assert bench.done == 2


async def test_what_was_taken_away_meanwhile_is_not_delivered() -> None:
    """The new owner of the partition ends the event: a second, different answer would follow it."""

    async def slow(batch: Sequence[Incoming]) -> list[Outcome]:
        await asyncio.sleep(0.03)
        return await accept_all(batch)

    async with Bench(slow, FakeProducer(prompt=True)) as bench:
        await bench.accept(0)
        await calm()
        bench.offsets.forget()
        await asyncio.sleep(0.05)
        assert bench.ids() == []
        assert not bench.failures
        await bench.accept(0)
        await asyncio.sleep(0.06)
        assert bench.ids() == ["0"]
