"""The cache of vectors: a text that comes again costs no pass, and gets the same bits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import numpy as np
import pytest

from inference.model.engine import Engine
from inference.model.vector_cache import CachedEngine
from tests.patience import PATIENCE_S, run_ready_tasks, until
from tests.slow_encoder import SlowEncoder


@asynccontextmanager
async def running(encoder: SlowEncoder, max_texts: int = 8) -> AsyncIterator[CachedEngine]:
    """A cache before an engine, which is closed at the end. The whole test has a time limit."""
    engine = Engine(encoder)
    async with asyncio.timeout(PATIENCE_S):
        try:
            yield CachedEngine(engine, max_texts)
        finally:
            encoder.gate.set()
            await engine.close()


async def answers(cached: CachedEngine, *texts: Sequence[int]) -> list[float]:
    """The vectors of these texts, which have one component in tests."""
    return [float(value) for value in (await cached.embed(texts))[:, 0]]


async def test_each_text_is_computed_once_and_each_row_gets_its_own_vector() -> None:
    """A storm of one alert would pay for each event, or an event would get another's labels."""
    encoder = SlowEncoder()
    async with running(encoder) as cached:
        assert await answers(cached, [1], [2], [1], [1, 5]) == [1, 2, 1, 1]
        assert await answers(cached, [3], [2], [1], [3]) == [3, 2, 1, 3]
        assert (cached.computed, cached.cached) == (4, 4)
    assert sorted(encoder.forwarded) == [1, 1, 2, 3]


async def test_texts_that_differ_in_one_id_are_different_texts() -> None:
    """A text that begins like another one would get the labels of that one."""
    encoder = SlowEncoder()
    async with running(encoder) as cached:
        await answers(cached, [7, 1], [7, 2], [7], [7, 1, 0], [263], [1, 7])
    assert len(encoder.forwarded) == 6


async def test_the_text_that_was_not_used_longest_is_forgotten() -> None:
    """The memory of a worker would grow with every text that it sees."""
    encoder = SlowEncoder()
    async with running(encoder, max_texts=2) as cached:
        for text in ([1], [2], [1], [3], [1], [2]):
            await answers(cached, text)
        assert len(cached._vectors) == 2
    assert encoder.forwarded == [1, 2, 3, 2]


async def test_a_remembered_vector_keeps_no_other_alive() -> None:
    """A row that is a view of its pass would hold the vectors of a whole batch in memory."""
    async with running(SlowEncoder()) as cached:
        await answers(cached, *([number] for number in range(8)))
        assert all(vector.base is None for vector in cached._vectors.values())


async def test_a_caller_cannot_change_what_is_remembered() -> None:
    """Code that scales its vectors in place would spoil the answers of later events."""
    async with running(SlowEncoder()) as cached:
        for _ in range(2):
            vectors = await cached.embed([[5], [5]])
            assert vectors[:, 0].tolist() == [5, 5]
            vectors *= 0


async def test_known_texts_do_not_wait_for_the_others_but_those_begin_at_once() -> None:
    """A known event would be as slow as the slowest new one, or keep the encoder idle."""
    encoder = SlowEncoder()
    async with running(encoder) as cached:
        await answers(cached, [1])
        encoder.gate.clear()
        async with aclosing(cached.passes([[1], [2], [1]])) as passes:
            assert (await anext(passes)).rows == [0, 2]
            await until(lambda: encoder.forwarded == [1, 2])
            encoder.gate.set()
            assert [done.rows async for done in passes] == [[1]]


async def test_a_caller_that_leaves_early_leaves_nothing_behind() -> None:
    """Texts of a caller that is gone would run, and its places would stay taken."""
    encoder = SlowEncoder()
    async with running(encoder) as cached:
        await answers(cached, [1])
        encoder.gate.clear()
        async with aclosing(cached.passes([[1], [2]])) as passes:
            await anext(passes)
        waiting = asyncio.create_task(cached.embed([[3]]))
        await run_ready_tasks()
        waiting.cancel()
        encoder.gate.set()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await answers(cached, [4]) == [4]
        assert cached._engine._free_places._value == 1024


async def test_a_failed_pass_is_not_remembered() -> None:
    """An event that failed once would fail for ever, or get a vector that nobody computed."""
    encoder = SlowEncoder(poison=[2])
    async with running(encoder) as cached:
        with pytest.raises(RuntimeError, match="this pass fails"):
            await cached.embed([[2], [2]])
        encoder.poison = frozenset()
        assert await answers(cached, [2]) == [2]


async def test_without_a_size_nothing_is_remembered() -> None:
    """The speed of an answer would still show that its text came before."""
    encoder = SlowEncoder()
    async with running(encoder, max_texts=0) as cached:
        assert await answers(cached, [1], [1]) == [1, 1]
        assert await answers(cached, [1]) == [1]
        assert (cached.computed, cached.cached) == (3, 0)
    assert encoder.forwarded == [1, 1, 1]


async def test_no_texts_need_no_pass() -> None:
    """An empty batch would wait for a vector that never comes."""
    encoder = SlowEncoder()
    async with running(encoder) as cached:
        assert (await cached.embed([])).shape == (0, 1)
        assert np.array_equal(await cached.embed([[9]]), [[9.0]])
