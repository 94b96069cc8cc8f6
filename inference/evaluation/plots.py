"""The report's drawings as inline SVG: no script, no font and no picture from anywhere; colours come from its style."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from inference.evaluation.figures import Bin, ConfusionFigures, Point

WIDTH, LEFT, RIGHT, TOP = 440, 60, 14, 12
CURVE_HEIGHT, RELIABILITY_HEIGHT, COUNTS_HEIGHT, BELOW = 230, 250, 46, 42
CELL, MAX_LABEL_CHARS, CHAR_WIDTH = 30, 24, 7.4
DARK_CELL = 0.55
"""A cell this full is darker than the ink its number would be written with."""
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)
FIRST_DRAWN = 0.02
"""Below this coverage a curve is a handful of rows: it is drawn, but does not stretch the scale."""
Z = 1.96


@dataclass(frozen=True, slots=True)
class _Plane:
    """Where data of x in [0, 1] and y in [0, top] lie on the paper."""

    top: float
    height: int

    def x(self, value: float) -> float:
        return LEFT + value * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (1 - value / self.top) * self.height


def risk_coverage(
    ours: Sequence[Point], baseline: Sequence[Point], *, alpha: float, served: Point | None
) -> str:
    """Error rate among the accepted against the share accepted, with the promise and where the model stands."""
    drawn = [point.risk for point in (*ours, *baseline) if point.coverage >= FIRST_DRAWN]
    highest = max([*drawn, alpha * 1.5]) * 1.04
    step = next((step for step in STEPS if highest / step <= 5), STEPS[-1])  # noqa: PLR2004 - lines one can still read
    plane = _Plane(math.ceil(highest / step) * step, CURVE_HEIGHT)
    inner = [
        _path(plane, points, style)
        for points, style in ((baseline, "base-line"), (ours, "ours"))
        if points
    ]
    dots = [f'<circle class="here" cx="{plane.x(served.coverage):.1f}" cy="{plane.y(served.risk):.1f}" r="6"/>'
            if served else ""]  # fmt: skip
    return _svg(
        "Risk-coverage curve",
        TOP + CURVE_HEIGHT + BELOW,
        *_grid(plane, step, 0.2),
        f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{plane.y(alpha):.1f}" y2="{plane.y(alpha):.1f}"/>',
        *_clipped(plane, inner),
        *dots,
        *_titles(plane, "share of events accepted, surest first", "error rate among them"),
    )


def reliability(bins: Sequence[Bin]) -> str:
    """Accuracy against confidence, bin by bin, with 95 % intervals (Wilson, 1927) and the rows of each bin below."""
    plane = _Plane(1.0, RELIABILITY_HEIGHT)
    held = [one for one in bins if one.rows]
    most = max((one.rows for one in held), default=1)
    points = " ".join(f"{plane.x(one.confidence):.1f},{plane.y(one.accuracy):.1f}" for one in held)
    floor = TOP + RELIABILITY_HEIGHT + BELOW + 16 + COUNTS_HEIGHT
    return _svg(
        "Reliability diagram",
        floor + 20,
        *_grid(plane, 0.2, 0.2),
        f'<line class="diagonal" x1="{plane.x(0)}" y1="{plane.y(0)}" x2="{plane.x(1)}" y2="{plane.y(1)}"/>',
        *(_whisker(plane, one) for one in held),
        f'<polyline class="through" points="{points}"/>',
        *(_dot(plane, one, most) for one in held),
        *_titles(plane, "confidence", "share right"),
        *_counts(plane, bins, floor),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{floor + 15}" text-anchor="middle">rows of each bin</text>',
    )  # fmt: skip


def heat_map(found: ConfusionFigures) -> str:
    """Gold labels down, answers across; a cell is as full as its share of the row, the diagonal is right."""
    names = [
        one if len(one) <= MAX_LABEL_CHARS else f"{one[: MAX_LABEL_CHARS - 1]}…"
        for one in found.labels
    ]
    margin = 14 + CHAR_WIDTH * max(map(len, names))
    slant = margin * 0.8 + 4
    side = CELL * len(names)
    # The last slanted name reaches beyond the last cell.
    width, height = margin + side + slant, slant + side + 8
    parts = []
    for row, (gold, counts) in enumerate(zip(found.labels, found.counts, strict=True)):
        y = slant + row * CELL
        parts.append(
            f'<text x="{margin - 8:.0f}" y="{y + CELL / 2 + 4:.0f}" text-anchor="end">{escape(names[row])}</text>'
        )
        x = margin + (row + 0.5) * CELL
        parts.append(
            f'<text transform="translate({x:.0f} {slant - 7:.0f}) rotate(-45)">{escape(names[row])}</text>'
        )  # fmt: skip
        for column, count in enumerate(counts):
            tip = f"{gold} answered as {found.labels[column]}: {count} of {sum(counts)}"
            parts.append(
                _cell(margin + column * CELL, y, count, sum(counts), tip, right=row == column)
            )
    return (
        f'<svg role="img" aria-label="Confusion matrix" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="max-width:{width * 1.15:.0f}px;min-width:{min(width, 520):.0f}px">{"".join(parts)}</svg>'
    )


def wilson(right: float, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share seen in so many rows (Wilson, 1927, "Probable Inference")."""
    middle = (right + Z * Z / (2 * rows)) / (1 + Z * Z / rows)
    half = (
        Z / (1 + Z * Z / rows) * math.sqrt(right * (1 - right) / rows + Z * Z / (4 * rows * rows))
    )
    return max(0.0, middle - half), min(1.0, middle + half)


