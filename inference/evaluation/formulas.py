"""The formulas behind the figures: pure functions of arrays, each with the paper it comes from.

`certainty` is any score that is higher for surer rows; only the order of the rows counts. A
threshold cannot separate rows with the same certainty. So no result depends on their order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.arrays import Bools, Floats

Counts = npt.NDArray[np.int64]

RELIABILITY_BINS = 15
NORMAL_QUANTILE_95 = 1.96
"""A standard normal variable lies within plus or minus this value with 95 % probability."""


@dataclass(frozen=True, slots=True)
class RiskCoverageCurve:
    """For each threshold that separates rows: how many it accepts, and how many of them are wrong.

    Both arrays have shape (thresholds,), the strictest threshold first.
    """

    rows: Counts
    errors: Counts


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """`counts[gold, value]`, of shape (labels, labels): how often a gold label got an answer."""

    labels: tuple[str, ...]
    counts: Counts


def risk_coverage_curve(certainty: Floats, correct: Bools) -> RiskCoverageCurve:
    """The errors among the k surest rows, for every k that a threshold can select.

    El-Yaniv and Wiener, 2010, "On the Foundations of Noise-free Selective Classification". Both
    arguments have shape (rows,). Without rows the curve is empty.
    """
    order = np.argsort(-certainty, kind="stable")
    ends = _ends_of_ties(certainty[order])
    errors = np.concatenate([[0], np.cumsum(~correct[order])])
    return RiskCoverageCurve(ends, errors[ends].astype(np.int64))


def aurc(certainty: Floats, correct: Bools) -> float:
    """The area under the risk-coverage curve; lower is better, 0.0 without rows.

    Geifman, Uziel and El-Yaniv, 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural
    Classifiers": the mean, over all k, of the error rate of the k surest rows. For rows with the
    same certainty it is the expected value over all their orders.
    """
    if not len(certainty):
        return 0.0
    curve = risk_coverage_curve(certainty, correct)
    k = np.arange(1, len(certainty) + 1)
    errors = np.interp(k, np.append(0, curve.rows), np.append(0, curve.errors))
    return float((errors / k).mean())


def coverage_at_accuracy(certainty: Floats, correct: Bools, accuracy: float) -> float:
    """The largest share of the rows, the surest first, that is right at least `accuracy` often.

    It is 0.0 if no share is. The largest share counts and not the first that fails: otherwise a
    single wrong row among the surest few would end the coverage.
    """
    curve = risk_coverage_curve(certainty, correct)
    # Whole rows are compared: 98 of 100 rows meet 0.98, whatever the rounding error of 0.98 * 100.
    met = (curve.rows - curve.errors) >= accuracy * curve.rows - 1e-9
    return float(curve.rows[met].max(initial=0)) / max(1, len(certainty))


def auroc(score: Floats, positive: Bools) -> float | None:
    """The area under the ROC curve: how likely a positive row scores above a negative one.

    Hanley and McNeil, 1982, "The Meaning and Use of the Area under a Receiver Operating
    Characteristic (ROC) Curve". Equal scores count half. It is None unless there are rows of both
    kinds.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(counts) - (counts - 1) / 2
    above = float(mid_ranks[inverse][positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def confusion_matrix(gold: Sequence[str], values: Sequence[str]) -> ConfusionMatrix:
    """The counts over every label that occurs as a gold label or as an answer, sorted by name."""
    labels = tuple(sorted({*gold, *values}))
    index = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, ([index[label] for label in gold], [index[label] for label in values]), 1)
    return ConfusionMatrix(labels, counts)


def macro_f1(confusion: ConfusionMatrix) -> float:
    """The mean of the F1 scores of the labels; 0.0 without rows.

    Opitz and Burst, 2019, "Macro F1 and Macro F1". A label that occurs only as an answer counts
    with an F1 score of zero, as in scikit-learn.
    """
    if not confusion.labels:
        return 0.0
    occurrences = confusion.counts.sum(axis=0) + confusion.counts.sum(axis=1)
    return float((2 * np.diagonal(confusion.counts) / occurrences).mean())


def reliability_bins(
    confidence: Floats, correct: Bools, bins: int = RELIABILITY_BINS
) -> list[tuple[int, float, float]]:
    """The rows, the mean confidence and the accuracy in each of equally wide bins of confidence.

    Guo et al., 2017, "On Calibration of Modern Neural Networks", after DeGroot and Fienberg, 1983,
    "The Comparison and Evaluation of Forecasters". A bin without rows has zeros.
    """
    index = _bin_numbers(confidence, bins)
    rows = np.bincount(index, minlength=bins)
    divisors = np.maximum(rows, 1)
    mean_confidence = np.bincount(index, weights=confidence, minlength=bins) / divisors
    accuracy = np.bincount(index, weights=correct.astype(np.float64), minlength=bins) / divisors
    return list(zip(rows.tolist(), mean_confidence.tolist(), accuracy.tolist(), strict=True))


def expected_calibration_error(
    confidence: Floats, correct: Bools, bins: int = RELIABILITY_BINS
) -> float:
    """The mean gap between confidence and accuracy over the bins, weighted by their rows.

    Guo et al., 2017, as `reliability_bins`.
    """
    index = _bin_numbers(confidence, bins)
    gaps = (
        abs(float((confidence[index == number] - correct[index == number]).sum()))
        for number in range(bins)
    )
    return sum(gaps) / max(1, len(confidence))


def wilson_interval(share: float, rows: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share that was observed over `rows` rows, at least one.

    Wilson, 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    z = NORMAL_QUANTILE_95
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    variance = share * (1 - share) / rows + z * z / (4 * rows * rows)
    half_width = z / (1 + z * z / rows) * math.sqrt(variance)
    return max(0.0, middle - half_width), min(1.0, middle + half_width)


def _ends_of_ties(ranked: Floats) -> Counts:
    """For each run of equal values in a sorted array, the number of values up to its end."""
    if not len(ranked):
        return np.zeros(0, dtype=np.int64)
    changes = np.flatnonzero(ranked[1:] != ranked[:-1]) + 1
    return np.append(changes, len(ranked)).astype(np.int64)


def _bin_numbers(confidence: Floats, bins: int) -> Counts:
    # A confidence of 1.0 belongs to the last bin.
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)
