"""What every test may ask for: a broker, a tiny model, settings of its own."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streams.config import KafkaSection, ModelSection, Settings, TopicsSection
from streams.local.brokers import Broker
from streams.local.brokers.embedded import EmbeddedBroker
from streams.local.brokers.java import kafka_available
from streams.local.brokers.kafka import KafkaCluster
from tests.figures import FIGURES
from tests.tiny_model import build_tiny_model

CI = os.environ.get("CI") == "true"
WITHOUT_KAFKA = kafka_available()


def pytest_report_header() -> str:
    """Say which broker the suite runs on."""
    if WITHOUT_KAFKA is None:
        return "broker: real Apache Kafka"
    return f"broker: embedded, no real Kafka here ({WITHOUT_KAFKA})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was counted."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that needs real Kafka is skipped on a laptop without it, and fails in CI."""
    if WITHOUT_KAFKA is None:
        return
    for item in items:
        if item.get_closest_marker("kafka"):
            item.add_marker(
                pytest.mark.skip(reason=WITHOUT_KAFKA)
                if not CI
                else pytest.mark.usefixtures("real_kafka")
            )


@pytest.fixture(scope="session")
def real_kafka() -> None:
    """Fail where real Kafka must be had and cannot."""
    if WITHOUT_KAFKA is not None:
        pytest.fail(f"CI needs a real Apache Kafka: {WITHOUT_KAFKA}")


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One broker for the whole session: real Kafka where it can be had, else the embedded one."""
    if WITHOUT_KAFKA is not None and CI:
        pytest.fail(f"CI needs a real Apache Kafka: {WITHOUT_KAFKA}")
    with EmbeddedBroker() if WITHOUT_KAFKA else KafkaCluster() as running:
        yield running


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real but tiny model directory: plumbing tests need its shape, not its judgement."""
    return build_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def settings(broker: Broker, tiny_model: Path) -> Settings:
    """Settings on the session's broker with topics and a group of the test's own."""
    return settings_for(broker.bootstrap_servers, tiny_model)


def settings_for(bootstrap_servers: str, model: Path | None, *, partitions: int = 4) -> Settings:
    """Settings that share nothing with another test's."""
    name = f"t{uuid.uuid4().hex[:8]}"
    return msgspec.structs.replace(
        Settings(),
        kafka=KafkaSection(
            bootstrap_servers=bootstrap_servers,
            group_id=name,
            session_timeout_s=6.0,
            heartbeat_interval_s=1.0,
        ),
        topics=TopicsSection(prefix=name, partitions=partitions),
        model=ModelSection(path=str(model) if model else None, replicas=1, threads_per_replica=1),
    )
