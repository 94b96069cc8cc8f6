"""`triage console`: the pages on which people see the stream and decide; and `console token`."""

import asyncio
import secrets
from pathlib import Path

import click
import orjson

from streams import logs
from streams.cli.options import as_json, config_file, configured, read_settings
from streams.cli.output import echo, echo_json
from streams.config import Settings
from streams.console.people import MAX_NAME_CHARS, RANK, TOKEN_BYTES, token_digest


@click.group(epilog="Example: triage console --config triage.toml", invoke_without_command=True)
@config_file
@click.pass_context
def console(context: click.Context, config_path: Path | None) -> None:
    """Serve the console until SIGTERM: the queue, the stream, and how it is going.

    The first line that it prints is its address.
    """
    if context.invoked_subcommand is not None:
        if config_path:
            raise click.UsageError(f"--config comes after {context.invoked_subcommand}", context)
        return
    settings = read_settings(config_path)
    logs.configure(settings.log)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    # Not at the top: the model and Kafka take a second to load, and `token` needs neither.
    from streams.console.server import Console  # noqa: PLC0415

    await Console(settings).run(lambda url: echo(f"console at {url}"))


@console.command(epilog="Example: triage console token ana --role reviewer --tenant acme")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(list(RANK)),
    default="viewer",
    show_default=True,
    help="What they may do: see; see and decide; or everything.",
)
@click.option(
    "--tenant", "tenants", multiple=True, help="A tenant they may see; repeat it (default: all)."
)
@as_json
@configured
def token(settings: Settings, name: str, role: str, tenants: tuple[str, ...], json_: bool) -> None:  # noqa: ARG001 - every command takes a configuration
    """Make a token for NAME, and the entry for the file of people.

    The token is printed once and kept nowhere. Give it to NAME, and put the entry into the file
    that console.tokens_file names.
    """
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARS:
        raise click.UsageError(f"NAME takes at most {MAX_NAME_CHARS} printable characters")
    made = secrets.token_urlsafe(TOKEN_BYTES)
    entry: dict[str, object] = {"name": name, "role": role}
    if tenants:
        entry["tenants"] = list(tenants)
    entry["token_sha256"] = token_digest(made).hex()
    if json_:
        echo_json({"token": made, "entry": entry})
        return
    echo(f"token: {made}")
    echo("")
    echo("[[people]]")
    for key, value in entry.items():
        # JSON's strings and lists are TOML's, too.
        echo(f"{key} = {orjson.dumps(value).decode()}")
