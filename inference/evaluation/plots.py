"""The geometry of the report's plots: where each line, dot and text lies.

All positions and lengths are in SVG units, from the top left corner. `templates/plots.svg.j2` has
the markup, and `templates/report.css` has the colours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inference.evaluation.figures import CurvePoint, ReliabilityBin
from inference.evaluation.formulas import wilson_interval

WIDTH, LEFT_MARGIN, RIGHT_MARGIN, TOP_MARGIN = 440, 60, 14, 12
CURVE_HEIGHT, RELIABILITY_HEIGHT, COUNTS_HEIGHT, AXIS_TITLE_HEIGHT = 230, 250, 46, 42

RISK_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)
MAX_RISK_STEPS = 5
"""More labels on the axis of the risk would be hard to read."""
MIN_SCALED_COVERAGE = 0.02
"""Points of a smaller coverage are drawn, but do not stretch the scale: they are of few rows."""
SHARE_STEP = 0.2

Position = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Tick:
    """A grid line and the text beside it."""

    position: float
    text: str


@dataclass(frozen=True, slots=True)
class PlotArea:
    """The area in which data are drawn: x from 0 to 1, y from 0 to `max_y`."""

    max_y: float
    height: int
    width: int = WIDTH - LEFT_MARGIN - RIGHT_MARGIN
    left: int = LEFT_MARGIN
    top: int = TOP_MARGIN

    @property
    def right(self) -> int:
        """The position of the right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The position of the lower edge."""
        return self.top + self.height

    def x(self, value: float) -> float:
        """The horizontal position of a value."""
        return self.left + value * self.width

    def y(self, value: float) -> float:
        """The vertical position of a value."""
        return self.top + (1 - value / self.max_y) * self.height

    def x_ticks(self, step: float) -> list[Tick]:
        """The vertical grid lines."""
        return [Tick(self.x(value), _percent(value)) for value in _steps(1.0, step)]

    def y_ticks(self, step: float) -> list[Tick]:
        """The horizontal grid lines."""
        return [Tick(self.y(value), _percent(value)) for value in _steps(self.max_y, step)]


@dataclass(frozen=True, slots=True)
class RiskCoveragePlot:
    """The error rate among the accepted rows against the share of the rows that is accepted.

    `promised_y` is the height of the promised error rate. `served` is where the model is served;
    None if it accepts nothing. A curve without points is not drawn.
    """

    height: int
    area: PlotArea
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    curve: list[Position]
    baseline_curve: list[Position]
    promised_y: float
    served: Position | None


@dataclass(frozen=True, slots=True)
class ReliabilityDot:
    """A bin with rows: the centre and radius of its dot, and the ends of its 95 % interval."""

    x: float
    y: float
    radius: float
    interval_top: float
    interval_bottom: float


@dataclass(frozen=True, slots=True)
class CountBar:
    """The bar below a bin, as high as its rows are many."""

    x: float
    y: float
    width: float
    height: float
    rows: int


@dataclass(frozen=True, slots=True)
class ReliabilityPlot:
    """The accuracy against the confidence, bin by bin, and a bar with the rows of each bin below.

    `bars_bottom` is the position of the lower edge of the bars.
    """

    height: int
    area: PlotArea
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    dots: list[ReliabilityDot]
    bars: list[CountBar]
    bars_bottom: int


def risk_coverage_plot(
    curve: Sequence[CurvePoint],
    baseline_curve: Sequence[CurvePoint],
    *,
    alpha: float,
    served: CurvePoint | None,
) -> RiskCoveragePlot:
    """The geometry of the risk-coverage curves; `alpha` is the promised error rate."""
    scaled = [
        point.risk for point in (*curve, *baseline_curve) if point.coverage >= MIN_SCALED_COVERAGE
    ]
    highest = max([*scaled, alpha * 1.5]) * 1.04
    step = next((step for step in RISK_STEPS if highest / step <= MAX_RISK_STEPS), RISK_STEPS[-1])
    area = PlotArea(math.ceil(highest / step) * step, CURVE_HEIGHT)
    served_position = None
    if served:
        served_position = (area.x(served.coverage), area.y(served.risk))
    return RiskCoveragePlot(
        height=area.bottom + AXIS_TITLE_HEIGHT,
        area=area,
        x_ticks=area.x_ticks(SHARE_STEP),
        y_ticks=area.y_ticks(step),
        curve=[(area.x(point.coverage), area.y(point.risk)) for point in curve],
        baseline_curve=[(area.x(point.coverage), area.y(point.risk)) for point in baseline_curve],
        promised_y=area.y(alpha),
        served=served_position,
    )


def reliability_plot(bins: Sequence[ReliabilityBin]) -> ReliabilityPlot:
    """The geometry of the reliability diagram."""
    area = PlotArea(1.0, RELIABILITY_HEIGHT)
    most_rows = max((bin_.rows for bin_ in bins), default=0) or 1
    bars_bottom = area.bottom + AXIS_TITLE_HEIGHT + 16 + COUNTS_HEIGHT
    return ReliabilityPlot(
        height=bars_bottom + 20,
        area=area,
        x_ticks=area.x_ticks(SHARE_STEP),
        y_ticks=area.y_ticks(SHARE_STEP),
        dots=[_dot(area, bin_, most_rows) for bin_ in bins if bin_.rows],
        bars=[_bar(area, bin_, most_rows, bars_bottom) for bin_ in bins],
        bars_bottom=bars_bottom,
    )


def _dot(area: PlotArea, bin_: ReliabilityBin, most_rows: int) -> ReliabilityDot:
    low, high = wilson_interval(bin_.accuracy, bin_.rows)
    return ReliabilityDot(
        x=area.x(bin_.confidence),
        y=area.y(bin_.accuracy),
        radius=3 + 3 * math.sqrt(bin_.rows / most_rows),
        interval_top=area.y(high),
        interval_bottom=area.y(low),
    )


def _bar(area: PlotArea, bin_: ReliabilityBin, most_rows: int, bottom: int) -> CountBar:
    height = 0.0
    if bin_.rows:
        # A bin with few rows has a bar that can still be seen.
        height = max(1.0, bin_.rows / most_rows * COUNTS_HEIGHT)
    left, right = area.x(bin_.low), area.x(bin_.high)
    return CountBar(left + 1, bottom - height, right - left - 2, height, bin_.rows)


def _steps(end: float, step: float) -> list[float]:
    return [number * step for number in range(round(end / step) + 1)]


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"
