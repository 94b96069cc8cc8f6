"""A real Apache Kafka in KRaft mode on 127.0.0.1: one node or three, which can be killed singly."""

import shutil
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Literal

from streams.errors import BrokerError
from streams.local.brokers import Broker
from streams.local.brokers.java import (
    KAFKA_VERSION,
    default_cache_dir,
    fetch_jars,
    java_command,
    kafka_available,
)
from streams.local.brokers.loopback import HOST, free_ports, require_free, wait_until_answers
from streams.local.brokers.process import Server
from streams.local.brokers.properties import Node, log4j2_xml, server_properties

START_TIMEOUT_S = 90.0
FORMAT_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
# The serial collector and a small heap: a node of these stays near 400 MB resident.
JVM_OPTIONS = (
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
)


class KafkaCluster(Broker):
    """Apache Kafka with `brokers` combined broker and controller nodes (1 or 3).

    `port` is the first broker's, the others follow it; without it every port is random and free.
    Ports and data survive `stop_node`, `kill_node` and `start_node`. `data_dir` outlives the
    cluster and can be used again; without it a temporary directory is, and is deleted. `cache_dir`
    holds Kafka's jars of `version` between runs. Nodes are counted from 0.
    """

    def __init__(
        self,
        brokers: Literal[1, 3] = 1,
        port: int | None = None,
        cache_dir: Path | None = None,
        data_dir: Path | None = None,
        version: str = KAFKA_VERSION,
    ) -> None:
        self.version = version
        self._cache_dir = cache_dir or default_cache_dir()
        self._data_dir = data_dir.absolute() if data_dir else None
        controllers = free_ports(2 * brokers)
        clients = list(range(port, port + brokers)) if port is not None else controllers[brokers:]
        self._ports = list(zip(clients, controllers[:brokers], strict=True))
        self._nodes: list[Node] = []
        self._servers: list[Server] = []
        self._scratch: Path | None = None

    @property
    def title(self) -> str:
        """The kind of broker, for a person."""
        count = len(self._ports)
        return f"Apache Kafka {self.version}, {count} node{'s' if count > 1 else ''}"

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:port` of every node, separated by commas."""
        return ",".join(f"{HOST}:{port}" for port, _ in self._ports)

    def start(self) -> None:
        """Fetch Kafka if needed, format the storage, start every node, and wait for all answers.

        Raises:
            BrokerError: Java or Maven is missing or fails, a port is taken, or a node dies or stays
            silent.
        """
        if reason := kafka_available(self._cache_dir):
            raise BrokerError(reason)
        require_free([port for pair in self._ports for port in pair])
        java = self._java(self.version)
        self._lay_out()
        self._format(java)
        self._servers = [self._server(java, node) for node in self._nodes]
        for server in self._servers:
            server.start()
        self._wait(self._nodes)

    def stop(self) -> None:
        """End every node: SIGTERM to all, at most 10 s, then SIGKILL.

        If no data are kept, SIGKILL comes at once. The last of three nodes has no quorum left, so
        it usually takes the whole 10 s.
        """
        if self._data_dir is not None:
            self._terminate_all()
        for server in self._servers:
            server.kill()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def require_running(self) -> None:
        """Raise `BrokerError` if a node has ended that this object did not stop."""
        for server in self._servers:
            server.require_running()

    def stop_node(self, index: int) -> None:
        """End one node: SIGTERM, at most 10 s, then SIGKILL. It keeps its port and data."""
        self._servers[index].stop(STOP_TIMEOUT_S)

    def kill_node(self, index: int) -> None:
        """SIGKILL one node, and return when it has ended. It keeps its port and data."""
        self._servers[index].kill()

    def start_node(self, index: int) -> None:
        """Start a stopped or killed node, and return when it answers and sees every running node.

        Raises:
            BrokerError: it died or did not answer in time.
        """
        self._servers[index].start()
        self._wait([self._nodes[index]])

    def _java(self, version: str) -> list[str]:
        """The start of a command that runs a program of Kafka."""
        return [
            str(java_command()),
            *JVM_OPTIONS,
            "-cp",
            f"{fetch_jars(self._cache_dir, version)}/*",
        ]

    def _terminate_all(self) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for server in self._servers:
            server.terminate()
        for server in self._servers:
            server.stop(max(0.0, deadline - time.monotonic()))

    def _lay_out(self) -> None:
        """Make the directories and write every node's configuration."""
        if self._data_dir is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="triage-kafka-"))
        root = self._data_dir or self._scratch
        assert root is not None  # noqa: S101 - for the type checker: one of the two was just made
        self._nodes = [
            Node(number, port, controller_port, root / f"node-{number}")
            for number, (port, controller_port) in enumerate(self._ports, start=1)
        ]
        for node in self._nodes:
            node.directory.mkdir(parents=True, exist_ok=True)
            (node.directory / "server.properties").write_text(server_properties(node, self._nodes))
            (node.directory / "log4j2.xml").write_text(log4j2_xml())

    def _format(self, java: list[str]) -> None:
        """Format the storage of the nodes that have none, all at once: each is a JVM of its own."""
        new = [
            node
            for node in self._nodes
            if not (node.directory / "data" / "meta.properties").exists()
        ]
        if not new:
            return
        # Each is one short run: the optimising compiler would only take time.
        java = [java[0], "-XX:TieredStopAtLevel=1", *java[1:]]
        command = [*java, "kafka.tools.StorageTool", "format"]
        # With `=`: one id in 64 starts with a dash.
        command.append(f"--cluster-id={_cluster_id(self._nodes[0].directory.parent)}")
        command += self._format_options()
        running = [
            subprocess.Popen(  # noqa: S603 - our own command line
                [*command, "-c", "server.properties"],
                cwd=node.directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for node in new
        ]
        try:
            for process in running:
                printed, _ = process.communicate(timeout=FORMAT_TIMEOUT_S)
                if process.returncode:
                    raise BrokerError(
                        "Kafka's storage could not be formatted: "
                        f"{' '.join(printed.split())[-300:]}"
                    )
        except subprocess.TimeoutExpired:
            raise BrokerError(
                f"formatting Kafka's storage took longer than {FORMAT_TIMEOUT_S:.0f} s"
            ) from None
        finally:
            for process in running:
                process.kill()
                process.communicate()

    def _format_options(self) -> list[str]:
        """More options for formatting the storage; a test that needs users creates them here."""
        return []

    def _server(self, java: list[str], node: Node) -> Server:
        options = [*java, f"-Dlog4j2.configurationFile={node.directory / 'log4j2.xml'}"]
        return Server(
            f"Kafka node {node.node_id}",
            [*options, "kafka.Kafka", "server.properties"],
            log=node.directory / "kafka.log",
            scratch=self._scratch,
        )

    def _wait(self, nodes: list[Node]) -> None:
        wait_until_answers(
            [node.port for node in nodes],
            brokers=sum(server.running for server in self._servers),
            require_running=self.require_running,
            timeout_s=START_TIMEOUT_S,
        )


def _cluster_id(root: Path) -> str:
    """The id of the cluster, chosen once per data directory; it keeps other clusters' nodes out."""
    path = root / "cluster.id"
    if not path.exists():
        path.write_text(urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
    return path.read_text().strip()