def _svg(name: str, height: float, *parts: str) -> str:
    return f'<svg role="img" aria-label="{name}" viewBox="0 0 {WIDTH} {height:.0f}">{"".join(parts)}</svg>'


def _path(plane: _Plane, points: Sequence[Point], style: str) -> str:
    line = " ".join(f"{plane.x(each.coverage):.1f},{plane.y(each.risk):.1f}" for each in points)
    return f'<polyline class="{style}" points="{line}"/>'


def _clipped(plane: _Plane, parts: Sequence[str]) -> Iterator[str]:
    """An inner picture cuts off what a curve does above the scale among its first few rows."""
    width, height = WIDTH - LEFT - RIGHT, plane.height
    yield f'<svg x="{LEFT}" y="{TOP}" width="{width}" height="{height}" viewBox="{LEFT} {TOP} {width} {height}" '
    yield f'style="overflow:hidden">{"".join(parts)}</svg>'


def _grid(plane: _Plane, y_step: float, x_step: float) -> Iterator[str]:
    for number in range(round(plane.top / y_step) + 1):
        value = number * y_step
        y = plane.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{_percent(value)}</text>'
    for number in range(round(1 / x_step) + 1):
        x = plane.x(number * x_step)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + plane.height}"/>'
        yield (
            f'<text x="{x:.1f}" y="{TOP + plane.height + 17}" text-anchor="middle">{_percent(number * x_step)}</text>'
        )


def _titles(plane: _Plane, x: str, y: str) -> Iterator[str]:
    middle = TOP + plane.height / 2
    yield (
        f'<text class="title" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{TOP + plane.height + 36}" '
        f'text-anchor="middle">{x}</text>'
    )
    yield f'<text class="title" transform="translate(13 {middle:.0f}) rotate(-90)" text-anchor="middle">{y}</text>'


def _dot(plane: _Plane, one: Bin, most: int) -> str:
    """As large as its rows are many."""
    radius = 3 + 3 * math.sqrt(one.rows / most)
    return f'<circle class="dot" cx="{plane.x(one.confidence):.1f}" cy="{plane.y(one.accuracy):.1f}" r="{radius:.1f}"/>'


def _whisker(plane: _Plane, one: Bin) -> str:
    low, high = wilson(one.accuracy, one.rows)
    x = plane.x(one.confidence)
    return f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{plane.y(low):.1f}" y2="{plane.y(high):.1f}"/>'


def _counts(plane: _Plane, bins: Sequence[Bin], floor: float) -> Iterator[str]:
    most = max((one.rows for one in bins), default=0) or 1
    for one in bins:
        left, right = plane.x(one.low), plane.x(one.high)
        height = max(1.0, one.rows / most * COUNTS_HEIGHT) if one.rows else 0.0
        yield (
            f'<rect class="count" x="{left + 1:.1f}" y="{floor - height:.1f}" width="{right - left - 2:.1f}" '
            f'height="{height:.1f}"/>'
        )
        if one.rows:
            yield (
                f'<text class="small" x="{(left + right) / 2:.1f}" y="{floor - height - 3:.1f}" '
                f'text-anchor="middle">{one.rows}</text>'
            )


def _cell(x: float, y: float, count: int, total: int, tip: str, *, right: bool) -> str:
    place = f'x="{x + 1:.0f}" y="{y + 1:.0f}" width="{CELL - 2}" height="{CELL - 2}" rx="4"'
    if not count:
        return f'<rect class="empty" {place}/>'
    # The root: one in a hundred is already worth seeing.
    full = 0.12 + 0.88 * math.sqrt(count / total)
    ink = "in on" if full > DARK_CELL else "in"
    return (
        f'<rect class="{"hit" if right else "miss"}" fill-opacity="{full:.2f}" {place}>'
        f"<title>{escape(tip)}</title></rect>"
        f'<text class="{ink}" x="{x + CELL / 2:.0f}" y="{y + CELL / 2 + 4:.0f}">{count}</text>'
    )


def _percent(value: float) -> str:
    return f"{value * 100:.4g}%"
