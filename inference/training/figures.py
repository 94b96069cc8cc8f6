"""What a model is worth: accuracy, macro-F1 and calibration error an axis, coverage and errors under the promise."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from inference.calibration import UNLABELLED, Floats, Half, Promise, expected_calibration_error, risk
from inference.training.dataset import Row


class AxisFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One axis on one part of the data; `accuracy` counts a value as right if it is among the row's gold labels."""

    rows: int
    accuracy: float
    macro_f1: float
    calibration_error: float


class PromiseFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the accepted rows were like: `coverage` is their share, `accuracy` theirs on all deciding axes."""

    rows: int
    coverage: float
    accepted: int
    errors: int
    accuracy: float


Probabilities = Mapping[str, Floats]
Labels = Mapping[str, Sequence[str]]


def judge(rows: Sequence[Row], probabilities: Probabilities, labels: Labels) -> Half:
    """Confidence and correctness of every row on every axis, as the calibration keeps them."""
    confidence = np.stack([probabilities[axis].max(axis=1) for axis in labels], axis=1)
    correct = np.stack([_correct(rows, axis, _values(probabilities[axis], labels[axis])) for axis in labels], axis=1)
    return Half(confidence, correct)


def describe_axes(rows: Sequence[Row], probabilities: Probabilities, labels: Labels) -> dict[str, AxisFigures]:
    """The figures of every axis that some row is labelled on."""
    half = judge(rows, probabilities, labels)
    return {
        axis: _describe_axis(rows, axis, _values(probabilities[axis], labels[axis]), half, column)
        for column, axis in enumerate(labels)
        if (half.correct[:, column] != UNLABELLED).any()
    }


def describe_promise(half: Half, columns: Sequence[int], promise: Promise) -> PromiseFigures:
    """What the promise's threshold does to these rows."""
    correct = half.correct[:, list(columns)]
    labelled = (correct != UNLABELLED).all(axis=1)
    risks = np.asarray([risk(row) for row in half.confidence[labelled][:, list(columns)].tolist()])
    accepted = risks < promise.threshold
    errors = int((correct[labelled][accepted] == 0).any(axis=1).sum())
    count = int(accepted.sum())
    return PromiseFigures(
        rows=int(labelled.sum()),
        coverage=count / max(1, int(labelled.sum())),
        accepted=count,
        errors=errors,
        accuracy=1 - errors / count if count else 0.0,
    )


def _describe_axis(rows: Sequence[Row], axis: str, values: list[str], half: Half, column: int) -> AxisFigures:
    labelled = [i for i, row in enumerate(rows) if axis in row.gold]
    correct = half.correct[labelled, column] == 1
    # A value that is one of several gold labels stands for itself; otherwise the first gold label was missed.
    gold = [values[i] if values[i] in rows[i].gold[axis] else rows[i].gold[axis][0] for i in labelled]
    return AxisFigures(
        rows=len(labelled),
        accuracy=float(correct.mean()),
        macro_f1=float(f1_score(gold, [values[i] for i in labelled], average="macro", zero_division=0)),
        calibration_error=expected_calibration_error(half.confidence[labelled, column], correct),
    )


def _values(probabilities: Floats, labels: Sequence[str]) -> list[str]:
    return [labels[index] for index in probabilities.argmax(axis=1)]


def _correct(rows: Sequence[Row], axis: str, values: list[str]) -> npt.NDArray[np.int8]:
    return np.array(
        [value in row.gold[axis] if axis in row.gold else UNLABELLED for row, value in zip(rows, values, strict=True)],
        dtype=np.int8,
    )
