"""`triage deadletters list` and `triage deadletters replay`."""

import asyncio
from collections.abc import AsyncIterator

import click
import orjson

from streams import deadletters as letters
from streams.cli.options import as_json, configured
from streams.config import Settings

stage_option = click.option(
    "--stage", help="Only those that failed in this step (for instance decode)."
)


@click.group(epilog="Example: triage deadletters list --stage decode")
def deadletters() -> None:
    """List or replay what could not be processed."""


@deadletters.command("list", epilog="Example: triage deadletters list --limit 10 --json")
@stage_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Show at most this many.",
)
@as_json
@configured
def list_(settings: Settings, stage: str | None, limit: int, json_: bool) -> None:
    """Print the dead letters, oldest first."""

    async def show(found: AsyncIterator[letters.Letter]) -> int:
        shown = 0
        async for letter in found:
            click.echo(orjson.dumps(letter.describe()) if json_ else letter.line())
            shown += 1
            if shown == limit:
                break
        return shown

    if not asyncio.run(show(letters.find(settings, stage=stage))) and not json_:
        click.echo("no dead letters")


@deadletters.command(epilog="Example: triage deadletters replay --stage deliver")
@stage_option
@click.option(
    "--poison",
    is_flag=True,
    help="Replay those marked as poison too; first mend what made them poison.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Replay at most this many.")
@as_json
@configured
def replay(
    settings: Settings, stage: str | None, poison: bool, limit: int | None, json_: bool
) -> None:
    """Send dead letters back to the topics that they came from.

    Each goes back once for each combination of --stage and --poison.
    """
    done = asyncio.run(letters.replay(settings, stage=stage, poison=poison, limit=limit))
    if json_:
        click.echo(orjson.dumps({"replayed": done.replayed, "left": done.left}))
    else:
        click.echo(f"{done.replayed} replayed, {done.left} left where they are")
