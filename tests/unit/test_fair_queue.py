"""Tenants take turns in front of the model."""

import asyncio
from collections import Counter

import pytest

from streams.pipeline.fair_queue import FairQueue
from tests.patience import run_ready_tasks


async def test_a_flood_takes_half_of_what_is_processed() -> None:
    """One event of a quiet tenant would wait behind all events of a tenant that floods.

    The flood comes through eight partitions at once, the other tenant through one.
    """
    queue: FairQueue[str] = FairQueue(16)

    async def partition(tenant: str) -> None:
        while True:
            await queue.put(tenant, tenant)
            await asyncio.sleep(0)

    readers = [asyncio.create_task(partition("flood")) for _ in range(8)]
    readers.append(asyncio.create_task(partition("quiet")))
    taken = Counter([await _next(queue) for _ in range(600)])
    for reader in readers:
        reader.cancel()
    assert taken["quiet"] >= 250


async def _next(queue: FairQueue[str]) -> str:
    await asyncio.sleep(0)
    return await queue.get()


async def test_a_full_tenant_does_not_keep_another_out() -> None:
    """The room of the queue would be taken by the flood, and nobody else's events read."""
    queue: FairQueue[int] = FairQueue(2)
    await queue.put(1, "flood")
    await queue.put(2, "flood")
    third = asyncio.create_task(queue.put(3, "flood"))
    await queue.put(4, "quiet")
    await asyncio.sleep(0)
    assert not third.done()
    assert [await queue.get(), await queue.get()] == [1, 4]
    await third
    assert [queue.get_nowait(), queue.get_nowait()] == [2, 3]
    assert queue.empty()
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()


async def test_a_cancelled_put_leaves_its_room_to_others() -> None:
    """A partition that is taken away while it waits would make the queue smaller for ever."""
    queue: FairQueue[int] = FairQueue(1)
    await queue.put(1, "a")
    waiting = asyncio.create_task(queue.put(2, "a"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await queue.get() == 1
    await asyncio.wait_for(queue.put(3, "a"), 5)
    assert await queue.get() == 3


async def test_invented_tenants_take_no_memory_when_their_events_are_gone() -> None:
    """Each event could name a tenant of its own, and the queue would grow with each."""
    queue: FairQueue[int] = FairQueue(4)
    for number in range(1_000):
        await queue.put(number, f"t{number}")
        assert await queue.get() == number
    assert not queue._lines


async def test_whoever_waits_for_an_item_goes_on_waiting_if_it_is_taken_away() -> None:
    """A rebalance that comes just when a record arrives would end the worker."""
    queue: FairQueue[int] = FairQueue(2)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    await queue.put(1, "a")
    assert queue.get_nowait() == 1, "as a pipeline drops what it has not begun"
    await run_ready_tasks()
    assert not waiting.done()
    await queue.put(2, "a")
    assert await asyncio.wait_for(waiting, 5) == 2
