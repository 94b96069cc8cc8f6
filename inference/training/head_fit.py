"""Heads on a frozen encoder, fitted by logistic regression.

This takes minutes on a laptop, because no gradient reaches the encoder. The heads are fitted to
exactly what serving computes: the int8 encoder's vectors of the input text, made with the same
tokenizer and the same batches.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from inference.arrays import Bools, Floats, Vectors
from inference.errors import DataError
from inference.labelled import LabelledRow, lessons
from inference.model.heads import Head, unit_rows
from inference.model.temperature import fit_temperature, softmax
from inference.progress import Progress
from inference.training.absent_labels import few_rows_per_label, with_absent_labels
from inference.training.gold_labels import gold_matrix

REGULARISATION = (0.003, 0.01, 0.03, 0.1, 0.3)
"""The inverse strengths that are tried, for vectors scaled to unit variance.

The tuning split chooses between them.
"""

MIN_CLASSES = 2
"""Rows of fewer labels teach nothing: there is nothing to tell apart."""

NEW_SHARE = 0.7
"""The share of the new head in `blend_heads`, chosen on validation rows."""


def fit_heads(
    rows: Sequence[LabelledRow],
    vectors: Vectors,
    labels: Mapping[str, tuple[str, ...]],
    progress: Progress,
    *,
    seed: int,
) -> dict[str, Head]:
    """One head per axis, fitted on the training rows.

    `vectors` has shape (rows, width). The tuning split chooses the regularisation of each head.

    Raises:
        DataError: an axis has no labelled row in the tuning split.
    """
    units = unit_rows(vectors)
    heads = {}
    for number, (axis, names) in enumerate(labels.items()):
        progress("heads", number, len(labels))
        heads[axis] = fit_head(rows, units, axis, names, seed=seed)
    progress("heads", len(labels), len(labels))
    return heads


def fit_head(
    rows: Sequence[LabelledRow], units: Floats, axis: str, labels: tuple[str, ...], *, seed: int
) -> Head:
    """The head of one axis. Rows without a label on the axis are left out.

    `units` has shape (rows, width), and each of its rows has length one.

    Raises:
        DataError: the axis has no labelled row in the tuning split.
    """
    tuning = [i for i, row in enumerate(rows) if row.part == "tuning" and axis in row.gold]
    if not tuning:
        raise DataError(
            f"{axis} needs validation rows to choose its regularisation; "
            "give rows with the split val"
        )
    training = [i for i, row in enumerate(rows) if row.part == "train"]
    positions, target, weight = lessons([rows[i] for i in training], axis, labels)
    index = np.asarray(training)[positions]
    gold = gold_matrix([rows[i] for i in tuning], axis, labels)
    candidates = []
    for strength in REGULARISATION:
        head = _fit(units[index], target, weight, labels, strength, seed)
        candidates.append((log_loss(head, units[tuning], gold), head))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def fit_heads_of_axis(
    rows: Sequence[LabelledRow],
    units: Floats,
    axis: str,
    labels: tuple[str, ...],
    strengths: Sequence[float],
    *,
    seed: int,
) -> list[Head]:
    """The head of one axis fitted on all of these rows, once with each inverse regularisation.

    `units` has shape (rows, width), and each of its rows has length one. Rows without a label on
    the axis are left out.
    """
    positions, target, weight = lessons(rows, axis, labels)
    # The encoder's vectors have the precision of float32, and the solver needs a third less time.
    inputs = units[positions].astype(np.float32)
    return [_fit(inputs, target, weight, labels, each, seed) for each in strengths]


def blend_heads(
    rows: Sequence[LabelledRow], vectors: Vectors, axis: str, kept: Head, *, seed: int
) -> Head:
    """A head between `kept`, which was trained together with its encoder, and one fitted to `rows`.

    The first knows the rows that it was trained on best, the second knows those that came later.
    Each is divided by its temperature on the tuning rows, and has the share `NEW_SHARE`. `vectors`
    has shape (rows, width).

    Raises:
        DataError: the axis has no labelled row in the tuning split.
    """
    units = unit_rows(vectors)
    fitted = fit_head(rows, units, axis, kept.labels, seed=seed)
    tuning = [i for i, row in enumerate(rows) if row.part == "tuning" and axis in row.gold]
    gold = gold_matrix([rows[i] for i in tuning], axis, kept.labels)
    weight, bias = np.zeros_like(kept.weight), np.zeros_like(kept.bias)
    for head, share in ((kept, 1 - NEW_SHARE), (fitted, NEW_SHARE)):
        logits = head.logits(units[tuning])
        scale = share / fit_temperature(logits, gold)
        weight, bias = weight + scale * head.weight, bias + scale * head.bias
    return as_shipped(kept.labels, weight, bias)


def log_loss(head: Head, units: Floats, gold: Bools) -> float:
    """The mean log loss of the head on these rows, after it got its best temperature on them."""
    logits = head.logits(units)
    probabilities = softmax(logits, fit_temperature(logits, gold))
    return -float(np.log(np.clip((probabilities * gold).sum(axis=1), 1e-9, 1.0)).mean())


def _fit(
    units: Floats | Vectors,
    target: Sequence[int],
    weight: Sequence[float],
    labels: tuple[str, ...],
    strength: float,
    seed: int,
) -> Head:
    present = sorted(set(target))
    if len(present) < MIN_CLASSES:
        nothing = np.zeros((len(present), units.shape[1])), np.zeros(len(present))
        return as_shipped(labels, *with_absent_labels(*nothing, present, len(labels)))
    # The components of a unit vector are about 1/sqrt(width). After scaling them up, the solver
    # needs a tenth of the steps.
    scale = math.sqrt(units.shape[1])
    model = LogisticRegression(C=strength, max_iter=1_000, tol=1e-3, random_state=seed)
    with few_rows_per_label():
        model.fit(units * scale, target, sample_weight=weight)
    return as_shipped(
        labels,
        *with_absent_labels(model.coef_ * scale, model.intercept_, present, len(labels)),
    )


def as_shipped(
    labels: tuple[str, ...], weight: npt.NDArray[np.floating], bias: npt.NDArray[np.floating]
) -> Head:
    """A head with its numbers rounded to float32, as the model directory stores them.

    Calibration then sees exactly the numbers that serving will load.
    """
    return Head(
        labels,
        weight.astype(np.float32).astype(np.float64),
        bias.astype(np.float32).astype(np.float64),
    )
