"""The engine: callers wait at its bound, none waits for ever, and failures stay apart."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import numpy as np
import pytest

from inference.arrays import Vectors
from inference.errors import EngineClosed, InvalidTokens
from inference.model.engine import Engine
from tests.patience import PATIENCE_S, run_ready_tasks, until
from tests.slow_encoder import SlowEncoder

ONE_ROW = 16
"""A token budget for one short text per pass."""
LONG = 300
Embedding = asyncio.Task[Vectors]


@asynccontextmanager
async def running(
    encoder: SlowEncoder, *, max_batch_tokens: int = 512, max_waiting: int = 1024
) -> AsyncIterator[Engine]:
    """An engine that is closed at the end. The whole test has a time limit."""
    engine = Engine(encoder, max_batch_tokens=max_batch_tokens, max_waiting=max_waiting)
    async with asyncio.timeout(PATIENCE_S):
        try:
            yield engine
        finally:
            encoder.gate.set()
            await engine.close()


def call(engine: Engine, *texts: Sequence[int]) -> Embedding:
    """Start one caller with these texts."""
    return asyncio.create_task(engine.embed(texts))


async def until_passes(encoder: SlowEncoder, count: int) -> None:
    """Wait until this many passes have begun in their threads."""
    await until(lambda: len(encoder.passes) >= count)
    await run_ready_tasks()


def waiting(engine: Engine) -> list[int]:
    """The first ids of the texts that wait for a pass."""
    return sorted(text.ids[0] for queue in engine._waiting.queues.values() for text in queue)


async def test_a_caller_gets_its_own_rows_in_order() -> None:
    """Passes mix the rows of callers; a mistake would give one event the labels of another."""
    async with running(SlowEncoder(replicas=2)) as engine:
        callers = [call(engine, [n], [n + 1] * LONG, [n + 2] * 20) for n in range(0, 60, 3)]
        answers = await asyncio.gather(*callers)
    assert [answer[:, 0].tolist() for answer in answers] == [
        [n, n + 1, n + 2] for n in range(0, 60, 3)
    ]


async def test_callers_share_passes() -> None:
    """One pass per caller would lose what batching brings: five times the throughput."""
    encoder = SlowEncoder()
    async with running(encoder) as engine:
        await asyncio.gather(*(call(engine, [n]) for n in range(32)))
    assert encoder.passes == [list(range(32))]


async def test_no_texts_need_no_pass() -> None:
    """A batch of only dead letters has no texts; an empty pass would crash the C++ engine."""
    encoder = SlowEncoder()
    async with running(encoder) as engine:
        assert (await engine.embed([])).shape == (0, 1)
    assert encoder.passes == []


async def test_a_call_with_a_refused_text_is_not_run() -> None:
    """Otherwise the other texts of a refused call would be run for nothing."""
    encoder = SlowEncoder()
    async with running(encoder) as engine:
        with pytest.raises(InvalidTokens):
            await engine.embed([[1], []])
        await run_ready_tasks()
    assert encoder.passes == []


async def test_callers_wait_at_the_bound() -> None:
    """Otherwise a slow model would fill the memory, and the stream would not slow down."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW, max_waiting=4) as engine:
        callers = [call(engine, [n]) for n in range(6)]
        await until_passes(encoder, 1)
        assert encoder.passes == [[0]]
        assert waiting(engine) == [1, 2, 3], "one text runs, three wait, the fifth has no place"
        encoder.gate.set()
        answers = await asyncio.gather(*callers)
        assert [float(answer[0, 0]) for answer in answers] == [0, 1, 2, 3, 4, 5]


async def test_places_are_released_in_every_case() -> None:
    """Places that failures or cancellations do not release would stop the worker in the end."""
    encoder = SlowEncoder(poison=[13], is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW, max_waiting=3) as engine:
        for _ in range(5):
            encoder.gate.clear()
            callers = [call(engine, [n], [n]) for n in (1, 13, 3, 4)]
            await run_ready_tasks()
            callers[2].cancel()
            encoder.gate.set()
            await asyncio.gather(*callers, return_exceptions=True)
        await run_ready_tasks()
        assert engine._free_places._value == 3
        assert (await engine.embed([[1]] * 10)).shape == (10, 1)


