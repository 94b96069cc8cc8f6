"""`triage config show` and `triage config validate`."""

import re
from typing import Any

import click
import msgspec
import orjson

from streams.cli.options import as_json, configured
from streams.config import Settings

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@click.group(epilog="Example: triage config show")
def config() -> None:
    """Show or validate the configuration."""


@config.command(epilog="Example: TRIAGE_LOG__LEVEL=debug triage config show")
@as_json
@configured
def show(settings: Settings, json_: bool) -> None:
    """Print every key with the value in force. Secrets are named by their variable, never shown."""
    document = msgspec.to_builtins(settings)
    if json_:
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    for line in _toml("", document):
        click.echo(line)


@config.command(epilog="Example: triage config validate --config /etc/triage.toml")
@configured
def validate(settings: Settings) -> None:
    """Check the file and the environment; exit code 2 and one sentence if they cannot be used."""
    click.echo(
        f"the configuration is valid (broker {settings.kafka.bootstrap_servers}, prefix {settings.topics.prefix})"
    )


def _toml(name: str, table: dict[str, Any]) -> list[str]:
    values = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[{name}]"] if name and values else []
    for key, value in values.items():
        # TOML has no null: a key that is unset is shown as the comment it would be in a file.
        lines.append(f"# {key} is not set" if value is None else f"{_key(key)} = {_value(value)}")
    if lines:
        lines.append("")
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _toml(f"{name}.{_key(key)}" if name else _key(key), value)
    return lines


def _key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(
                f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None
            )
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    # JSON's strings, numbers and booleans are TOML's, but for one character that TOML wants escaped.
    return orjson.dumps(value).decode().replace("\x7f", "\\u007f")
