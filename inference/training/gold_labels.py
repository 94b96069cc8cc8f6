"""The gold labels of rows as arrays."""

from collections.abc import Sequence

import numpy as np

from inference.acceptance.samples import UNLABELLED
from inference.arrays import Bools, Flags
from inference.labelled import LabelledRow


def gold_matrix(rows: Sequence[LabelledRow], axis: str, labels: Sequence[str]) -> Bools:
    """Which labels of an axis are right for which row, as an array of shape (rows, labels).

    A gold label that is not among `labels` has no column, so it can be right for no row.
    """
    columns = {label: column for column, label in enumerate(labels)}
    gold = np.zeros((len(rows), len(labels)), np.bool_)
    for number, row in enumerate(rows):
        for label in row.gold.get(axis, ()):
            if label in columns:
                gold[number, columns[label]] = True
    return gold


def correctness(rows: Sequence[LabelledRow], axis: str, answers: Sequence[str]) -> Flags:
    """Whether each answer is one of its row's gold labels: 1, 0, or `UNLABELLED`; shape (rows,)."""
    flags = [_flag(row, axis, answer) for row, answer in zip(rows, answers, strict=True)]
    return np.array(flags, dtype=np.int8)


def _flag(row: LabelledRow, axis: str, answer: str) -> int:
    if axis not in row.gold:
        return UNLABELLED
    return int(answer in row.gold[axis])
