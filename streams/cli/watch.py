"""`triage watch`: triaged events as they come."""

import asyncio

import click

from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS
from schemas.triaged import TriagedEvent
from streams.cli.options import as_json, configured
from streams.config import Settings
from streams.kafka.reader import reading
from streams.topics import Topics


@click.command(epilog="Example: triage watch --from-beginning --limit 20")
@click.option(
    "--from-beginning",
    is_flag=True,
    help="Start with the oldest event kept instead of the next one.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many.")
@as_json
@configured
def watch(settings: Settings, from_beginning: bool, limit: int | None, json_: bool) -> None:
    """Print every revision of every event on the triaged topics, until Ctrl-C."""
    asyncio.run(_watch(settings, from_beginning=from_beginning, limit=limit, json_=json_))


async def _watch(
    settings: Settings, *, from_beginning: bool, limit: int | None, json_: bool
) -> None:
    topics = Topics(settings.topics.prefix)
    names = [topics.triaged(domain) for domain in DOMAINS]
    shown = 0
    async with reading(settings.kafka, names, from_beginning=from_beginning) as consumer:
        async for record in consumer:
            click.echo(record.value if json_ else _line(record.value))
            shown += 1
            if shown == limit:
                return


def _line(value: bytes) -> str:
    try:
        triaged = decode(value, TriagedEvent)
    except InvalidEvent as error:
        return f"?  {error}"
    labels = "  ".join(
        f"{axis}={label.value} ({label.confidence:.2f})" for axis, label in triaged.labels.items()
    )
    return f"{triaged.id}  r{triaged.revision} {triaged.status} by {triaged.decided_by}  {labels}"
