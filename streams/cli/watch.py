"""`triage watch`: triaged events as they come."""

import asyncio
from typing import Any

import click
import orjson

from schemas.codec import decode, decode_json
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS
from schemas.triaged import TriagedEvent
from schemas.visible_text import printable
from streams.cli.options import as_json, configured
from streams.cli.output import echo, echo_json
from streams.config import Settings
from streams.kafka.reader import reading
from streams.topics import Topics

MAX_ID_CHARS = 200
MAX_LABEL_CHARS = 80
MAX_TITLE_CHARS = 200


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
            if json_:
                echo_json(_document(record.value or b""))
            else:
                echo(_line(record.value or b""))
            shown += 1
            if shown == limit:
                return


def _document(value: bytes) -> Any:
    """What the record holds; anybody who may write to the topic may have written it."""
    try:
        document = decode_json(value)
        orjson.dumps(document)
    except (InvalidEvent, orjson.JSONEncodeError) as error:
        return {"unreadable": str(error)}
    return document


def _line(value: bytes) -> str:
    try:
        triaged = decode(value, TriagedEvent)
    except InvalidEvent as error:
        return f"?  {error}"
    id_ = printable(triaged.id, MAX_ID_CHARS)
    labels = "  ".join(
        f"{printable(axis, MAX_LABEL_CHARS)}={printable(label.value, MAX_LABEL_CHARS)} "
        f"({label.confidence:.2f})"
        for axis, label in triaged.labels.items()
    )
    line = f"{id_}  r{triaged.revision} {triaged.status} by {triaged.decided_by}  {labels}"
    if triaged.title:
        line += f"  {printable(triaged.title, MAX_TITLE_CHARS)}"
    return line
