"""Two simple baselines: TF-IDF with logistic regression, and the most frequent label.

They show what a good engineer reaches in an afternoon, and they need scikit-learn. TF-IDF counts
single words and pairs of words, and three to five characters in a row within a word. The counts
are sublinear, and what occurs only once is left out. TF-IDF reads either the text alone, or the
text and the vendor's document. On each axis, the one that is better on the validation rows answers.
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

from inference.errors import EvaluationError
from inference.evaluation.axis_scoring import axis_scores, curve_points, ranking_scores
from inference.evaluation.baseline_rows import BaselineRows
from inference.evaluation.figures import BaselineFigures, DomainFigures
from inference.evaluation.predictions import (
    SEVERITY_LEVELS,
    AxisPredictions,
    Predictions,
    compare_with_gold,
    correct_on_all,
    labelled_on_all,
    union_bound_risk,
    with_severity_levels,
)
from inference.labelled import LabelledRow
from inference.model.input_text import VERDICTS, plain_text
from inference.progress import Progress
from schemas.event import Event

INVERSE_REGULARISATION = 10.0
"""Between 3 and 30, the accuracy on validation rows of tickets changes by a quarter of a point."""
MAX_DENSE_WEIGHTS = 8_000_000
"""With more weights, L-BFGS would keep gigabytes of past steps. Then SAGA is used, which is slower
but keeps none."""
MAX_LEAVES = 1_000
"""At most so many texts of one document are read."""

TEXT, TEXT_AND_DOCUMENT = "text", "text+event"


@dataclass(frozen=True, slots=True)
class _Features:
    """The TF-IDF features of the rows, as sparse matrices of shape (rows, features)."""

    training: Any
    validation: Any
    evaluated: Any


def add_baselines(
    figures: DomainFigures,
    evaluated: Sequence[LabelledRow],
    baseline_rows: BaselineRows,
    progress: Progress,
) -> DomainFigures:
    """The same figures, with those of the baselines on the `evaluated` rows.

    Raises:
        EvaluationError: the training rows are too few, or have fewer than two labels on an axis.
    """
    if SEVERITY_LEVELS in figures.axes:
        evaluated = with_severity_levels(evaluated)
        baseline_rows = baseline_rows.with_severity_levels()
    features = {
        reads: _features(evaluated, baseline_rows, reads)
        for reads in _readable(evaluated, baseline_rows)
    }
    predictions: dict[str, AxisPredictions] = {}
    axes = dict(figures.axes)
    stage = f"baselines of {evaluated[0].domain}"
    for number, axis in enumerate(axes):
        progress(stage, number, len(axes))
        predictions[axis], baseline = _answer_axis(axis, evaluated, baseline_rows, features)
        axes[axis] = msgspec.structs.replace(axes[axis], baseline=baseline)
    progress(stage, len(axes), len(axes))
    return _with_ranking(msgspec.structs.replace(figures, axes=axes), evaluated, predictions)


def tfidf() -> FeatureUnion:
    """The TF-IDF features described at the top of this module, not fitted yet."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    characters = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2
    )
    return FeatureUnion([("words", words), ("characters", characters)])


def flatten(event: Event) -> str:
    """The event's text, and one line ``path value`` for each leaf of its document.

    What a sensor concludes about its own alert is left out, because labels could be copied from it.
    """
    lines = [plain_text(event)]
    nodes = deque[tuple[str, Any]]([("", event.event or {})])
    while nodes and len(lines) < MAX_LEAVES:
        path, value = nodes.popleft()
        if isinstance(value, dict):
            nodes.extend((f"{path}.{key}".lstrip("."), child) for key, child in value.items())
        elif isinstance(value, list):
            nodes.extend((path, child) for child in value)
        elif value is not None and path not in VERDICTS:
            lines.append(f"{path} {value}")
    return "\n".join(lines)


def _with_ranking(
    figures: DomainFigures, evaluated: Sequence[LabelledRow], predictions: Predictions
) -> DomainFigures:
    """Add how well the baseline's own risk orders the rows, for all deciding axes together."""
    indexes = labelled_on_all(evaluated, figures.deciding)
    labelled = {axis: of_axis.where(indexes) for axis, of_axis in predictions.items()}
    correct = correct_on_all([evaluated[i] for i in indexes], labelled, figures.deciding)
    certainty = -union_bound_risk(labelled, figures.deciding)
    return msgspec.structs.replace(
        figures,
        baseline=ranking_scores(certainty, correct),
        baseline_curve=curve_points(certainty, correct),
    )


