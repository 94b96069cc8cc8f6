"""Everything that a command prints goes through this module, or through `tables`.

What a command prints may have been written by anybody: ids, labels, tenants, file names, messages
of a broker or of a model. A terminal would obey some of it, so nothing is printed before
`schemas.visible_text` has seen it. A test holds that no other module of the commands prints.
"""

from collections.abc import Sequence
from typing import Any

import click

from schemas.visible_text import MAX_LINE_CHARS, printable, printable_json


def echo(line: str, *, err: bool = False, max_chars: int = MAX_LINE_CHARS) -> None:
    """Print one line of at most `max_chars` characters; a line end inside of it is escaped."""
    click.echo(printable(line, max_chars), err=err)


def echo_json(document: Any, *, indent: bool = False) -> None:
    """Print a document as JSON, by default on one line."""
    click.echo(printable_json(document, indent=indent))


def echo_ndjson(documents: Sequence[Any], *, err: bool = False) -> None:
    """Print each document as JSON on a line of its own, all in one write."""
    if documents:
        click.echo("\n".join(map(printable_json, documents)), err=err)
