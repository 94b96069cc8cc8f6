"""The plot: milliseconds until a subscriber has an event, against the load."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.plots import svg_template
from inference.evaluation.plots import PlotArea, Tick

WIDTH, HEIGHT, TOP, LEFT = 640, 260, 40, 64
LEAST_MS, DECADES = 10.0, 3
"""The vertical axis is logarithmic, from `LEAST_MS` over so many powers of ten."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One percentile of one side: pairs of a share of the drain rate, and milliseconds."""

    side: str
    percent: int
    points: list[tuple[float, float]]


def draw(curves: Sequence[Curve]) -> str:
    """The plot as SVG."""
    area = PlotArea(1.0, HEIGHT, width=WIDTH - LEFT - 30, left=LEFT, top=TOP)
    lines = [
        {
            "style": f"{curve.side} p{curve.percent}",
            "name": f"{curve.side}, p{curve.percent}",
            "legend_x": LEFT + 140 * number,
            "points": [(area.x(share), area.y(_height(ms))) for share, ms in curve.points],
        }
        for number, curve in enumerate(curves)
    ]
    return svg_template(Path(__file__).parent).render(
        area=area,
        lines=lines,
        width=WIDTH,
        height=TOP + HEIGHT + 46,
        x_ticks=area.x_ticks(0.2),
        y_ticks=[
            Tick(area.y(decade / DECADES), _text(LEAST_MS * 10**decade))
            for decade in range(DECADES + 1)
        ],
    )


def _height(milliseconds: float) -> float:
    """The height of a value between 0 and 1; what lies beyond the axis is drawn at its end."""
    decades = math.log10(max(milliseconds, LEAST_MS) / LEAST_MS)
    return min(1.0, decades / DECADES)


def _text(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.0f} s"
