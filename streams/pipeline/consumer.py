"""Faust, held to our own offset discipline: it reads and balances partitions, the ledger decides what is committed."""

import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import faust

from agents.outcomes import Incoming
from schemas.event import Origin
from streams.config import Settings
from streams.errors import OffsetGap
from streams.kafka.connection import faust_broker, faust_credentials
from streams.kafka.gaps import GapCheck
from streams.kafka.offsets import Gap, OffsetTracker, Partition
from streams.metrics import Metrics
from streams.pipeline.agent_pipeline import AgentPipeline, InFlight

log = logging.getLogger(__name__)

STREAM_BUFFER_EVENTS = 256
REVOKE_TIMEOUT_S = 3.0
FINAL_COMMIT_TIMEOUT_S = 1.0
OLDEST_PLAUSIBLE_S = 946_684_800.0  # the year 2000


class GroupConsumer:
    """The Faust app, its lanes, and the commits.

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
        self._regular: list[asyncio.Task[None]] = []
        self._when_assigned: list[Callable[[], None]] = []
        self.lanes: list[AgentPipeline] = []
        self.offsets = OffsetTracker(self._start_offset)
        self.assigned = False
        self._datadir = tempfile.TemporaryDirectory(prefix="triage-")
        self.app = self._new_app()
        self.app.on_partitions_revoked.connect(self._on_revoked)
        self.app.on_partitions_assigned.connect(self._on_assigned)

    def route(self, topic: str, lane: AgentPipeline) -> None:
        """Send every record of a topic down a lane."""
        # acks=False: Faust tracks and commits nothing for this topic. Raw serializers: the bytes are ours to read.
        source = self.app.topic(topic, acks=False, key_serializer="raw", value_serializer="raw")
        self.lanes.append(lane)

        async def agent(stream: Any) -> None:
            try:
                async for event in stream.noack().events():
                    await self._take(event.message, lane)
            except Exception as error:  # noqa: BLE001 - Faust would restart the agent past this record
                self._fail(error)
                await asyncio.Event().wait()

        self.app.agent(source, name=lane.name)(agent)

    async def start(self) -> None:
        """Join the group and begin reading."""
        for lane in self.lanes:
            lane.start()
        self.app.finalize()
        await self.app.start()
        for act in (self._commit, self._observe):
            task = asyncio.create_task(self._regularly(act))
            task.add_done_callback(self._ended)
            self._regular.append(task)

    async def drain(self) -> bool:
        """Take nothing more, let batches in flight end, commit; whether all ended in time."""
        ended = await asyncio.gather(
            *(lane.drain(self._settings.pipeline.drain_timeout_s) for lane in self.lanes)
        )
        await self._commit_within(FINAL_COMMIT_TIMEOUT_S)
        return all(ended)

    async def stop(self) -> None:
        """Leave the group. Whatever is not committed by now will be read again."""
        for task in self._regular:
            task.cancel()
        for lane in self.lanes:
            await lane.stop()
        await self._gaps.stop()
        await self.app.stop()
        self._datadir.cleanup()

    async def crashed(self) -> BaseException:
        """Wait until Faust itself gives up; returns why."""
        await self.app._crashed.wait()  # noqa: SLF001 - mode offers no public way to wait for a crash
        reason = self.app.crash_reason
        return (
            reason
            if reason is not None
            else RuntimeError("the Kafka consumer stopped without saying why")
        )

    def lag(self) -> dict[Partition, int]:
        """Records of each partition in hand or behind it that are not settled."""
        ours = self.app.consumer.assignment()
        return {
            partition: max(0, (self.app.consumer.highwater(partition) or 0) - done)
            for partition, done in self.offsets.positions().items()
            if partition in ours
        }

    def backlog(self, topic: str) -> int:
        """Records of a topic's partitions in hand or behind it that are not settled."""
        return sum(events for partition, events in self.lag().items() if partition.topic == topic)

    def when_assigned(self, call: Callable[[], None]) -> None:
        """Have something called each time partitions have been assigned, before any of their records is read."""
        self._when_assigned.append(call)

    async def _take(self, message: Any, lane: AgentPipeline) -> None:
        partition = Partition(message.topic, message.partition)
        if (gap := self.offsets.gap(partition, message.offset)) and not await self._passable(
            gap, message
        ):
            return  # the partition was taken away meanwhile: whoever has it now reads this record
        held = InFlight(_incoming(message), self.offsets.take(partition, message.offset))
        await lane.accept(held)

    async def _passable(self, gap: Gap, message: Any) -> bool:
        """Look into a gap; false when a rebalance has overtaken the record, so that nothing can be said of it."""
        try:
            await self._gaps.verify(gap)
        except OffsetGap:
            if self._current(message):
                raise
        return self._current(message)

    def _current(self, message: Any) -> bool:
        return bool(
            message.generation_id == self.app.consumer_generation_id
            and self.app.flow_control.is_active()
        )

    def _start_offset(self, partition: Partition) -> int:
        # Where Faust's last seek put this partition; it keeps None for "nothing committed" and for 0 alike.
        committed: Mapping[Any, int | None] = self.app.consumer._committed_offset  # noqa: SLF001 - no public way
        return committed.get(partition) or 0

    async def _regularly(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self._settings.kafka.commit_interval_s)
            await act()

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Without commits everything would be read again some day; without its gauges nobody would know.
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    async def _observe(self) -> None:
        self._metrics.observe_partitions(self.lag(), self.offsets.progress_age_s())

    async def _commit(self) -> None:
        async with self._commit_lock:
            ours = self.app.consumer.assignment()
            offsets = {
                partition: done
                for partition, done in self.offsets.committable().items()
                if partition in ours
            }
            if not offsets:
                return
            taken = await self.app.consumer._commit(offsets)  # noqa: SLF001 - `commit` would ask Faust's own ack list
            self._metrics.commits.labels(result="taken" if taken else "refused").inc()
            if taken:
                self.offsets.committed(offsets)

    async def _commit_within(self, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(self._commit(), timeout_s)
        except TimeoutError:
            log.warning(
                "the broker did not take the last commit; some events will be triaged again"
            )

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        self.assigned = True
        for call in self._when_assigned:
            call()

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        """Finish and commit what is in flight while the partitions are still ours, then forget their tickets."""
        self.assigned = False
        self._metrics.rebalances.inc()
        for lane in self.lanes:
            lane.discard()
        await asyncio.gather(*(lane.quiet(REVOKE_TIMEOUT_S) for lane in self.lanes))
        await self._commit_within(FINAL_COMMIT_TIMEOUT_S)
        self.offsets.forget()

    def _new_app(self) -> faust.App:
        kafka = self._settings.kafka
        app = faust.App(
            kafka.group_id,
            broker=faust_broker(kafka),
            broker_credentials=faust_credentials(kafka),
            datadir=self._datadir.name,  # Faust insists on one; nothing of ours is in it
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


def _incoming(message: Any) -> Incoming:
    origin = Origin(topic=message.topic, partition=message.partition, offset=message.offset)
    now_s = time.time()
    stamp_s = message.timestamp
    # A producer may write any time it likes; one that cannot be true would only spoil the latency figures.
    plausible = stamp_s is not None and OLDEST_PLAUSIBLE_S < stamp_s <= now_s
    headers = (
        list((message.headers or {}).items())
        if isinstance(message.headers, dict)
        else list(message.headers or ())
    )
    return Incoming(message.value, message.key, headers, origin, stamp_s if plausible else now_s)
