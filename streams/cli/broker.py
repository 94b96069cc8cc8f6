"""`triage broker`: runs a broker that speaks Kafka's protocol, in the foreground."""

import signal
import time
from pathlib import Path
from typing import Literal, cast

import click

from streams.cli.options import configured
from streams.cli.output import echo
from streams.config import Settings
from streams.errors import BrokerError
from streams.local.brokers import Broker
from streams.local.brokers.embedded import EmbeddedBroker
from streams.local.brokers.java import default_cache_dir, is_cached
from streams.local.brokers.kafka import KafkaCluster

POLL_S = 0.5


@click.command(
    epilog="Example: triage broker --engine kafka --brokers 3 --port 9092",
)
@click.option(
    "--engine",
    type=click.Choice(["embedded", "kafka"]),
    default="embedded",
    show_default=True,
    help="embedded: one small process, in memory. "
    "kafka: a real Apache Kafka; needs Java 17 and, once, Maven.",
)
@click.option(
    "--brokers",
    type=click.Choice(["1", "3"]),
    default="1",
    show_default=True,
    help="Nodes (kafka only).",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_533),
    default=9092,
    show_default=True,
    help="Port on 127.0.0.1 of the first node; further nodes take the next ones.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data here (kafka only); without it the data go when the broker ends.",
)
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where Kafka's jars are kept between runs (default: triage in your cache directory).",
)
@configured
def broker(
    settings: Settings,  # noqa: ARG001 - every command checks the configuration
    engine: str,
    brokers: str,
    port: int,
    data_dir: Path | None,
    cache_dir: Path | None,
) -> None:
    """Run a broker on 127.0.0.1 until Ctrl-C or SIGTERM."""
    if engine == "embedded" and (brokers != "1" or data_dir is not None):
        raise click.UsageError(
            "the embedded broker is one node in memory; "
            "for --brokers 3 or --data-dir add --engine kafka"
        )
    # Both signals interrupt, also in the middle of starting or fetching. SIGINT is set here because
    # a shell script makes its background jobs ignore it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        _run(_chosen(engine, brokers, port, data_dir, cache_dir))
    except KeyboardInterrupt:
        echo("stopped", err=True)
    except BrokerError as error:
        raise click.ClickException(str(error)) from None


def _chosen(
    engine: str, brokers: str, port: int, data_dir: Path | None, cache_dir: Path | None
) -> Broker:
    if engine == "embedded":
        return EmbeddedBroker(port)
    if not is_cached(cache_dir or default_cache_dir()):
        echo("fetching Apache Kafka with Maven, this once (54 MB) ...", err=True)
    return KafkaCluster(cast("Literal[1, 3]", int(brokers)), port, cache_dir, data_dir)


def _run(running: Broker) -> None:
    with running:
        echo(f"{running.title} on {running.bootstrap_servers}; Ctrl-C ends it")
        echo(f"TRIAGE_KAFKA__BOOTSTRAP_SERVERS={running.bootstrap_servers}")
        while True:
            time.sleep(POLL_S)
            running.require_running()