def _readable(evaluated: Sequence[LabelledRow], baseline_rows: BaselineRows) -> list[str]:
    """What there is to read; the document only if a row has one."""
    if any(row.event.event for row in (*evaluated, *baseline_rows.training)):
        return [TEXT, TEXT_AND_DOCUMENT]
    return [TEXT]


def _features(
    evaluated: Sequence[LabelledRow], baseline_rows: BaselineRows, reads: str
) -> _Features:
    text_of = flatten if reads == TEXT_AND_DOCUMENT else plain_text
    vectorizer = tfidf()
    try:
        return _Features(
            training=vectorizer.fit_transform(
                [text_of(row.event) for row in baseline_rows.training]
            ),
            validation=vectorizer.transform(
                [text_of(row.event) for row in baseline_rows.validation]
            ),
            evaluated=vectorizer.transform([text_of(row.event) for row in evaluated]),
        )
    except ValueError as error:
        raise EvaluationError(
            f"the baselines cannot read the training rows of {evaluated[0].domain} ({error}); "
            "give rows that share words, or leave --baselines out"
        ) from None


def _answer_axis(
    axis: str,
    evaluated: Sequence[LabelledRow],
    baseline_rows: BaselineRows,
    features: Mapping[str, _Features],
) -> tuple[AxisPredictions, BaselineFigures]:
    models = {
        reads: _fit(axis, baseline_rows.training, matrices.training, evaluated[0].domain)
        for reads, matrices in features.items()
    }
    validation = _validation_accuracies(axis, baseline_rows.validation, models, features)
    # If the accuracies are equal, the text alone is used.
    reads = max(models, key=lambda name: validation.get(name, 0.0))
    predictions = _predict(models[reads], features[reads].evaluated)
    majority = _most_frequent_label(axis, baseline_rows.training)
    guess = AxisPredictions([majority] * len(evaluated), np.ones(len(evaluated)))
    return predictions, BaselineFigures(
        reads=reads,
        validation=validation,
        taught=len(labelled_on_all(baseline_rows.training, [axis])),
        scores=axis_scores(compare_with_gold(evaluated, axis, predictions)),
        majority_label=majority,
        majority_accuracy=_accuracy(evaluated, axis, guess),
    )


def _validation_accuracies(
    axis: str,
    validation: Sequence[LabelledRow],
    models: Mapping[str, Any],
    features: Mapping[str, _Features],
) -> dict[str, float]:
    """The accuracy of each model on the validation rows; empty if no such row has a label."""
    if not labelled_on_all(validation, [axis]):
        return {}
    return {
        reads: _accuracy(validation, axis, _predict(model, features[reads].validation))
        for reads, model in models.items()
    }


def _accuracy(rows: Sequence[LabelledRow], axis: str, predictions: AxisPredictions) -> float:
    return float(compare_with_gold(rows, axis, predictions).correct.mean())


def _most_frequent_label(axis: str, rows: Sequence[LabelledRow]) -> str:
    """The most frequent gold label; of equally frequent ones, the first by name."""
    counts = Counter(label for row in rows for label in row.gold.get(axis, ()))
    return min(counts, key=lambda label: (-counts[label], label))


def _fit(axis: str, rows: Sequence[LabelledRow], features: Any, domain: str) -> Any:
    """Logistic regression on these rows; each of the k gold labels of a row has weight 1/k."""
    examples = [
        (index, label, 1 / len(row.gold[axis]))
        for index, row in enumerate(rows)
        for label in row.gold.get(axis, ())
    ]
    labels = {label for _, label, _ in examples}
    if len(labels) < 2:  # noqa: PLR2004 - a model needs two labels to choose from
        raise EvaluationError(
            f"the training rows of {domain} have {len(labels)} labels on {axis}, too few for a "
            "baseline; give rows of two at least, or leave the axis out with --axis"
        )
    indexes, targets, weights = (list(column) for column in zip(*examples, strict=True))
    model = _classifier(len(labels) * features.shape[1])
    with warnings.catch_warnings():
        # A baseline that stops a little early is as good, and the reader can do nothing about it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[indexes], targets, sample_weight=weights)
    return model


def _classifier(weights: int) -> LogisticRegression:
    solver, max_iterations = "saga", 50
    if weights <= MAX_DENSE_WEIGHTS:
        solver, max_iterations = "lbfgs", 300
    return LogisticRegression(
        C=INVERSE_REGULARISATION,
        tol=1e-3,
        max_iter=max_iterations,
        solver=solver,
        random_state=0,
    )


def _predict(model: Any, features: Any) -> AxisPredictions:
    probabilities = model.predict_proba(features)
    values = [str(model.classes_[index]) for index in probabilities.argmax(axis=1)]
    return AxisPredictions(values, np.asarray(probabilities.max(axis=1), dtype=np.float64))
