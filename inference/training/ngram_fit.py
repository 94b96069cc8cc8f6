"""Fitting an n-gram head: logistic regression on hashed n-grams.

`inference.model.ngrams` computes the features.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from inference.arrays import Floats
from inference.labelled import LabelledRow, lessons
from inference.model.input_text import read_content
from inference.model.ngrams import BUCKETS, TEXT_BUCKETS, Features, NgramHead, columns_of
from inference.training.absent_labels import few_rows_per_label, with_absent_labels
from inference.training.head_fit import MIN_CLASSES

STRENGTH = 10.0
"""The inverse regularisation. It is a usual value for TF-IDF features of length one, not tuned."""
MIN_ROWS = 2
"""Buckets that fewer training rows use get no weights.

An n-gram that only one row has will hardly occur again.
"""
MAX_LABELS = 256
"""Axes with more labels get no columns.

With more, the table would be about as large as the encoder (larger, with documents), and slower to
read.
"""
MAX_FOLD_WORK = 600_000
"""The rows times labels for which cross-fitting fits n-grams: 2,600 rows of 226 labels.

Fitting them to more, once for each fold, would take most of an hour; and the encoder's head needs
them least if there are many rows.
"""


def fit_ngram_head(
    rows: Sequence[LabelledRow],
    labels: Mapping[str, Sequence[str]],
    *,
    seed: int,
    max_work: float = math.inf,
    idf: npt.NDArray[np.float32] | None = None,
) -> NgramHead:
    """The n-gram head of one domain, fitted on `rows`, which are its training rows.

    It has columns for every axis that has at most `MAX_LABELS` labels, and at most `max_work` rows
    times labels. `idf` (buckets,) is that of another head; without it, the rows give it.
    """
    counts = _bucket_counts(rows, None if idf is None else len(idf))
    if idf is None:
        # A bucket that no row uses gets the largest idf, but its weights are zero. An event full
        # of such buckets gets logits near the bias.
        idf = (np.log((1 + len(rows)) / (1 + counts)) + 1).astype(np.float32)
    reader = _without_columns(idf)
    labels = {
        axis: names
        for axis, names in labels.items()
        if has_columns(len(rows), len(names), max_work)
    }
    if not labels:
        return reader
    used = np.flatnonzero(counts >= MIN_ROWS)
    features = [reader.features(read_content(row.event)) for row in rows]
    matrix = _matrix(features, len(idf))[:, used]
    fitted = [_fit(matrix, rows, axis, names, seed) for axis, names in labels.items()]
    bias = np.concatenate([bias_of_axis for _, bias_of_axis in fitted])
    weights = np.zeros((len(idf), len(bias)), np.float32)
    weights[used] = np.concatenate([weight for weight, _ in fitted]).T
    return quantized(idf, weights, bias, labels)


def fit_other_columns(
    unchanged: NgramHead,
    rows: Sequence[LabelledRow],
    labels: Mapping[str, Sequence[str]],
    *,
    seed: int,
) -> NgramHead:
    """An n-gram head with the columns of `unchanged`; those of the other axes are fitted on `rows`.

    `labels` names all axes in the order of the columns. The features stay those of `unchanged`, so
    its axes get the same logits as before.
    """
    others = {axis: names for axis, names in labels.items() if axis not in unchanged.columns}
    fitted = fit_ngram_head(rows, others, seed=seed, idf=unchanged.idf)
    sources = {
        axis: head for axis in labels for head in (unchanged, fitted) if axis in head.columns
    }
    columns = [(head, head.columns[axis]) for axis, head in sources.items()]
    return NgramHead(
        unchanged.idf,
        np.concatenate([head.weights[:, place] for head, place in columns], axis=1),
        np.concatenate([head.scales[place] for head, place in columns]),
        np.concatenate([head.bias[place] for head, place in columns]),
        columns_of({axis: labels[axis] for axis in sources}),
    )


def has_columns(rows: int, labels: int, max_work: float = math.inf) -> bool:
    """Whether an axis with so many labels gets columns that are fitted to so many rows."""
    return labels <= min(MAX_LABELS, max_work / max(1, rows))


def quantized(
    idf: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    bias: Floats,
    labels: Mapping[str, Sequence[str]],
) -> NgramHead:
    """The n-gram head with its weights (buckets, columns) in int8, and one scale per column."""
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
    """The n-gram head with the columns of only these axes."""
    numbers = np.arange(ngram_head.weights.shape[1])
    columns = {axis: numbers[ngram_head.columns[axis]] for axis in axes}
    index = np.concatenate([np.zeros(0, np.int64), *columns.values()]).astype(np.int64)
    return NgramHead(
        ngram_head.idf,
        np.ascontiguousarray(ngram_head.weights[:, index]),
        ngram_head.scales[index],
        ngram_head.bias[index],
        columns_of(columns),
    )


def _bucket_counts(rows: Sequence[LabelledRow], buckets: int | None = None) -> Floats:
    """How many rows use each bucket; shape (buckets,)."""
    if buckets is None:
        has_documents = any(read_content(row.event).leaves for row in rows)
        buckets = BUCKETS if has_documents else TEXT_BUCKETS
    reader = _without_columns(np.ones(buckets, np.float32))
    counts = np.zeros(buckets)
    for row in rows:
        counts[reader.features(read_content(row.event)).buckets] += 1
    return counts


def _without_columns(idf: npt.NDArray[np.float32]) -> NgramHead:
    """An n-gram head that computes features but decides no axis."""
    empty = np.zeros(0)
    return NgramHead(idf, np.zeros((len(idf), 0), np.int8), empty, empty, {})


def _matrix(features: Sequence[Features], width: int) -> csr_matrix:
    """The features of all rows, as a matrix of shape (rows, width)."""
    ends = np.cumsum([0, *(len(of_row.buckets) for of_row in features)])
    buckets = np.concatenate([of_row.buckets for of_row in features])
    values = np.concatenate([of_row.values for of_row in features])
    return csr_matrix((values, buckets, ends), shape=(len(features), width))


def _fit(
    matrix: csr_matrix, rows: Sequence[LabelledRow], axis: str, names: Sequence[str], seed: int
) -> tuple[Floats, Floats]:
    """The weights (labels, used buckets) and the bias (labels,) of one axis."""
    index, target, weight = lessons(rows, axis, names)
    present = sorted(set(target))
    # Few short rows may have no bucket in common.
    if len(present) < MIN_CLASSES or not matrix.shape[1]:
        nothing = np.zeros((len(present), matrix.shape[1])), np.zeros(len(present))
        return with_absent_labels(*nothing, present, len(names))
    model = LogisticRegression(C=STRENGTH, max_iter=150, tol=1e-3, random_state=seed)
    with few_rows_per_label():
        model.fit(matrix[index], target, sample_weight=weight)
    return with_absent_labels(model.coef_, model.intercept_, present, len(names))
