"""`triage topics create` and `triage topics check`."""

import asyncio

import click
import orjson

from streams.cli.options import as_json, configured
from streams.config import Settings
from streams.errors import TopicsMissing
from streams.kafka.admin import check_topics, create_topics


@click.group(epilog="Example: triage topics create")
def topics() -> None:
    """Create or check the topics."""


@topics.command(epilog="Example: TRIAGE_TOPICS__PARTITIONS=8 triage topics create")
@as_json
@configured
def create(settings: Settings, json_: bool) -> None:
    """Create the topics that are missing."""
    created = asyncio.run(create_topics(settings))
    if json_:
        click.echo(orjson.dumps({"created": created}))
        return
    for name in created:
        click.echo(f"created {name} ({settings.topics.partitions} partitions)")
    if not created:
        click.echo("every topic is there already")


@topics.command(epilog="Example: triage topics check --json")
@as_json
@configured
def check(settings: Settings, json_: bool) -> None:
    """Say what is wrong with the topics; exit code 1 if anything is."""
    problems = asyncio.run(check_topics(settings))
    if json_:
        click.echo(orjson.dumps({"problems": problems}))
    elif not problems:
        click.echo("every topic is there and as it must be")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise TopicsMissing(problems[0] + more)
