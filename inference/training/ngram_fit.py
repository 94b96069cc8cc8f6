"""Lexical heads by logistic regression on hashed n-grams; see `inference.model.ngrams` for the features."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from inference.labelled import LabelledRow, lessons
from inference.model.ngrams import BUCKETS, TEXT_BUCKETS, Features, NgramHead, columns_of

STRENGTH = 10.0
"""Inverse regularisation: what TF-IDF features of length one usually want; it was not searched."""
MIN_ROWS = 2
"""A bucket in fewer training rows teaches nothing that could be met again."""
MAX_LABELS = 256
"""Beyond, the table would be about as large as the encoder (larger, with documents), and reading it slower."""


def fit_ngram_head(
    rows: Sequence[LabelledRow], labels: Mapping[str, Sequence[str]], *, seed: int
) -> NgramHead:
    """Lexical heads for every axis of few enough labels, taught by `rows`, which are of one domain."""
    none = np.zeros(0)
    buckets = BUCKETS if any(row.event.event for row in rows) else TEXT_BUCKETS
    counts = np.zeros(buckets)
    reader = NgramHead(
        np.ones(buckets, np.float32), np.zeros((buckets, 0), np.int8), none, none, {}
    )
    for row in rows:
        counts[reader.read(row.event).buckets] += 1
    # A feature no row had weighs most and says nothing: an event full of such gets logits near the bias.
    idf = (np.log((1 + len(rows)) / (1 + counts)) + 1).astype(np.float32)
    reader = replace(reader, idf=idf)
    wanted = {axis: names for axis, names in labels.items() if len(names) <= MAX_LABELS}
    if not wanted:
        return reader
    used = np.flatnonzero(counts >= MIN_ROWS)
    matrix = _matrix([reader.read(row.event) for row in rows], buckets)[:, used]
    fitted = [_fit(matrix, rows, axis, names, seed) for axis, names in wanted.items()]
    weights = np.zeros((buckets, sum(len(bias) for _, bias in fitted)), np.float32)
    weights[used] = np.concatenate([weight for weight, _ in fitted]).T
    return quantized(idf, weights, np.concatenate([bias for _, bias in fitted]), wanted)


def quantized(
    idf: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float64],
    labels: Mapping[str, Sequence[str]],
) -> NgramHead:
    """The lexicon with its weights in int8, one scale a column."""
    scales = np.maximum(np.abs(weights).max(axis=0), 1e-9) / 127
    table = np.round(weights / scales).astype(np.int8)
    return NgramHead(
        idf,
        table,
        scales.astype(np.float32).astype(np.float64),
        bias.astype(np.float32).astype(np.float64),
        columns_of(labels),
    )


def kept(ngram_head: NgramHead, axes: Sequence[str]) -> NgramHead:
    """The lexicon with the columns of these axes alone."""
    chosen = {
        axis: np.arange(ngram_head.weights.shape[1])[ngram_head.columns[axis]] for axis in axes
    }
    index = np.concatenate([np.zeros(0, np.int64), *chosen.values()]).astype(np.int64)
    return NgramHead(
        ngram_head.idf,
        np.ascontiguousarray(ngram_head.weights[:, index]),
        ngram_head.scales[index],
        ngram_head.bias[index],
        columns_of(chosen),
    )


def _matrix(features: Sequence[Features], width: int) -> csr_matrix:
    ends = np.cumsum([0, *(len(one.buckets) for one in features)])
    buckets = np.concatenate([one.buckets for one in features])
    return csr_matrix(
        (np.concatenate([one.values for one in features]), buckets, ends),
        shape=(len(features), width),
    )


def _fit(
    matrix: csr_matrix, rows: Sequence[LabelledRow], axis: str, names: Sequence[str], seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights (labels, buckets) and bias (labels,)."""
    index, target, weight = lessons(rows, axis, names)
    model = LogisticRegression(C=STRENGTH, max_iter=150, tol=1e-3, random_state=seed)
    model.fit(matrix[index], target, sample_weight=weight)
    if len(names) == 2:  # noqa: PLR2004 - scikit-learn keeps one row for two classes
        half, bias = model.coef_ / 2, model.intercept_ / 2
        return np.vstack([-half, half]), np.concatenate([-bias, bias])
    return model.coef_, model.intercept_
