"""A bounded queue in which tenants take turns, so that a flood of one does not starve others."""

import asyncio
from collections import deque
from typing import Generic, TypeVar
from zlib import crc32

T = TypeVar("T")

ROOMS = 64
"""Tenants are invented freely by whoever writes events, so their rooms are shared by a hash."""


class FairQueue(Generic[T]):
    """Items of one tenant come out in their order, and those of several tenants in turns.

    There is room for `size` items of a tenant. So a tenant that sends through many partitions fills
    only its own room, and waits for it alone.
    """

    def __init__(self, size: int) -> None:
        self._lines: dict[str, deque[T]] = {}
        """The tenants that have items, the next one first."""
        self._rooms = [asyncio.Semaphore(size) for _ in range(ROOMS)]
        self._filled = asyncio.Event()

    async def put(self, item: T, tenant: str) -> None:
        """Add an item; waits while there is no room for its tenant."""
        await self._room(tenant).acquire()
        self._lines.setdefault(tenant, deque()).append(item)
        self._filled.set()

    async def get(self) -> T:
        """Take the next item; waits until there is one."""
        # Again, because the queue may be emptied before this is woken: in a rebalance it is.
        while not self._lines:
            await self._filled.wait()
        return self.get_nowait()

    def get_nowait(self) -> T:
        """Take the next item: the oldest one of the tenant whose turn it is.

        Raises:
            asyncio.QueueEmpty: there is none.
        """
        if not self._lines:
            raise asyncio.QueueEmpty
        tenant = next(iter(self._lines))
        line = self._lines.pop(tenant)
        item = line.popleft()
        self._room(tenant).release()
        if line:
            self._lines[tenant] = line
        elif not self._lines:
            self._filled.clear()
        return item

    def empty(self) -> bool:
        """Whether there is no item."""
        return not self._lines

    def _room(self, tenant: str) -> asyncio.Semaphore:
        return self._rooms[crc32(tenant.encode()) % ROOMS]
