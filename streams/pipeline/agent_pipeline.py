"""The way of a record through one agent, until its offset may be committed.

    accept ─▶ read ─▶ queue ─▶ collect ─▶ process ─▶ publish ─▶ audit ─▶ settle
             └────────────────── for each event of the record ──┘

A record may hold several events. Batches are of events, so a large record does not give the model
more at once than many small ones.

Several batches are processed at once. When the outcome of an event is known, the event goes on
alone, whatever becomes of its batch: it is published when the events before it whose records have
its key are, and ended when the broker has acknowledged its outputs. So an event that waits for the
model or for a broker holds up only its own key. An event whose partition was taken away in the
meantime is not published: the new owner of the partition ends it.

Every stage is bounded, so a slow model or broker makes the consumer wait. Whatever goes wrong, an
offset is settled only after the broker has acknowledged every output of every event of its record.
If the worker dies before, all events of the record are published again, with the same ids. Any
other error fails the pipeline; that stops the worker, with the inputs unacked.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from agents.outcomes import DeadLettered, Incoming, Outcome
from schemas.signing import WorkerKeys
from streams.audit.entry import PublishedDecision
from streams.audit.trail import AuditTrail
from streams.config import PipelineSection
from streams.errors import RecordTooLarge
from streams.kafka.offsets import OffsetTracker
from streams.kafka.producer import Producer, Receipt
from streams.metrics import Metrics
from streams.pipeline.failures import FailureIsolation, ProcessEach, Read
from streams.pipeline.fair_queue import FairQueue
from streams.pipeline.in_flight import EventInFlight, InFlight, RecordProgress
from streams.pipeline.order import KeyedOrder, Turn
from streams.pipeline.records import UNSIGNED, outputs_of, shrinking_dead_letters
from streams.topics import Topics
from streams.traces import NO_TRACES, Traces

log = logging.getLogger(__name__)

T = TypeVar("T")

TRAIL_ROUND_S = 0.05
"""The audit records of events whose outputs were acknowledged within so long are sent together.

