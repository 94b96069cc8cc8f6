"""What a good engineer has in an afternoon, on the same rows: TF-IDF with logistic regression, and the majority.

Needs scikit-learn. Words in one- and two-grams and characters in three- to five-grams within words, sublinear counts,
nothing that occurs once; on the text alone and on the text with the vendor's document flattened behind it. The better
of the two on the validation rows answers, axis by axis.
"""

import warnings
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion

from inference.acceptance.samples import CALIBRATION_SPLITS
from inference.errors import EvaluationError
from inference.evaluation.figures import BaselineFigures, DomainFigures
from inference.evaluation.predictions import (
    SEVERITY_LEVELS,
    AxisPredictions,
    decided,
    judge,
    union_risk,
    with_levels,
)
from inference.evaluation.scoring import curve, rank, score_axis
from inference.labelled import LabelledRow
from inference.model.input_text import VERDICTS, plain_text
from inference.progress import Progress
from schemas.event import Event

STRENGTH = 10.0
"""Inverse regularisation; between 3 and 30 the accuracy on validation rows of tickets moves by a quarter of a point."""
MAX_DENSE_WEIGHTS = 8_000_000
"""Above it the quickest solver would keep gigabytes of past steps; a slower one that keeps none takes over."""
MAX_LEAVES = 1_000
"""Read of one document."""
HELD_OUT = 10
"""Without validation rows every tenth training row chooses between the two readings."""

READS = ("text", "text+event")


@dataclass(frozen=True, slots=True)
class Lesson:
    """The rows a baseline may see: those it learns from and those that choose between its readings."""

    taught: list[LabelledRow]
    choosing: list[LabelledRow]


@dataclass(frozen=True, slots=True)
class _Features:
    """One reading of the rows, as sparse matrices of the same columns."""

    taught: Any
    choosing: Any
    evaluated: Any


def lesson_of(rows: Sequence[LabelledRow], evaluated: Sequence[LabelledRow]) -> Lesson:
    """Training and validation rows of one domain, without any that is evaluated.

    Raises:
        EvaluationError: no training row is left.
    """
    held = {_identity(row) for row in evaluated}
    free = [row for row in rows if _identity(row) not in held]
    taught = [row for row in free if row.part == "train"]
    choosing = [row for row in free if row.part in CALIBRATION_SPLITS]
    if not choosing:
        taught, choosing = [row for i, row in enumerate(taught) if i % HELD_OUT], taught[::HELD_OUT]
    if not taught:
        raise EvaluationError(
            f"the baselines of {evaluated[0].domain} have no training row that is not evaluated; name a file of such "
            "rows with --train-data, or evaluate another --split"
        )
    return Lesson(taught, choosing)


def add_baselines(
    figures: DomainFigures, rows: Sequence[LabelledRow], lesson: Lesson, progress: Progress
) -> DomainFigures:
    """The same figures with the baselines' beside them; `rows` are those that were evaluated.

    Raises:
        EvaluationError: the training rows have fewer than two labels on an axis.
    """
    if SEVERITY_LEVELS in figures.axes:
        rows = with_levels(rows)
        lesson = Lesson(with_levels(lesson.taught), with_levels(lesson.choosing))
    features = {
        reads: _read(rows, lesson, with_event=reads != READS[0])
        for reads in _readings(rows, lesson)
    }
    answers: dict[str, AxisPredictions] = {}
    axes = dict(figures.axes)
    for number, axis in enumerate(axes):
        progress(f"baselines of {rows[0].domain}", number, len(axes))
        answers[axis], baseline = _fit_axis(axis, rows, lesson, features)
        axes[axis] = msgspec.structs.replace(axes[axis], baseline=baseline)
    progress(f"baselines of {rows[0].domain}", len(axes), len(axes))
    labelled = [
        index
        for index, row in enumerate(rows)
        if all(axis in row.gold for axis in figures.deciding)
    ]
    own = {
        axis: AxisPredictions([one.values[i] for i in labelled], one.confidence[labelled])
        for axis, one in answers.items()
    }
    correct = decided([rows[i] for i in labelled], own, figures.deciding)
    certainty = -union_risk(own, figures.deciding)
    return msgspec.structs.replace(
        figures,
        axes=axes,
        baseline=rank(certainty, correct),
        baseline_curve=curve(certainty, correct),
    )


def tfidf() -> FeatureUnion:
    """Words in one- and two-grams and characters in three- to five-grams within words, not fitted yet."""
    return FeatureUnion([
        ("words", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)),
        ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2)),
    ])  # fmt: skip


