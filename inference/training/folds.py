"""The folds of cross-fitting: which rows are answered by a model that was trained without them.

The folds do not look at labels. It is tempting to spread the rows of each label evenly. But then
the label of a row keeps all its other rows in the model that answers, while every other label loses
some. With few rows per label, such a model is right more often than the one that is served, and the
promise is broken too often: with 500 rows of 150 labels, in a third of the cases.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inference.errors import DataError
from inference.labelled import LabelledRow

FOLDS, FOLDS_OF_FEW = 5, 10
"""With more folds, each model has more rows to learn from, and the training takes longer."""
FEW_ROWS = 1_000
"""Up to so many rows, there are `FOLDS_OF_FEW` folds."""

Folds = npt.NDArray[np.int64]


def fold_numbers(rows: Sequence[LabelledRow]) -> Folds:
    """The number of the fold of each row, shape (rows,), from 0 on.

    The rows of a cluster are in one fold: a model that learned from a near-duplicate of a row would
    answer it better than a new event. Apart from that the folds are random, and about as large as
    each other. The same rows have the same folds, whatever their order.

    Raises:
        DataError: there are fewer than two clusters.
    """
    clusters: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        clusters.setdefault(_cluster(row), []).append(index)
    count = min(fold_count(len(rows)), len(clusters))
    if count < 2:  # noqa: PLR2004 - one row cannot be answered by a model of the others
        raise DataError(
            f"{len(rows)} labelled rows of {len(clusters)} kinds are too few to calibrate on; "
            "give at least two rows that differ"
        )
    numbers = np.zeros(len(rows), np.int64)
    rows_in_fold = [0] * count
    for cluster in sorted(clusters, key=lambda name: _order(clusters[name], name)):
        fold = min(range(count), key=lambda each: rows_in_fold[each])
        numbers[clusters[cluster]] = fold
        rows_in_fold[fold] += len(clusters[cluster])
    return numbers


def fold_count(rows: int) -> int:
    """How many folds so many rows are divided into."""
    return FOLDS_OF_FEW if rows <= FEW_ROWS else FOLDS


def _order(members: Sequence[int], cluster: str) -> tuple[int, bytes]:
    """The largest clusters first, because the small ones can level out the folds."""
    return -len(members), hashlib.sha256(cluster.encode()).digest()


def _cluster(row: LabelledRow) -> str:
    event = row.event
    return row.cluster or event.text or event.title or event.body or event.id
