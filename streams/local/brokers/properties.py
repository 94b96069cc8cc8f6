"""The configuration of a node of the local Kafka: server.properties and log4j2."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.local.brokers.loopback import HOST


@dataclass(frozen=True, slots=True)
class Node:
    """One combined broker and controller; `node_id` counts from 1, `directory` holds its data."""

    node_id: int
    port: int
    controller_port: int
    directory: Path


def server_properties(node: Node, nodes: Sequence[Node]) -> str:
    """The node's `server.properties` as text; with three nodes there are three replicas."""
    settings = _place(node, nodes) | _replication(len(nodes)) | _sizes()
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _place(node: Node, nodes: Sequence[Node]) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": node.node_id,
        "controller.quorum.voters": ",".join(
            f"{n.node_id}@{HOST}:{n.controller_port}" for n in nodes
        ),
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": _escaped(str(node.directory / "data")),
    }


def _escaped(value: str) -> str:
    """A value for Java's `Properties.load`, which reads Latin-1 and resolves escapes."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 0x7F else f"\\u{code:04x}" for code in codes)  # noqa: PLR2004 - the end of ASCII


def _replication(nodes: int) -> dict[str, object]:
    copies, in_sync = (3, 2) if nodes >= 3 else (1, 1)  # noqa: PLR2004 - three copies of which two confirm
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        # A mistyped topic must be an error, as it is on a well-kept cluster.
        "auto.create.topics.enable": "false",
    }


def _sizes() -> dict[str, object]:
    """Small sizes for a laptop; limits on record sizes stay at Kafka's defaults, for the tests."""
    return {
        "num.partitions": 4,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 2,
        "share.coordinator.state.topic.num.partitions": 2,
        "group.initial.rebalance.delay.ms": 0,
        # Lets a test lose a consumer in seconds.
        "group.min.session.timeout.ms": 1_000,
        # A node that was killed is let back in only once the controller has given up on its former
        # self (default 9 s).
        "broker.session.timeout.ms": 5_000,
        "broker.heartbeat.interval.ms": 1_000,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        # The default (128 MiB) is a third of the heap.
        "log.cleaner.dedupe.buffer.size": 16 << 20,
        "log.segment.bytes": 64 << 20,
        "log.retention.hours": 24,
        "log.retention.bytes": 1 << 30,
    }


def log4j2_xml() -> str:
    """Warnings and worse, to standard output (which goes to the node's log file)."""
    return """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="error">
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d{ISO8601} %p %c{1}: %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="warn"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""
