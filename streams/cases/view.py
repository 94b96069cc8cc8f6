"""Keeps the view of cases up to date with its topics, and finds what is known about an event.

The view reads the review and the triaged topics with a consumer of its own, without a group. The
records are taken in by a thread, so that neither events nor heartbeats wait for the file.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.cases import Known
from agents.outcomes import Incoming
from schemas.event import DOMAINS, Domain
from schemas.triaged import TriagedEvent
from streams.cases.entries import EntryReader
from streams.cases.lookup import RecordLookup
from streams.cases.opening import open_store
from streams.cases.store import CaseStore
from streams.config import SECONDS_PER_DAY, Settings
from streams.errors import BrokerUnreachable, StreamError, TopicReplaced, TopicsMissing
from streams.kafka.admin import admin_client
from streams.kafka.fetching import FOLLOW_PAUSE_S, pace
from streams.kafka.offsets import Partition
from streams.kafka.reader import reading, seek_recent
from streams.kafka.record import from_record
from streams.topics import Topics
from streams.trust import Trust

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_RECORDS = 200
POLL_MS = 250
RETRY_S = 2.0
CONNECT_PATIENCE_S = 30.0
"""So long a question waits for a broker before it fails."""
PRUNE_EVERY_S = 3_600.0


class CaseView:
    """The view of cases, which follows its topics from `start` to `stop`.

    `agents.cases.Cases` says what callers may rely on. `store` answers questions about what has
    been read so far.

    Args:
        settings: the broker, the topics, and where the view is kept.
        trust: which records are believed; by default as the settings say.
        store: where the view is kept; by default as the settings say. The view closes it.
        clock: returns seconds since the epoch.

    Raises:
        ConfigError: a key of the workers cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        trust: Trust | None = None,
        store: CaseStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        trust = trust or Trust.of(settings)
        topics = Topics(settings.topics.prefix)
        self._given_store = store
        self._clock = clock
        self._trust = trust
        self._settings = settings
        self._topics = [topics.review, *(topics.triaged(domain) for domain in DOMAINS)]
        self._lookup = RecordLookup(settings.kafka, EntryReader(topics, trust, settings.limits))
        self._thread = ThreadPoolExecutor(1, "cases")
        self._following: asyncio.Task[None] | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._read_to: dict[Partition, int] = {}
        self._moved = asyncio.Condition()
        self._turn = asyncio.Lock()
        self._next_look: asyncio.Task[None] | None = None
        self._waiting = 0
        self._needed = asyncio.Event()
        self.problem: str | None = None
        """Why the topics cannot be read now; None if they can."""

    @cached_property
    def store(self) -> CaseStore:
        """What answers questions; it is opened when it is first needed.

        Raises:
            StreamError: the file of the view cannot be used.
        """
        return self._given_store or open_store(self._settings, self._trust)

    async def start(self) -> None:
        """Begin to follow the topics. It waits for nothing.

        Raises:
            StreamError: the file of the view cannot be used.
        """
        if self._following is None:
            log.debug("the view of cases has read to %s", self.store.offsets())
            self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop, and close the file."""
        for task in (self._following, self._next_look):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._lookup.close()
        self._thread.shutdown(wait=True)
        if "store" in self.__dict__:
            self.store.close()

    async def caught_up(self) -> None:
        """Return when everything is read that was on the topics at the time of the call.

        Calls that come while the ends of the topics are being read share the next look.

        Raises:
            StreamError: the broker does not answer, or the file of the view fails.
        """
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look())
        self._waiting += 1
        self._needed.set()
        try:
            await asyncio.shield(self._next_look)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._needed.clear()

    async def find(self, id_: str, *, domain: Domain | None, tenant: str | None) -> Known | None:
        """What is known about an event; see `agents.cases.Cases`.

        The record of a decision that is not stored is read from its topic.

        Raises:
            InvalidEvent: events of several domains or tenants have this id.
            StreamError: the broker does not answer, or the file of the view fails.
        """
        await self.caught_up()
        return await self.find_read(id_, domain=domain, tenant=tenant)

    async def find_read(
        self, id_: str, *, domain: Domain | None = None, tenant: str | None = None
    ) -> Known | None:
        """As `find`, of what has been read so far."""
        where: dict[str, Any] = {"domain": domain, "tenant": tenant}
        known = await asyncio.to_thread(partial(self.store.find, id_, **where))
        if known is None:
            place = await asyncio.to_thread(partial(self.store.place, id_, **where))
            entry = None if place is None else await self._lookup.read(place)
            if entry is None or entry.triaged.id != id_:
                return None  # unknown, or its topic does not hold it any more
            verdicts = {entry.triaged.revision: entry.verdict} if entry.verdict else {}
            known = Known(
                entry.triaged, revisions=[entry.triaged], verdicts=verdicts, trace=entry.trace
            )
        if known.revisions[0].revision == 0:
            return known
        return await self._with_first(known, where)

    async def _with_first(self, known: Known, where: dict[str, Any]) -> Known:
        """What is known of an event, with the small model's answer if its topic still has it."""
        ask = partial(self.store.first_place, known.current.id, **where)
        place = await asyncio.to_thread(ask)
        entry = None if place is None else await self._lookup.read(place)
        if entry is None or not _is_first_of(entry.triaged, known.current):
            return known
        return replace(known, revisions=[entry.triaged, *known.revisions])

    async def _look(self) -> None:
        async with self._turn:
            # Whoever calls from here on may know of records behind the ends that are read now.
            self._next_look = None
            while True:
                consumer = await self._connected()
                ends = await _ends_of(consumer)
                # After a loss of the connection the topics may be others, and end earlier.
                async with self._moved:
                    await self._moved.wait_for(
                        lambda: self._consumer is not consumer or self._has_read(ends)  # noqa: B023
                    )
                if self._consumer is consumer:
                    return

    def _has_read(self, ends: Mapping[TopicPartition, int]) -> bool:
        return all(self._read_to.get(Partition(*each), 0) >= end for each, end in ends.items())

    async def _connected(self) -> AIOKafkaConsumer:
        try:
            async with asyncio.timeout(CONNECT_PATIENCE_S), self._moved:
                await self._moved.wait_for(lambda: self._consumer is not None)
        except TimeoutError:
            raise BrokerUnreachable(
                self.problem or "the view of cases cannot reach the broker; check that it is up"
            ) from None
        return self._consumer

    async def _follow(self) -> None:
        is_replaced = False
        while True:
            try:
                if is_replaced:
                    await self._in_thread(self.store.clear)
                    is_replaced = False
                await self._read()
            except TopicReplaced as error:
                log.warning("%s", error)
                is_replaced = True
                continue
            except (StreamError, KafkaError) as error:
                self.problem = f"the view of cases is not up to date ({error}); trying again"
                log.warning("%s", self.problem)
            except Exception:
                self.problem = "the view of cases is not up to date; look for its error in the log"
                log.exception("%s", self.problem)
            finally:
                self._consumer = None
                self._read_to = {}
            await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        async with reading(self._settings.kafka, self._topics, from_beginning=True) as consumer:
            pace(consumer, FOLLOW_PAUSE_S, wait=self._pause)
            assigned = consumer.assignment()
            self._read_to = await self._begin(consumer)
            async with self._moved:
                self._consumer, self.problem = consumer, None
                self._moved.notify_all()
            pruned_s = float("-inf")
            while consumer.assignment() == assigned:  # else partitions were added
                await self._read_batch(consumer)
                if time.monotonic() - pruned_s > PRUNE_EVERY_S:
                    pruned_s = time.monotonic()
                    await self._prune(consumer)

    async def _begin(self, consumer: AIOKafkaConsumer) -> dict[Partition, int]:
        """Seek to where the view goes on; the offsets to read next.

        Raises:
            TopicReplaced: a topic ends before what the view has read of it.
        """
        # First what was read, then the ends: another process may read on meanwhile.
        read_to = await self._in_thread(self.store.offsets)
        resume = await self._in_thread(self.store.resume)
        ends = await consumer.end_offsets(list(consumer.assignment()))
        keep_s = self._settings.review.keep_days * SECONDS_PER_DAY
        await seek_recent(consumer, 0, self._clock() - keep_s)
        for assigned, end in ends.items():
            partition = Partition(*assigned)
            if partition not in read_to:
                read_to[partition] = await consumer.position(assigned)
            elif read_to[partition] > end:
                raise TopicReplaced(f"{partition} was made again; the view of cases is, too")
            else:
                # The last record is read again. Until it has been compared, nothing is known.
                read_to[partition] = resume[partition]
                consumer.seek(assigned, resume[partition])
        return read_to

    async def _read_batch(self, consumer: AIOKafkaConsumer) -> None:
        batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        records = [from_record(record) for batch in batches.values() for record in batch]
        for record in records:
            partition = Partition(record.origin.topic, record.origin.partition)
            if record.origin.offset < self._read_to.get(partition, 0):
                # The consumer has gone back by itself, because the topic ends before its place.
                raise TopicReplaced(f"{partition} was made again; the view of cases is, too")
        positions = await self._positions(consumer)
        if records or positions:
            took_s = await self._take_in(records, positions)
            if len(records) == BATCH_RECORDS:
                # The view is far behind: leave the processor to events.
                await self._pause(took_s)
            else:
                # Many records at once cost much less than one after the other.
                await self._pause(FOLLOW_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        """Wait, until somebody needs what has not been read yet."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._needed.wait()

    async def _positions(self, consumer: AIOKafkaConsumer) -> dict[Partition, int]:
        """Where the partitions are read next, of those that have moved.

        A position may be behind the last record: after the markers of a transaction, for instance.
        """
        positions = {
            Partition(*assigned): await consumer.position(assigned)
            for assigned in consumer.assignment()
        }
        return {
            partition: position
            for partition, position in positions.items()
            if position > self._read_to.get(partition, 0)
        }

    async def _take_in(self, records: list[Incoming], positions: dict[Partition, int]) -> float:
        started_s = time.monotonic()
        await self._in_thread(partial(self.store.apply, *records, positions=positions))
        async with self._moved:
            self._read_to |= positions
            self._moved.notify_all()
        return time.monotonic() - started_s

    async def _prune(self, consumer: AIOKafkaConsumer) -> None:
        begins = await consumer.beginning_offsets(list(consumer.assignment()))
        keep_s = float(self._settings.review.keep_days * SECONDS_PER_DAY)
        firsts = {Partition(*each): begin for each, begin in begins.items()}
        now_s = self._clock()
        await self._in_thread(partial(self.store.prune, keep_s=keep_s, begins=firsts, now_s=now_s))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


async def _ends_of(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    except KafkaError as error:
        raise BrokerUnreachable(
            f"the ends of the review and triaged topics cannot be read ({error!r}); "
            "check the broker"
        ) from None
    return ends


def _is_first_of(first: TriagedEvent, current: TriagedEvent) -> bool:
    same = ("id", "domain", "tenant", "source", "input_digest")
    return first.revision == 0 and all(
        getattr(first, name) == getattr(current, name) for name in same
    )


@asynccontextmanager
async def open_view(settings: Settings) -> AsyncIterator[CaseView]:
    """The view of these settings, which has read everything that is on its topics now.

    Raises:
        ConfigError: a key of the workers cannot be read.
        TopicsMissing: the topics do not exist.
        StreamError: the broker does not answer, or the file of the view cannot be used.
    """
    await _check_present(settings)
    view = CaseView(settings)
    await view.start()
    try:
        await view.caught_up()
        yield view
    finally:
        await view.stop()


async def _check_present(settings: Settings) -> None:
    topics = Topics(settings.topics.prefix)
    names = {topics.review, *(topics.triaged(domain) for domain in DOMAINS)}
    async with admin_client(settings) as client:
        missing = names - set(await client.list_topics())
    if missing:
        raise TopicsMissing(
            f"there is no topic {min(missing)}; run `triage topics create` or set topics.prefix"
        )
