"""How often a member of the group asks a broker for records."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

FETCH_PAUSE_S = 0.01
"""After a response with records, the next request to the same broker waits so long.

Under load the broker then answers with several records at once. Each request costs the broker and
the worker about a quarter of a millisecond of processor time, however few records it brings. An
event that comes alone waits for nothing.
"""

Fetch = Callable[[Any, Any, Any], Awaitable[bool]]
"""Takes an assignment, a node and a request; returns whether there were records."""


def paced(fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> Fetch:
    """The same requests, with `FETCH_PAUSE_S` after each that brought records."""
    next_at_s: dict[Any, float] = {}

    async def fetch_after_pause(assignment: Any, node: Any, request: Any) -> bool:
        try:
            await asyncio.sleep(max(0.0, next_at_s.get(node, 0.0) - clock()))
        except asyncio.CancelledError:
            return False  # as aiokafka does while it waits for a response
        has_records = await fetch(assignment, node, request)
        if has_records:
            next_at_s[node] = clock() + FETCH_PAUSE_S
        return has_records

    return fetch_after_pause
