"""`triage send`: the events of a file to an input topic."""

import asyncio
from typing import cast

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from inference.record_file import open_records
from schemas.event import Domain
from streams.cli.options import as_json, configured, domain
from streams.cli.output import echo_json
from streams.cli.tables import Console
from streams.config import Settings
from streams.source import produce


@click.command(epilog="Example: triage send alerts.ndjson --domain alerts --rate 100")
@click.argument("file")
@domain
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1),
    help="Events per second; default: as fast as they are taken.",
)
@as_json
@configured
def send(
    settings: Settings, file: str, domain: str | None, rate: float | None, json_: bool
) -> None:
    """Produce the events of FILE (- for standard input) to the input topic, keyed by event id.

    FILE may be NDJSON, one JSON document, an array, a mail, or lines of CEF or syslog, also
    compressed with gzip. Records are sent as they are, malformed ones too; the pipeline makes dead
    letters of those.
    """
    with open_records(file) as records:
        lines = [record for _, record in records.numbered]
    console = Console(stderr=True)
    with Progress(
        TextColumn("sending"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=json_,
    ) as progress:
        task = progress.add_task("sending", total=len(lines))
        chosen = cast("Domain | None", domain)
        asyncio.run(
            produce(settings, lines, chosen, rate=rate, advance=lambda: progress.advance(task))
        )
    if json_:
        echo_json({"sent": len(lines)})
    else:
        console.print(
            f"{len(lines)} records sent and acknowledged; the file is {records.taken_for}"
        )
