"""The folds of cross-fitting: which rows are answered by a model that was trained without them."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inference.errors import DataError
from inference.labelled import LabelledRow

FOLDS = 5
"""With more folds, each model has more rows to learn from, and the training takes longer."""

Folds = npt.NDArray[np.int64]


def fold_numbers(rows: Sequence[LabelledRow], count: int = FOLDS) -> Folds:
    """The number of the fold of each row, shape (rows,), from 0 on.

    The rows of a cluster are in one fold: a model that learned from a near-duplicate of a row would
    answer it better than a new event. Each label has as equal a number of rows in the folds as that
    allows, and so has the whole. The same rows have the same folds, whatever their order.

    Raises:
        DataError: there are fewer than two clusters.
    """
    clusters: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        clusters.setdefault(_cluster(row), []).append(index)
    count = min(count, len(clusters))
    if count < 2:  # noqa: PLR2004 - one row cannot be answered by a model of the others
        raise DataError(
            f"{len(rows)} labelled rows of {len(clusters)} kinds are too few to calibrate on; "
            "give at least two rows that differ"
        )
    numbers = np.zeros(len(rows), np.int64)
    labels_in_fold: list[Counter[tuple[str, str]]] = [Counter() for _ in range(count)]
    rows_in_fold = [0] * count
    for cluster in sorted(clusters, key=lambda name: _order(clusters[name], name)):
        members = clusters[cluster]
        labels = Counter(pair for index in members for pair in _labels(rows[index]))
        fold = min(
            range(count),
            key=lambda each: (
                sum(labels_in_fold[each][pair] for pair in labels),
                rows_in_fold[each],
            ),
        )
        numbers[members] = fold
        labels_in_fold[fold] += labels
        rows_in_fold[fold] += len(members)
    return numbers


def _order(members: Sequence[int], cluster: str) -> tuple[int, bytes]:
    """The largest clusters first, because the small ones can level out the folds."""
    return -len(members), hashlib.sha256(cluster.encode()).digest()


def _cluster(row: LabelledRow) -> str:
    event = row.event
    return row.cluster or event.text or event.title or event.body or event.id


def _labels(row: LabelledRow) -> list[tuple[str, str]]:
    return [(axis, label) for axis, labels in row.gold.items() for label in labels]
