"""The time-line of one run as a picture: events in and out, and the lag below."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from tests.chaos.observer import Sample
from tests.chaos.row import Span

WIDTH, HEIGHT, LEFT, RIGHT = 720, 340, 56, 706
TOP_PANEL, LAG_PANEL = (28, 160), (206, 90)
"""The upper edge and the height of each panel."""
TICKS = 4
MAX_TIME_TICKS = 10
TIME_STEPS_S = (5, 10, 20, 30, 60, 120)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel; it is in several pieces if some values are unknown."""

    name: str
    colour: str
    pieces: list[str]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: positions in SVG units. `fault` is the left edge and the width of its mark."""

    top: int
    height: int
    fault: tuple[float, float]
    y_ticks: list[tuple[float, str]]
    lines: list[Line]


def draw(title: str, samples: Sequence[Sample], fault_s: Span) -> str:
    """The picture as the text of an SVG file."""
    length_s = max(1.0, samples[-1].at_s)
    events, lag = _panel(TOP_PANEL, samples, fault_s), _panel(LAG_PANEL, samples, fault_s)
    _add(events, "in", "#1f77b4", samples, lambda sample: sample.sent)
    _add(events, "out", "#2ca02c", samples, lambda sample: sample.out, dashed=True)
    _add(lag, "lag", "#d62728", samples, lambda sample: sample.lag)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("timeline.svg.j2").render(
        title=title,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=RIGHT,
        panels=[events, lag],
        x_ticks=_time_ticks(length_s),
    )


def _panel(place: tuple[int, int], samples: Sequence[Sample], fault_s: Span) -> Panel:
    length_s = max(1.0, samples[-1].at_s)
    begin, end = (_x(at_s, length_s) for at_s in fault_s)
    return Panel(*place, (begin, round(max(1.0, end - begin), 1)), [], [])


def _add(
    panel: Panel,
    name: str,
    colour: str,
    samples: Sequence[Sample],
    value: Callable[[Sample], int | None],
    *,
    dashed: bool = False,
) -> None:
    """Add a line to a panel; the first one, which is the highest, makes its scale."""
    if not panel.y_ticks:
        highest = max([value(sample) or 0 for sample in samples])
        panel.y_ticks.extend(_value_ticks(panel, max(TICKS, highest)))
    highest = int(panel.y_ticks[-1][1])
    length_s = max(1.0, samples[-1].at_s)
    pieces: list[list[str]] = [[]]
    for sample in samples:
        height = value(sample)
        if height is None:
            pieces.append([])
        else:
            y = _y(panel, min(height, highest), highest)
            pieces[-1].append(f"{_x(sample.at_s, length_s)},{y}")
    panel.lines.append(Line(name, colour, [" ".join(piece) for piece in pieces if piece], dashed))


def _value_ticks(panel: Panel, highest: int) -> list[tuple[float, str]]:
    step = -(-highest // TICKS)
    values = [step * number for number in range(TICKS + 1)]
    return [(_y(panel, value, values[-1]), str(value)) for value in values]


def _time_ticks(length_s: float) -> list[tuple[float, str]]:
    fitting = (step for step in TIME_STEPS_S if length_s / step <= MAX_TIME_TICKS)
    step_s = next(fitting, TIME_STEPS_S[-1])
    times = range(0, int(length_s) + 1, step_s)
    return [(_x(at_s, length_s), str(at_s)) for at_s in times]


def _x(at_s: float, length_s: float) -> float:
    return round(LEFT + at_s / length_s * (RIGHT - LEFT), 1)


def _y(panel: Panel, value: float, highest: float) -> float:
    return round(panel.top + (1 - value / highest) * panel.height, 1)
