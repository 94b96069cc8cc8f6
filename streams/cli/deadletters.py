"""`triage deadletters`, and its subcommands `list`, `show`, `replay` and `skip`."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click

from schemas.visible_text import printable, printable_lines
from streams import deadletters as letters
from streams.cli.options import as_json, config_file, configured, login, read_settings
from streams.cli.output import echo, echo_json
from streams.config import Settings
from streams.kafka.stopped_group import Damage

DEFAULT_RATE = 100.0
"""A worker triages more than this, and so the letters do not delay the events that come in."""
MAX_REASONS = 30
MAX_CELL_CHARS = 60
VALUE_LINE_CHARS = 1_000
MAX_REASON_CHARS = 500
"""An audit record keeps a longer text only as its digest."""

stage_option = click.option(
    "--stage", help="Only those that failed in this step (for instance decode)."
)


class Place(click.ParamType):
    """`TOPIC[PARTITION]@OFFSET`, as `list` prints it."""

    name = "TOPIC[PARTITION]@OFFSET"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> letters.PlaceOfRecord:
        """The place."""
        try:
            return letters.PlaceOfRecord.parse(value)
        except ValueError:
            self.fail(f"{value!r} is not a place such as triage.alerts.v1[0]@17", param, ctx)


@click.group(epilog="Example: triage deadletters --json", invoke_without_command=True)
@as_json
@config_file
@click.pass_context
def deadletters(context: click.Context, config_path: Path | None, json_: bool) -> None:
    """Count, list, show or replay what could not be processed, or step over a damaged batch.

    Without a subcommand, count the dead letters by reason.
    """
    if context.invoked_subcommand is not None:
        if config_path or json_:
            raise click.UsageError(
                f"--config and --json come after {context.invoked_subcommand}", context
            )
        return
    counts = asyncio.run(letters.count_reasons(read_settings(config_path))).most_common()
    if json_:
        rows = [{**reason._asdict(), "count": count} for reason, count in counts]
        echo_json({"dead_letters": sum(count for _, count in counts), "reasons": rows})
    else:
        _print_counts(counts)


def _print_counts(counts: Sequence[tuple[letters.Reason, int]]) -> None:
    if not counts:
        echo("no dead letters")
        return
    head = ("count", *letters.Reason._fields)
    rows = [
        (f"{count:,}", *(printable(text, MAX_CELL_CHARS) for text in reason))
        for reason, count in counts[:MAX_REASONS]
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for count, *cells in (head, *rows):
        padded = (cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True))
        echo("  ".join([count.rjust(widths[0]), *padded]).rstrip())
    if len(counts) > MAX_REASONS:
        echo(f"... and {len(counts) - MAX_REASONS} reasons more; --json has all")


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

    async def print_letters(found: AsyncIterator[letters.Letter]) -> int:
        shown = 0
        async for letter in found:
            if json_:
                echo_json(letter.describe())
            else:
                echo(letter.line())
            shown += 1
            if shown == limit:
                break
        return shown

    if not asyncio.run(print_letters(letters.find(settings, stage=stage))) and not json_:
        echo("no dead letters")


@deadletters.command(epilog="Example: triage deadletters show 'triage.alerts.v1[0]@17'")
@click.argument("place", type=Place())
@as_json
@configured
def show(settings: Settings, place: letters.PlaceOfRecord, json_: bool) -> None:
    """Print the whole dead letter of the record at PLACE, which is TOPIC[PARTITION]@OFFSET.

    PLACE is that of the original record, as `list` prints it, or that of the dead letter itself. If
    several dead letters are from one place, all of them are printed.
    """
    for letter in asyncio.run(letters.find_at(settings, place)):
        if json_:
            echo_json(letter.describe_whole())
        else:
            _print_letter(letter)


def _print_letter(letter: letters.Letter) -> None:
    document = letter.describe_whole()
    value = document.pop("value")
    headers = document.pop("headers")
    for name, text in document.items():
        _print_field(name, text)
    for name, text in headers:
        _print_field(f"header {printable(name)}", text)
    _print_field("value", value)


def _print_field(name: str, text: str | None) -> None:
    """Print a field on lines of its own; its text is indented, so that it cannot look like one."""
    echo(f"{name}:")
    for line in printable_lines("(none)" if text is None else text, VALUE_LINE_CHARS):
        echo(f"    {line}")


@deadletters.command(epilog="Example: triage deadletters replay --stage deliver --dry-run")
@stage_option
@click.option(
    "--poison",
    is_flag=True,
    help="Replay those marked as poison too; first mend what made them poison.",
)
@click.option(
    "--to-internal",
    "internal",
    is_flag=True,
    help="Replay those of the pipeline's own topics, not those of the input topics; first look "
    "at each, because a forged verdict or decision would be believed.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Replay at most this many.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1),
    default=DEFAULT_RATE,
    show_default=True,
    help="Letters per second.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@as_json
@configured
def replay(
    settings: Settings,
    stage: str | None,
    poison: bool,
    internal: bool,
    limit: int | None,
    rate: float,
    dry_run: bool,
    json_: bool,
) -> None:
    """Send dead letters back to the input topics that they came from.

    Each goes back once for each combination of --stage, --poison and --to-internal.
    """
    selection = letters.Selection(stage=stage, poison=poison, internal=internal)
    done = asyncio.run(letters.replay(settings, selection, limit=limit, rate=rate, dry_run=dry_run))
    if json_:
        echo_json(_document(done, dry_run=dry_run))
        return
    verb = "would be replayed" if dry_run else "replayed"
    echo(f"{done.replayed} {verb}{_by_topic(done.topics)}, {done.left} left where they are")
    if done.internal and not internal:
        echo(
            f"{done.internal} of those left are not from input topics; look at them with "
            "`triage deadletters show`, then use --to-internal"
        )


def _by_topic(topics: Counter[str]) -> str:
    counts = ", ".join(f"{count} to {topic}" for topic, count in sorted(topics.items()))
    return f" ({counts})" if counts else ""


def _document(done: letters.Replay, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "replayed": done.replayed,
        "left": done.left,
        "internal": done.internal,
        "topics": dict(done.topics),
    }


@deadletters.command(
    epilog="Example: triage deadletters skip 'triage.alerts.v1[0]@17' --reason 'a bad disk'"
)
@click.argument("place", type=Place())
@click.option("--by", help="Who steps over it, for the audit topic (default: your login).")
@click.option("--reason", required=True, help="Why; it is kept on the audit topic.")
@click.option("--yes", is_flag=True, help="Do it. Without it, only say what would be done.")
@as_json
@configured
def skip(
    settings: Settings,
    place: letters.PlaceOfRecord,
    by: str | None,
    reason: str,
    yes: bool,
    json_: bool,
) -> None:
    """Step over the damaged batch at PLACE, which /ready of a worker names. Its events are lost.

    Stop all workers first, and use the configuration and the rights of one. PLACE is
    TOPIC[PARTITION]@OFFSET, with the first offset of the batch. A dead letter and an audit record
    say which offsets were left out, by whom and why.
    """
    if place.element is not None:
        raise click.UsageError("a batch has no #ELEMENT; give TOPIC[PARTITION]@OFFSET")
    reason = reason.strip()
    if not 0 < len(reason) <= MAX_REASON_CHARS:
        raise click.UsageError(f"give a --reason of 1 to {MAX_REASON_CHARS} characters")
    who = by or login("say who steps over the batch with --by")
    damage = asyncio.run(letters.skip(settings, place, by=who, reason=reason, dry_run=not yes))
    if json_:
        echo_json(_skip_document(damage, dry_run=not yes))
        return
    _print_skip(damage, dry_run=not yes)


def _print_skip(damage: Damage, *, dry_run: bool) -> None:
    offsets = f"offsets {damage.first} to {damage.last} of {damage.partition}"
    echo(f"{offsets} cannot be read ({damage.what}); at most {damage.count} records are lost")
    if damage.at_end:
        echo(f"the log ends behind them; what is written next has offset {damage.next}")
    else:
        echo(f"the next batch begins at offset {damage.next}")
    if dry_run:
        echo("nothing was done; compare the broker's replicas first, then step over it with --yes")
    else:
        echo("it is stepped over, with a dead letter and an audit record; start the workers")


def _skip_document(damage: Damage, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "topic": damage.partition.topic,
        "partition": damage.partition.partition,
        "first": damage.first,
        "last": damage.last,
        "error": damage.what,
        "next": damage.next,
        "at_end": damage.at_end,
    }
