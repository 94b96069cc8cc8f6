"""The figures of one axis, and of any ranking of rows."""

from collections.abc import Sequence

import msgspec
import numpy as np

from inference.arrays import Bools, Floats
from inference.evaluation import formulas
from inference.evaluation.figures import (
    AxisFigures,
    AxisScores,
    ConfusedPair,
    ConfusionFigures,
    CurvePoint,
    RankingScores,
    ReliabilityBin,
)
from inference.evaluation.predictions import SEVERITY_LEVELS, ComparedPredictions

ACCURACIES = (0.95, 0.97, 0.98)
MAX_MATRIX_LABELS = 20
"""An axis with more labels has no confusion matrix in the document: it would be too large."""
MAX_PAIRS = 15
MAX_POINTS = 200

TITLES = {SEVERITY_LEVELS: "severity, three levels"}
"""Axes that are shown under another name."""


def axis_figures(
    axis: str, compared: ComparedPredictions, labels: Sequence[str], *, decides: bool
) -> AxisFigures:
    """All figures of one axis; `labels` are those that the model has on it."""
    return AxisFigures(
        title=TITLES.get(axis, axis),
        decides=decides,
        unknown=sum(gold not in labels for gold in compared.gold),
        overall=axis_scores(compared),
        sources={
            source: axis_scores(compared.of_source(source))
            for source in sorted(set(compared.sources))
        },
        confusion=_confusion(compared),
        reliability=_reliability(compared),
    )


def axis_scores(compared: ComparedPredictions) -> AxisScores:
    """The scores of one axis over these rows; all are zero without rows."""
    ranking = ranking_scores(compared.confidence, compared.correct)
    confusion = formulas.confusion_matrix(compared.gold, compared.values)
    return AxisScores(
        **msgspec.structs.asdict(ranking),
        macro_f1=formulas.macro_f1(confusion),
        ece=formulas.expected_calibration_error(compared.confidence, compared.correct),
    )


def ranking_scores(certainty: Floats, correct: Bools) -> RankingScores:
    """How well `certainty` orders the rows, and how many of them are right; both are (rows,)."""
    at_95, at_97, at_98 = (
        formulas.coverage_at_accuracy(certainty, correct, accuracy) for accuracy in ACCURACIES
    )
    return RankingScores(
        n=len(correct),
        accuracy=int(correct.sum()) / max(1, len(correct)),
        aurc=formulas.aurc(certainty, correct),
        coverage_at_95=at_95,
        coverage_at_97=at_97,
        coverage_at_98=at_98,
    )


def curve_points(certainty: Floats, correct: Bools) -> list[CurvePoint]:
    """The risk-coverage curve to draw: at most `MAX_POINTS` points, with the last one."""
    curve = formulas.risk_coverage_curve(certainty, correct)
    if not len(curve.rows):
        return []
    last = len(curve.rows) - 1
    indexes = np.unique(np.linspace(0, last, MAX_POINTS).round().astype(int))
    return [
        CurvePoint(
            coverage=float(curve.rows[i] / len(correct)),
            risk=float(curve.errors[i] / curve.rows[i]),
        )
        for i in indexes
    ]


def _confusion(compared: ComparedPredictions) -> ConfusionFigures:
    matrix = formulas.confusion_matrix(compared.gold, compared.values)
    pairs = _confused_pairs(matrix)
    if len(matrix.labels) > MAX_MATRIX_LABELS:
        return ConfusionFigures(pairs=pairs, labels=[], counts=[])
    return ConfusionFigures(pairs=pairs, labels=list(matrix.labels), counts=matrix.counts.tolist())


def _confused_pairs(matrix: formulas.ConfusionMatrix) -> list[ConfusedPair]:
    """The most frequent mistakes, the most frequent first."""
    mistakes = matrix.counts * ~np.eye(len(matrix.labels), dtype=np.bool_)
    most_frequent = np.argsort(-mistakes, axis=None, kind="stable")[:MAX_PAIRS]
    return [
        ConfusedPair(
            gold=matrix.labels[gold], value=matrix.labels[value], rows=int(mistakes[gold, value])
        )
        for gold, value in zip(*np.unravel_index(most_frequent, mistakes.shape), strict=True)
        if mistakes[gold, value]
    ]


def _reliability(compared: ComparedPredictions) -> list[ReliabilityBin]:
    bins = formulas.reliability_bins(compared.confidence, compared.correct)
    return [
        ReliabilityBin(
            low=number / len(bins),
            high=(number + 1) / len(bins),
            rows=rows,
            confidence=confidence,
            accuracy=accuracy,
        )
        for number, (rows, confidence, accuracy) in enumerate(bins)
    ]
