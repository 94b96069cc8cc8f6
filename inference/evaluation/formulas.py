"""The figures themselves: pure functions of arrays, each with the paper it comes from.

`certainty` is anything by which the surest rows come first; only its order counts. Rows that tie cannot be told apart
by a threshold, so nothing here depends on the order in which they stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.arrays import Floats

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

RELIABILITY_BINS = 15
"""As many as `inference.temperature.expected_calibration_error` has."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The risk-coverage curve at every threshold the data can tell apart: `rows` accepted, `errors` among them."""

    rows: Counts
    errors: Counts


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often (`counts[gold, value]`, shape (labels, labels)) each label was answered for each gold one."""

    labels: tuple[str, ...]
    counts: Counts


def risk_coverage(certainty: Floats, correct: Bools) -> Curve:
    """Errors among the k surest rows (El-Yaniv and Wiener, 2010, "On the Foundations of Noise-free Selective
    Classification"), for every k at which a threshold can cut; both arrays have shape (n,), empty for no rows.
    """  # noqa: D205 - one sentence with its source
    order = np.argsort(-certainty, kind="stable")
    ranked = certainty[order]
    ends = (
        np.append(np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, len(ranked))
        if len(ranked)
        else np.zeros(0, int)
    )
    wrong = np.concatenate([[0], np.cumsum(~correct[order])])
    return Curve(ends.astype(np.int64), wrong[ends].astype(np.int64))


def aurc(certainty: Floats, correct: Bools) -> float:
    """Area under the risk-coverage curve (Geifman, Uziel and El-Yaniv, 2019, "Bias-Reduced Uncertainty Estimation for
    Deep Neural Classifiers"): the mean over k of the error rate of the k surest rows; lower is better, 0.0 for no rows.

    Within a tie the expectation over its orders is taken, which is what cutting it by a coin would give.
    """  # noqa: D205 - one sentence with its source
    if not len(certainty):
        return 0.0
    curve = risk_coverage(certainty, correct)
    k = np.arange(1, len(certainty) + 1)
    errors = np.interp(k, np.append(0, curve.rows), np.append(0, curve.errors))
    return float((errors / k).mean())


def coverage_at(certainty: Floats, correct: Bools, accuracy: float) -> float:
    """The largest share of rows, the surest first, that is right at least `accuracy` of the time; 0.0 if none is.

    The largest, not the first: a curve that dips below the bar among its first few rows and comes back is met where
    it is met last, so neither luck nor bad luck in a handful of rows decides.
    """
    curve = risk_coverage(certainty, correct)
    # Counted in whole rows: 98 of 100 meet 0.98, whatever the last bit of 1 - 0.98 says.
    met = (curve.rows - curve.errors) >= accuracy * curve.rows - 1e-9
    return float(curve.rows[met].max(initial=0)) / max(1, len(certainty))


def auroc(score: Floats, positive: Bools) -> float | None:
    """Area under the ROC curve: how likely a positive row scores above a negative one, ties counting half (Hanley and
    McNeil, 1982, "The Meaning and Use of the Area under a ROC Curve"); None unless there are rows of both kinds.
    """  # noqa: D205 - one sentence with its source
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(counts) - (counts - 1) / 2
    above = float(mid_ranks[inverse][positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def confusion(gold: Sequence[str], values: Sequence[str]) -> Confusion:
    """Counts over every label that occurs on either side, the labels sorted."""
    labels = tuple(sorted({*gold, *values}))
    index = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, ([index[label] for label in gold], [index[label] for label in values]), 1)
    return Confusion(labels, counts)


def macro_f1(found: Confusion) -> float:
    """The mean of the labels' F1 scores (Opitz and Burst, 2019, "Macro F1 and Macro F1"); 0.0 for no rows.

    A label that occurs only in the answers counts with an F1 of zero, as in scikit-learn.
    """
    if not found.labels:
        return 0.0
    seen = found.counts.sum(axis=0) + found.counts.sum(axis=1)
    return float((2 * np.diagonal(found.counts) / seen).mean())


def reliability(
    confidence: Floats, correct: Bools, bins: int = RELIABILITY_BINS
) -> list[tuple[int, float, float]]:
    """Rows, mean confidence and accuracy of each equal-width bin of confidence (Guo et al., 2017, "On Calibration of
    Modern Neural Networks", after DeGroot and Fienberg, 1983); zeros for a bin without rows.
    """  # noqa: D205 - one sentence with its source
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows = np.bincount(index, minlength=bins)
    held = np.maximum(rows, 1)
    mean = np.bincount(index, weights=confidence, minlength=bins) / held
    right = np.bincount(index, weights=correct.astype(np.float64), minlength=bins) / held
    return list(zip(rows.tolist(), mean.tolist(), right.tolist(), strict=True))


def expected_calibration_error(
    confidence: Floats, correct: npt.NDArray[np.bool_], bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by their rows (Guo et al., 2017)."""
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = (abs(float((confidence[index == b] - correct[index == b]).sum())) for b in range(bins))
    return sum(gaps) / max(1, len(confidence))
