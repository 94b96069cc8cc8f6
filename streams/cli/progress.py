"""Progress bars on stderr for work that reports its stages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from schemas.visible_text import printable
from streams.cli.tables import Console

MAX_STAGE_CHARS = 80


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """A function that reports a stage, how much of it is done, and how much there is.

    Each stage has a bar of its own.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    # Without a terminal, only errors go to stderr.
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(printable(stage, MAX_STAGE_CHARS), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield tell
