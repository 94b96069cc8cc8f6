"""The way of a record through one agent, until its offset may be committed.

    accept ─▶ queue ─▶ collect ─▶ process ─▶ publish ─▶ audit ─▶ settle

Several batches are processed at once. They are published in the order in which they were read, or,
if one batch may take a thousand times as long as the next, as soon as each is done. An event whose
partition was taken away in the meantime is not published: the new owner of the partition ends it.

Every stage is bounded, so a slow model or broker makes the consumer wait. Whatever goes wrong, an
offset is settled only after the broker has acknowledged every output of its event. Any other error
fails the pipeline; that stops the worker, with the inputs unacked.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from agents.outcomes import DeadLettered, Incoming, Outcome
from streams.audit.entry import PublishedDecision
from streams.audit.trail import AuditTrail
from streams.config import PipelineSection
from streams.errors import RecordTooLarge
from streams.kafka.offsets import OffsetTracker, PendingOffset
from streams.kafka.producer import Producer, Receipt
from streams.metrics import Metrics
from streams.pipeline.failures import FailureIsolation, Process
from streams.pipeline.records import outputs_of, shrinking_dead_letters
from streams.topics import Topics

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InFlight:
    """A record that was read, and its offset."""

    incoming: Incoming
    pending_offset: PendingOffset


@dataclass(frozen=True, slots=True)
class Published:
    """An event whose outputs were handed to the producer."""

    in_flight: InFlight
    outcome: Outcome
    decision: PublishedDecision | None
    receipts: list[Receipt]


Batch = tuple[list[InFlight], asyncio.Task[list[Outcome]]]
"""The records of a batch, and the task that processes them."""


class AgentPipeline:
    """Runs `process` over the records that it accepts.

    `process` gets a batch and returns one outcome per record, in order. With `in_order` batches are
    published in the order in which they were read. `fail` is called once, with the first error that
    is not the fault of a single event.
    """

    def __init__(
        self,
        name: str,
        process: Process,
        *,
        pipeline: PipelineSection,
        topics: Topics,
        producer: Producer,
        offsets: OffsetTracker,
        audit: AuditTrail,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        in_order: bool = True,
    ) -> None:
        self.name = name
        self._process = process
        self._pipeline = pipeline
        self._topics = topics
        self._producer = producer
        self._offsets = offsets
        self._audit = audit
        self._metrics = metrics
        self._fail = fail
        self._isolation = FailureIsolation(name)
        self._queue: asyncio.Queue[InFlight] = asyncio.Queue(pipeline.max_batch_events)
        self._publish_queue: asyncio.Queue[Batch] | None = asyncio.Queue() if in_order else None
        self._slots = asyncio.Semaphore(pipeline.batches_in_flight)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._accepting = True
        self._stopped = False
        self._batches = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Start the stages; needs a running event loop."""
        self._spawn(self._collect())
        if self._publish_queue is not None:
            self._spawn(self._publish_in_order(self._publish_queue))

    async def accept(self, in_flight: InFlight) -> None:
        """Take one record; waits while the pipeline is full, and for ever after `drain`."""
        if not self._accepting:
            await asyncio.Event().wait()
        await self._queue.put(in_flight)

    async def drain(self, timeout_s: float) -> bool:
        """Accept no more records, and wait for the batches in flight.

        Returns:
            Whether all of them ended within `timeout_s` seconds.
        """
        self._accepting = False
        return await self._idle_within(timeout_s)

    async def wait_until_idle(self, timeout_s: float) -> None:
        """Wait for the batches in flight, at most `timeout_s` seconds, and still accept records.

        Used when partitions are taken away.
        """
        if not await self._idle_within(timeout_s):
            log.warning(
                "batches of %s were still in flight when their partitions were taken away; "
                "another worker processes them again",
                self.name,
            )

    def discard(self) -> None:
        """Drop the records that are in no batch yet, because their partitions were taken away."""
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

    async def _collect(self) -> None:
        while True:
            records = [await self._queue.get()]
            await self._slots.acquire()
            if self._queue.empty():
                await asyncio.sleep(self._pipeline.max_batch_wait_ms / 1000)
            while len(records) < self._pipeline.max_batch_events and not self._queue.empty():
                records.append(self._queue.get_nowait())
            if self._accepting:
                self._begin(records)
            else:
                # The pipeline is draining. The next owner of the partition reads these records.
                self._slots.release()

    def _begin(self, records: list[InFlight]) -> None:
        self._batches += 1
        self._idle.clear()
        # The label keeps its old name `lane`: users have dashboards that read it.
        self._metrics.batch_events.labels(lane=self.name).observe(len(records))
        incoming = [in_flight.incoming for in_flight in records]
        processing = self._spawn(self._isolation.run(self._process, incoming))
        if self._publish_queue is None:
            self._spawn(self._publish(records, processing))
        else:
            self._publish_queue.put_nowait((records, processing))

    async def _publish_in_order(self, batches: asyncio.Queue[Batch]) -> None:
        while True:
            await self._publish(*await batches.get())

    async def _publish(
        self, records: list[InFlight], processing: asyncio.Task[list[Outcome]]
    ) -> None:
        published = [
            await self._send(in_flight, outcome)
            for in_flight, outcome in zip(records, await processing, strict=True)
            if self._offsets.still_assigned(in_flight.pending_offset)
        ]
        self._spawn(self._settle(published))

    async def _send(self, in_flight: InFlight, outcome: Outcome) -> Published:
        outputs = outputs_of(outcome, in_flight.incoming, self._topics)
        receipts = [await self._producer.send(record) for record in outputs.records]
        return Published(in_flight, outcome, outputs.decision, receipts)

    async def _settle(self, published: list[Published]) -> None:
        delivered = []
        for event, refusal in zip(published, await self._refusals(published), strict=True):
            if refusal is None:
                delivered.append(event)
            else:
                await self._replace_by_dead_letter(event.in_flight, refusal)
        await self._append_to_trail(delivered)
        for event in delivered:
            self._metrics.count(event.outcome, event.in_flight.incoming)
        self._offsets.settle(event.in_flight.pending_offset for event in published)
        self._slots.release()
        self._batches -= 1
        if not self._batches:
            self._idle.set()

    async def _append_to_trail(self, delivered: list[Published]) -> None:
        # Only now, so that the trail holds nothing that was not published. If the worker dies
        # before, the event is read and published again.
        ended = [(event.in_flight.incoming, event.decision) for event in delivered]
        await self._producer.confirm(await self._audit.append(ended, self._producer))

    async def _refusals(self, published: list[Published]) -> list[str | None]:
        """Wait until every output of a batch is acknowledged.

        Returns:
            For each event: why one of its outputs is too large for its topic, or None.
        """
        receipts = [receipt for event in published for receipt in event.receipts]
        try:
            # All at once, so that a batch has one time limit, and a failure leaves no other receipt
            # unobserved.
            await self._producer.confirm(receipts)
        except RecordTooLarge:
            return [await self._refusal(event) for event in published]
        return [None] * len(published)

    async def _refusal(self, event: Published) -> str | None:
        try:
            await self._producer.confirm(event.receipts)
        except RecordTooLarge as error:
            return error.reason
        return None

    async def _replace_by_dead_letter(self, in_flight: InFlight, reason: str) -> None:
        """Publish the largest dead letter that fits its topic, in place of the outputs."""
        message = (
            f"an output is larger than its topic takes ({reason}); "
            "shrink the event or raise max.message.bytes"
        )
        letter = DeadLettered("deliver", "RecordTooLarge", message, "retryable")
        for record in shrinking_dead_letters(letter, in_flight.incoming, self._topics):
            try:
                await self._producer.confirm([await self._producer.send(record)])
            except RecordTooLarge:
                continue
            self._metrics.count(letter, in_flight.incoming)
            return
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