async def test_one_call_may_be_larger_than_the_bound() -> None:
    """Otherwise a batch of more events than may wait would wait for ever."""
    async with running(SlowEncoder(), max_batch_tokens=ONE_ROW, max_waiting=3) as engine:
        assert (await engine.embed([[n] for n in range(50)]))[:, 0].tolist() == list(range(50))


async def test_large_calls_do_not_block_each_other() -> None:
    """Two calls that hold the places that the other needs would stop the worker."""
    encoder = SlowEncoder(replicas=2)
    async with running(encoder, max_waiting=2) as engine:
        lengths = (1, 20, LONG)
        callers = [
            call(engine, *([n * 100 + i] * lengths[i % 3] for i in range(30))) for n in range(4)
        ]
        answers = await asyncio.gather(*callers)
    assert [answer[:, 0].tolist() for answer in answers] == [
        [n * 100 + i for i in range(30)] for n in range(4)
    ]


async def test_a_failing_pass_fails_only_its_callers() -> None:
    """Otherwise a caller would wait for ever, or a batch would fail without a reason."""
    encoder = SlowEncoder(poison=[2])
    async with running(encoder) as engine:
        first, poisoned, other_pass = call(engine, [1]), call(engine, [2]), call(engine, [3] * LONG)
        answers = await asyncio.gather(first, poisoned, other_pass, return_exceptions=True)
        assert [str(answer) for answer in answers[:2]] == ["this pass fails"] * 2
        assert isinstance(answers[2], np.ndarray)
        assert (await engine.embed([[4]]))[0, 0] == 4, "the engine still works"


async def test_rows_after_a_failed_row_are_not_run() -> None:
    """A failed call does not need its other rows, and other callers wait for that time."""
    encoder = SlowEncoder(poison=[0])
    async with running(encoder, max_batch_tokens=ONE_ROW) as engine:
        with pytest.raises(RuntimeError, match="this pass fails"):
            await engine.embed([[n] for n in range(20)])
        await engine.embed([[100]])
    assert encoder.passes == [[0], [100]]


class Held(SlowEncoder):
    """Only the passes with a text whose first id is above 100 wait at the gate."""

    def forward(self, ids: Sequence[Sequence[int]], padded: int) -> Vectors:
        """Run one pass."""
        if max(text[0] for text in ids) <= 100:
            return np.array([[text[0]] for text in ids], dtype=np.float32)
        return super().forward(ids, padded)


async def test_a_pass_is_given_when_it_is_done() -> None:
    """A short ticket would wait for the long alerts that came with it."""
    encoder = Held(replicas=2, is_open=False)
    async with running(encoder) as engine:
        async with aclosing(engine.passes([[101] * LONG, [1], [2]])) as passes:
            first = await anext(passes)
            assert first.rows == [1, 2]
            assert first.vectors[:, 0].tolist() == [1, 2]
            encoder.gate.set()
            last = await anext(passes)
        assert (last.rows, last.vectors[:, 0].tolist()) == ([0], [101])
        assert last.started_s <= time.perf_counter()


async def test_texts_of_a_caller_that_leaves_early_are_not_run() -> None:
    """A caller that fails over one of its passes would have the others run for nothing."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW) as engine:
        blocker = call(engine, [1])
        await until_passes(encoder, 1)
        passes = engine.passes([[2], [3]])
        waits = asyncio.ensure_future(anext(passes))
        await run_ready_tasks()
        assert waiting(engine) == [2, 3]
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        encoder.gate.set()
        await blocker
        await engine.embed([[4]])
    assert encoder.forwarded == [1, 4]


class ShortAnswer(SlowEncoder):
    """Returns one row less than it should."""

    def forward(self, ids: Sequence[Sequence[int]], padded: int) -> Vectors:
        """All rows but the first."""
        return super().forward(ids, padded)[1:]


async def test_an_output_with_missing_rows_fails_its_callers() -> None:
    """Otherwise the callers of a wrong model would wait for ever."""
    async with running(ShortAnswer()) as engine:
        with pytest.raises(ValueError, match="0 vectors for 1"):
            await engine.embed([[1]])


async def test_texts_of_a_cancelled_caller_are_not_run() -> None:
    """After a rebalance nobody needs these texts; they would delay the callers that wait."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW) as engine:
        runs, gone, stays = call(engine, [1]), call(engine, [2], [3]), call(engine, [4])
        await until_passes(encoder, 1)
        gone.cancel()
        await run_ready_tasks()
        encoder.gate.set()
        await asyncio.gather(runs, stays)
        assert gone.cancelled()
    assert encoder.forwarded == [1, 4]


