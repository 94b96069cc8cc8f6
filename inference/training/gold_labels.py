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
    return np.array(
        [[label in row.gold.get(axis, ()) for label in labels] for row in rows], dtype=np.bool_
    )


def correctness(rows: Sequence[LabelledRow], axis: str, answers: Sequence[str]) -> Flags:
    """Whether each answer is one of its row's gold labels: 1, 0, or `UNLABELLED`; shape (rows,)."""
    flags = [_flag(row, axis, answer) for row, answer in zip(rows, answers, strict=True)]
    return np.array(flags, dtype=np.int8)


def _flag(row: LabelledRow, axis: str, answer: str) -> int:
    if axis not in row.gold:
        return UNLABELLED
    return int(answer in row.gold[axis])
