"""The watchdog of the event loop: it measures how long the loop does nothing else.

While one piece of work holds the loop, no heartbeat is sent and no other event moves on. Full
garbage collections are such work, so they are made here, at quiet moments.
"""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable

PERIOD_S = 0.05
COLLECT_EVERY_S = 60.0
COLLECT_AT_LATEST_S = 600.0

SWITCH_INTERVAL_S = 0.001
"""A thread that counts n-grams gives the interpreter back after so long. With Python's own 5 ms,
the event loop waits up to 5 ms for each thread that computes, although it only has to pass an event
on. On a busy machine that doubled the median latency.
"""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


async def watch_stalls(
    observe: Callable[[float], None],
    is_quiet: Callable[[], bool],
    *,
    clock: Clock | None = None,
    sleep: Sleep = asyncio.sleep,
    collect: Callable[[], object] = gc.collect,
) -> None:
    """Sleep again and again, and observe how many seconds later than asked each sleep ended.

    A minute after the last full garbage collection, the next one waits for a quiet moment, at most
    ten minutes. Never returns.
    """
    clock = clock or asyncio.get_running_loop().time
    collected_s = clock()
    while True:
        due_s = clock() + PERIOD_S
        await sleep(PERIOD_S)
        now_s = clock()
        observe(max(0.0, now_s - due_s))
        age_s = now_s - collected_s
        if age_s > COLLECT_AT_LATEST_S or (age_s > COLLECT_EVERY_S and is_quiet()):
            collect()
            collected_s = clock()


def leave_full_collections_to_the_watchdog() -> None:
    """Call it once, when everything is loaded.

    A full collection walks through all objects: through modules and models, which never die, and
    through the documents of a hundred waiting events, which hold no cycles. What is loaded is
    exempt from now on, and Python makes no full collection by itself. It still collects what is
    young; what holds no cycle dies without it.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1_000_000)


def let_the_loop_in_soon() -> None:
    """Call it once in a worker: the event loop waits less for threads that compute."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
