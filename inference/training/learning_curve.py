"""How the model of one domain got better with its rows, and what it does label by label."""

from collections.abc import Mapping, Sequence

import numpy as np

from inference.acceptance.forecast import CurvePoint, LearningCurve, curve_point
from inference.acceptance.guarantee import calibrate
from inference.acceptance.learning import TABLE_ALPHAS, TABLE_DELTA, AxisLearning, LabelLearning
from inference.acceptance.samples import UNLABELLED, CalibrationSample
from inference.arrays import Vectors
from inference.labelled import LabelledRow
from inference.model.model_input import ModelInput
from inference.progress import Progress
from inference.training.crossfit import CrossFit, answer_by_folds, tune

FRACTIONS = (0.5, 0.75, 1.0)
"""The shares of the rows that the points of the learning curve are fitted to."""
MIN_ROWS = 20
"""Fewer rows show nothing about how a model gets better."""


def learning_of(
    domain: str,
    rows: Sequence[LabelledRow],
    vectors: Vectors,
    inputs: Sequence[ModelInput],
    labels: Mapping[str, tuple[str, ...]],
    fitted: CrossFit,
    progress: Progress,
    *,
    seed: int,
) -> dict[str, AxisLearning]:
    """The learning curve of each axis, and its figures for each label.

    The points of the curve are cross-fitted too, with heads alone and the regularisation that suits
    all rows. So they take a fraction of the time of the whole.
    """
    asked = [i for i, row in enumerate(rows) if row.part not in ("train", "test")]
    taught = [i for i, row in enumerate(rows) if row.part == "train"]
    known = [rows[i] for i in taught], vectors[taught]
    points: dict[str, list[CurvePoint]] = {axis: [] for axis in labels}
    order = np.random.default_rng(seed).permutation(len(asked)).tolist()
    for number, fraction in enumerate(FRACTIONS):
        progress(f"learning curve of {domain}", number, len(FRACTIONS))
        chosen = sorted(asked[i] for i in order[: round(fraction * len(asked))])
        some = [rows[i] for i in chosen]
        if len(some) < MIN_ROWS or not _all_labelled(some, labels):
            continue
        answers = fitted.answers.of_heads(fitted.strengths)
        if len(chosen) < len(asked):
            answers = answer_by_folds(
                domain,
                some,
                vectors[chosen],
                known,
                labels,
                lambda *_: None,
                seed=seed,
                strengths={axis: [each] for axis, each in fitted.strengths.items()},
                heads_only=True,
            )
        sample = tune(some, [inputs[i] for i in chosen], answers, labels).sample
        for axis in labels:
            points[axis].append(_point(sample, axis))
    progress(f"learning curve of {domain}", len(FRACTIONS), len(FRACTIONS))
    asked_rows = [rows[i] for i in asked]
    return {
        axis: AxisLearning(
            LearningCurve(_point(fitted.sample, axis), tuple(points[axis])),
            _labels(asked_rows, axis, names, fitted.sample),
        )
        for axis, names in labels.items()
    }


def _all_labelled(rows: Sequence[LabelledRow], labels: Mapping[str, Sequence[str]]) -> bool:
    return all(any(axis in row.gold for row in rows) for axis in labels)


def _point(sample: CalibrationSample, axis: str) -> CurvePoint:
    column = sample.axes.index(axis)
    labelled = sample.testing.correct[:, column] != UNLABELLED
    risks = sample.testing.error_probability[labelled, column]
    return curve_point(risks, (sample.testing.correct[labelled, column] == 0).tolist())


def _labels(
    rows: Sequence[LabelledRow], axis: str, names: Sequence[str], sample: CalibrationSample
) -> dict[str, LabelLearning]:
    column = sample.axes.index(axis)
    risks = sample.testing.error_probability[:, column]
    right = sample.testing.correct[:, column] == 1
    accepted = [
        risks < calibrate(sample, [axis], alpha, TABLE_DELTA).threshold for alpha in TABLE_ALPHAS
    ]
    figures = {}
    for label in names:
        of_label = np.array([label in row.gold.get(axis, ()) for row in rows], dtype=np.bool_)
        figures[label] = LabelLearning(
            rows=int(of_label.sum()),
            right=int((of_label & right).sum()),
            accepted=[int((of_label & each).sum()) for each in accepted],
        )
    return figures