def flatten(event: Event) -> str:
    """The event's text, and every leaf of its document as ``path value``, as one would write it in an afternoon.

    Left out is only a sensor's verdict about its own alert, from which labels could be read off.
    """
    found, waiting = [plain_text(event)], deque[tuple[str, Any]]([("", event.event or {})])
    while waiting and len(found) < MAX_LEAVES:
        path, value = waiting.popleft()
        if isinstance(value, dict):
            waiting.extend((f"{path}.{key}".lstrip("."), inner) for key, inner in value.items())
        elif isinstance(value, list):
            waiting.extend((path, inner) for inner in value)
        elif value is not None and path not in VERDICTS:
            found.append(f"{path} {value}")
    return "\n".join(found)


def _readings(rows: Sequence[LabelledRow], lesson: Lesson) -> tuple[str, ...]:
    """Both, unless no row has a document to flatten."""
    return READS if any(row.event.event for row in (*rows, *lesson.taught)) else READS[:1]


def _read(rows: Sequence[LabelledRow], lesson: Lesson, *, with_event: bool) -> _Features:
    texts = [
        [flatten(row.event) if with_event else plain_text(row.event) for row in part]
        for part in (lesson.taught, lesson.choosing, rows)
    ]
    vectors = tfidf()
    try:
        return _Features(
            vectors.fit_transform(texts[0]), *(vectors.transform(part) for part in texts[1:])
        )
    except ValueError as error:
        raise EvaluationError(
            f"the baselines cannot read the training rows of {rows[0].domain} ({error}); give more of them"
        ) from None


def _fit_axis(
    axis: str, rows: Sequence[LabelledRow], lesson: Lesson, features: Mapping[str, _Features]
) -> tuple[AxisPredictions, BaselineFigures]:
    fitted = {reads: _fit(axis, lesson, one, rows[0].domain) for reads, one in features.items()}
    validation = {
        reads: float(
            judge(lesson.choosing, axis, _answer(fitted[reads], one.choosing)).correct.mean()
        )
        for reads, one in features.items()
        if any(axis in row.gold for row in lesson.choosing)
    }
    reads = max(fitted, key=lambda each: validation.get(each, 0.0))
    answer = _answer(fitted[reads], features[reads].evaluated)
    counted = Counter(label for row in lesson.taught for label in row.gold.get(axis, ()))
    majority = min(counted, key=lambda label: (-counted[label], label))
    guess = judge(rows, axis, AxisPredictions([majority] * len(rows), np.ones(len(rows))))
    return answer, BaselineFigures(
        reads=reads,
        validation=validation,
        taught=sum(axis in row.gold for row in lesson.taught),
        scores=score_axis(judge(rows, axis, answer)),
        majority_label=majority,
        majority_accuracy=float(guess.correct.mean()),
    )


def _fit(axis: str, lesson: Lesson, features: _Features, domain: str) -> Any:
    """A row with k gold labels teaches each of them with weight 1/k."""
    taught = [
        (index, label, 1 / len(row.gold[axis]))
        for index, row in enumerate(lesson.taught)
        for label in row.gold.get(axis, ())
    ]
    labels = {label for _, label, _ in taught}
    if len(labels) < 2:  # noqa: PLR2004 - one label is nothing to choose between
        raise EvaluationError(
            f"the training rows of {domain} have {len(labels)} labels on {axis}, too few for a baseline; give rows of "
            "two at least, or leave the axis out with --axis"
        )
    index, target, weight = (list(column) for column in zip(*taught, strict=True))
    dense = len(labels) * features.taught.shape[1] <= MAX_DENSE_WEIGHTS
    model = LogisticRegression(
        C=STRENGTH,
        tol=1e-3,
        max_iter=300 if dense else 50,
        solver="lbfgs" if dense else "saga",
        random_state=0,
    )
    with warnings.catch_warnings():
        # A baseline that stopped a little early is as good; the person who reads it can do nothing about it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features.taught[index], target, sample_weight=weight)
    return model


def _answer(model: Any, vectors: Any) -> AxisPredictions:
    probabilities = (
        model.predict_proba(vectors) if vectors.shape[0] else np.zeros((0, len(model.classes_)))
    )
    values = [str(model.classes_[index]) for index in probabilities.argmax(axis=1)]
    return AxisPredictions(values, np.asarray(probabilities.max(axis=1), dtype=np.float64))


def _identity(row: LabelledRow) -> tuple[str, str]:
    """The same event in two files is one row, though its id may be another's number elsewhere."""
    return row.event.id, plain_text(row.event)
