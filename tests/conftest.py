"""The fixtures that all tests share: a broker, a tiny model, and settings for one test."""

import atexit
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import ctranslate2  # noqa: F401 - once it is loaded, no self-test of its instructions is made
import msgspec
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as property_settings

from streams.config import (
    KafkaSection,
    ModelSection,
    ReviewSection,
    Settings,
    SpotChecksSection,
    TopicsSection,
)
from streams.local.brokers import Broker
from streams.local.brokers.embedded import EmbeddedBroker
from streams.local.brokers.java import kafka_available
from streams.local.brokers.kafka import KafkaCluster
from tests.figures import FIGURES
from tests.tiny_model import build_tiny_model

CI = os.environ.get("CI") == "true"
WITHOUT_KAFKA = kafka_available()
STATES = tempfile.TemporaryDirectory(prefix="triage-cases-")
atexit.register(STATES.cleanup)

# A machine that others use pauses for longer than any useful deadline of one example.
property_settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
property_settings.load_profile("patient")


def pytest_report_header() -> str:
    """Report which broker the suite runs on."""
    if WITHOUT_KAFKA is None:
        return "broker: real Apache Kafka"
    return f"broker: embedded, because there is no real Kafka ({WITHOUT_KAFKA})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that the tests counted."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need real Kafka if there is none. In CI they fail instead."""
    if WITHOUT_KAFKA is None:
        return
    for item in items:
        if item.get_closest_marker("kafka"):
            item.add_marker(_without_kafka(WITHOUT_KAFKA))


def _without_kafka(reason: str) -> pytest.MarkDecorator:
    if CI:
        return pytest.mark.usefixtures("real_kafka")
    return pytest.mark.skip(reason=reason)


@pytest.fixture(scope="session")
def real_kafka() -> None:
    """Fail if there is no real Kafka."""
    if WITHOUT_KAFKA is not None:
        pytest.fail(f"CI needs a real Apache Kafka: {WITHOUT_KAFKA}")


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One broker for the whole session: real Kafka if there is one, otherwise the embedded one."""
    if WITHOUT_KAFKA is not None and CI:
        pytest.fail(f"CI needs a real Apache Kafka: {WITHOUT_KAFKA}")
    with _new_broker() as running_broker:
        yield running_broker


def _new_broker() -> EmbeddedBroker | KafkaCluster:
    return EmbeddedBroker() if WITHOUT_KAFKA else KafkaCluster()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real but tiny model directory, for tests that do not need good decisions."""
    return build_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def settings(broker: Broker, tiny_model: Path) -> Settings:
    """Settings for the broker of the session, with topics and a group for one test."""
    return settings_for(broker.bootstrap_servers, tiny_model)


def settings_for(bootstrap_servers: str, model: Path | None, *, partitions: int = 4) -> Settings:
    """Settings with a group and topics that no other test uses, and without spot checks."""
    name = f"t{uuid.uuid4().hex[:8]}"
    model_path = str(model) if model else None
    return msgspec.structs.replace(
        Settings(),
        kafka=KafkaSection(
            bootstrap_servers=bootstrap_servers,
            group_id=name,
            session_timeout_s=6.0,
            heartbeat_interval_s=1.0,
        ),
        topics=TopicsSection(prefix=name, partitions=partitions),
        # No self-test: it would take its time at the start of each worker.
        model=ModelSection(
            path=model_path, replicas=1, threads_per_replica=1, instruction_set="default"
        ),
        # Tests count the cases on the review topic.
        spot_checks=SpotChecksSection(share=0.0),
        review=ReviewSection(state=f"{STATES.name}/{name}.sqlite"),
    )
