"""The engine: its bound really waits, nobody is left waiting for ever, and nobody pays for another's failure."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from inference.arrays import Vectors
from inference.errors import EngineClosed, InvalidTokens
from inference.model.engine import Engine
from tests.slow_encoder import SlowEncoder

ONE_ROW = 16
"""A token budget of one short text a pass."""
LONG = 300
TIMEOUT_S = 5.0

Embedding = asyncio.Task[Vectors]


@asynccontextmanager
async def running(
    encoder: SlowEncoder, *, max_batch_tokens: int = 512, max_waiting: int = 1024
) -> AsyncIterator[Engine]:
    """An engine that is closed at the end, with a bound on the whole test."""
    engine = Engine(encoder, max_batch_tokens=max_batch_tokens, max_waiting=max_waiting)
    async with asyncio.timeout(TIMEOUT_S):
        try:
            yield engine
        finally:
            encoder.gate.set()
            await engine.close()


def ask(engine: Engine, *texts: Sequence[int]) -> Embedding:
    """One caller with these texts."""
    return asyncio.create_task(engine.embed(texts))


async def settle() -> None:
    """Let everything happen that can happen while the gate stays as it is."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until_passes(encoder: SlowEncoder, count: int) -> None:
    """Wait until so many passes have begun in their threads."""
    while len(encoder.passes) < count:
        await asyncio.sleep(0.001)
    await settle()


def in_line(engine: Engine) -> list[int]:
    """The first ids of the texts the engine has taken and not yet begun."""
    return sorted(row.ids[0] for queue in engine._waiting.queues.values() for row in queue)


async def test_each_caller_gets_its_own_rows_in_order() -> None:
    """Passes mix callers and sort by length: a slip would label one event with another's answer."""
    async with running(SlowEncoder(replicas=2)) as engine:
        callers = [ask(engine, [n], [n + 1] * LONG, [n + 2] * 20) for n in range(0, 60, 3)]
        answers = await asyncio.gather(*callers)
    assert [answer[:, 0].tolist() for answer in answers] == [
        [n, n + 1, n + 2] for n in range(0, 60, 3)
    ]


async def test_callers_share_passes() -> None:
    """One pass a caller would throw away what batching is for: five times the throughput."""
    encoder = SlowEncoder()
    async with running(encoder) as engine:
        await asyncio.gather(*(ask(engine, [n]) for n in range(32)))
    assert encoder.passes == [list(range(32))]


async def test_no_texts_cost_nothing() -> None:
    """A batch of dead letters only has no texts: it must neither wait nor reach the C++ engine."""
    encoder = SlowEncoder()
    async with running(encoder) as engine:
        assert (await engine.embed([])).shape == (0, 1)
    assert encoder.passes == []


async def test_a_refused_text_runs_nothing_of_its_call() -> None:
    """Half a call run for a caller who is told it was refused is work for nobody."""
    encoder = SlowEncoder()
    async with running(encoder) as engine:
        with pytest.raises(InvalidTokens):
            await engine.embed([[1], []])
        await settle()
    assert encoder.passes == []


