"""What a model or a baseline predicts for labelled rows, and how that compares with the labels.

A prediction has the same form whether it comes from the served model or from a baseline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from inference.acceptance.policy import Decision
from inference.arrays import Bools, Floats
from inference.labelled import LabelledRow
from inference.model.out_of_distribution import OUT_OF_SCOPE, SCOPE_AXIS
from schemas.triaged import Label

SEVERITY, SEVERITY_LEVELS = "severity", "severity3"
LEVEL_OF_SEVERITY = {
    "informational": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "critical": "high",
}
"""Severity in three levels. Neighbouring labels on which vendors do not agree are one level."""
LEVELS = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class AxisPredictions:
    """For every row, the predicted value on one axis and its confidence, of shape (rows,)."""

    values: Sequence[str]
    confidence: Floats

    def where(self, indexes: Sequence[int]) -> "AxisPredictions":
        """The predictions for these rows alone."""
        return AxisPredictions([self.values[i] for i in indexes], self.confidence[list(indexes)])


Predictions = Mapping[str, AxisPredictions]
"""The predictions on each axis."""


@dataclass(frozen=True, slots=True)
class ComparedPredictions:
    """The predictions on one axis for the rows that are labelled on it, beside their gold labels.

    All fields have one entry for each such row. If a row has several gold labels, `gold` has the
    one that was predicted, or else the first. So each row counts once.
    """

    gold: list[str]
    values: list[str]
    sources: list[str]
    confidence: Floats
    correct: Bools

    def of_source(self, source: str) -> "ComparedPredictions":
        """Only the rows of one source."""
        indexes = [i for i, name in enumerate(self.sources) if name == source]
        return ComparedPredictions(
            [self.gold[i] for i in indexes],
            [self.values[i] for i in indexes],
            [source] * len(indexes),
            self.confidence[indexes],
            self.correct[indexes],
        )


def compare_with_gold(
    rows: Sequence[LabelledRow], axis: str, predictions: AxisPredictions
) -> ComparedPredictions:
    """Compare the predictions with the gold labels of the rows that are labelled on `axis`.

    A prediction is right if it is one of the row's gold labels.
    """
    indexes = [i for i, row in enumerate(rows) if axis in row.gold]
    labelled = predictions.where(indexes)
    gold_labels = [rows[i].gold[axis] for i in indexes]
    pairs = list(zip(labelled.values, gold_labels, strict=True))
    return ComparedPredictions(
        gold=[_counted_label(value, labels) for value, labels in pairs],
        values=list(labelled.values),
        sources=[rows[i].source for i in indexes],
        confidence=labelled.confidence,
        correct=np.array([value in labels for value, labels in pairs], dtype=np.bool_),
    )


def predictions_of(decisions: Sequence[Decision]) -> dict[str, AxisPredictions]:
    """What the served model predicted on each axis; empty without decisions."""
    if not decisions:
        return {}
    return {
        axis: AxisPredictions(
            [decision.labels[axis].value for decision in decisions],
            np.array(
                [decision.labels[axis].confidence for decision in decisions], dtype=np.float64
            ),
        )
        for axis in decisions[0].labels
    }


def severity_level_predictions(decisions: Sequence[Decision]) -> AxisPredictions:
    """Severity in three levels, from the confidence in the value and in its alternatives.

    The predicted level is the one whose labels have the most confidence together.
    """
    confidences = [_level_confidences(decision.labels[SEVERITY]) for decision in decisions]
    levels = [max(of_level, key=lambda level: of_level[level]) for of_level in confidences]
    return AxisPredictions(
        levels,
        np.array(
            [min(1.0, of_level[level]) for of_level, level in zip(confidences, levels, strict=True)]
        ),
    )


def with_severity_levels(rows: Sequence[LabelledRow]) -> list[LabelledRow]:
    """The same rows; those with a severity are also labelled on its three levels."""
    return [_with_severity_level(row) for row in rows]


def supports_severity_levels(
    rows: Sequence[LabelledRow], labels: Mapping[str, Sequence[str]]
) -> bool:
    """Whether the severity of these rows and of the model can be read in three levels.

    `labels` are the labels of each axis of the model. Every label of severity must belong to a
    level, and the model must not have an axis of that name already.
    """
    labels_of_rows = {label for row in rows for label in row.gold.get(SEVERITY, ())}
    severities = labels_of_rows.union(labels.get(SEVERITY, ()))
    return (
        SEVERITY in labels
        and SEVERITY_LEVELS not in labels
        and severities <= LEVEL_OF_SEVERITY.keys()
    )


def labelled_on_all(rows: Sequence[LabelledRow], axes: Sequence[str]) -> list[int]:
    """The indexes of the rows that are labelled on each of these axes."""
    return [i for i, row in enumerate(rows) if all(axis in row.gold for axis in axes)]


def correct_on_all(
    rows: Sequence[LabelledRow], predictions: Predictions, axes: Sequence[str]
) -> Bools:
    """Whether each row is right on every axis, of shape (rows,); all must be labelled on them."""
    return np.array(
        [
            all(predictions[axis].values[i] in row.gold[axis] for axis in axes)
            for i, row in enumerate(rows)
        ],
        dtype=np.bool_,
    )


def union_bound_risk(predictions: Predictions, deciding: Sequence[str]) -> Floats:
    """The risk of each row from the error probabilities of its deciding axes, of shape (rows,).

    Baselines have no calibrated risk, so their rows are ordered by this one.
    """
    error_probabilities = [1.0 - predictions[axis].confidence for axis in deciding]
    return np.minimum(np.sum(error_probabilities, axis=0, dtype=np.float64), 1.0)


def out_of_scope_confidence(decision: Decision) -> float:
    """The confidence in ``out_of_scope``; 0.0 if it is neither the value nor an alternative."""
    label = decision.labels.get(SCOPE_AXIS)
    if label is None:
        return 0.0
    confidences = dict([(label.value, label.confidence), *_alternatives(label)])
    return confidences.get(OUT_OF_SCOPE, 0.0)


def _counted_label(value: str, gold_labels: Sequence[str]) -> str:
    return value if value in gold_labels else gold_labels[0]


def _level_confidences(label: Label) -> dict[str, float]:
    """The confidence in each level; the level of the value comes first, so it wins a tie."""
    confidences: dict[str, float] = {}
    for value, confidence in [(label.value, label.confidence), *_alternatives(label)]:
        level = LEVEL_OF_SEVERITY[value]
        confidences[level] = confidences.get(level, 0.0) + confidence
    return confidences


def _alternatives(label: Label) -> list[tuple[str, float]]:
    return [(alternative.value, alternative.confidence) for alternative in label.alternatives]


def _with_severity_level(row: LabelledRow) -> LabelledRow:
    severities = row.gold.get(SEVERITY)
    if severities is None or SEVERITY_LEVELS in row.gold:
        return row
    levels = tuple(dict.fromkeys(LEVEL_OF_SEVERITY[label] for label in severities))
    return msgspec.structs.replace(row, gold=row.gold | {SEVERITY_LEVELS: levels})
