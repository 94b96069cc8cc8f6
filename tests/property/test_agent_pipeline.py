"""What is settled was delivered, in whatever order agents and broker answer and whatever fails.

Records hold one event or several.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.outcomes import DeadLettered, Element, Escalated, Incoming, Outcome, Triaged
from schemas.event import Event
from streams.audit.trail import AuditTrail
from streams.config import PipelineSection, Settings
from streams.kafka.offsets import OffsetTracker, PendingOffset
from streams.kafka.record import Record
from streams.metrics import Metrics
from streams.pipeline.agent_pipeline import AgentPipeline
from streams.pipeline.failures import AtOnce
from streams.pipeline.in_flight import InFlight
from tests.doubles import INPUT_PARTITION, TOPICS, FakeProducer, incoming
from tests.records import case, triaged


@dataclass(frozen=True)
class Plan:
    """One run: how many events each record has, how they are batched, and what goes wrong."""

    records: list[int]
    batch: int
    in_flight: int
    keys: int
    poison: frozenset[int]
    failing_receipt: int | None
    seed: int


plans = st.builds(
    Plan,
    records=st.lists(st.sampled_from([1, 1, 1, 2, 3, 8]), min_size=1, max_size=25),
    batch=st.integers(1, 6),
    in_flight=st.integers(1, 4),
    keys=st.integers(1, 4),
    poison=st.frozensets(st.integers(0, 24), max_size=3),
    failing_receipt=st.none() | st.integers(0, 30),
    seed=st.integers(0, 2**16),
)


class Run:
    """An agent pipeline under a plan; every invariant is checked after every step."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)
        self.offsets = OffsetTracker(lambda _: 0)
        self.producer = FakeProducer(awaits_audit=True)
        self.failures: list[BaseException] = []
        self.taken: list[PendingOffset] = []
        self.pipeline = AgentPipeline(
            "agent",
            AtOnce(self.process),
            read=self.split,
            pipeline=PipelineSection(
                max_batch_events=plan.batch, max_batch_wait_ms=0, batches_in_flight=plan.in_flight
            ),
            topics=TOPICS,
            producer=self.producer,
            offsets=self.offsets,
            audit=AuditTrail(Settings()),
            metrics=Metrics(),
            fail=self.failures.append,
            trail_round_s=0.0,
        )

    async def process(self, batch: Sequence[Incoming]) -> list[Outcome]:
        """Decide, after a while."""
        for _ in range(self.rng.randrange(6)):
            await asyncio.sleep(0)
        # A batch of nothing but poison looks the same as a broken model: not a part of this test.
        offsets = [record.origin.offset for record in batch]
        if len(batch) > 1 and self.plan.poison & set(offsets):
            raise ValueError("poison")
        return [self.outcome(record) for record in batch]

    async def split(self, record: Incoming) -> list[Incoming]:
        """The events of a record, after a while."""
        for _ in range(self.rng.randrange(3)):
            await asyncio.sleep(0)
        events = self.plan.records[record.origin.offset]
        content = Event(id="x", kind="alert", text="x")
        return [replace(record, element=Element(content, number)) for number in range(events)]

    def outcome(self, record: Incoming) -> Outcome:
        """Each kind of outcome takes its turn."""
        offset, number = record.origin.offset, record.position or 0
        match (offset + number) % 3:
            case 0:
                return Triaged(triaged(f"{offset}.{number}"))
            case 1:
                return Escalated(case(f"{offset}.{number}"))
            case _:
                return DeadLettered("decode", "InvalidEvent", "bad")

    async def go(self) -> None:
        """Read, answer and check, until everything is settled or the pipeline has failed."""
        self.pipeline.start()
        reader = asyncio.create_task(self.read())
        for _ in range(3000):
            await asyncio.sleep(0)
            self.acknowledge_one()
            self.check()
            if self.failures or (reader.done() and not self.offsets.in_flight()):
                break
        await asyncio.sleep(0)
        self.check()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await self.pipeline.stop()
        self.conclude()

    async def read(self) -> None:
        """Hand over records as fast as the pipeline takes them."""
        for offset in range(len(self.plan.records)):
            pending_offset = self.offsets.take(INPUT_PARTITION, offset)
            self.taken.append(pending_offset)
            record = incoming(offset, key=b"%d" % (offset % self.plan.keys))
            await self.pipeline.accept(InFlight(record, pending_offset))

    def acknowledge_one(self) -> None:
        """The broker acknowledges one record, any of them, or loses it."""
        unanswered = [
            index for index, receipt in enumerate(self.producer.receipts) if not receipt.done()
        ]
        if not unanswered or self.rng.random() < 0.3:
            return
        index = self.rng.choice(unanswered)
        if index == self.plan.failing_receipt:
            self.producer.receipts[index].set_exception(OSError("lost"))
        else:
            self.producer.acknowledge(index)

    def check(self) -> None:
        """Check what must hold at every moment."""
        delivered: dict[tuple[int, int], bool] = {}
        for record, receipt in zip(self.producer.sent, self.producer.receipts, strict=True):
            event = event_of(record)
            acknowledged = receipt.done() and receipt.exception() is None
            delivered[event] = delivered.get(event, True) and acknowledged
        for key in range(self.plan.keys):
            order = [event for event in delivered if event[0] % self.plan.keys == key]
            assert order == sorted(order), "sent out of the order of their key"

        def is_delivered(offset: int) -> bool:
            numbers = range(self.plan.records[offset])
            return all(delivered.get((offset, number), False) for number in numbers)

        for pending_offset in self.taken:
            assert not pending_offset.settled or is_delivered(pending_offset.offset), (
                "settled and not delivered"
            )
        position = self.offsets.positions().get(INPUT_PARTITION, 0)
        assert all(map(is_delivered, range(position))), "committable and not delivered"
        assert len(self.failures) <= 1

    def conclude(self) -> None:
        """Check what must hold at the end."""
        failing = self.plan.failing_receipt
        refused = failing is not None and failing < len(self.producer.receipts)
        if self.failures:
            assert refused
        else:
            assert self.offsets.positions()[INPUT_PARTITION] == len(self.plan.records)
            assert self.offsets.is_settled(INPUT_PARTITION)
            assert not refused


def event_of(record: Record) -> tuple[int, int]:
    """The offset of the record that an output is of, and which of its events it is of."""
    if record.topic == TOPICS.deadletter:
        headers = dict(record.headers)
        offset, number = headers["__connect.errors.offset"], headers["triage.element"]
        return int(offset or b""), int(number or b"")
    id_ = record.key or b""
    if record.topic == TOPICS.audit:
        id_ = orjson.loads(record.value or b"")["id"].encode()
    offset, _, number = id_.partition(b".")
    return int(offset), int(number)


@settings(max_examples=150)
@given(plans)
def test_settled_means_delivered(plan: Plan) -> None:
    """An event would be committed without its outputs on the broker, or never be settled."""
    asyncio.run(Run(plan).go())
