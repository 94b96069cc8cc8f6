"""How texts are put into forward passes: the measured choices that throughput and reproducibility hang on."""

import pytest

from inference.model.batching import (
    DEFAULT_MAX_BATCH_TOKENS,
    Batch,
    padded_length,
    plan,
    rows_per_batch,
)


@pytest.mark.parametrize(
    ("tokens", "padded"), [(1, 16), (15, 16), (16, 16), (17, 32), (511, 512), (512, 512)]
)
def test_padded_to_the_next_multiple_of_sixteen(tokens: int, padded: int) -> None:
    """Another padding would change every vector the shipped heads were trained on."""
    assert padded_length(tokens) == padded


def test_a_text_longer_than_the_budget_still_runs() -> None:
    """A long text that no batch may hold would wait for ever."""
    assert rows_per_batch(512, 100) == 1
    assert plan([500], 100) == [Batch(rows=(0,), padded_length=512)]


def test_longest_first_and_like_with_like() -> None:
    """Mixed lengths in one pass, or the longest left for the end, cost the throughput batching is there for."""
    assert plan([3, 200, 16, 17, 1], 512) == [
        Batch(rows=(1,), padded_length=208),
        Batch(rows=(3,), padded_length=32),
        Batch(rows=(0, 2, 4), padded_length=16),
    ]


def test_default_budget_fills_a_pass_of_short_texts() -> None:
    """A much larger budget leaves the processor's cache and was several times slower."""
    assert [len(batch.rows) for batch in plan([10] * 70)] == [32, 32, 6]
    assert DEFAULT_MAX_BATCH_TOKENS == 512


def test_nothing_to_do() -> None:
    """An empty batch that planned a pass would crash the C++ engine."""
    assert plan([]) == []
