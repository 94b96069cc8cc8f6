"""A rebalance of the group, in which a member goes on reading what it may keep.

aiokafka tells a member twice: before it joins, and when it has an assignment. It expects that
nothing is read in between, and forgets where each partition was read. Here a member that is in the
group goes on, keeps its places, and gives up afterwards what it lost (`assignment` says how the
leader makes sure that nobody else reads it until then).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener

from streams.kafka.assignment import StickyAssignor
from streams.kafka.offsets import Partition

log = logging.getLogger(__name__)

OnPartitions = Callable[[set[Partition]], Awaitable[None]]


class Rebalancing(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """Takes the rebalances of one member, and passes on what changes.

    `on_assigned` is called with the partitions that this member did not read before. `on_revoked`
    is called with all partitions, and then `on_assigned` with those that are left: whoever reads
    them starts all of them anew. What they raise is only logged by aiokafka, so they must not
    raise.
    """

    def __init__(self, on_assigned: OnPartitions, on_revoked: OnPartitions) -> None:
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self.assignor = StickyAssignor(self._claim, self._take_places)
        self._consumer: AIOKafkaConsumer | None = None
        self._reads: set[Partition] = set()
        self._claimed: set[Partition] = set()
        self._kept: set[Partition] = set()
        self._before: Any | None = None
        """aiokafka's assignment before this rebalance, which knows the places."""
        self._claims_respected = False
        self._giving_up: asyncio.Task[None] | None = None
        self._stopped = False
        self.leaving: frozenset[Partition] = frozenset()
        """What this member is giving up. Nobody else has it yet, so it may still be committed."""
        self.lost: frozenset[Partition] = frozenset()
        """What another member may read already. It must not be committed any more."""

    def use(self, consumer: AIOKafkaConsumer) -> None:
        """Take the rebalances of this consumer, which has not subscribed to anything yet."""
        self._consumer = consumer

    async def stop(self) -> None:
        """End what is going on, and pass nothing on any more.

        aiokafka ends a rebalance that has begun before it disconnects.
        """
        self._stopped = True
        if self._giving_up is not None:
            self._giving_up.cancel()
            await asyncio.wait((self._giving_up,))

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:  # noqa: ARG002 - aiokafka's name for all of ours
        """The member is about to join."""
        if self._stopped:
            return
        subscription = self._opened._subscription.subscription  # noqa: SLF001 - see below
        goes_on = self._claims_respected and self._is_member()
        if goes_on:
            # Otherwise aiokafka returns no records until the last member of the group has joined.
            subscription._reassignment_in_progress = False  # noqa: SLF001 - nothing public says it
        if self._giving_up is not None:
            await asyncio.wait((self._giving_up,))
        if goes_on and self._is_member():
            self._before = subscription.assignment
            return
        subscription._reassignment_in_progress = True  # noqa: SLF001 - see above
        await self._revoke()

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """The member has joined; `_take_places` was called a moment before."""
        if self._stopped:
            return
        partitions = {Partition(*partition) for partition in assigned}
        lost = self._reads - self._kept
        if lost:
            # In a task: no heartbeat is sent before this method returns.
            self._giving_up = asyncio.create_task(self._give_up(lost, partitions))
            return
        gained = partitions - self._reads
        anew = not self._reads
        self._reads = partitions
        if gained or anew:
            await self._on_assigned(gained)

    def _claim(self) -> set[Partition]:
        """What this member reads while it joins; called for each attempt to join."""
        # The group does not know this member any more, and others may have its partitions.
        self._claimed = set(self._reads) if self._is_member() else set()
        return self._claimed

    def _take_places(self, assigned: set[Partition], /, *, claims_respected: bool) -> None:
        """Read on where each partition that is kept was read; called before anything is read."""
        self._claims_respected = claims_respected
        self._kept = self._reads & self._claimed & assigned
        before, self._before = self._before, None
        for partition in self._kept:
            place = before.state_value(partition) if before is not None else None
            if place is not None and place.has_valid_position:
                self._opened.seek(partition, place.position)

    async def _give_up(self, lost: set[Partition], left: set[Partition]) -> None:
        if self._claims_respected and lost <= self._claimed:
            self.leaving = frozenset(lost)
        else:
            self.lost = frozenset(lost)
        respected = bool(self.leaving)
        try:
            await self._revoke()
        except Exception:
            # As aiokafka does it: otherwise the partitions that are left would not be read.
            log.exception("partitions could not be given up in order")
        finally:
            self.leaving = self.lost = frozenset()
        self._reads = left
        await self._on_assigned(set(left))
        if respected:
            log.info("%d partitions are free for other workers", len(lost))
            self._opened._coordinator.request_rejoin()  # noqa: SLF001 - nothing public joins again

    async def _revoke(self) -> None:
        reads, self._reads, self._kept, self._before = self._reads, set(), set(), None
        await self._on_revoked(reads)

    def _is_member(self) -> bool:
        return bool(self._opened._coordinator.generation >= 0)  # noqa: SLF001 - nothing public says it

    @property
    def _opened(self) -> AIOKafkaConsumer:
        assert self._consumer is not None  # noqa: S101 - aiokafka calls nothing before `use`
        return self._consumer
