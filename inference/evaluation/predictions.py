"""Rows and answers, side by side: whose values they are (ours or a baseline's) makes no difference from here on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from inference.acceptance.policy import Decision
from inference.arrays import Bools, Floats
from inference.labelled import LabelledRow
from schemas.triaged import Label

OUT_OF_SCOPE, SCOPE_AXIS = "out_of_scope", "queue"

SEVERITY, SEVERITY_LEVELS = "severity", "severity3"
LEVELS = {
    "informational": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "critical": "high",
}
"""Severity in three levels: neighbours that vendors do not agree on are one."""


@dataclass(frozen=True, slots=True)
class AxisPredictions:
    """One axis' answer to every row: its value and the confidence in it, shape (rows,)."""

    values: Sequence[str]
    confidence: Floats


Predictions = Mapping[str, AxisPredictions]


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows that are labelled on one axis, all of the same length.

    `gold` is the label that was met, or the first of those that were missed, so that a row counts once.
    """

    gold: list[str]
    values: list[str]
    sources: list[str]
    confidence: Floats
    correct: Bools

    def of(self, source: str) -> "Judged":
        """Only the rows of one source."""
        chosen = [index for index, each in enumerate(self.sources) if each == source]
        return Judged(
            [self.gold[i] for i in chosen],
            [self.values[i] for i in chosen],
            [source] * len(chosen),
            self.confidence[chosen],
            self.correct[chosen],
        )


def answers_of(decisions: Sequence[Decision]) -> dict[str, AxisPredictions]:
    """What the served model answered, axis by axis."""
    return {
        axis: AxisPredictions(
            [decision.labels[axis].value for decision in decisions],
            np.array(
                [decision.labels[axis].confidence for decision in decisions], dtype=np.float64
            ),
        )
        for axis in (decisions[0].labels if decisions else ())
    }


def levels_of(decisions: Sequence[Decision]) -> AxisPredictions:
    """Severity in three levels: the level whose labels, as far as they are told, have most confidence together."""
    shares = [_level_shares(decision.labels[SEVERITY]) for decision in decisions]
    levels = [max(share, key=lambda level: share[level]) for share in shares]
    return AxisPredictions(
        levels,
        np.array([min(1.0, share[level]) for share, level in zip(shares, levels, strict=True)]),
    )


def with_levels(rows: Sequence[LabelledRow]) -> list[LabelledRow]:
    """The same rows, labelled on the three levels of severity too where they have a severity that is one of them."""
    return [_with_level(row) for row in rows]


def has_levels(rows: Sequence[LabelledRow], labels: Mapping[str, Sequence[str]]) -> bool:
    """Whether severity can be read in three levels: all its labels are known, and the levels are no axis already."""
    known = {
        *labels.get(SEVERITY, ()),
        *(label for row in rows for label in row.gold.get(SEVERITY, ())),
    }
    return SEVERITY in labels and SEVERITY_LEVELS not in labels and known <= LEVELS.keys()


def judge(rows: Sequence[LabelledRow], axis: str, answer: AxisPredictions) -> Judged:
    """The answers to the rows that are labelled on `axis`; a value is right if it is one of the row's gold labels."""
    chosen = [index for index, row in enumerate(rows) if axis in row.gold]
    values = [answer.values[i] for i in chosen]
    golds = [rows[i].gold[axis] for i in chosen]
    correct = [value in gold for value, gold in zip(values, golds, strict=True)]
    return Judged(
        gold=[
            v if right else gold[0] for v, right, gold in zip(values, correct, golds, strict=True)
        ],
        values=values,
        sources=[rows[i].source for i in chosen],
        confidence=answer.confidence[chosen],
        correct=np.array(correct, dtype=np.bool_),
    )


def decided(rows: Sequence[LabelledRow], answers: Predictions, deciding: Sequence[str]) -> Bools:
    """Whether every deciding axis is right, for rows that are labelled on all of them."""
    return np.array(
        [
            all(answers[axis].values[index] in row.gold[axis] for axis in deciding)
            for index, row in enumerate(rows)
        ],
        dtype=np.bool_,
    )  # fmt: skip


def union_risk(answers: Predictions, deciding: Sequence[str]) -> Floats:
    """The risk of each row by the union bound over its doubts: what a baseline has to go by."""
    error_probabilities = [1.0 - answers[axis].confidence for axis in deciding]
    return np.minimum(np.sum(error_probabilities, axis=0, dtype=np.float64), 1.0)


def scope_confidence(decision: Decision) -> float:
    """The confidence given to `out_of_scope`; 0.0 where it is not even an alternative."""
    label = decision.labels.get(SCOPE_AXIS)
    if label is None:
        return 0.0
    return {
        label.value: label.confidence,
        **{each.value: each.confidence for each in label.alternatives},
    }.get(OUT_OF_SCOPE, 0.0)


def _level_shares(label: Label) -> dict[str, float]:
    """The confidence in each level that is told of; the value's own comes first and wins a tie."""
    shares: dict[str, float] = {}
    told = [
        (label.value, label.confidence),
        *((other.value, other.confidence) for other in label.alternatives),
    ]
    for value, confidence in told:
        shares[LEVELS[value]] = shares.get(LEVELS[value], 0.0) + confidence
    return shares


def _with_level(row: LabelledRow) -> LabelledRow:
    gold = row.gold.get(SEVERITY)
    if gold is None or SEVERITY_LEVELS in row.gold:
        return row
    levels = tuple(dict.fromkeys(LEVELS[label] for label in gold))
    return msgspec.structs.replace(row, gold=row.gold | {SEVERITY_LEVELS: levels})
