"""Heads by logistic regression on a frozen encoder: minutes on a laptop, no gradient reaches the encoder.

What is trained on is what is served: the int8 encoder's vectors of the served view, through the served tokenizer
and batches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from inference.calibration import Floats, fit_temperature, softmax
from inference.encoder import Encoder, Vectors
from inference.heads import Head, unit
from inference.tokenizer import Tokenizer
from inference.training.dataset import DataError, Row
from inference.view import read

REGULARISATION = (0.003, 0.01, 0.03, 0.1, 0.3)
"""Inverse strengths tried, on vectors scaled to unit variance; the tuning half chooses."""

CHUNK_ROWS = 512

Gold = npt.NDArray[np.bool_]
Progress = Callable[[str, int, int], None]
"""Told a stage, how much of it is done and how much there is."""


@dataclass(frozen=True, slots=True)
class FittedAxis:
    """A head, the regularisation that was chosen for it, and how many rows taught it."""

    head: Head
    regularisation: float
    rows: int


def embed_rows(rows: Sequence[Row], tokenizer: Tokenizer, encoder: Encoder, progress: Progress, stage: str) -> Vectors:
    """The vectors of the rows' views, float32 of shape (rows, width)."""
    ids = tokenizer.encode([read(row.event) for row in rows])
    vectors = np.zeros((len(rows), encoder.width), dtype=np.float32)
    for start in range(0, len(rows), CHUNK_ROWS):
        vectors[start : start + CHUNK_ROWS] = encoder.embed(ids[start : start + CHUNK_ROWS])
        progress(stage, min(start + CHUNK_ROWS, len(rows)), len(rows))
    return vectors


def fit_axes(
    rows: Sequence[Row], vectors: Vectors, axes: Sequence[str], progress: Progress, *, seed: int
) -> dict[str, FittedAxis]:
    """One head an axis, taught by the training rows, its regularisation and temperature chosen on the tuning half."""
    units = np.stack([unit(vector) for vector in vectors])
    fitted = {}
    for number, axis in enumerate(axes):
        progress("heads", number, len(axes))
        fitted[axis] = fit_axis(rows, units, axis, seed=seed)
    progress("heads", len(axes), len(axes))
    return fitted


def fit_axis(rows: Sequence[Row], units: Floats, axis: str, *, seed: int) -> FittedAxis:
    """One axis. A row without a label is left out; one with k gold labels teaches each with weight 1/k.

    Raises:
        DataError: fewer than two labels to tell apart, or no validation row to choose with.
    """
    labels = tuple(sorted({label for row in rows if row.part == "train" for label in row.gold.get(axis, ())}))
    tuning = [i for i, row in enumerate(rows) if row.part == "tuning" and axis in row.gold]
    if len(labels) < 2 or not tuning:  # noqa: PLR2004 - one label is nothing to choose between
        raise DataError(f"{axis} needs two labels among the training rows and some validation rows; add such rows")
    taught = [
        (index, labels.index(label), 1 / len(row.gold[axis]))
        for index, row in enumerate(rows)
        if row.part == "train"
        for label in row.gold.get(axis, ())
    ]
    index, target, weight = (np.asarray(column) for column in zip(*taught, strict=True))
    gold = gold_matrix([rows[i] for i in tuning], axis, labels)
    candidates = []
    for strength in REGULARISATION:
        head = _fit(units[index], target, weight, labels, strength, seed)
        logits = np.stack([head.logits(vector) for vector in units[tuning]])
        temperature = fit_temperature(logits, gold)
        candidates.append((_log_loss(softmax(logits, temperature), gold), strength, head, temperature))
    _, strength, head, temperature = min(candidates, key=lambda candidate: candidate[0])
    return FittedAxis(Head(labels, head.weight, head.bias, temperature), strength, len(set(index.tolist())))


def gold_matrix(rows: Sequence[Row], axis: str, labels: Sequence[str]) -> Gold:
    """Which labels are right, (rows, labels); a label the heads never saw is right for none."""
    return np.array([[label in row.gold.get(axis, ()) for label in labels] for row in rows], dtype=np.bool_)


def tensors(fitted: Mapping[str, Mapping[str, FittedAxis]]) -> dict[str, npt.NDArray[np.float32]]:
    """The heads as `heads.safetensors` holds them.

    In C order: safetensors writes an array's bytes as they lie in memory, and scikit-learn's lie column by column.
    """
    return {
        f"{domain}.{axis}.{name}": np.ascontiguousarray(getattr(one.head, name), dtype=np.float32)
        for domain, axes in fitted.items()
        for axis, one in axes.items()
        for name in ("weight", "bias")
    }


def _fit(
    units: Floats, target: npt.NDArray[np.int64], weight: Floats, labels: tuple[str, ...], strength: float, seed: int
) -> Head:
    # Unit vectors have components of about 1/sqrt(width): scaled up, the solver converges in a tenth of the steps.
    scale = float(np.sqrt(units.shape[1]))
    model = LogisticRegression(C=strength, max_iter=1_000, tol=1e-3, random_state=seed)
    model.fit(units * scale, target, sample_weight=weight)
    coefficients, bias = model.coef_ * scale, model.intercept_
    if len(labels) == 2:  # noqa: PLR2004 - scikit-learn keeps one row for two classes
        coefficients, bias = np.vstack([-coefficients, coefficients]) / 2, np.concatenate([-bias, bias]) / 2
    return Head(labels, _as_shipped(coefficients), _as_shipped(bias), temperature=1.0)


def _as_shipped(array: Floats) -> Floats:
    """Through float32 and back: what is calibrated is what is served."""
    return array.astype(np.float32).astype(np.float64)


def _log_loss(probabilities: Floats, gold: Gold) -> float:
    return -float(np.log(np.clip((probabilities * gold).sum(axis=1), 1e-9, 1.0)).mean())
