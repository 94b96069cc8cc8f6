"""The metrics against brute force and against scikit-learn: a wrong figure would be believed."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.evaluation import formulas as metrics
from inference.evaluation.formulas import expected_calibration_error

# Few values, so that ties are the rule.
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


def columns(scored: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Scores and flags as arrays."""
    return np.array([score for score, _ in scored]), np.array(
        [flag for _, flag in scored], dtype=np.bool_
    )


def orders(scored: Scored) -> list[list[bool]]:
    """Whether each row is right, surest first, in every order that the scores allow."""
    groups = [
        [right for _, right in group]
        for _, group in itertools.groupby(
            sorted(scored, key=lambda row: -row[0]), key=lambda row: row[0]
        )
    ]
    return [
        [right for group in chosen for right in group]
        for chosen in itertools.product(*(list(itertools.permutations(group)) for group in groups))
    ]


@given(SCORED)
def test_aurc_is_the_mean_over_every_order_the_scores_allow(scored: Scored) -> None:
    """Rows that tie would count by their place in the file."""
    areas = [
        np.mean(
            [order[:k].count(False) / k for k in range(1, len(order) + 1)]
        )  # the definition, word for word
        for order in orders(scored)
    ]
    assert metrics.aurc(*columns(scored)) == pytest.approx(np.mean(areas))


@given(SCORED, st.sampled_from([0.5, 0.95, 0.97, 0.98, 1.0]))
def test_coverage_is_the_largest_a_threshold_can_have(scored: Scored, accuracy: float) -> None:
    """Coverage would be claimed that no threshold gives, or a lucky prefix would stand for it."""
    best = 0.0
    for threshold, _ in scored:
        above = [right for score, right in scored if score >= threshold]
        if sum(above) >= accuracy * len(above) - 1e-9:
            best = max(best, len(above) / len(scored))
    assert metrics.coverage_at(*columns(scored), accuracy) == pytest.approx(best)


def test_a_wrong_row_at_the_very_top_does_not_end_the_coverage() -> None:
    """One sure mistake would make a model of 99 % accuracy look as if it could accept nothing."""
    certainty, correct = np.linspace(1, 0, 100), np.ones(100, dtype=np.bool_)
    correct[0] = False
    assert metrics.coverage_at(certainty, correct, 0.98) == 1.0
    assert metrics.coverage_at(certainty, correct, 0.995) == 0.0


@given(LONGER)
def test_auroc_counts_pairs(scored: Scored) -> None:
    """Ties would count as wins, and a score that says nothing would look like one that does."""
    pairs = [(a > b) + (a == b) / 2 for a, good in scored if good for b, bad in scored if not bad]
    assert metrics.auroc(*columns(scored)) == (pytest.approx(np.mean(pairs)) if pairs else None)


@given(LONGER)
def test_auroc_is_scikit_learns(scored: Scored) -> None:
    """Figures could not be compared with anybody else's."""
    ranking = pytest.importorskip("sklearn.metrics")
    score, flags = columns(scored)
    if 0 < flags.sum() < len(flags):
        assert metrics.auroc(score, flags) == pytest.approx(ranking.roc_auc_score(flags, score))


@given(LABELLED)
def test_macro_f1_and_confusion_are_scikit_learns(labelled: list[tuple[str, str]]) -> None:
    """Figures could not be compared with anybody else's."""
    reference = pytest.importorskip("sklearn.metrics")
    gold, values = [list(column) for column in zip(*labelled, strict=True)]
    found = metrics.confusion(gold, values)
    if len(found.labels) > 1:  # it warns of a matrix of one cell
        assert np.array_equal(
            found.counts, reference.confusion_matrix(gold, values, labels=list(found.labels))
        )
    assert metrics.macro_f1(found) == pytest.approx(
        reference.f1_score(gold, values, average="macro", zero_division=0)
    )


@given(LONGER)
def test_reliability_bins_are_those_of_the_calibration_error(scored: Scored) -> None:
    """The diagram would show another calibration than the figure beside it."""
    confidence, correct = columns(scored)
    bins = metrics.reliability(confidence, correct)
    assert sum(rows for rows, _, _ in bins) == len(scored)
    error = sum(rows * abs(mean - right) for rows, mean, right in bins) / len(scored)
    assert error == pytest.approx(expected_calibration_error(confidence, correct))


@given(LONGER, st.randoms())
def test_nothing_depends_on_the_order_of_the_rows(scored: Scored, random: object) -> None:
    """Two evaluations of the same rows in another order would disagree."""
    shuffled = sorted(scored, key=lambda _: random.random())  # type: ignore[attr-defined]
    for measure in (metrics.aurc, metrics.auroc, lambda *rows: metrics.coverage_at(*rows, 0.95)):
        one, other = measure(*columns(scored)), measure(*columns(shuffled))
        assert one == other or math.isclose(one, other, abs_tol=1e-12)


def test_no_rows_are_no_crash() -> None:
    """A source without a label on an axis would end the evaluation."""
    none, flags = np.zeros(0), np.zeros(0, dtype=np.bool_)
    assert metrics.aurc(none, flags) == 0.0
    assert metrics.coverage_at(none, flags, 0.95) == 0.0
    assert metrics.auroc(none, flags) is None
    assert metrics.macro_f1(metrics.confusion([], [])) == 0.0
