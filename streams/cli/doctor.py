"""`triage doctor`: is everything there that the worker needs?"""

import asyncio

import click
import msgspec
import orjson

from streams.cli.options import as_json, configured
from streams.config import Settings
from streams.doctor import Finding, examine


@click.command(epilog="Example: triage doctor --json")
@as_json
@configured
def doctor(settings: Settings, json_: bool) -> int:
    """Check broker, topics, model and LLM; exit code 1 if anything is wrong."""

    async def show() -> list[Finding]:
        findings = []
        async for finding in examine(settings):
            findings.append(finding)
            if not json_:
                click.echo(
                    f"{'ok  ' if finding.healthy else 'FAIL'}  {finding.subject}: {finding.detail}"
                )
        return findings

    findings = asyncio.run(show())
    if json_:
        click.echo(orjson.dumps([msgspec.to_builtins(finding) for finding in findings]))
    return 0 if all(finding.healthy for finding in findings) else 1
