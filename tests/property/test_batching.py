"""The plan of batches, for any lengths and any budget."""

from hypothesis import given
from hypothesis import strategies as st

from inference.model.batching import PAD_MULTIPLE, padded_length, plan

lengths_of_texts = st.lists(st.integers(1, 512), max_size=200)
budgets = st.integers(1, 10_000)


@given(lengths_of_texts, budgets)
def test_every_row_is_in_exactly_one_batch(lengths: list[int], budget: int) -> None:
    """A missing row would never be answered, and a double row would cost twice."""
    rows = [row for batch in plan(lengths, budget) for row in batch.rows]
    assert sorted(rows) == list(range(len(lengths)))


@given(lengths_of_texts, budgets)
def test_the_budget_is_kept(lengths: list[int], budget: int) -> None:
    """A larger batch does not fit in the cache; only a single text may exceed the budget."""
    for batch in plan(lengths, budget):
        assert batch.rows
        assert len(batch.rows) == 1 or len(batch.rows) * batch.padded_length <= budget


@given(lengths_of_texts, budgets)
def test_padding_depends_on_the_row_alone(lengths: list[int], budget: int) -> None:
    """Otherwise an event would have another vector in another batch."""
    for batch in plan(lengths, budget):
        assert {padded_length(lengths[row]) for row in batch.rows} == {batch.padded_length}
        assert all(0 <= batch.padded_length - lengths[row] < PAD_MULTIPLE for row in batch.rows)


@given(lengths_of_texts, budgets)
def test_only_the_last_batch_of_a_length_is_not_full(lengths: list[int], budget: int) -> None:
    """Otherwise more passes than necessary would cost throughput."""
    batches = plan(lengths, budget)
    for padded in {batch.padded_length for batch in batches}:
        sizes = [len(batch.rows) for batch in batches if batch.padded_length == padded]
        assert len(set(sizes[:-1])) <= 1
        assert sizes[-1] <= sizes[0]
