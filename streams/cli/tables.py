"""Rich's console and tables, for texts that anybody may have written (see `output`)."""

from typing import Any

import rich.console
import rich.table

from schemas.visible_text import printable, printable_lines


class Console(rich.console.Console):
    """Rich's console. Of a text it prints the line ends, and no other control."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts and tables."""
        super().print(*map(_cleaned, objects), **options)


class Table(rich.table.Table):
    """Rich's table, with one line in each cell that is a text.

    In a narrow window, a word that has no room goes on in the next line. Rich would cut it, and
    nobody could type an id or the name of a model that is cut.
    """

    def add_column(self, *args: Any, **options: Any) -> None:
        """Add a column."""
        super().add_column(*args, **{"overflow": "fold"} | options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row."""
        super().add_row(
            *(printable(cell) if isinstance(cell, str) else cell for cell in cells), **options
        )


def _cleaned(value: Any) -> Any:
    return "\n".join(printable_lines(value)) if isinstance(value, str) else value
