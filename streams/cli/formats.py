"""`triage formats`: the formats that ship, and how a file of one's own is read."""

from typing import Any, cast

import click
import msgspec

from inference.model.input_text import render
from inference.record_file import open_records
from schemas.errors import InvalidEvent
from schemas.event import KIND_OF_DOMAIN, Domain
from schemas.formats import ADAPTERS, Mapping, Reading, Rejected, read_record, shipped_formats
from schemas.formats.paths import find
from schemas.formats.shipped import samples_of, source_of
from schemas.visible_text import one_line
from streams.cli.options import as_json, configured, domain
from streams.cli.output import echo, echo_json, echo_ndjson
from streams.cli.tables import Console, Table
from streams.config import Settings
from streams.files import incoming

MAX_VALUE_CHARS = 100
FIELDS = ("id", "kind", "tenant", "source", "occurred_at", "title", "text", "body", "link")


@click.group(epilog="Example: triage formats test alert.json --domain alerts")
def formats() -> None:
    """List the formats that are read, show one, or try one on a file."""


@formats.command("list", epilog="Example: triage formats list --json")
@as_json
@configured
def list_(settings: Settings, json_: bool) -> None:
    """List every format in the order in which they are tried."""
    rows = [_row(mapping, "configuration") for mapping in settings.mappings]
    rows += [{"name": name, "title": _about(adapter), "kind": None} for name, adapter in ADAPTERS]
    rows += [_row(mapping, "shipped") for mapping in shipped_formats().mappings]
    if json_:
        echo_json(rows, indent=True)
        return
    table = Table("name", "reads", "kind")
    for row in rows:
        table.add_row(row["name"], row["title"] or "", row["kind"] or "that of the topic")
    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    console.print(table)
    console.print(f"{len(rows)} formats; what none of them describes is guessed")


@formats.command(epilog="Example: triage formats show aws-guardduty")
@click.argument("name")
@as_json
@configured
def show(settings: Settings, name: str, json_: bool) -> None:
    """Show one format as it is written in a configuration file, and a sample."""
    mapping = _named(name, (*settings.mappings, *shipped_formats().mappings))
    samples = samples_of(name)
    if json_:
        document = msgspec.to_builtins(mapping)
        decoded = msgspec.json.decode(samples) if samples else []
        echo_json({"mapping": document, "samples": decoded}, indent=True)
        return
    for line in (source_of(name) or repr(msgspec.to_builtins(mapping))).splitlines():
        echo(line)
    for line in (samples or "").splitlines():
        echo(line)


@formats.command(epilog="Example: triage formats test alert.json --domain alerts")
@click.argument("file")
@domain
@as_json
@configured
def test(settings: Settings, file: str, domain: str | None, json_: bool) -> None:
    """Say for each event of FILE (- for standard input) how it is read, and what the model reads.

    The exit code is 1 if an event cannot be read.
    """
    kind = KIND_OF_DOMAIN[cast("Domain", domain)] if domain else None
    failed = False
    with open_records(file) as records:
        echo(f"{file} is read as {records.taken_for}", err=True)
        for number, record in records.numbered:
            whole = incoming(file, number, record)
            try:
                readings = read_record(
                    record,
                    origin=whole.origin,
                    received_at=whole.received_at_s,
                    kind=kind,
                    mappings=settings.mappings,
                    limits=settings.limits,
                )
            except InvalidEvent as error:
                failed = True
                _print_failure(number, error, json_)
                continue
            failed |= any(isinstance(reading.event, Rejected) for reading in readings)
            for reading in readings:
                explained = explain(reading)
                if json_:
                    echo_ndjson([explained])
                else:
                    _print(number, explained)
    if failed:
        raise click.exceptions.Exit(1)


def explain(reading: Reading) -> dict[str, Any]:
    """How one event was read: its format and why, its fields and where they were, its text."""
    explained: dict[str, Any] = {"format": " > ".join(reading.formats), "why": _why(reading)}
    event = reading.event
    if isinstance(event, Rejected):
        return explained | {"error": str(event.error)}
    places = reading.adapter.found(reading.document)
    values = {name: getattr(event, name) for name in FIELDS if getattr(event, name) is not None}
    if event.stated is not None:
        values |= {
            name: f"{getattr(event.stated, name) or 'no word of ours'} (sent as {original})"
            for name, original in event.stated.original.items()
        }
    values |= {f"read {name}": text for name, text in event.key_fields.items()}
    if event.cut_off:
        values["cut off"] = event.cut_off
    fields = {name: {"value": value, "from": places.get(name)} for name, value in values.items()}
    return explained | {"fields": fields, "model_reads": render(event)}


def _why(reading: Reading) -> str:
    if isinstance(reading.adapter, Mapping):
        conditions = (
            f"{path} is {_short(find(reading.document, path))}" for path in reading.adapter.when
        )
        return ", ".join(conditions)
    return _about(reading.adapter)


def _about(adapter: object) -> str:
    """The first sentence of what the code of a format says about it."""
    return (getattr(adapter, "__doc__", None) or "").strip().split("\n", 1)[0].rstrip(".:")


def _row(mapping: Mapping, origin: str) -> dict[str, Any]:
    return {
        "name": mapping.name,
        "title": mapping.title,
        "kind": mapping.kind,
        "reference": mapping.reference,
        "from": origin,
    }


def _named(name: str, mappings: tuple[Mapping, ...]) -> Mapping:
    for mapping in mappings:
        if mapping.name == name:
            return mapping
    raise click.UsageError(f"no format has the name {name!r}; see triage formats list")


def _short(value: object) -> str:
    return one_line(str(value), MAX_VALUE_CHARS)


def _print(number: int, explained: dict[str, Any]) -> None:
    echo(f"record {number}: {explained['format']}, because {explained['why']}")
    if "error" in explained:
        echo(f"  cannot be read: {explained['error']}")
        return
    for name, field in explained["fields"].items():
        place = ""
        if field["from"]:
            place = f"   from {field['from']}"
        echo(f"  {name:12} {_short(field['value'])}{place}")
    echo("  the model reads:")
    for line in explained["model_reads"].splitlines():
        echo(f"    {line}")


def _print_failure(number: int, error: InvalidEvent, json_: bool) -> None:
    if json_:
        echo_ndjson([{"record": number, "error": str(error)}])
    else:
        echo(f"record {number} cannot be read: {error}")
