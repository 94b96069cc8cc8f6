"""The plot: events per second by the number of workers."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.plots import svg_template
from benchmarks.scaling.curve import Rate
from inference.evaluation.plots import PlotArea, Tick

WIDTH, HEIGHT, TOP = 380, 240, 48
STEP = 50


def draw(rates: Sequence[Rate]) -> str:
    """The plot as SVG: what was measured, and what the stand-in and the partitions allow."""
    most = max(rate.workers for rate in rates)
    highest = max(max(rate.events_per_s, rate.possible_per_s) for rate in rates)
    top = STEP * -(-highest // STEP)
    area = PlotArea(top, HEIGHT, top=TOP, width=WIDTH)

    def points(*, uneven: bool, possible: bool) -> list[tuple[float, float]]:
        chosen = sorted(
            (rate for rate in rates if rate.uneven == uneven), key=lambda rate: rate.workers
        )
        return [
            (
                area.x(rate.workers / most),
                area.y(rate.possible_per_s if possible else rate.events_per_s),
            )
            for rate in chosen
        ]

    workers = sorted({rate.workers for rate in rates})
    return svg_template(Path(__file__).parent).render(
        area=area,
        width=WIDTH + 90,
        height=HEIGHT + TOP + 48,
        x_ticks=[Tick(area.x(count / most), str(count)) for count in workers],
        y_ticks=[Tick(area.y(rate), str(rate)) for rate in range(0, int(top) + 1, STEP)],
        even=points(uneven=False, possible=False),
        even_possible=points(uneven=False, possible=True),
        uneven=points(uneven=True, possible=False),
        uneven_possible=points(uneven=True, possible=True),
    )
