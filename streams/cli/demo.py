"""`triage demo`: the main job on this machine, in one command."""

import asyncio
import os
import platform
import signal
import sys
from importlib.metadata import version
from typing import Literal

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streams.cli.options import as_json, configured
from streams.cli.output import echo, echo_json
from streams.cli.tables import Console, Table
from streams.config import Settings
from streams.local.demo import DemoProgress, all_llm_cost_usd, run


@click.command(epilog="Example: triage demo --rate 50")
@click.option(
    "--rate",
    type=click.FloatRange(min=1),
    default=20.0,
    show_default=True,
    help="Events sent per second.",
)
@click.option(
    "--port", type=click.IntRange(1, 65_535), help="The broker's port; default: a free one."
)
@click.option(
    "--no-console",
    is_flag=True,
    help="Headless: no console and no live progress, only the lines and the table.",
)
@as_json
@configured
def demo(settings: Settings, rate: float, port: int | None, no_console: bool, json_: bool) -> None:
    """Start a broker, a worker and the console, send the sample events, and show the results.

    In a terminal, the console then stays open until Ctrl-C.
    """
    console = Console(stderr=json_)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=no_console or json_,
    ) as bars:
        task = bars.add_task("triaged", total=None)

        def show(progress: DemoProgress) -> None:
            bars.update(
                task,
                total=progress.sent,
                completed=len(progress.records),
                description=_describe(progress),
            )

        async def after(progress: DemoProgress, url: str) -> None:
            bars.stop()
            console.print(_table(_rows(settings, progress, rate)))
            await _leave_open(url)

        headless = no_console or json_
        progress = asyncio.run(
            run(
                settings,
                rate=rate,
                port=port,
                say=bars.console.print,
                show=show,
                after=None if headless else after,
            )
        )
    if json_:
        echo_json(_rows(settings, progress, rate))
    elif no_console:
        console.print(_table(_rows(settings, progress, rate)))


async def _leave_open(url: str) -> None:
    """Name the address of the console. In a terminal, wait until a person has seen enough."""
    if not sys.stdin.isatty():
        echo(f"console at {url}, until the demo ends: run it in a terminal, and it stays open")
        return
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    echo("Ctrl-C ends the demo")
    echo(f"console at {url}")
    await ended.wait()


def _describe(progress: DemoProgress) -> str:
    return (
        f"{progress.accepted} accepted, {progress.escalated} escalated, "
        f"{progress.dead_letters} dead"
    )


def _rows(settings: Settings, progress: DemoProgress, rate: float) -> dict[str, str]:
    decided = max(1, len(progress.first))
    cost = settings.cost
    all_llm_usd = all_llm_cost_usd(cost, progress)
    prices = f"${cost.llm_input_usd_per_million:g} / ${cost.llm_output_usd_per_million:g}"
    machine = f"{os.cpu_count()} x {_processor()}, Python {platform.python_version()}"
    polling = "this broker's polling adds up to 1 s"
    return {
        "events in": str(progress.sent),
        "events out": f"{len(progress.first)} triaged + {progress.dead_letters} dead letters",
        "decided by the small model": f"{progress.accepted} ({progress.accepted / decided:.0%})",
        "escalated, ended for review": f"{progress.escalated} ({progress.escalated / decided:.0%})",
        "dead letters": str(progress.dead_letters),
        "model call p50 / p99": _milliseconds(progress, "inference_s"),
        "topic to decision p50 / p99": f"{_milliseconds(progress, 'total_s')} ({polling})",
        "events per second": f"{progress.events_per_second():.0f} (sent at {rate:g})",
        "LLM cost here": "$0.00 (none is configured)",
        "all-LLM run of the same events": (
            f"${all_llm_usd:.4f} (estimate: {prices} per million tokens in / out)"
        ),
        "measured on": f"{machine}, {_versions()}",
    }


def _milliseconds(progress: DemoProgress, duration: Literal["inference_s", "total_s"]) -> str:
    return " / ".join(
        f"{progress.percentile_s(duration, share) * 1000:.0f} ms" for share in (0.5, 0.99)
    )


def _table(rows: dict[str, str]) -> Table:
    table = Table(title="what came of them", show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:  # noqa: PTH123 - a kernel file, not a path of ours
            return next(
                line.split(":", 1)[1].strip() for line in info if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.machine()


def _versions() -> str:
    return ", ".join(
        f"{name} {version(name)}" for name in ("faust-streaming", "aiokafka", "ctranslate2")
    )
