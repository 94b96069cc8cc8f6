"""The open connections of the console: so many, and none that only holds a place.

A connection has to begin a request soon after it was made, and again after each one; only the
stream of events, and what a handler lets last, may take longer. So whoever sends a request byte by
byte, or does not read the answer, is cut off.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_REQUEST_S = 10.0
REQUEST_S = 30.0
"""From the beginning of one request to that of the next."""
SWEEP_S = 1.0


@dataclass(slots=True)
class _Connection:
    until_s: float


class Connections:
    """At most `limit` connections. One too many takes the place of the one that ends first.

    `clock` gives seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._open: dict[asyncio.BaseTransport, _Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, transport: asyncio.Transport) -> None:
        """Take a new connection; if all places are taken by lasting ones, refuse it."""
        self.sweep()
        if len(self._open) >= self._limit:
            first = min(self._open, key=lambda each: self._open[each].until_s)
            if self._open[first].until_s == float("inf"):
                transport.abort()
                return
            self._abort(first)
        self._open[transport] = _Connection(self._clock() + FIRST_REQUEST_S)

    def begin(self, transport: asyncio.BaseTransport | None) -> None:
        """Note that a connection has begun a request."""
        self._extend(transport, self._clock() + REQUEST_S)

    def may_last(
        self, transport: asyncio.BaseTransport | None, for_s: float = float("inf")
    ) -> None:
        """Let the present request of a connection take longer."""
        self._extend(transport, self._clock() + for_s)

    def sweep(self) -> None:
        """Forget the connections that have ended, and cut off those whose time is over."""
        now_s = self._clock()
        for transport, connection in list(self._open.items()):
            if transport.is_closing():
                del self._open[transport]
            elif connection.until_s <= now_s:
                self._abort(transport)

    def close(self) -> None:
        """Cut off all."""
        for transport in list(self._open):
            self._abort(transport)

    def _extend(self, transport: asyncio.BaseTransport | None, until_s: float) -> None:
        if transport in self._open:
            self._open[transport].until_s = until_s

    def _abort(self, transport: asyncio.BaseTransport) -> None:
        del self._open[transport]
        if isinstance(transport, asyncio.Transport):
            transport.abort()
