"""Keep the order of events that share a key, and no other order."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class KeyedOrder:
    """Turns, one at a time for each key, in the order in which they were taken.

    An event whose output must wait, because a broker is away, holds up only what must stay behind
    it.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Future[None]] = {}

    def take(self, key: Hashable) -> "Turn":
        """Take the next turn of a key. Every turn must be used, even if nothing is done in it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        previous = self._last.get(key)
        self._last[key] = done
        return Turn(self, key, previous, done)

    def end(self, key: Hashable, done: asyncio.Future[None]) -> None:
        """End a turn."""
        done.set_result(None)
        if self._last.get(key) is done:
            del self._last[key]


class Turn:
    """One turn; see `KeyedOrder`."""

    __slots__ = ("_done", "_key", "_order", "_previous")

    def __init__(
        self,
        order: KeyedOrder,
        key: Hashable,
        previous: asyncio.Future[None] | None,
        done: asyncio.Future[None],
    ) -> None:
        self._order = order
        self._key = key
        self._previous = previous
        self._done = done

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """Wait for the turns before this one; it ends when the block ends."""
        try:
            if self._previous is not None:
                await asyncio.shield(self._previous)
            yield
        finally:
            self._order.end(self._key, self._done)
