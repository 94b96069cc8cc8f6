"""How texts are grouped into forward passes: throughput and identical results depend on it."""

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
def test_texts_are_padded_to_a_multiple_of_sixteen(tokens: int, padded: int) -> None:
    """Another padding would change every vector that the shipped heads were trained on."""
    assert padded_length(tokens) == padded


def test_a_text_longer_than_the_budget_still_runs() -> None:
    """Otherwise a text that is longer than the budget would wait for ever."""
    assert rows_per_batch(512, 100) == 1
    assert plan([500], 100) == [Batch(rows=(0,), padded_length=512)]


def test_batches_have_one_length_and_the_longest_runs_first() -> None:
    """Mixed lengths in one pass, or the longest pass at the end, would cost throughput."""
    assert plan([3, 200, 16, 17, 1], 512) == [
        Batch(rows=(1,), padded_length=208),
        Batch(rows=(3,), padded_length=32),
        Batch(rows=(0, 2, 4), padded_length=16),
    ]


def test_the_default_budget_gives_32_short_texts() -> None:
    """A much larger batch does not fit in the processor's cache and was several times slower."""
    assert [len(batch.rows) for batch in plan([10] * 70)] == [32, 32, 6]
    assert DEFAULT_MAX_BATCH_TOKENS == 512


def test_no_texts_give_no_batches() -> None:
    """A forward pass over an empty batch would crash the C++ engine."""
    assert plan([]) == []
