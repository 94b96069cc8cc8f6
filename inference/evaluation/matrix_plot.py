"""The geometry of the confusion matrix in the report; see `inference.evaluation.plots`."""

import math
from dataclasses import dataclass

from inference.evaluation.figures import ConfusionFigures

CELL, MAX_LABEL_CHARS, CHAR_WIDTH = 30, 24, 7.4
DARK_CELL = 0.55
"""The number in a cell of a higher opacity is written in a light colour."""


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One cell of the confusion matrix.

    `opacity` is 0.0 for a cell without rows. `tip` is the text that appears under the pointer.
    """

    x: int
    y: int
    rows: int
    right: bool
    opacity: float
    tip: str

    @property
    def dark(self) -> bool:
        """Whether the number must be written in a light colour."""
        return self.opacity > DARK_CELL


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """A gold label and the cells of its row.

    The label is written at the left of the row at `label_y`, and slanted above the column of the
    same label at `column_x`.
    """

    label: str
    label_y: int
    column_x: int
    cells: list[MatrixCell]


@dataclass(frozen=True, slots=True)
class MatrixPlot:
    """The confusion matrix, with gold labels as rows and answers as columns.

    The labels of the rows end at `row_labels_x`. Those of the columns start at `column_labels_y`.
    """

    width: int
    height: int
    max_width: int
    min_width: int
    row_labels_x: int
    column_labels_y: int
    rows: list[MatrixRow]


def matrix_plot(confusion: ConfusionFigures) -> MatrixPlot:
    """The geometry of the confusion matrix, which must have labels."""
    labels = [_shortened(label) for label in confusion.labels]
    left = 14 + CHAR_WIDTH * max(map(len, labels))
    top = left * 0.8 + 4
    side = CELL * len(labels)
    # The slanted name of the last column reaches beyond the last cell.
    width = left + side + top
    return MatrixPlot(
        width=round(width),
        height=round(top + side + 8),
        max_width=round(width * 1.15),
        min_width=round(min(width, 520)),
        row_labels_x=round(left - 8),
        column_labels_y=round(top - 7),
        rows=[
            MatrixRow(
                label=label,
                label_y=round(top + (row + 0.5) * CELL + 4),
                column_x=round(left + (row + 0.5) * CELL),
                cells=[
                    _cell(confusion, row, column, left=left, top=top)
                    for column in range(len(labels))
                ],
            )
            for row, label in enumerate(labels)
        ],
    )


def _cell(
    confusion: ConfusionFigures, row: int, column: int, *, left: float, top: float
) -> MatrixCell:
    rows, rows_of_gold = confusion.counts[row][column], sum(confusion.counts[row])
    gold, value = confusion.labels[row], confusion.labels[column]
    opacity = 0.0
    if rows:
        # With the square root, one row in a hundred can already be seen.
        opacity = 0.12 + 0.88 * math.sqrt(rows / rows_of_gold)
    return MatrixCell(
        x=round(left + column * CELL + 1),
        y=round(top + row * CELL + 1),
        rows=rows,
        right=row == column,
        opacity=opacity,
        tip=f"{gold} answered as {value}: {rows} of {rows_of_gold}",
    )


def _shortened(label: str) -> str:
    if len(label) <= MAX_LABEL_CHARS:
        return label
    return f"{label[: MAX_LABEL_CHARS - 1]}…"
