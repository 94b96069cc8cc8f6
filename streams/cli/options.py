"""Options that many commands share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from streams import config

Command = Callable[..., Any]

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for programs instead of text for people.")
domain = click.option(
    "--domain", type=click.Choice(["alerts", "tickets"]), help="What the events are; default: each event's own kind."
)


def configured(command: Command) -> Command:
    """Add `--config` and hand the command its `settings`."""

    @click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        help="The TOML file to read (default: triage.toml, or TRIAGE_CONFIG).",
    )
    @wraps(command)
    def run(*args: Any, config_path: Path | None, **kwargs: Any) -> Any:
        return command(*args, settings=config.load(config_path), **kwargs)

    return run
