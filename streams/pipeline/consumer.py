"""The worker's part in the consumer group: its partitions, their readers, and the commits.

`GroupMember` talks to the group, a `PartitionReader` reads each partition, a Faust agent for each
topic passes the records on to its pipeline, and `OffsetTracker` alone decides what is committed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import faust
from aiokafka.errors import KafkaError

from schemas.audit.record import UnreadOffsets
from streams.config import Settings
from streams.errors import BrokerUnreachable
from streams.kafka.commit_note import CommitNote
from streams.kafka.gaps import GapCheck
from streams.kafka.member import Committed, GroupMember
from streams.kafka.offsets import OffsetTracker, Partition
from streams.metrics import Metrics
from streams.pipeline.agent_pipeline import AgentPipeline
from streams.pipeline.in_flight import InFlight
from streams.pipeline.partition_reader import OnExpired, PartitionReader
from streams.pipeline.quarantine import Quarantine
from streams.pipeline.storms import Storms
from streams.problems import Problem

log = logging.getLogger(__name__)

CHANNEL_EVENTS = 16
"""So many records of a topic wait between their readers and the topic's agent."""
REVOKE_TIMEOUT_S = 3.0
FINAL_COMMIT_TIMEOUT_S = 1.0
RETRY_S = 1.0
CANCEL_AGAIN_S = 0.1


