"""Waits and time limits that hold on a loaded machine, which may stop a test for seconds."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 30.0
"""How long a test waits for what must happen. Only a test that fails takes so long."""


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds, at most `PATIENCE_S` seconds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


async def run_ready_tasks() -> None:
    """Run the event loop until every task waits for something that the test controls."""
    for _ in range(20):
        await asyncio.sleep(0)


@contextmanager
def within_cpu_s(limit_s: float) -> Iterator[None]:
    """Fail if the body takes more than this many seconds of processor time.

    The time in which the machine runs something else does not count.
    """
    started_s = time.process_time()
    yield
    took_s = time.process_time() - started_s
    assert took_s < limit_s, f"it took {took_s:.3f} s of processor time, not {limit_s} s at most"


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep the garbage of other tests out of a measurement: collecting it may take a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
