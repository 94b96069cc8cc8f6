"""Options that many commands share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

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
    help_: str = "Labelled rows, NDJSON or NDJSON.gz; repeat it for each file.",
) -> Callable[..., Command]:
    """Add the option `--data`, which the command gets as `files`."""
    return click.option(
        "--data", "files", type=existing_file, multiple=True, required=True, help=help_
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
