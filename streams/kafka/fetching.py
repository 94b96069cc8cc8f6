"""How often a consumer asks a broker for records, and who is told that some have come."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

FETCH_PAUSE_S = 0.01
BUSY_RESPONSES, BUSY_S = 12, 0.1
"""When so many responses with records have come within so many seconds, the next request to the
same broker waits `FETCH_PAUSE_S` after each.

Under load the broker then answers with several records at once. Each request costs the broker and
the worker about a quarter of a millisecond of processor time, however few records it brings. Below
that load there is time enough, and no event waits.
"""

FOLLOW_PAUSE_S = 0.2
"""The same for a consumer that only keeps something up to date beside the pipeline. Without it, a
worker would ask for each record that it has just published, one by one.
"""

Fetch = Callable[[Any, Any, Any], Awaitable[bool]]
"""Takes an assignment, a node and a request; returns whether there were records."""

Wait = Callable[[float], Awaitable[None]]
"""Waits for so many seconds, or less."""


def pace(
    consumer: AIOKafkaConsumer, pause_s: float, *, after: int = 1, wait: Wait = asyncio.sleep
) -> None:
    """Let a started consumer ask less often; see `paced`."""
    fetcher = consumer._fetcher  # noqa: SLF001 - aiokafka has no option for it
    fetch = paced(fetcher._proc_fetch_request, pause_s, after=after, wait=wait)  # noqa: SLF001
    fetcher._proc_fetch_request = fetch  # noqa: SLF001 - as above


def announce(consumer: AIOKafkaConsumer, tell: Callable[[TopicPartition], None]) -> None:
    """Let a started consumer call `tell` for each partition that has records, or an error, to read.

    aiokafka wakes everyone who waits in `getmany`, whatever partition they wait for. With a reader
    for each of 32 partitions that took the event loop about 3 ms for each response.
    """
    fetcher = consumer._fetcher  # noqa: SLF001 - aiokafka has no option for it
    fetch: Fetch = fetcher._proc_fetch_request  # noqa: SLF001 - as above

    async def fetch_and_tell(assignment: Any, node: Any, request: Any) -> bool:
        has_records = await fetch(assignment, node, request)
        if has_records:
            for partition in list(fetcher._records):  # noqa: SLF001 - as above
                tell(partition)
        return has_records

    fetcher._proc_fetch_request = fetch_and_tell  # noqa: SLF001 - as above


def paced(
    fetch: Fetch,
    pause_s: float,
    *,
    after: int = 1,
    wait: Wait = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Fetch:
    """The same requests, the next one `pause_s` seconds after a response with records.

    Only when `after` such responses of the same broker have come within `BUSY_S`, or the pause if
    that is longer. So with 1, after each.
    """
    answered_s: defaultdict[Any, deque[float]] = defaultdict(lambda: deque(maxlen=after))

    async def fetch_after_pause(assignment: Any, node: Any, request: Any) -> bool:
        answers, now_s = answered_s[node], clock()
        is_busy = len(answers) == after and now_s - answers[0] < max(BUSY_S, pause_s)
        try:
            await wait(max(0.0, answers[-1] + pause_s - now_s) if is_busy else 0.0)
        except asyncio.CancelledError:
            return False  # as aiokafka does while it waits for a response
        has_records = await fetch(assignment, node, request)
        if has_records:
            answers.append(clock())
        return has_records

    return fetch_after_pause
