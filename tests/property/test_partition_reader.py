"""Whatever happens to a log and its workers, all that it still holds at the end has ended.

Two things cannot be seen, and do not happen here. While a reader waits for room, its log is lost
and grows beyond the reader's place. The record before a commit is compacted, and then the log is
lost and grows beyond the commit.
"""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.audit.record import UnreadOffsets
from streams.config import KafkaSection, PipelineSection, StormsSection
from streams.errors import OffsetGap
from streams.kafka import member as member_module
from streams.kafka.gaps import GapCheck
from streams.kafka.member import Committed, GroupMember
from streams.kafka.offsets import OffsetTracker, Partition
from streams.metrics import Metrics
from streams.pipeline import partition_reader as module
from streams.pipeline.in_flight import InFlight
from streams.pipeline.partition_reader import PartitionReader
from streams.pipeline.quarantine import Quarantine
from streams.pipeline.storms import Storms
from tests.kafka_group import Cluster

P = Partition("t", 0)
QUIET_S = 0.006
"""Several reads of a reader that has nothing to do."""


class Simulation:
    """A log, a reader after the other, and the values of the events that ended."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.cluster = Cluster(P)
        self.log = self.cluster.logs[P]
        self.ended: set[bytes] = set()
        self.in_flight: list[InFlight] = []
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin where the group has committed."""
        member = GroupMember(
            KafkaSection(), ["t"], on_assigned=self._on_rebalance, on_revoked=self._on_rebalance
        )
        await member.start()
        await self.cluster.member.assign_all()
        committed = await member.committed([P])

        async def commit(commits: dict[Partition, Committed]) -> bool:
            return await member.commit(commits)

        quarantine = Quarantine(commit)
        await member.commit(quarantine.begin(committed))
        self.member = member
        self.offsets = OffsetTracker(lambda _: self.reader.start)
        self.in_flight = []
        self.reader = PartitionReader(
            P,
            committed.get(P),
            member=member,
            offsets=self.offsets,
            gaps=GapCheck(KafkaSection()),
            storms=Storms(StormsSection()),
            quarantine=quarantine,
            pipeline=PipelineSection(),
            metrics=Metrics(),
            hand_over=self._hand_over,
            on_expired=self._on_expired,
        )
        self.task = asyncio.create_task(self.reader.run())

    async def _on_expired(self, _: UnreadOffsets) -> None:
        pass

    async def crash(self) -> None:
        """End without a commit; the log may change before the next worker begins."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None
            self.offsets.forget()

    async def act(self) -> None:
        """Do one thing, drawn at random."""
        await self.replace_if_stopped()
        acts = [self.append] * 4 + [self.settle, self.commit] * 3 + [self.quiet, self.lose_end]
        acts += [self.recreate, self.expire, self.compact, self.restart]
        await self.rng.choice(acts)()

    async def replace_if_stopped(self) -> None:
        """A gap that could not be checked, because the log was lost just then, stops the worker."""
        if self.task is not None and self.task.done():
            assert isinstance(self.task.exception(), OffsetGap), self.task
            await self.crash()
            await self.start()

    async def append(self) -> None:
        """Events are written."""
        self.log.fill(self.rng.randrange(1, 6))

    async def lose_end(self) -> None:
        """The log loses its end; a reader that is there sees it before anything is written."""
        self.log.truncate(self.rng.randint(self.log.first, self.log.end))
        await asyncio.sleep(QUIET_S)

    async def recreate(self) -> None:
        """The topic is deleted and made again."""
        self.log.recreate()
        await asyncio.sleep(QUIET_S)

    async def expire(self) -> None:
        """Retention takes the oldest events."""
        self.log.expire(self.rng.randint(self.log.first, self.log.end))

    async def compact(self) -> None:
        """A record disappears that neither is nor may become the one before a commit."""
        commit = self.cluster.commits.get(P)
        earlier = [o for o in self.log.records if commit is not None and o < commit.offset - 1]
        if earlier:
            self.log.compact(self.rng.choice(earlier))

    async def restart(self) -> None:
        """The worker crashes, things happen, and another one begins."""
        await self.crash()
        for _ in range(self.rng.randrange(4)):
            await self.rng.choice([self.append, self.lose_end, self.recreate, self.expire])()
        await self.start()

    async def quiet(self) -> None:
        """Let the reader read."""
        await asyncio.sleep(QUIET_S)

    async def settle(self) -> None:
        """Some events end, in any order."""
        await asyncio.sleep(0)
        self.rng.shuffle(self.in_flight)
        self._end(self.rng.randrange(len(self.in_flight) + 1))

    async def commit(self) -> None:
        """Commit as the consumer does, and check that no unsettled event is passed."""
        if self.task is None or P not in (moved := self.offsets.committable()):
            return
        commit = self.reader.committable(moved[P])
        for event in self.in_flight:
            if self.offsets.still_assigned(event.pending_offset):
                assert commit.offset <= event.pending_offset.offset, "it has not ended"
        assert await self.member.commit({P: commit})
        self.offsets.mark_committed({P: commit.offset})

    async def finish(self) -> None:
        """Let everything end, and look for what was left out."""
        if self.task is None:
            await self.start()
        rounds = 0
        async with asyncio.timeout(20):
            while missing := {r.value for r in self.log.records.values()} - self.ended:
                await self.replace_if_stopped()
                if rounds % 100 == 0:
                    # What shows that a log is another one may be the next record only.
                    self.log.fill(1)
                rounds += 1
                self._end(len(self.in_flight))
                await asyncio.sleep(0.001)
        assert not missing
        await self.commit()
        await self.crash()

    def _end(self, count: int) -> None:
        ended, self.in_flight = self.in_flight[:count], self.in_flight[count:]
        self.ended |= {event.incoming.value or b"" for event in ended}
        self.offsets.settle(event.pending_offset for event in ended)

    async def _hand_over(self, in_flight: InFlight) -> None:
        self.in_flight.append(in_flight)

    async def _on_rebalance(self, _: set[Partition]) -> None:
        pass


async def simulate(seed: int, steps: int) -> None:
    """One life of a log."""
    simulation = Simulation(seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        simulation.cluster.install(monkeypatch)
        for retrying in (module, member_module):
            monkeypatch.setattr(retrying, "RETRY_S", 0.001)
        await simulation.start()
        for _ in range(steps):
            await simulation.act()
        await simulation.finish()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 40))
def test_all_that_a_log_holds_ends(seed: int, steps: int) -> None:
    """Events would be lost behind a log that lost its end, or a crash, or be committed early."""
    asyncio.run(simulate(seed, steps))
