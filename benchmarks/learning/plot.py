"""The plot: the share that is accepted against the number of verdicts, desk by desk."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.learning.summary import DeskFigures
from benchmarks.plots import svg_template
from inference.evaluation.plots import PlotArea, Tick

HEIGHT, GAP, TITLE, COLUMNS = 200, 84, 30, 2
PANEL_WIDTH = 440


def draw(figures: Sequence[DeskFigures]) -> str:
    """The plot as SVG, with a panel for each desk."""
    names = list(dict.fromkeys(row.desk for row in figures))
    panels = [
        _panel([row for row in figures if row.desk == name], place)
        for place, name in enumerate(names)
    ]
    rows = -(-len(panels) // COLUMNS)
    return svg_template(Path(__file__).parent).render(
        panels=panels,
        width=PANEL_WIDTH * min(COLUMNS, len(panels)),
        height=rows * (HEIGHT + GAP) + TITLE,
    )


def _panel(rows: Sequence[DeskFigures], place: int) -> dict[str, object]:
    left = 60 + place % COLUMNS * PANEL_WIDTH
    top = TITLE + 24 + place // COLUMNS * (HEIGHT + GAP)
    area = PlotArea(1.0, HEIGHT, left=left, top=top)
    most = rows[-1].verdicts
    step = next(step for step in (100, 250, 500, 1_000) if most / step <= 5)

    def positions(values: Sequence[float]) -> list[tuple[float, float]]:
        # The first verdicts were given before anything could be accepted.
        points = [(0, 0.0), *zip([row.verdicts for row in rows], values, strict=True)]
        return [(area.x(verdicts / most), area.y(share)) for verdicts, share in points]

    return {
        "name": rows[0].desk,
        "area": area,
        "x_ticks": [
            Tick(area.x(verdicts / most), f"{verdicts:,}") for verdicts in range(0, most + 1, step)
        ],
        "y_ticks": area.y_ticks(0.2),
        "learning": positions([row.accepted for row in rows]),
        "range": [
            *positions([row.accepted_low for row in rows]),
            *positions([row.accepted_high for row in rows])[::-1],
        ],
        "static": positions([row.static_accepted for row in rows]),
        "confident": positions([row.confident_accepted for row in rows]),
    }
