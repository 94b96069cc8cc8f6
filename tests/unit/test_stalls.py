"""The watchdog of the event loop."""

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from streams.stalls import (
    COLLECT_AT_LATEST_S,
    COLLECT_EVERY_S,
    PERIOD_S,
    leave_full_collections_to_the_watchdog,
    let_the_loop_in_soon,
    watch_stalls,
)


class Loop:
    """A clock that only the watchdog's sleeps move; each ends late by the next of `delays_s`."""

    def __init__(self, delays_s: list[float]) -> None:
        self.now_s = 0.0
        self._delays_s: Iterator[float] = iter(delays_s)

    def clock(self) -> float:
        """Seconds since the test began."""
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """End late; after the last delay, end the watchdog."""
        delay_s = next(self._delays_s, None)
        if delay_s is None:
            raise asyncio.CancelledError
        self.now_s += seconds + delay_s


async def watched(delays_s: list[float], *, quiet: bool = True) -> tuple[list[float], list[float]]:
    """What the watchdog observes, and when it collects garbage."""
    loop, stalls, collections = Loop(delays_s), list[float](), list[float]()
    with pytest.raises(asyncio.CancelledError):
        await watch_stalls(
            stalls.append,
            lambda: quiet,
            clock=loop.clock,
            sleep=loop.sleep,
            collect=lambda: collections.append(loop.now_s),
        )
    return stalls, collections


async def test_a_stall_is_observed_with_its_length() -> None:
    """Nobody would see that one event holds up all others."""
    stalls, _ = await watched([0.0, 14.0, 0.002])
    assert stalls == pytest.approx([0.0, 14.0, 0.002])


async def test_full_collections_wait_for_a_quiet_moment() -> None:
    """A collection walks through all documents in hand, which takes as long as a stall."""
    delays_s = [10.0] * 100
    _, quiet = await watched(delays_s)
    _, busy = await watched(delays_s, quiet=False)
    assert len(quiet) == pytest.approx(1000 / COLLECT_EVERY_S, abs=4)
    assert [COLLECT_AT_LATEST_S < at_s < COLLECT_AT_LATEST_S + 11 for at_s in busy] == [True]
    assert PERIOD_S < 0.1, "a stall of 100 ms would be missed"


def test_the_event_loop_waits_a_millisecond_for_threads_that_compute() -> None:
    """With Python's 5 ms, each hop of an event took up to 5 ms on a busy machine."""
    before = sys.getswitchinterval()
    try:
        let_the_loop_in_soon()
        assert sys.getswitchinterval() == pytest.approx(0.001, rel=0.01)
    finally:
        sys.setswitchinterval(before)


def test_python_makes_no_full_collection_by_itself() -> None:
    """With a hundred large documents in hand, one full collection takes a second."""
    before = gc.get_threshold()
    try:
        leave_full_collections_to_the_watchdog()
        full = gc.get_stats()[2]["collections"]
        kept: list[list[list[int]]] = [[[] for _ in range(1_000)] for _ in range(1_000)]
        assert gc.get_stats()[2]["collections"] == full
        assert len(kept) == 1_000
        assert gc.get_freeze_count() > 1_000
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
