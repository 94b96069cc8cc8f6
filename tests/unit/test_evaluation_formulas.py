"""The formulas against brute force and scikit-learn: a wrong figure would be believed."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.evaluation import formulas

# Only a few values, so that ties are frequent.
SCORED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()),
    min_size=1,
    max_size=7,
)
LONGER = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)
LABELLED = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=50
)

Scored = list[tuple[float, bool]]


@pytest.fixture(scope="module")
def sklearn_metrics() -> Any:
    """The reference. It is imported outside of the tests, whose examples have a deadline."""
    return pytest.importorskip("sklearn.metrics")


def columns(scored: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Scores and flags as arrays."""
    scores = np.array([score for score, _ in scored])
    return scores, np.array([flag for _, flag in scored], dtype=np.bool_)


def possible_orders(scored: Scored) -> list[list[bool]]:
    """Whether each row is right, the surest first, in every order that the scores allow."""
    ranked = sorted(scored, key=lambda row: -row[0])
    ties = [
        [right for _, right in rows]
        for _, rows in itertools.groupby(ranked, key=lambda row: row[0])
    ]
    return [
        [right for tie in order for right in tie]
        for order in itertools.product(*(list(itertools.permutations(tie)) for tie in ties))
    ]


@given(SCORED)
def test_aurc_is_the_mean_over_every_order_the_scores_allow(scored: Scored) -> None:
    """Rows with equal scores would count by their place in the file."""
    areas = [
        # This is the definition, word for word.
        np.mean([order[:k].count(False) / k for k in range(1, len(order) + 1)])
        for order in possible_orders(scored)
    ]
    assert formulas.aurc(*columns(scored)) == pytest.approx(np.mean(areas))


@given(SCORED, st.sampled_from([0.5, 0.95, 0.97, 0.98, 1.0]))
def test_coverage_is_the_largest_a_threshold_can_have(scored: Scored, accuracy: float) -> None:
    """A coverage would be reported that no threshold gives, or one of a lucky few rows."""
    best = 0.0
    for threshold, _ in scored:
        accepted = [right for score, right in scored if score >= threshold]
        if sum(accepted) >= accuracy * len(accepted) - 1e-9:
            best = max(best, len(accepted) / len(scored))
    assert formulas.coverage_at_accuracy(*columns(scored), accuracy) == pytest.approx(best)


def test_a_wrong_row_at_the_very_top_does_not_end_the_coverage() -> None:
    """One mistake among the surest rows would hide the coverage of a model of 99 % accuracy."""
    certainty, correct = np.linspace(1, 0, 100), np.ones(100, dtype=np.bool_)
    correct[0] = False
    assert formulas.coverage_at_accuracy(certainty, correct, 0.98) == 1.0
    assert formulas.coverage_at_accuracy(certainty, correct, 0.995) == 0.0


@given(LONGER)
def test_auroc_counts_pairs(scored: Scored) -> None:
    """Equal scores would count as wins, and a score without information would look useful."""
    wins = [
        (high > low) + (high == low) / 2
        for high, positive in scored
        if positive
        for low, also_positive in scored
        if not also_positive
    ]
    expected = pytest.approx(np.mean(wins)) if wins else None
    assert formulas.auroc(*columns(scored)) == expected


@given(scored=LONGER)
def test_auroc_is_scikit_learns(sklearn_metrics: Any, scored: Scored) -> None:
    """The figures could not be compared with those of other people."""
    score, flags = columns(scored)
    if 0 < flags.sum() < len(flags):
        reference = sklearn_metrics.roc_auc_score(flags, score)
        assert formulas.auroc(score, flags) == pytest.approx(reference)


@given(labelled=LABELLED)
def test_macro_f1_and_confusion_are_scikit_learns(
    sklearn_metrics: Any, labelled: list[tuple[str, str]]
) -> None:
    """The figures could not be compared with those of other people."""
    gold, values = [list(column) for column in zip(*labelled, strict=True)]
    confusion = formulas.confusion_matrix(gold, values)
    # scikit-learn warns about a matrix of one cell.
    if len(confusion.labels) > 1:
        assert np.array_equal(
            confusion.counts,
            sklearn_metrics.confusion_matrix(gold, values, labels=list(confusion.labels)),
        )
    assert formulas.macro_f1(confusion) == pytest.approx(
        sklearn_metrics.f1_score(gold, values, average="macro", zero_division=0)
    )


@given(LONGER)
def test_reliability_bins_are_those_of_the_calibration_error(scored: Scored) -> None:
    """The diagram would show another calibration than the figure beside it."""
    confidence, correct = columns(scored)
    bins = formulas.reliability_bins(confidence, correct)
    assert sum(rows for rows, _, _ in bins) == len(scored)
    error = sum(rows * abs(mean - accuracy) for rows, mean, accuracy in bins) / len(scored)
    assert error == pytest.approx(formulas.expected_calibration_error(confidence, correct))


@given(LONGER, st.randoms())
def test_nothing_depends_on_the_order_of_the_rows(scored: Scored, random: object) -> None:
    """Two evaluations of the same rows in different orders would differ."""
    shuffled = sorted(scored, key=lambda _: random.random())  # type: ignore[attr-defined]
    for formula in (formulas.aurc, formulas.auroc, coverage_at_95):
        original, reordered = formula(*columns(scored)), formula(*columns(shuffled))
        if original is None or reordered is None:
            assert original == reordered
        else:
            assert math.isclose(original, reordered, rel_tol=1e-9, abs_tol=1e-12)


def coverage_at_95(certainty: np.ndarray, correct: np.ndarray) -> float:
    """The coverage at an accuracy of 95 %."""
    return formulas.coverage_at_accuracy(certainty, correct, 0.95)


def test_no_rows_are_no_crash() -> None:
    """A source without a label on an axis would end the evaluation."""
    scores, flags = np.zeros(0), np.zeros(0, dtype=np.bool_)
    assert formulas.aurc(scores, flags) == 0.0
    assert formulas.coverage_at_accuracy(scores, flags, 0.95) == 0.0
    assert formulas.auroc(scores, flags) is None
    assert formulas.macro_f1(formulas.confusion_matrix([], [])) == 0.0


@pytest.mark.parametrize(("share", "rows"), [(0.0, 1), (1.0, 1), (0.5, 40), (1.0, 10_000)])
def test_intervals_contain_the_observed_share(share: float, rows: int) -> None:
    """An interval beside its point would say that the point is impossible."""
    low, high = formulas.wilson_interval(share, rows)
    assert 0.0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1.0
