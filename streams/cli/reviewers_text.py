"""What people have decided, and where they disagree, for a person."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD

from inference.believed_rows import Disagreement, ReviewerFigures
from schemas.plural import plural
from schemas.visible_text import printable
from streams.cli.output import echo
from streams.cli.tables import Console, Table

MAX_SHOWN = 20
MAX_NAME_CHARS = 40


def show_reviewers(reviewers: Sequence[ReviewerFigures], found: Sequence[Disagreement]) -> None:
    """Print what each person has decided, and the latest disagreements."""
    if not reviewers:
        echo("no row on the labels topic was decided by a person")
        return
    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    columns = ("person", "rows", "share", "changed a proposal", "corrected", "was corrected")
    table = Table(*columns, box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for each in reviewers:
        table.add_row(
            printable(each.name, MAX_NAME_CHARS),
            f"{each.rows:,}",
            f"{each.share:.0%}",
            f"{each.changed:,} of {each.proposed:,}",
            f"{each.corrected:,}",
            f"{each.was_corrected:,}",
        )
    console.print(table)
    echo(disagreements_sentence(found, sum(each.rows for each in reviewers)))
    for one in found[-MAX_SHOWN:]:
        echo(f"    {one.domain} {printable(one.id, MAX_NAME_CHARS)}: {disagreement_text(one)}")
    if len(found) > MAX_SHOWN:
        echo(f"    these are the latest {MAX_SHOWN} of {len(found):,}; --json has all")


def disagreements_sentence(found: Sequence[Disagreement], rows: int) -> str:
    """In how many rows one person has changed what another one had decided."""
    events = {(each.domain, each.tenant, each.id) for each in found}
    of_people = plural(rows, "row", "rows")
    return (
        f"in {len(events):,} of {of_people} of people, one person changed what another had decided"
    )


def disagreement_text(each: Disagreement) -> str:
    """Who said what about one axis."""
    names = [printable(name, MAX_NAME_CHARS) for name in (each.earlier_by, each.later_by)]
    values = [printable(value, MAX_NAME_CHARS) for value in (each.earlier, each.later)]
    return (
        f"{printable(each.axis, MAX_NAME_CHARS)} was {values[0]} for {names[0]}, and is "
        f"{values[1]} for {names[1]}"
    )