async def test_the_bound_really_waits() -> None:
    """An advisory bound would let a slow model fill the memory instead of holding the stream back."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW, max_waiting=4) as engine:
        callers = [ask(engine, [n]) for n in range(6)]
        await until_passes(encoder, 1)
        assert encoder.passes == [[0]]
        assert in_line(engine) == [1, 2, 3], "one runs and three wait: the fifth is not taken"
        encoder.gate.set()
        assert [float(answer[0, 0]) for answer in await asyncio.gather(*callers)] == [
            0,
            1,
            2,
            3,
            4,
            5,
        ]


async def test_room_is_given_back_whatever_happens() -> None:
    """Room lost to a failure or a cancellation would one day stop the worker without an error."""
    encoder = SlowEncoder(poison=[13], is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW, max_waiting=3) as engine:
        for _ in range(5):
            encoder.gate.clear()
            callers = [ask(engine, [n], [n]) for n in (1, 13, 3, 4)]
            await settle()
            callers[2].cancel()
            encoder.gate.set()
            await asyncio.gather(*callers, return_exceptions=True)
        await settle()
        assert engine._room._value == 3
        assert (await engine.embed([[1]] * 10)).shape == (10, 1)


async def test_one_call_may_be_larger_than_the_bound() -> None:
    """A batch of more events than may wait would wait for itself."""
    async with running(SlowEncoder(), max_batch_tokens=ONE_ROW, max_waiting=3) as engine:
        assert (await engine.embed([[n] for n in range(50)]))[:, 0].tolist() == list(range(50))


async def test_large_calls_do_not_block_each_other() -> None:
    """Two calls, each holding the room the other one waits for, would stop the worker."""
    encoder = SlowEncoder(replicas=2)
    async with running(encoder, max_waiting=2) as engine:
        lengths = (1, 20, LONG)
        callers = [
            ask(engine, *([n * 100 + i] * lengths[i % 3] for i in range(30))) for n in range(4)
        ]
        answers = await asyncio.gather(*callers)
    assert [answer[:, 0].tolist() for answer in answers] == [
        [n * 100 + i for i in range(30)] for n in range(4)
    ]


async def test_a_failing_pass_fails_everyone_in_it_and_nobody_else() -> None:
    """A caller left out would wait for ever; one failed without cause would be a lost batch."""
    encoder = SlowEncoder(poison=[2])
    async with running(encoder) as engine:
        first, poisoned, elsewhere = ask(engine, [1]), ask(engine, [2]), ask(engine, [3] * LONG)
        answers = await asyncio.gather(first, poisoned, elsewhere, return_exceptions=True)
        assert [str(answer) for answer in answers[:2]] == ["this pass fails"] * 2
        assert isinstance(answers[2], np.ndarray)
        assert (await engine.embed([[4]]))[0, 0] == 4, "the engine serves on"


async def test_rows_behind_a_failed_one_are_not_run() -> None:
    """A call that has failed has no use for its other rows; others wait for that time."""
    encoder = SlowEncoder(poison=[0])
    async with running(encoder, max_batch_tokens=ONE_ROW) as engine:
        with pytest.raises(RuntimeError, match="this pass fails"):
            await engine.embed([[n] for n in range(20)])
        await engine.embed([[100]])
    assert encoder.passes == [[0], [100]]


class ShortAnswer(SlowEncoder):
    """Answers with a row too few."""

    def forward(self, ids: Sequence[Sequence[int]], padded: int) -> Vectors:
        """One row less than asked."""
        return super().forward(ids, padded)[1:]


async def test_a_misshapen_answer_fails_its_callers() -> None:
    """A model that does not have its manifest's shape must be an error, not callers waiting for ever."""
    async with running(ShortAnswer()) as engine:
        with pytest.raises(ValueError, match="shorter"):
            await engine.embed([[1]])


async def test_a_cancelled_caller_takes_no_part() -> None:
    """After a shutdown or rebalance nobody wants these rows: run all the same, they delay those who still wait."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW) as engine:
        runs, gone, stays = ask(engine, [1]), ask(engine, [2], [3]), ask(engine, [4])
        await until_passes(encoder, 1)
        gone.cancel()
        await settle()
        encoder.gate.set()
        await asyncio.gather(runs, stays)
        assert gone.cancelled()
    assert encoder.forwarded == [1, 4]


async def test_a_caller_cancelled_while_it_waits_for_room_takes_no_part() -> None:
    """Its first rows are in line already: they too must not run once it has gone."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW, max_waiting=3) as engine:
        runs, gone = ask(engine, [1]), ask(engine, *([n] for n in range(10, 20)))
        await until_passes(encoder, 1)
        assert in_line(engine) == [10, 11], "the third text waits for room"
        gone.cancel()
        await settle()
        encoder.gate.set()
        await runs
        await engine.embed([[2]])
        assert gone.cancelled()
    assert encoder.forwarded == [1, 2]


