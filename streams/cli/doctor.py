"""`triage doctor`: is everything there that the worker needs?"""

import asyncio

import click
import msgspec

from streams.cli.options import as_json, configured
from streams.cli.output import echo, echo_json
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
                echo(
                    f"{'ok  ' if finding.healthy else 'FAIL'}  {finding.subject}: {finding.detail}"
                )
        return findings

    findings = asyncio.run(show())
    if json_:
        echo_json([msgspec.to_builtins(finding) for finding in findings])
    return 0 if all(finding.healthy for finding in findings) else 1
