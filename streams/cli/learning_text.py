"""What a model learned from rows of one's own, as tables for a terminal."""

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column

from inference.acceptance.forecast import MAX_FACTOR, MoreRows
from inference.acceptance.learning import (
    TABLE_ALPHAS,
    TABLE_DELTA,
    LabelLearning,
    LearningTable,
    learning_table,
)
from inference.acceptance.options import Terms
from inference.model.artifact import Artifact
from schemas.event import Domain
from schemas.visible_text import printable
from streams.cli.tables import Console, Table

MAX_LABELS = 40
"""Of an axis with more labels, those with the smallest share of right answers are shown."""
DIGITS = 2
"""Numbers of rows are estimates, so they are rounded to so many digits."""


def show_learning(artifact: Artifact, terms: Mapping[Domain, Terms]) -> None:
    """Print what is accepted now, how many rows more are needed, and the figures of each label.

    A domain whose calibration is not cross-fitted is left out.
    """
    console = Console(soft_wrap=True, emoji=False, highlight=False)
    for domain, terms_of_domain in terms.items():
        if domain not in artifact.calibration.domains:
            continue
        table = learning_table(artifact, domain, terms_of_domain)
        if table is not None:
            show_table(console, table)


def show_table(console: Console, table: LearningTable) -> None:
    """Print the tables of one domain."""
    axes = " and ".join(escape(printable(axis)) for axis in table.deciding)
    console.print(
        f"\n[bold]{table.domain}[/bold]  {table.rows} labelled rows, each answered by a model that "
        f"was trained without it; decided by {axes}; confidence {1 - TABLE_DELTA:.0%}"
    )
    console.print(_promises(table))
    if len(table.deciding) > 1:
        console.print("Rows more: of the axis that needs the most; for all together, it is more.")
    for axis, labels in table.labels.items():
        console.print(_labels(axis, labels))
        if len(labels) > MAX_LABELS:
            console.print(
                f"{len(labels) - MAX_LABELS} labels that are right more often are not shown."
            )


def _promises(table: LearningTable) -> Table:
    names = ("accepted now", "rows more until anything", "until half", "until 80 %")
    columns = (Column(name, justify="right") for name in names)
    lines = Table("at most wrong", *columns, box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for line in table.lines:
        untils = (line.until_anything, line.until_half, line.until_most)
        lines.add_row(f"{line.alpha:.0%}", f"{line.accepted:.0%}", *map(rows_more, untils))
    return lines


def rows_more(more: MoreRows) -> str:
    """A range of rows in words."""
    if more.fewest == 0:
        return "reached"
    if more.fewest is None:
        return f"more than {MAX_FACTOR:.0f} times as many"
    fewest = _rounded(more.fewest)
    if more.most is None:
        return f"{fewest:,} or many more"
    most = _rounded(more.most)
    if more.fewest == 1:
        return f"up to {most:,}"
    if fewest == most:
        return f"about {fewest:,}"
    return f"{fewest:,} to {most:,}"


def _rounded(rows: int) -> int:
    return round(rows, DIGITS - len(str(rows))) if rows >= 10**DIGITS else rows


def _labels(axis: str, labels: Mapping[str, LabelLearning]) -> Table:
    accepted = [f"accepted at {alpha:.0%}" for alpha in TABLE_ALPHAS]
    columns = (Column(name, justify="right") for name in ("rows", "right", *accepted))
    # A label that is too long for its column goes on in the next line; it is never cut.
    name = Column(escape(printable(axis)), overflow="fold")
    table = Table(name, *columns, box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    worst = sorted(labels, key=lambda label: (_share_right(labels[label]), label))[:MAX_LABELS]
    for label in worst:
        figures = labels[label]
        table.add_row(
            escape(printable(label)),
            f"{figures.rows:,}",
            _of(figures.right, figures.rows),
            *(_of(count, figures.rows) for count in figures.accepted),
        )
    return table


def _share_right(figures: LabelLearning) -> float:
    return figures.right / figures.rows if figures.rows else 0.0


def _of(count: int, rows: int) -> str:
    return f"{count / rows:.0%}" if rows else "-"
