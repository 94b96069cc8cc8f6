"""`triage worker`: the Faust worker."""

import asyncio
from typing import cast, get_args

import click

from streams import logs
from streams.cli.options import configured
from streams.config import ALL_AGENTS, DEFAULT_AGENTS, AgentName, Settings
from streams.worker import Worker


@click.command(
    epilog="Example: TRIAGE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:9092 "
    "triage worker --agents classify,enrich"
)
@click.option(
    "--agents",
    default=",".join(DEFAULT_AGENTS),
    show_default=True,
    help="Which agents to run, separated by commas.",
)
@configured
def worker(settings: Settings, agents: str) -> None:
    """Run the agents until SIGTERM, which drains and exits 0."""
    names = list(dict.fromkeys(name.strip() for name in agents.split(",") if name.strip()))
    unknown = [name for name in names if name not in get_args(AgentName)]
    if unknown or not names:
        raise click.UsageError(
            f"--agents takes {', '.join(ALL_AGENTS)}; {', '.join(unknown) or 'nothing'} is not one"
        )
    logs.configure(settings.log)
    asyncio.run(Worker(settings, cast("list[AgentName]", names)).run())