class GroupConsumer:
    """The worker's member of the consumer group, with its agents, pipelines and commits.

    `fail` is called with an error that must stop the worker, and `on_expired` with offsets that
    retention took before they were read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        on_expired: OnExpired,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._committed_at_s = clock()
        self._metrics = metrics
        self._fail = fail
        self._on_expired = on_expired
        self._gaps = GapCheck(settings.kafka)
        self._commit_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._assignment_tasks: set[asyncio.Task[None]] = set()
        self._on_assignment: list[Callable[[], None]] = []
        self._noted: set[Partition] = set()
        self._channels: dict[str, Any] = {}
        self._readers: dict[Partition, PartitionReader] = {}
        self._storms = Storms(settings.storms)
        self._quarantine = Quarantine(self._commit_notes)
        self._silence_s: dict[Partition, float] = {}
        self._member: GroupMember | None = None
        self.agent_pipelines: list[AgentPipeline] = []
        self.offsets = OffsetTracker(self._start_offset)
        self.assigned = False
        self._stopping = False
        # Faust never connects to this broker: its agents read channels that are filled here.
        self.app = faust.App(settings.kafka.group_id, web_enabled=False, store="memory://")
        self.app.conf.loghandlers = []
        self.app.consumer = _NoConsumer()

    def route(self, topic: str, agent_pipeline: AgentPipeline) -> None:
        """Send every record of a topic to an agent pipeline."""
        channel = self._channels[topic] = self.app.channel(maxsize=CHANNEL_EVENTS)
        self.agent_pipelines.append(agent_pipeline)

        async def agent(stream: AsyncIterable[InFlight]) -> None:
            async for in_flight in stream:
                # In a task: an error in here would make Faust restart the agent behind this record.
                self._spawn(self._tasks, self._accept(agent_pipeline, in_flight))

        self.app.agent(channel, name=agent_pipeline.name)(agent)

    def on_ended(self, in_flight: InFlight, *, invalid: bool) -> None:
        """Note how a record of one of the pipelines has ended."""
        if in_flight.outcome is not None:
            return  # its batch was too large, or it killed workers: its producer sends no garbage
        self._storms.note(in_flight.pending_offset.partition, invalid=invalid)

    async def start(self) -> None:
        """Begin to join the group and to read.

        Raises:
            BrokerUnreachable: no broker answers.
        """
        for agent_pipeline in self.agent_pipelines:
            agent_pipeline.start()
        self.app.finalize()
        self.app.flow_control.resume()
        for agent in self.app.agents.values():
            await agent.start()
        member = GroupMember(
            self._settings.kafka,
            self._channels,
            on_assigned=self._on_assigned,
            on_revoked=self._on_revoked,
        )
        await member.start()
        self._member = member
        for act in (self._commit, self._observe):
            self._spawn(self._tasks, self._periodically(act))

    async def drain(self) -> bool:
        """Accept no more records, let the events in flight end, and commit.

        Returns:
            Whether all events ended in time.
        """
        timeout_s = self._settings.pipeline.drain_timeout_s
        drained = await asyncio.gather(
            *(agent_pipeline.drain(timeout_s) for agent_pipeline in self.agent_pipelines)
        )
        await self._commit_within(FINAL_COMMIT_TIMEOUT_S)
        return all(drained)

    async def stop(self) -> None:
        """Leave the group. What is not committed by now will be read again."""
        self._stopping = True
        await _cancel(self._tasks)
        await _cancel(self._assignment_tasks)
        for agent_pipeline in self.agent_pipelines:
            await agent_pipeline.stop()
        for agent in self.app.agents.values():
            await agent.stop()
        await self._gaps.stop()
        if self._member is not None:
            member, self._member = self._member, None
            await member.stop()

    def problems(self) -> Iterator[Problem]:
        """What keeps this worker from its events now."""
        if self._member is not None and self._member.group_problem is not None:
            yield Problem("group", None, self._member.group_problem)
        for partition, reader in self._readers.items():
            if reader.problem is not None:
                yield Problem("damaged", partition, reader.problem)
        for partition, sentence in self._storms.why_paused().items():
            yield Problem("paused", partition, sentence)
        for agent_pipeline in self.agent_pipelines:
            if agent_pipeline.why_waiting is not None:
                yield Problem("broker", None, agent_pipeline.why_waiting)
        patience_s = self._settings.http.progress_timeout_s
        for partition, silence_s in self._silence_s.items():
            if silence_s > patience_s:
                yield Problem(
                    "silent",
                    partition,
                    f"no broker has answered for {partition} for {silence_s:.0f} s; "
                    "check that its leader is up",
                )
        if self._clock() - self._committed_at_s > patience_s:
            yield Problem("commit", None, "offsets cannot be committed; check the broker's log")

    def lag(self) -> dict[Partition, int]:
        """For each assigned partition: how many records are in flight or not yet read."""
        if self._member is None:
            return {}
        assignment = self._member.assignment()
        return {
            partition: max(0, (self._member.highwater(partition) or 0) - position)
            for partition, position in self.offsets.positions().items()
            if partition in assignment
        }

    def backlog(self, topic: str) -> int:
        """How many records of a topic are in flight or not yet read, over its partitions."""
        return sum(events for partition, events in self.lag().items() if partition.topic == topic)

    def when_assigned(self, call: Callable[[], None]) -> None:
        """Have `call` called after each assignment of partitions, before their records are read."""
        self._on_assignment.append(call)

    def _start_offset(self, partition: Partition) -> int:
        reader = self._readers.get(partition)
        return reader.start if reader else 0

    async def _on_assigned(self, partitions: set[Partition]) -> None:
        if self._stopping:
            return  # the group was just about to share its partitions out; nobody reads them here
        for call in self._on_assignment:
            call()
        # Not here, because the member sends no heartbeats before this returns.
        self._spawn(self._assignment_tasks, self._begin(partitions))

    async def _begin(self, partitions: set[Partition]) -> None:
        """Start a reader for each partition, once it is noted that this worker begins there."""
        committed = await self._committed(partitions)
        starts = await self._opened.first_offsets(partitions - committed.keys())
        notes = self._quarantine.begin(
            committed
            | {partition: Committed(first, CommitNote()) for partition, first in starts.items()}
        )
        if notes:
            await self._commit_notes(notes)
        for partition in sorted(partitions):
            self._start_reader(partition, committed.get(partition) or notes.get(partition))
        self.assigned = True

    async def _committed(self, partitions: set[Partition]) -> dict[Partition, Committed]:
        while True:
            try:
                return await self._opened.committed(partitions)
            except KafkaError as error:
                log.warning("the group's offsets cannot be read (%s); trying again", error)
                await asyncio.sleep(RETRY_S)

    def _start_reader(self, partition: Partition, committed: Committed | None) -> None:
        reader = self._readers[partition] = PartitionReader(
            partition,
            committed,
            member=self._opened,
            offsets=self.offsets,
            gaps=self._gaps,
            storms=self._storms,
            quarantine=self._quarantine,
            pipeline=self._settings.pipeline,
            metrics=self._metrics,
            hand_over=self._hand_over,
            on_expired=self._record_expired,
        )
        self._spawn(self._assignment_tasks, reader.run())

    async def _on_revoked(self, _: set[Partition]) -> None:
        """Commit what ends while the partitions are still assigned, then forget their offsets."""
        self.assigned = False
        self._metrics.rebalances.inc()
        await _cancel(self._assignment_tasks)
        for agent_pipeline in self.agent_pipelines:
            agent_pipeline.discard()
        await asyncio.gather(
            *(
                agent_pipeline.wait_until_idle(REVOKE_TIMEOUT_S)
                for agent_pipeline in self.agent_pipelines
            )
        )
        await self._commit_within(FINAL_COMMIT_TIMEOUT_S)
        self._readers.clear()
        self._noted.clear()
        self._silence_s.clear()
        self._storms.forget()
        self._quarantine.forget()
        self.offsets.forget()

    async def _hand_over(self, in_flight: InFlight) -> None:
        """Give a record to the agent of its topic; returns when its pipeline has taken it."""
        await self._channels[in_flight.incoming.origin.topic].put(in_flight)
        await in_flight.accepted.wait()

    async def _record_expired(self, offsets: UnreadOffsets) -> None:
        """Put a loss on record; returns when it is there.

        In a task that ends also if the partition is taken away meanwhile: an audit record that is
        not sent to its end breaks the chain of this worker.
        """
        await asyncio.shield(self._spawn(self._tasks, self._on_expired(offsets)))

    async def _accept(self, agent_pipeline: AgentPipeline, in_flight: InFlight) -> None:
        """Pass a record on to its pipeline, while others pass on those of other partitions."""
        if self.offsets.still_assigned(in_flight.pending_offset):
            await agent_pipeline.accept(in_flight)
        in_flight.accepted.set()

    async def _periodically(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self._settings.kafka.commit_interval_s)
            await act()

    async def _observe(self) -> None:
        member = self._opened
        member.check()
        waiting = [
            partition for partition, reader in self._readers.items() if reader.waits_for_records
        ]
        self._silence_s = member.silence_s(waiting)
        self._metrics.observe_partitions(self.lag(), self.offsets.progress_age_s())

    async def _commit(self, *, leaving: bool = False) -> None:
        """Commit every partition that has moved.

        The note that this worker began is removed from the partitions that have moved or have no
        more records, and from all of them if the worker is `leaving` them.
        """
        async with self._commit_lock:
            if self._member is None:
                # A worker that is told to stop while it starts has no member yet.
                return
            moved = self.offsets.committable()
            commits = {
                partition: self._readers[partition].committable(moved.get(partition))
                for partition in moved.keys() | self._unnoted(leaving=leaving)
                if partition in self._readers
            }
            if not commits:
                self._committed_at_s = self._clock()
                return
            taken = await self._member.commit(commits)
            self._metrics.commits.labels(result="taken" if taken else "refused").inc()
            if taken:
                self._note_committed(commits)
                self._noted -= commits.keys()

    def _unnoted(self, *, leaving: bool) -> set[Partition]:
        """The partitions whose note is to be removed."""
        if leaving:
            return self._noted
        return {
            partition
            for partition in self._noted
            if partition in self._readers
            and self._readers[partition].caught_up
            and self.offsets.is_settled(partition)
        }

    async def _commit_notes(self, commits: dict[Partition, Committed]) -> bool:
        """Commit these notes; see `Quarantine`."""
        async with self._commit_lock:
            taken = await self._opened.commit(commits)
            if taken:
                self._note_committed(commits)
                self._noted |= commits.keys()
            return taken

    def _note_committed(self, commits: dict[Partition, Committed]) -> None:
        self._committed_at_s = self._clock()
        offsets = {partition: commit.offset for partition, commit in commits.items()}
        self.offsets.mark_committed(offsets)

    async def _commit_within(self, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(self._commit(leaving=True), timeout_s)
        except TimeoutError:
            log.warning(
                "the broker did not take the last commit; some events will be triaged again"
            )

    @property
    def _opened(self) -> GroupMember:
        if self._member is None:
            raise BrokerUnreachable("the consumer is not running; the worker is stopping")
        return self._member

    def _spawn(
        self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(partial(self._on_task_ended, tasks))
        return task

    def _on_task_ended(self, tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        # Without its reader, a partition would not be read any more. Without commits, everything
        # would be read again some day. Nobody would notice either.
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)


class _NoConsumer:
    """In place of Faust's consumer, which its streams would open, and nobody would close."""

    def __init__(self) -> None:
        self.unacked = self._unacked_messages = set[Any]()


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel these tasks, and those that they start meanwhile, until all have ended."""
    while tasks:
        for task in tuple(tasks):
            task.cancel()
        # Again after a while, because `wait_for` loses a cancellation before Python 3.12.
        await asyncio.wait(tuple(tasks), timeout=CANCEL_AGAIN_S)
