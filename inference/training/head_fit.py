"""Heads by logistic regression on a frozen encoder: minutes on a laptop, no gradient reaches the encoder.

What is trained on is what is served: the int8 encoder's vectors of the served view, through the served tokenizer
and batches.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from inference.arrays import Floats, Vectors
from inference.errors import DataError
from inference.labelled import LabelledRow, lessons
from inference.model.heads import Head, unit
from inference.model.temperature import fit_temperature, softmax
from inference.progress import Progress
from inference.training.calibration_fit import gold_matrix

REGULARISATION = (0.003, 0.01, 0.03, 0.1, 0.3)
"""Inverse strengths tried, on vectors scaled to unit variance; the tuning half chooses."""


def fit_heads(
    rows: Sequence[LabelledRow],
    vectors: Vectors,
    labels: dict[str, tuple[str, ...]],
    progress: Progress,
    *,
    seed: int,
) -> dict[str, Head]:
    """One head an axis, taught by the training rows, its regularisation chosen on the tuning half."""
    units = np.stack([unit(vector) for vector in vectors])
    heads = {}
    for number, (axis, names) in enumerate(labels.items()):
        progress("heads", number, len(labels))
        heads[axis] = fit_head(rows, units, axis, names, seed=seed)
    progress("heads", len(labels), len(labels))
    return heads


def fit_head(
    rows: Sequence[LabelledRow], units: Floats, axis: str, labels: tuple[str, ...], *, seed: int
) -> Head:
    """One axis; a row without a label is left out.

    Raises:
        DataError: no validation row to choose with.
    """
    tuning = [i for i, row in enumerate(rows) if row.part == "tuning" and axis in row.gold]
    if not tuning:
        raise DataError(
            f"{axis} needs validation rows to choose its regularisation with; give rows with the split val"
        )
    taught = [i for i, row in enumerate(rows) if row.part == "train"]
    at, target, weight = lessons([rows[i] for i in taught], axis, labels)
    index = np.asarray(taught)[at]
    gold = gold_matrix([rows[i] for i in tuning], axis, labels)
    candidates = []
    for strength in REGULARISATION:
        head = _fit(units[index], target, weight, labels, strength, seed)
        logits = np.stack([head.logits(vector) for vector in units[tuning]])
        probabilities = softmax(logits, fit_temperature(logits, gold))
        loss = -float(np.log(np.clip((probabilities * gold).sum(axis=1), 1e-9, 1.0)).mean())
        candidates.append((loss, strength, head))
    return min(candidates, key=lambda candidate: candidate[0])[2]


def _fit(
    units: Floats,
    target: Sequence[int],
    weight: Sequence[float],
    labels: tuple[str, ...],
    strength: float,
    seed: int,
) -> Head:
    # Unit vectors have components of about 1/sqrt(width): scaled up, the solver converges in a tenth of the steps.
    scale = float(np.sqrt(units.shape[1]))
    model = LogisticRegression(C=strength, max_iter=1_000, tol=1e-3, random_state=seed)
    model.fit(units * scale, target, sample_weight=weight)
    coefficients, bias = model.coef_ * scale, model.intercept_
    if len(labels) == 2:  # noqa: PLR2004 - scikit-learn keeps one row for two classes
        coefficients, bias = (
            np.vstack([-coefficients, coefficients]) / 2,
            np.concatenate([-bias, bias]) / 2,
        )
    return as_shipped(labels, coefficients, bias)


def as_shipped(
    labels: tuple[str, ...], weight: npt.NDArray[np.floating], bias: npt.NDArray[np.floating]
) -> Head:
    """A head whose numbers went through float32: what is calibrated is what is served."""
    return Head(
        labels,
        weight.astype(np.float32).astype(np.float64),
        bias.astype(np.float32).astype(np.float64),
    )
