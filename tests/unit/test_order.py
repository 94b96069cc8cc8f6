"""Turns by key: events with one key stay in order, and no other event waits."""

import asyncio

import pytest

from streams.pipeline.order import KeyedOrder, Turn


class Bench:
    """An order whose turns are used when the test says so; `used` are the names of those used."""

    def __init__(self) -> None:
        self.order = KeyedOrder()
        self.used: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def use(self, name: str, turn: Turn) -> asyncio.Task[None]:
        """Use a turn in the background; it lasts until its gate is opened."""
        self.gates[name] = asyncio.Event()

        async def use() -> None:
            async with turn.use():
                self.used.append(name)
                await self.gates[name].wait()

        task = asyncio.create_task(use())
        self.tasks.append(task)
        return task


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_turns_of_one_key_are_used_in_the_order_in_which_they_were_taken() -> None:
    """An older revision would be published after a newer one."""
    bench = Bench()
    turns = [bench.order.take("k") for _ in range(3)]
    for name, turn in reversed(list(zip("abc", turns, strict=True))):
        bench.use(name, turn)
    for expected in ("a", "ab", "abc"):
        await settle()
        assert "".join(bench.used) == expected
        bench.gates[expected[-1]].set()
    await asyncio.gather(*bench.tasks)


async def test_another_key_does_not_wait() -> None:
    """One output partition without a leader would hold up everything."""
    bench = Bench()
    bench.use("first", bench.order.take("k"))
    bench.use("behind", bench.order.take("k"))
    bench.use("other", bench.order.take("l"))
    await settle()
    assert bench.used == ["first", "other"]
    for task in bench.tasks:
        task.cancel()


async def test_a_turn_that_fails_ends() -> None:
    """All later events of the key would wait for ever."""
    order = KeyedOrder()
    failing, following = order.take("k"), order.take("k")
    with pytest.raises(ZeroDivisionError):
        async with failing.use():
            raise ZeroDivisionError
    async with asyncio.timeout(5), following.use():
        pass


async def test_a_turn_that_is_cancelled_while_it_waits_lets_the_next_one_go() -> None:
    """The turn before it would be cancelled too, or the one behind it wait for ever."""
    bench = Bench()
    first = bench.use("first", bench.order.take("k"))
    waiting = bench.use("waiting", bench.order.take("k"))
    bench.use("behind", bench.order.take("k"))
    await settle()
    waiting.cancel()
    await settle()
    assert waiting.cancelled()
    assert not first.done()
    assert bench.used[0] == "first"
    for name in ("first", "behind"):
        bench.gates[name].set()
    await asyncio.wait_for(asyncio.gather(first, bench.tasks[2]), 5)


async def test_nothing_is_kept_of_keys_that_have_ended() -> None:
    """Memory would grow with every key that was ever seen."""
    order = KeyedOrder()
    turns = [order.take(number % 100) for number in range(300)]
    for turn in turns:
        async with turn.use():
            pass
    assert order._last == {}
