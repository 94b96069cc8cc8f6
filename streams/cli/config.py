"""`triage config show` and `triage config validate`."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson

from inference.errors import ConfigError
from inference.labels.file import read_labels
from streams.cli.options import as_json, configured
from streams.cli.output import echo, echo_json
from streams.config import Settings
from streams.console.check import check_console

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@click.group(epilog="Example: triage config show")
def config() -> None:
    """Show or validate the configuration."""


@config.command(epilog="Example: TRIAGE_LOG__LEVEL=debug triage config show")
@as_json
@configured
def show(settings: Settings, json_: bool) -> None:
    """Print every key with the value in force.

    Of a secret only the name of its variable or file is printed. What is wrong with the console or
    the labels file is said on stderr.
    """
    document = msgspec.to_builtins(settings)
    for problem in _problems(settings):
        echo(problem, err=True)
    if json_:
        echo_json(document, indent=True)
        return
    for line in _toml("", document):
        # TOML has the same escapes. A line that is cut would not be TOML.
        echo(line, max_chars=max(1, len(line)) * 10)


@config.command(epilog="Example: triage config validate --config /etc/triage.toml")
@configured
def validate(settings: Settings) -> None:
    """Check the file, the environment, the labels file, and what the console needs.

    Exit code 2 and one sentence if they cannot be used.
    """
    for check in CHECKS:
        check(settings)
    servers, prefix = settings.kafka.bootstrap_servers, settings.topics.prefix
    echo(f"the configuration is valid (broker {servers}, prefix {prefix})")


def _check_labels(settings: Settings) -> None:
    if settings.labels.path is not None:
        read_labels(Path(settings.labels.path))


CHECKS: tuple[Callable[[Settings], object], ...] = (_check_labels, check_console)
"""What else the configuration names; each raises `ConfigError` if it cannot be used."""


def _problems(settings: Settings) -> Iterator[str]:
    for check in CHECKS:
        try:
            check(settings)
        except ConfigError as error:
            yield str(error)


def _toml(name: str, table: dict[str, Any]) -> list[str]:
    values = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[{name}]"] if name and values else []
    lines += [_assignment(key, value) for key, value in values.items()]
    if lines:
        lines.append("")
    prefix = f"{name}." if name else ""
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _toml(f"{prefix}{_key(key)}", value)
    return lines


def _assignment(key: str, value: Any) -> str:
    if value is None:
        # TOML has no null.
        return f"# {key} is not set"
    return f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = [
            f"{_key(key)} = {_value(inner)}" for key, inner in value.items() if inner is not None
        ]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    # JSON writes strings, numbers and booleans as TOML does, except one character that TOML
    # escapes.
    return orjson.dumps(value).decode().replace("\x7f", "\\u007f")