Nobody but the commit waits for them, and each request costs the broker and the worker about a
quarter of a millisecond of processor time, however few records are in it.
"""


@dataclass(frozen=True, slots=True)
class _Published:
    """An event whose outputs were handed to the producer."""

    event: EventInFlight
    outcome: Outcome
    decisions: list[PublishedDecision]
    receipts: list[Receipt]


class OnEnded(Protocol):
    """Takes a record that has ended, and whether more than half of its events were invalid."""

    def __call__(self, in_flight: InFlight, /, *, invalid: bool) -> None:
        """Note it."""


def ignore(_: InFlight, /, *, invalid: bool) -> None:
    """Note nothing."""


async def unread(record: Incoming) -> list[Incoming]:
    """A record as its only event, for an agent that reads it itself."""
    return [record]


class AgentPipeline:
    """Runs `process` over the events of the records that it accepts.

    `read` gives the events of a record; without it, the record is its only event. `process` gets a
    batch of events and gives one outcome per event, each as soon as it is known. `on_ended` is
    called for each record when it is settled. `fail` is called once, with the first error that is
    not the fault of a single event. The records for internal topics are signed with `keys`.
    `traces` follow the events.
    """

    def __init__(
        self,
        name: str,
        process: ProcessEach,
        *,
        read: Read = unread,
        pipeline: PipelineSection,
        topics: Topics,
        producer: Producer,
        offsets: OffsetTracker,
        audit: AuditTrail,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        on_ended: OnEnded = ignore,
        keys: WorkerKeys = UNSIGNED,
        traces: Traces = NO_TRACES,
        trail_round_s: float = TRAIL_ROUND_S,
    ) -> None:
        self.name = name
        self._trail_round_s = trail_round_s
        self._traces = traces
        self._process = traces.processing(name, process)
        self._read = traces.reading(read)
        self._pipeline = pipeline
        self._topics = topics
        self._producer = producer
        self._offsets = offsets
        self._audit = audit
        self._metrics = metrics
        self._fail = fail
        self._on_ended = on_ended
        self._keys = keys
        self._isolation = FailureIsolation(name)
        self._order = KeyedOrder()
        self._queue: FairQueue[EventInFlight] = FairQueue(pipeline.max_batch_events)
        self._slots = asyncio.Semaphore(pipeline.batches_in_flight)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._accepting = True
        self._discards = 0
        self._stopped = False
        self._unended = 0
        self._batches = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Start to process; needs a running event loop."""
        self._spawn(self._collect())

    @property
    def why_waiting(self) -> str | None:
        """Why the agent cannot process any event now; None if it can."""
        return self._isolation.why_waiting

    async def accept(self, in_flight: InFlight) -> None:
        """Take one record; waits while the pipeline is full, and for ever after `drain`.

        Records of several partitions may be accepted at the same time: their events then take
        turns, and so do tenants. Otherwise a record of a thousand events would hold up all other
        partitions, and the flood of a tenant all others.
        """
        if not self._accepting:
            await asyncio.Event().wait()
        discards = self._discards
        events = await self._events_of(in_flight)
        while events and self._accepting and self._discards == discards:
            # Each is let go when it is handed over: a thousand would take memory until the last is.
            event = events.popleft()
            await self._queue.put(event, event.tenant)
            if events:
                # `put` does not wait while there is room, so nobody else would get a turn.
                await asyncio.sleep(0)

    async def drain(self, timeout_s: float) -> bool:
        """Accept no more records, and wait for the events in flight.

        Returns:
            Whether all of them ended within `timeout_s` seconds.
        """
        self._accepting = False
        return await self._idle_within(timeout_s)

    async def wait_until_idle(self, timeout_s: float) -> None:
        """Wait for the events in flight, at most `timeout_s` seconds, and still accept records.

        Used when partitions are taken away.
        """
        if not await self._idle_within(timeout_s):
            log.warning(
                "events of %s were still in flight when their partitions were taken away; "
                "another worker processes them again",
                self.name,
            )

    def discard(self) -> None:
        """Drop the events that are in no batch yet, because their partitions were taken away."""
        self._discards += 1
        while not self._queue.empty():
            self._queue.get_nowait()

    async def stop(self) -> None:
        """Cancel everything that still runs. That settles nothing."""
        self._stopped = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _idle_within(self, timeout_s: float) -> bool:
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _events_of(self, in_flight: InFlight) -> deque[EventInFlight]:
        incoming, pending_offset = in_flight.incoming, in_flight.pending_offset
        events = [incoming]
        if in_flight.outcome is None:
            events = await self._isolation.read(self._read, incoming)
        self._metrics.record_events.labels(lane=self.name).observe(len(events))
        self._offsets.note_events(pending_offset, len(events))
        record, size = RecordProgress(in_flight, len(events)), pending_offset.size // len(events)
        return deque(EventInFlight(event, record, size) for event in events)

    async def _collect(self) -> None:
        following: EventInFlight | None = None
        while True:
            first = following or await self._queue.get()
            await self._slots.acquire()
            if self._is_busy and self._queue.empty():
                # Only under load: an event that comes alone is processed at once.
                await asyncio.sleep(self._pipeline.max_batch_wait_ms / 1000)
            batch, following = self._batch_from(first)
            if self._accepting:
                self._begin(batch)
            else:
                # The pipeline is draining. The next owner of the partition reads these events.
                self._slots.release()

    @property
    def _is_busy(self) -> bool:
        """Whether the next batch is the last one that may be processed beside others."""
        return 0 < self._pipeline.batches_in_flight - 1 <= self._batches

    def _batch_from(self, first: EventInFlight) -> tuple[list[EventInFlight], EventInFlight | None]:
        """The next batch, and the event after it if that did not fit into the batch's bytes."""
        batch, size = [first], first.size
        while len(batch) < self._pipeline.max_batch_events and not self._queue.empty():
            following = self._queue.get_nowait()
            size += following.size
            if size > self._pipeline.max_batch_bytes:
                return batch, following
            batch.append(following)
        return batch, None

    def _begin(self, batch: list[EventInFlight]) -> None:
        self._unended += len(batch)
        self._batches += 1
        self._idle.clear()
        # The label keeps its old name `lane`: users have dashboards that read it.
        self._metrics.batch_events.labels(lane=self.name).observe(len(batch))
        self._spawn(self._process_batch([(event, self._order.take(event.key)) for event in batch]))

    async def _process_batch(self, batch: list[tuple[EventInFlight, Turn]]) -> None:
        try:
            async with aclosing(self._outcomes([event for event, _ in batch])) as outcomes:
                async for place, outcome in outcomes:
                    event, turn = batch[place]
                    self._spawn(self._end(event, outcome, turn))
        finally:
            self._batches -= 1
            self._slots.release()

    async def _outcomes(
        self, batch: Sequence[EventInFlight]
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        """What becomes of each event; the agent gets those that nothing was decided about."""
        undecided: list[int] = []
        for place, event in enumerate(batch):
            if event.outcome is None:
                undecided.append(place)
            else:
                yield place, event.outcome
        incoming = [batch[place].incoming for place in undecided]
        async with aclosing(self._isolation.run(self._process, incoming)) as processed:
            async for place, outcome in processed:
                yield undecided[place], outcome

    async def _end(self, event: EventInFlight, outcome: Outcome, turn: Turn) -> None:
        async with turn.use():
            published = None
            if self._offsets.still_assigned(event.record.in_flight.pending_offset):
                published = await self._send(event, outcome)
        if published is not None:
            await self._settle(published)
        self._unended -= 1
        if not self._unended:
            self._idle.set()

    async def _send(self, event: EventInFlight, outcome: Outcome) -> _Published:
        outputs = outputs_of(outcome, event.incoming, self._topics, self._keys)
        records = self._traces.sending(event.incoming, outcome, outputs.records)
        receipts = [await self._producer.hand_over(record) for record in records]
        return _Published(event, outcome, outputs.decisions, receipts)

    async def _settle(self, published: _Published) -> None:
        event, outcome = published.event, published.outcome
        try:
            await self._producer.delivered(published.receipts)
        except RecordTooLarge as error:
            outcome = await self._replace_by_dead_letter(event.incoming, error.reason)
        else:
            # Only now, so that the trail holds nothing that was not published. If the worker dies
            # before, the event is read and published again.
            await self._append_to_trail(published)
        self._metrics.count(outcome, event.incoming)
        self._traces.settled(event.incoming, outcome, published.receipts)
        record = event.record
        if record.end(outcome):
            self._offsets.settle([record.in_flight.pending_offset])
            self._on_ended(record.in_flight, invalid=record.invalid > 0)

    async def _append_to_trail(self, published: _Published) -> None:
        if not published.decisions:
            return
        if self._trail_round_s:
            now_s = asyncio.get_running_loop().time()
            await asyncio.sleep(self._trail_round_s - now_s % self._trail_round_s)
        incoming = published.event.incoming
        receipts = [
            await self._audit.append(incoming, decision, self._producer)
            for decision in published.decisions
        ]
        await self._producer.delivered(receipts)

    async def _replace_by_dead_letter(self, incoming: Incoming, reason: str) -> DeadLettered:
        """Publish the largest dead letter that fits its topic, in place of the outputs."""
        message = (
            f"an output is larger than its topic takes ({reason}); "
            "shrink the event or raise max.message.bytes"
        )
        letter = DeadLettered("deliver", "RecordTooLarge", message, "retryable")
        for record in shrinking_dead_letters(letter, incoming, self._topics):
            try:
                await self._producer.delivered([await self._producer.hand_over(record)])
            except RecordTooLarge:
                continue
            return letter
        raise RecordTooLarge(f"{self._topics.deadletter} does not even take an empty dead letter")

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_ended)
        return task

    def _on_task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # Only `stop` cancels a stage. If a stage was cancelled from within and that were not an
            # error, the pipeline would wait for ever.
            error: BaseException | None = RuntimeError(f"a stage of {self.name} was cancelled")
        else:
            error = task.exception()
        if error is not None and not self._stopped:
            self._stopped = True
            self._fail(error)
