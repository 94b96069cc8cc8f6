"""How many more labelled rows a promise needs.

Two things change with more rows. The test needs fewer errors to spare, which can be computed. And
the model gets better, which its learning curve suggests: the error rate among the surest share of
the rows is taken to fall with a power of the number of rows, as learning curves usually do
(Hestness et al., 2017, "Deep Learning Scaling is Predictable, Empirically").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from inference.acceptance.binomial import binomial_tail
from inference.arrays import Floats

COVERAGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The shares of the rows, the surest first, whose error rates a learning curve has."""
HALF, MOST = 0.5, 0.8
MAX_FACTOR = 30.0
"""No forecast looks further than so many times the rows that there are."""
EXPONENTS = (0.1, 1.0)
"""The power of the number of rows is taken to lie between these."""
USUAL_EXPONENT, USUAL_WEIGHT = 0.5, 10.0
"""The usual power, and how many errors it takes to outweigh it."""


class CurvePoint(msgspec.Struct, frozen=True):
    """What a model that learned from so many rows does on rows it has not seen.

    `errors` has the number of wrong rows among the surest share, for each of `COVERAGES`.
    """

    rows: int
    errors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MoreRows:
    """About how many rows more are needed: from `fewest` to `most`.

    Both are 0 if no more are. None stands for more than `MAX_FACTOR` times the rows that there are.
    """

    fewest: int | None
    most: int | None


def curve_point(risks: Floats, wrong: Sequence[bool]) -> CurvePoint:
    """The point of the learning curve of n rows, from the risk of each and whether it is wrong."""
    errors = np.append(0, np.cumsum(np.asarray(wrong, np.int64)[np.argsort(risks, kind="stable")]))
    return CurvePoint(
        len(risks), tuple(int(errors[round(share * len(risks))]) for share in COVERAGES)
    )


class LearningCurve(msgspec.Struct, frozen=True):
    """What the model does `now`, with all rows, and points that show how it gets better.

    The points are of models that are fitted more quickly, so only their differences matter.
    """

    now: CurvePoint
    points: tuple[CurvePoint, ...]


def forecast(
    curve: LearningCurve, alpha: float, delta: float, target: float | None = None
) -> MoreRows:
    """The rows that are missing until a share `target` is accepted; None asks for anything at all.

    The range comes from how uncertain the error rates are, and from how steep the curve is.
    """
    if not curve.now.rows:
        return MoreRows(None, None)
    steepness = _exponent(curve.points)
    shallow = max(EXPONENTS[0], steepness / 2)
    steep = min(EXPONENTS[1], steepness * 1.5)
    fewest = _needed(curve.now, alpha, delta, target, exponent=steep, spread=-1.0)
    most = _needed(curve.now, alpha, delta, target, exponent=shallow, spread=1.0)
    return MoreRows(fewest, most)


def _needed(
    now: CurvePoint,
    alpha: float,
    delta: float,
    target: float | None,
    *,
    exponent: float,
    spread: float,
) -> int | None:
    """The rows that are missing if errors are so many deviations from what was counted."""
    wanted = [
        (share, max(0.0, errors + spread * math.sqrt(errors + 0.5)))
        for share, errors in zip(COVERAGES, now.errors, strict=True)
        if target is None or share >= target
    ]
    factors: list[float] = np.geomspace(1.0, MAX_FACTOR, 120).tolist()
    for factor in factors:
        rows = now.rows * factor
        for share, errors in wanted:
            accepted = math.floor(rows * share)
            wrong = math.ceil(errors * factor * factor**-exponent - 1e-9)
            if accepted and binomial_tail(min(wrong, accepted), accepted, alpha) <= delta:
                return math.ceil(rows) - now.rows
    return None


def _exponent(points: Sequence[CurvePoint]) -> float:
    """How fast the error rates fall: the slope of their logarithms over that of the rows.

    Few errors say little about the slope, so it is drawn towards the usual one.
    """
    if len({point.rows for point in points}) < 2:  # noqa: PLR2004 - a line needs two points
        return USUAL_EXPONENT
    rows = np.log([point.rows for point in points])
    slopes, weights = [USUAL_EXPONENT], [USUAL_WEIGHT]
    for place, share in enumerate(COVERAGES):
        rates = [(point.errors[place] + 0.5) / (share * point.rows + 1) for point in points]
        slopes.append(-np.polyfit(rows, np.log(rates), 1)[0])
        weights.append(points[-1].errors[place] / len(COVERAGES))
    return float(np.clip(np.average(slopes, weights=weights), *EXPONENTS))