async def test_cancelling_one_does_not_touch_the_others_in_its_pass() -> None:
    """A pass is shared: the one who leaves must not take it away from the rest."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder) as engine:
        gone, stays = ask(engine, [1]), ask(engine, [2])
        await until_passes(encoder, 1)
        gone.cancel()
        await settle()
        encoder.gate.set()
        assert (await stays)[0, 0] == 2


async def test_who_waits_longest_is_next() -> None:
    """Served by length alone, a long text would starve under a stream of short ones."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW) as engine:
        callers = [ask(engine, [1]), ask(engine, [2] * LONG), ask(engine, [3]), ask(engine, [4])]
        await until_passes(encoder, 1)
        encoder.gate.set()
        await asyncio.gather(*callers)
    assert encoder.passes == [[1], [2], [3], [4]]


async def test_every_replica_is_used_and_none_twice() -> None:
    """Fewer passes at once waste cores, more fight over them."""
    encoder = SlowEncoder(replicas=3, is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW) as engine:
        callers = [ask(engine, [n]) for n in range(10)]
        await until_passes(encoder, 3)
        assert len(encoder.passes) == 3
        encoder.gate.set()
        await asyncio.gather(*callers)


async def test_the_event_loop_is_free_while_a_pass_runs() -> None:
    """A forward pass on the loop would stop heartbeats: the group would take the partitions away."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder) as engine:
        caller = ask(engine, [1])
        await until_passes(encoder, 1)
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert not caller.done(), "the pass is still at the gate, and the loop went on"
        encoder.gate.set()
        await caller
    assert threading.get_ident() not in encoder.threads


async def test_close_ends_every_wait(caplog: pytest.LogCaptureFixture) -> None:
    """A future that nobody answers would hang the shutdown until the orchestrator kills the worker."""
    encoder = SlowEncoder(is_open=False)
    async with running(encoder, max_batch_tokens=ONE_ROW, max_waiting=3) as engine:
        runs, half_run, for_room = (
            ask(engine, [1]),
            ask(engine, *([n] for n in range(2, 9))),
            ask(engine, [9]),
        )
        await until_passes(encoder, 1)
        closing = asyncio.create_task(engine.close())
        await settle()
        assert not closing.done(), "the running pass is let end"
        encoder.gate.set()
        answers = await asyncio.gather(runs, half_run, for_room, closing, return_exceptions=True)
        assert isinstance(answers[0], np.ndarray), "what was running is answered"
        assert [type(answer) for answer in answers[1:]] == [EngineClosed, EngineClosed, type(None)]
    assert encoder.forwarded == [1]
    del runs, half_run, for_room, answers
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_a_closed_engine_says_so() -> None:
    """A caller that comes too late must get an error that names the reason, not wait."""
    engine = Engine(SlowEncoder())
    await engine.close()
    await engine.close()
    with pytest.raises(EngineClosed, match="closed"):
        await asyncio.wait_for(engine.embed([[1]]), TIMEOUT_S)


def test_a_loop_that_ends_without_close_leaves_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    """After Ctrl-C nobody closes anything: no pass may be begun for callers who are gone."""
    encoder = SlowEncoder(is_open=False)

    async def leave() -> tuple[Engine, list[Embedding]]:
        engine = Engine(encoder, max_batch_tokens=ONE_ROW, max_waiting=3)
        callers = [ask(engine, [n], [n]) for n in range(5)]
        await until_passes(encoder, 1)
        return engine, callers

    engine, callers = asyncio.run(leave())
    encoder.gate.set()
    engine._executor.shutdown(wait=True)
    assert all(caller.cancelled() for caller in callers)
    assert encoder.forwarded == [0]
    del engine, callers
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []
