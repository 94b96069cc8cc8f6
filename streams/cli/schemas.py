"""`triage schemas export`."""

from pathlib import Path

import click

from schemas.export import export as write_schemas
from streams.cli.options import configured
from streams.cli.output import echo
from streams.config import Settings


@click.group(epilog="Example: triage schemas export ./schemas-out")
def schemas() -> None:
    """Export the JSON Schemas of the topics."""


@schemas.command(epilog="Example: triage schemas export ./schemas-out")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@configured
def export(settings: Settings, directory: Path) -> None:
    """Write the JSON Schemas and an AsyncAPI document into DIRECTORY."""
    try:
        for path in write_schemas(directory, prefix=settings.topics.prefix):
            echo(str(path))
    except OSError as error:
        raise click.ClickException(
            f"cannot write into {directory} ({error.strerror}); choose another"
        ) from None