async def test_texts_of_a_caller_cancelled_at_the_bound_are_not_run() -> None:
    """Otherwise the texts that already wait would be run for a caller that is gone."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW, max_waiting=3) as engine:
        runs, gone = call(engine, [1]), call(engine, *([n] for n in range(10, 20)))
        await until_passes(encoder, 1)
        assert waiting(engine) == [10, 11], "the third text waits for a place"
        gone.cancel()
        await run_ready_tasks()
        encoder.gate.set()
        await runs
        await engine.embed([[2]])
        assert gone.cancelled()
    assert encoder.forwarded == [1, 2]


async def test_a_cancelled_caller_does_not_cancel_its_pass() -> None:
    """A pass is shared; the other callers would lose their answers."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder) as engine:
        gone, stays = call(engine, [1]), call(engine, [2])
        await until_passes(encoder, 1)
        gone.cancel()
        await run_ready_tasks()
        encoder.gate.set()
        assert (await stays)[0, 0] == 2


async def test_the_oldest_text_is_next() -> None:
    """Otherwise a long text would wait for ever while short texts keep coming."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW) as engine:
        callers = [
            call(engine, [1]),
            call(engine, [2] * LONG),
            call(engine, [3]),
            call(engine, [4]),
        ]
        await until_passes(encoder, 1)
        encoder.gate.set()
        await asyncio.gather(*callers)
    assert encoder.passes == [[1], [2], [3], [4]]


async def test_there_are_as_many_passes_as_replicas() -> None:
    """Fewer passes at once would leave cores idle, more would slow each other down."""
    encoder = SlowEncoder(replicas=3, is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW) as engine:
        callers = [call(engine, [n]) for n in range(10)]
        await until_passes(encoder, 3)
        assert len(encoder.passes) == 3
        encoder.gate.set()
        await asyncio.gather(*callers)


async def test_the_event_loop_is_free_while_a_pass_runs() -> None:
    """A pass on the event loop would stop heartbeats, and the worker would lose its partitions."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder) as engine:
        caller = call(engine, [1])
        await until_passes(encoder, 1)
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert not caller.done(), "the pass waits at the gate, and the loop still runs"
        encoder.gate.set()
        await caller
    assert threading.get_ident() not in encoder.threads


async def test_close_answers_every_caller(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise the shutdown would hang until the orchestrator kills the worker."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW, max_waiting=3) as engine:
        runs, at_bound = call(engine, [1]), call(engine, *([n] for n in range(2, 9)))
        last = call(engine, [9])
        await until_passes(encoder, 1)
        closing = asyncio.create_task(engine.close())
        await run_ready_tasks()
        assert not closing.done(), "the running pass may end"
        encoder.gate.set()
        answers = await asyncio.gather(runs, at_bound, last, closing, return_exceptions=True)
        assert isinstance(answers[0], np.ndarray), "the running call has its answer"
        assert [type(answer) for answer in answers[1:]] == [EngineClosed, EngineClosed, type(None)]
    assert encoder.forwarded == [1]
    del runs, at_bound, last, answers
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_a_closed_engine_refuses_calls() -> None:
    """Otherwise a late caller would wait for ever."""
    engine = Engine(SlowEncoder())
    await engine.close()
    await engine.close()
    with pytest.raises(EngineClosed, match="closed"):
        await asyncio.wait_for(engine.embed([[1]]), PATIENCE_S)


def test_an_event_loop_that_ends_without_close_logs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After Ctrl-C nothing is closed; a new pass would log errors of callers that are gone."""
    encoder = SlowEncoder(is_open=False)

    async def start() -> tuple[Engine, list[Embedding]]:
        engine = Engine(encoder, max_batch_tokens=ONE_ROW, max_waiting=3)
        callers = [call(engine, [n], [n]) for n in range(5)]
        await until_passes(encoder, 1)
        return engine, callers

    engine, callers = asyncio.run(start())
    encoder.gate.set()
    engine._executor.shutdown(wait=True)
    assert all(caller.cancelled() for caller in callers)
    assert encoder.forwarded == [0]
    del engine, callers
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []
