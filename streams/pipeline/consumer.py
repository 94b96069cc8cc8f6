"""Faust reads records and balances partitions; `OffsetTracker` alone decides what is committed."""

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import faust

from streams.config import Settings
from streams.errors import OffsetGap
from streams.kafka.connection import faust_broker, faust_credentials
from streams.kafka.gaps import GapCheck
from streams.kafka.offsets import Gap, OffsetTracker, Partition
from streams.kafka.record import from_message
from streams.metrics import Metrics
from streams.pipeline.agent_pipeline import AgentPipeline, InFlight

log = logging.getLogger(__name__)

STREAM_BUFFER_EVENTS = 256
REVOKE_TIMEOUT_S = 3.0
FINAL_COMMIT_TIMEOUT_S = 1.0


class GroupConsumer:
    """The worker's member of the consumer group: the Faust app, the agent pipelines, the commits.

    `fail` is called with an error that must stop the worker.
    """

    def __init__(
        self, settings: Settings, *, metrics: Metrics, fail: Callable[[BaseException], None]
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._fail = fail
        self._gaps = GapCheck(settings.kafka)
        self._commit_lock = asyncio.Lock()
        self._periodic_tasks: list[asyncio.Task[None]] = []
        self._on_assignment: list[Callable[[], None]] = []
        self.agent_pipelines: list[AgentPipeline] = []
        self.offsets = OffsetTracker(self._start_offset)
        self.assigned = False
        self._datadir = tempfile.TemporaryDirectory(prefix="triage-")
        self.app = self._new_app()
        self.app.on_partitions_revoked.connect(self._on_revoked)
        self.app.on_partitions_assigned.connect(self._on_assigned)

    def route(self, topic: str, agent_pipeline: AgentPipeline) -> None:
        """Send every record of a topic to an agent pipeline."""
        # With acks=False, Faust tracks and commits nothing for this topic. The raw serializers
        # leave the bytes as they are.
        source = self.app.topic(topic, acks=False, key_serializer="raw", value_serializer="raw")
        self.agent_pipelines.append(agent_pipeline)

        async def agent(stream: Any) -> None:
            try:
                async for event in stream.noack().events():
                    await self._take(event.message, agent_pipeline)
            except Exception as error:  # noqa: BLE001 - any error must stop the worker
                # Raised, it would make Faust restart the agent behind this record.
                self._fail(error)
                await asyncio.Event().wait()

        self.app.agent(source, name=agent_pipeline.name)(agent)

    async def start(self) -> None:
        """Join the group and begin to read."""
        for agent_pipeline in self.agent_pipelines:
            agent_pipeline.start()
        self.app.finalize()
        await self.app.start()
        for act in (self._commit, self._observe):
            task = asyncio.create_task(self._periodically(act))
            task.add_done_callback(self._on_task_ended)
            self._periodic_tasks.append(task)

    async def drain(self) -> bool:
        """Accept no more records, let the batches in flight end, and commit.

        Returns:
            Whether all batches ended in time.
        """
        timeout_s = self._settings.pipeline.drain_timeout_s
        drained = await asyncio.gather(
            *(agent_pipeline.drain(timeout_s) for agent_pipeline in self.agent_pipelines)
        )
        await self._commit_within(FINAL_COMMIT_TIMEOUT_S)
        return all(drained)

    async def stop(self) -> None:
        """Leave the group. What is not committed by now will be read again."""
        for task in self._periodic_tasks:
            task.cancel()
        for agent_pipeline in self.agent_pipelines:
            await agent_pipeline.stop()
        await self._gaps.stop()
        await self.app.stop()
        self._datadir.cleanup()

    async def crashed(self) -> BaseException:
        """Wait until Faust itself gives up, and return its error."""
        await self.app._crashed.wait()  # noqa: SLF001 - mode has no public way to wait for it
        reason: BaseException | None = self.app.crash_reason
        if reason is None:
            return RuntimeError("the Kafka consumer stopped without saying why")
        return reason

    def lag(self) -> dict[Partition, int]:
        """For each assigned partition: how many records are in flight or not yet read."""
        assignment = self.app.consumer.assignment()
        return {
            partition: max(0, (self.app.consumer.highwater(partition) or 0) - position)
            for partition, position in self.offsets.positions().items()
            if partition in assignment
        }

    def backlog(self, topic: str) -> int:
        """How many records of a topic are in flight or not yet read, over its partitions."""
        return sum(events for partition, events in self.lag().items() if partition.topic == topic)

    def when_assigned(self, call: Callable[[], None]) -> None:
        """Have `call` called after each assignment of partitions, before their records are read."""
        self._on_assignment.append(call)

    async def _take(self, message: Any, agent_pipeline: AgentPipeline) -> None:
        partition = Partition(message.topic, message.partition)
        gap = self.offsets.gap(partition, message.offset)
        if gap is not None and not await self._may_take_after(gap, message):
            # The partition was taken away in the meantime, and its new owner reads this record.
            return
        pending_offset = self.offsets.take(partition, message.offset)
        await agent_pipeline.accept(InFlight(from_message(message), pending_offset))

    async def _may_take_after(self, gap: Gap, message: Any) -> bool:
        """Check a gap.

        Returns:
            False if a rebalance has overtaken the record, so that the gap means nothing.
        """
        try:
            await self._gaps.verify(gap)
        except OffsetGap:
            if self._is_current(message):
                raise
        return self._is_current(message)

    def _is_current(self, message: Any) -> bool:
        """Whether the message belongs to the present assignment."""
        return bool(
            message.generation_id == self.app.consumer_generation_id
            and self.app.flow_control.is_active()
        )

    def _start_offset(self, partition: Partition) -> int:
        # This is where Faust's last seek put the partition. Faust keeps None for "nothing is
        # committed" and for 0 alike.
        consumer = self.app.consumer
        committed: Mapping[Any, int | None] = consumer._committed_offset  # noqa: SLF001 - not public
        return committed.get(partition) or 0

    async def _periodically(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self._settings.kafka.commit_interval_s)
            await act()

    def _on_task_ended(self, task: asyncio.Task[None]) -> None:
        # Without commits, everything would be read again some day. Without the gauges, nobody would
        # notice that.
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    async def _observe(self) -> None:
        self._metrics.observe_partitions(self.lag(), self.offsets.progress_age_s())

    async def _commit(self) -> None:
        async with self._commit_lock:
            committable = self.offsets.committable()
            if not committable:
                # A worker that is told to stop while it starts has no consumer to ask yet.
                return
            assignment = self.app.consumer.assignment()
            offsets = {
                partition: position
                for partition, position in committable.items()
                if partition in assignment
            }
            if not offsets:
                return
            # Not the public `commit`: that commits what Faust's own ack list says.
            taken = await self.app.consumer._commit(offsets)  # noqa: SLF001 - see above
            self._metrics.commits.labels(result="taken" if taken else "refused").inc()
            if taken:
                self.offsets.mark_committed(offsets)

    async def _commit_within(self, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(self._commit(), timeout_s)
        except TimeoutError:
            log.warning(
                "the broker did not take the last commit; some events will be triaged again"
            )

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        self.assigned = True
        for call in self._on_assignment:
            call()

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        """Commit what ends while the partitions are still assigned, then forget their offsets."""
        self.assigned = False
        self._metrics.rebalances.inc()
        for agent_pipeline in self.agent_pipelines:
            agent_pipeline.discard()
        await asyncio.gather(
            *(
                agent_pipeline.wait_until_idle(REVOKE_TIMEOUT_S)
                for agent_pipeline in self.agent_pipelines
            )
        )
        await self._commit_within(FINAL_COMMIT_TIMEOUT_S)
        self.offsets.forget()

    def _new_app(self) -> faust.App:
        kafka = self._settings.kafka
        app = faust.App(
            kafka.group_id,
            broker=faust_broker(kafka),
            broker_credentials=faust_credentials(kafka),
            datadir=self._datadir.name,  # Faust needs a directory, but nothing here writes to it
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=4 * 1024 * 1024,
            stream_buffer_maxsize=STREAM_BUFFER_EVENTS,
            stream_wait_empty=False,
            broker_session_timeout=kafka.session_timeout_s,
            broker_heartbeat_interval=kafka.heartbeat_interval_s,
            broker_request_timeout=max(40.0, kafka.session_timeout_s + 5),
            broker_max_poll_records=500,
        )
        app.conf.loghandlers = []
        return app
