"""The engine under any mix of callers: an event's vector depends on that event alone."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import EngineClosed
from inference.model.encoder import Encoder
from inference.model.engine import Engine
from tests.slow_encoder import SlowEncoder
from tests.tiny_model import PIECES, open_tiny_encoder

TIMEOUT_S = 20.0
POISON = 13

ids_of_text = st.lists(st.integers(0, PIECES - 1), min_size=1, max_size=90)
slow_calls = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), max_size=6), st.booleans()
    ),
    max_size=10,
)


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> Encoder:
    """The tiny model's encoder."""
    return open_tiny_encoder(tiny_model)


@given(st.lists(ids_of_text, min_size=1, max_size=12), st.integers(1, 2_000))
def test_a_vector_is_bit_identical_alone_and_in_any_batch(
    encoder: Encoder, ids: list[list[int]], budget: int
) -> None:
    """Otherwise a redelivered event near the threshold could get another decision."""
    alone = [encoder.embed([text])[0].tobytes() for text in ids]
    assert [vector.tobytes() for vector in encoder.embed(ids, max_batch_tokens=budget)] == alone


@given(
    calls=slow_calls,
    replicas=st.integers(1, 3),
    max_waiting=st.integers(1, 8),
    budget=st.integers(1, 200),
    steps=st.integers(0, 12),
    closes=st.booleans(),
)
def test_every_caller_ends_in_exactly_one_way(
    calls: list[tuple[list[tuple[int, int]], bool]],
    replicas: int,
    max_waiting: int,
    budget: int,
    steps: int,
    closes: bool,
) -> None:
    """Otherwise a caller could wait for ever or get the rows of another caller."""

    async def run() -> None:
        encoder = SlowEncoder(replicas=replicas, poison=[POISON], is_open=False)
        engine = Engine(encoder, max_batch_tokens=budget, max_waiting=max_waiting)
        texts = [[[first] * length for first, length in call] for call, _ in calls]
        callers = [asyncio.create_task(engine.embed(call)) for call in texts]
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting = sum(len(queue) for queue in engine._waiting.queues.values())
        assert waiting + len(encoder.forwarded) <= max_waiting
        for caller, (_, cancelled) in zip(callers, calls, strict=True):
            if cancelled:
                caller.cancel()
        closing = asyncio.create_task(engine.close()) if closes else None
        encoder.gate.set()
        answers = await asyncio.gather(*callers, return_exceptions=True)
        await (closing or engine.close())
        assert engine._free_places._value == max_waiting
        poisoned = POISON in encoder.forwarded
        for (call, cancelled), answer in zip(calls, answers, strict=True):
            if isinstance(answer, np.ndarray):
                assert answer[:, 0].tolist() == [first for first, _ in call]
            else:
                assert (
                    (isinstance(answer, asyncio.CancelledError) and cancelled)
                    or (isinstance(answer, EngineClosed) and closes)
                    or (type(answer) is RuntimeError and poisoned)
                )

    asyncio.run(asyncio.wait_for(run(), TIMEOUT_S))
