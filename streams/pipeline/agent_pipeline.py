"""One agent's way from a record to its ack: collect, process, deliver in order, settle.

    accept ─▶ queue ─▶ collect ─▶ process (several batches at once) ─▶ deliver ─▶ audit ─▶ settle

Batches are delivered in the order they were read, or, where one may take a thousand times as long as the next,
as they are done. An event whose partition was taken away meanwhile is not delivered: its new owner ends it.

Every stage is bounded, so a slow model or broker is felt by the consumer as backpressure. Whatever goes wrong,
a ticket is settled only after the broker has acknowledged every output of its event; anything else fails the
lane, which stops the worker with its inputs unacked.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from agents.outcomes import DeadLettered, Incoming, Outcome
from schemas.deadletter import VALUE_BYTES
from streams.audit.trail import AuditTrail
from streams.config import PipelineSection
from streams.errors import StreamError
from streams.kafka.offsets import OffsetTracker, PendingOffset
from streams.kafka.producer import Producer, Receipt, RecordTooLarge
from streams.kafka.record import Record
from streams.metrics import Metrics
from streams.pipeline.records import dead_letter, records
from streams.topics import Topics

log = logging.getLogger(__name__)

MAX_BLAMED_IN_A_ROW = 3

T = TypeVar("T")
Process = Callable[[Sequence[Incoming]], Awaitable[list[Outcome]]]


@dataclass(frozen=True, slots=True)
class InFlight:
    """A record in our hands: what it says and its place in line."""

    incoming: Incoming
    ticket: PendingOffset


@dataclass(frozen=True, slots=True)
class Published:
    """An event whose outputs are on their way."""

    held: InFlight
    outcome: Outcome
    receipts: list[Receipt]


class AgentPipeline:
    """Runs `process` over the records it accepts.

    `process` gets a batch and returns one outcome a record, in order. With `in_order` batches are delivered in the
    order they were read. `fail` is called once with the first error that cannot be pinned on a single event.
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
        self._delivery = producer
        self._ledger = offsets
        self._audit = audit
        self._metrics = metrics
        self._fail = fail
        self._queue: asyncio.Queue[InFlight] = asyncio.Queue(pipeline.max_batch_events)
        self._line: asyncio.Queue[tuple[list[InFlight], asyncio.Task[list[Outcome]]]] | None = (
            asyncio.Queue() if in_order else None
        )
        self._slots = asyncio.Semaphore(pipeline.batches_in_flight)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._taking = True
        self._stopped = False
        self._batches = 0
        self._blamed = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Start the stages; needs a running event loop."""
        self._spawn(self._collect())
        if self._line is not None:
            self._spawn(self._deliver_in_order(self._line))

    async def accept(self, held: InFlight) -> None:
        """Take one record, waiting while the lane is full; after `drain` it waits for ever."""
        if not self._taking:
            await asyncio.Event().wait()
        await self._queue.put(held)

    async def drain(self, timeout_s: float) -> bool:
        """Take nothing more and wait for the batches in flight; whether they all ended in time."""
        self._taking = False
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def quiet(self, timeout_s: float) -> None:
        """Wait for the batches in flight without refusing new ones; used when partitions are taken away."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            log.warning(
                "batches of %s were still in flight when their partitions went; they will be redone",
                self.name,
            )

    def discard(self) -> None:
        """Let go of what has not begun; its partitions are no longer ours."""
        while not self._queue.empty():
            self._queue.get_nowait()

    async def stop(self) -> None:
        """Cancel whatever still runs. Nothing is settled by it."""
        self._stopped = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _collect(self) -> None:
        while True:
            batch = [await self._queue.get()]
            await self._slots.acquire()
            if self._queue.empty():
                await asyncio.sleep(self._pipeline.max_batch_wait_ms / 1000)
            while len(batch) < self._pipeline.max_batch_events and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            if (
                not self._taking
            ):  # draining: what has not begun is left to whoever gets the partition next
                self._slots.release()
                continue
            self._batches += 1
            self._idle.clear()
            self._metrics.batch_events.labels(lane=self.name).observe(len(batch))
            outcomes = self._spawn(self._outcomes(batch))
            if self._line is None:
                self._spawn(self._deliver(batch, outcomes))
            else:
                self._line.put_nowait((batch, outcomes))

    async def _deliver_in_order(
        self, line: asyncio.Queue[tuple[list[InFlight], asyncio.Task[list[Outcome]]]]
    ) -> None:
        while True:
            await self._deliver(*await line.get())

    async def _deliver(self, batch: list[InFlight], outcomes: asyncio.Task[list[Outcome]]) -> None:
        sent = [
            Published(
                held, outcome, [await self._delivery.send(r) for r in self._records(outcome, held)]
            )
            for held, outcome in zip(batch, await outcomes, strict=True)
            if self._ledger.holds(held.ticket)
        ]
        self._spawn(self._settle(sent))

    async def _settle(self, sent: list[Published]) -> None:
        delivered = []
        for one, refusal in zip(sent, await self._refusals(sent), strict=True):
            if refusal is None:
                delivered.append(one)
            else:
                await self._replace(one.held, refusal)
        # Afterwards, so that the trail holds what was published; an event not yet on it is read and delivered again.
        decided = [(one.outcome, one.held.incoming) for one in delivered]
        await self._delivery.confirm(await self._audit.append(decided, self._delivery))
        for one in delivered:
            self._metrics.count(one.outcome, one.held.incoming)
        self._ledger.settle(one.held.ticket for one in sent)
        self._slots.release()
        self._batches -= 1
        if not self._batches:
            self._idle.set()

    async def _refusals(self, sent: list[Published]) -> list[str | None]:
        """Wait until every output of a batch is acknowledged; for each event why one does not fit, else None."""
        try:
            # All at once: one time limit a batch, and a failure leaves no other receipt unobserved.
            await self._delivery.confirm([receipt for one in sent for receipt in one.receipts])
        except RecordTooLarge:
            return [await self._refusal(one) for one in sent]
        return [None] * len(sent)

    async def _refusal(self, one: Published) -> str | None:
        try:
            await self._delivery.confirm(one.receipts)
        except RecordTooLarge as error:
            return str(error)
        return None

    async def _outcomes(self, batch: list[InFlight]) -> list[Outcome]:
        incoming = [held.incoming for held in batch]
        try:
            outcomes = await self._process(incoming)
        except StreamError:  # the broker's fault, no event's
            raise
        except Exception as error:
            if len(batch) == 1:
                return self._blame([error])
            log.exception(
                "a batch of %d events failed in %s; trying each alone", len(batch), self.name
            )
            return await self._one_by_one(incoming)
        self._blamed = 0
        if len(outcomes) != len(batch):
            raise AssertionError(
                f"{self.name} returned {len(outcomes)} outcomes for {len(batch)} events"
            )
        return outcomes

    async def _one_by_one(self, batch: Sequence[Incoming]) -> list[Outcome]:
        """Tell one poisonous event from a broken model: if every event fails alone, the fault is not theirs."""
        outcomes: list[Outcome] = []
        errors: list[Exception] = []
        for incoming in batch:
            try:
                outcomes += await self._process([incoming])
            except StreamError:
                raise
            except Exception as error:  # noqa: BLE001 - becomes that event's dead letter
                errors.append(error)
                outcomes.append(self._fault(error))
        return self._blame(errors) if len(errors) == len(batch) else outcomes

    def _blame(self, errors: Sequence[Exception]) -> list[Outcome]:
        """Events that fail with none beside them that did not: a few are taken to be at fault, or a quiet topic would
        stop every worker that reads it; more in a row are not.
        """  # noqa: D205 - one thought
        self._blamed += len(errors)
        if self._blamed > MAX_BLAMED_IN_A_ROW:
            raise errors[0]
        log.error(
            "%d events failed in %s and become dead letters",
            len(errors),
            self.name,
            exc_info=errors[0],
        )
        return [self._fault(error) for error in errors]

    def _fault(self, error: Exception) -> DeadLettered:
        return DeadLettered(self.name, type(error).__name__, str(error), "retryable")

    def _records(self, outcome: Outcome, held: InFlight) -> list[Record]:
        return records(outcome, held.incoming, self._topics)

    async def _replace(self, held: InFlight, why: str) -> None:
        """An output does not fit its topic: the event becomes a dead letter, and if even that is too large, one
        without its bytes, then one without its key and headers too; they remain where the error headers point.
        """  # noqa: D205 - one thought
        message = f"an output is larger than its topic takes ({why}); shrink the event or raise max.message.bytes"
        letter = DeadLettered("deliver", "RecordTooLarge", message, "retryable")
        whole = dead_letter(letter, held.incoming, self._topics)
        size = str(len(whole.value or b"")).encode()
        without = Record(whole.topic, whole.key, None, [*whole.headers, (VALUE_BYTES, size)])
        bare = dead_letter(
            letter, replace(held.incoming, value=None, key=None, headers=()), self._topics
        )
        for record in (
            whole,
            without,
            Record(bare.topic, None, None, [*bare.headers, (VALUE_BYTES, size)]),
        ):
            try:
                await self._delivery.confirm([await self._delivery.send(record)])
            except RecordTooLarge:
                continue
            self._metrics.count(letter, held.incoming)
            return
        raise RecordTooLarge("not even an empty dead letter fits its topic")

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # Nobody but `stop` cancels a stage: one that was cancelled from within would leave the lane waiting for ever.
        error = (
            RuntimeError(f"a stage of {self.name} was cancelled")
            if task.cancelled()
            else task.exception()
        )
        if error is not None and not self._stopped:
            self._stopped = True
            self._fail(error)
