"""What is stored with a cross-fitted calibration about how the model learned, and what it tells.

`triage train` prints it as a table: what is accepted now, and how many rows more are needed.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from inference.acceptance.forecast import HALF, MOST, LearningCurve, MoreRows, forecast
from inference.acceptance.guarantee import calibrate
from inference.acceptance.options import Terms
from inference.acceptance.samples import load_samples
from inference.model.artifact import Artifact
from schemas.codec import prepared

TABLE_ALPHAS, TABLE_DELTA = (0.02, 0.05, 0.10), 0.10
"""The table has a line for each of these, with this delta."""
LEARNING = "learning"
"""The key in `made_from` of the calibration."""


class LabelLearning(msgspec.Struct, frozen=True):
    """The cross-fitted answers about the rows of one label.

    `accepted` has, for each of `TABLE_ALPHAS`, how many of its rows are accepted if its axis alone
    decides.
    """

    rows: int
    right: int
    accepted: list[int]


class AxisLearning(msgspec.Struct, frozen=True):
    """The learning curve of an axis, and the figures of each of its labels."""

    curve: LearningCurve
    labels: dict[str, LabelLearning]


@dataclass(frozen=True, slots=True)
class AlphaLine:
    """What is accepted now under a promise of `alpha`, and how many rows more are needed.

    They are needed until anything, until half and until 80 % of the events is accepted.
    """

    alpha: float
    accepted: float
    until_anything: MoreRows
    until_half: MoreRows
    until_most: MoreRows


@dataclass(frozen=True, slots=True)
class LearningTable:
    """The table of one domain, for its deciding axes.

    `rows` counts the rows that the promise was tested on. `labels` has the figures of each label of
    each deciding axis.
    """

    domain: str
    deciding: tuple[str, ...]
    rows: int
    lines: tuple[AlphaLine, ...]
    labels: dict[str, dict[str, LabelLearning]]


def axis_learning(made_from: dict[str, Any], domain: str) -> dict[str, AxisLearning]:
    """What `made_from` of a calibration says of each axis; nothing if it is not cross-fitted."""
    return msgspec.convert(
        made_from.get(LEARNING, {}).get(domain, {}), prepared(dict[str, AxisLearning])
    )


def learning_table(artifact: Artifact, domain: str, terms: Terms) -> LearningTable | None:
    """The table of a domain; None if its calibration is not cross-fitted.

    If several axes decide, the number of rows is that of the axis that needs the most. It is then
    too small: all axes have to be right together.
    """
    learning = axis_learning(artifact.calibration.made_from, domain)
    if not learning:
        return None
    sample = load_samples(artifact)[domain]
    deciding = tuple(axis for axis in terms.deciding if axis in learning)
    if not deciding:
        deciding = tuple(sample.axes[:1])
    lines = []
    for alpha in TABLE_ALPHAS:
        curves = [learning[axis].curve for axis in deciding]
        accepted = calibrate(sample, deciding, alpha, TABLE_DELTA).coverage
        lines.append(
            AlphaLine(
                alpha,
                accepted,
                *(
                    _until(curves, alpha, target, reached=accepted > (target or 0.0))
                    for target in (None, HALF, MOST)
                ),
            )
        )
    return LearningTable(
        domain,
        deciding,
        len(sample.testing.correct),
        tuple(lines),
        {axis: learning[axis].labels for axis in deciding},
    )


def _until(
    curves: list[LearningCurve], alpha: float, target: float | None, *, reached: bool
) -> MoreRows:
    """The rows that are missing on the axis that needs the most; none if it is `reached`."""
    if reached:
        return MoreRows(0, 0)
    ranges = [forecast(curve, alpha, TABLE_DELTA, target) for curve in curves]
    return MoreRows(
        _largest([each.fewest for each in ranges]), _largest([each.most for each in ranges])
    )


def _largest(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    # The test failed now, so at least one row is missing.
    return max(1, *known)
