"""Options that many commands share."""

import getpass
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, cast

import click

from inference.errors import ConfigError
from inference.labelled_lines import PLAIN_ROWS, RowFormat
from inference.labels.file import NO_LABELS, LabelsFile
from schemas.event import DOMAINS, Domain
from streams import config, logs

Command = Callable[..., Any]

as_json = click.option(
    "--json", "json_", is_flag=True, help="Print JSON for programs instead of text for people."
)
domain = click.option(
    "--domain",
    type=click.Choice(["alerts", "tickets"]),
    help="What the events are; default: each event's own kind.",
)

existing_file = click.Path(path_type=Path, exists=True, dir_okay=False)
model_directory = click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="A model directory (default: [model] path, or the shipped one).",
)
axes = click.option(
    "--axis",
    "axes",
    multiple=True,
    help="An axis to read, or AXIS=KEY if the rows call it KEY; repeat it for each axis "
    "(default: the known ones, else all).",
)


def labelled_rows(
    help_: str = "Labelled rows: NDJSON, CSV or the export of a desk; repeat it for each file.",
    *,
    required: bool = True,
) -> Callable[[Command], Command]:
    """Add the options `--data` and `--label`, which the command gets as `files` and `places`."""

    def add(command: Command) -> Command:
        data = click.option(
            "--data", "files", type=existing_file, multiple=True, required=required, help=help_
        )
        return data(label_places(command))

    return add


label_places = click.option(
    "--label",
    "places",
    multiple=True,
    help="Where the rows have the label of an axis: AXIS=COLUMN of a CSV file, or AXIS=PATH, a "
    "dotted path in the sender's document; repeat it for each axis (default: the field labels, or "
    "a column with the name of the axis, or the column label).",
)


def row_format(
    places: Sequence[str], labels: LabelsFile = NO_LABELS, domain: str | None = None
) -> RowFormat:
    """What `--label` and the labels file say about rows.

    Raises:
        UsageError: a value of `--label` names no axis or no place.
    """
    pairs = [place.partition("=") for place in places]
    for place, (axis, _, path) in zip(places, pairs, strict=True):
        if not axis or not path:
            raise click.UsageError(
                f"--label {place} names no place; write AXIS=COLUMN, for instance queue=Team"
            )
    known = [name for name in DOMAINS if labels.axes(name)]
    of_rows = cast("Domain | None", domain)
    if of_rows is None and len(known) == 1:
        of_rows = known[0]
    columns = [axis for name in known for axis in labels.axes(name) if of_rows in (None, name)]
    return RowFormat(
        places={axis: path for axis, _, path in pairs},
        columns=columns or PLAIN_ROWS.columns,
        domain=of_rows,
    )


config_file = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="The TOML file to read (default: triage.toml, or TRIAGE_CONFIG).",
)


def read_settings(config_path: Path | None) -> config.Settings:
    """The settings of a command, whose warnings are printable from here on.

    Raises:
        ConfigError: the file or the environment cannot be used.
    """
    logs.clean_last_resort()
    return config.load(config_path)


def configured(command: Command) -> Command:
    """Add the option `--config`, and call the command with the `settings`."""

    @config_file
    @wraps(command)
    def run(*args: Any, config_path: Path | None, **kwargs: Any) -> Any:
        return command(*args, settings=read_settings(config_path), **kwargs)

    return run


def login(remedy: str) -> str:
    """The name of the user who runs the command.

    Raises:
        ConfigError: there is none; `remedy` says what to do.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError(f"your login has no name; {remedy}") from None
