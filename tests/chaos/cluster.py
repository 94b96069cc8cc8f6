"""Three brokers with a second listener for the proxy, and what can be done to them."""

import resource
import subprocess
from pathlib import Path
from typing import Literal

import orjson

from streams.local.brokers.java import KAFKA_VERSION
from streams.local.brokers.kafka import KafkaCluster
from streams.local.brokers.loopback import HOST, free_ports

BROKERS: Literal[3] = 3


class ChaosCluster(KafkaCluster):
    """Three brokers. Each also listens on a port that it advertises as that of a proxy."""

    def __init__(self, version: str = KAFKA_VERSION) -> None:
        super().__init__(brokers=BROKERS, version=version)
        ports = free_ports(2 * BROKERS)
        self.routes = list(zip(ports[:BROKERS], ports[BROKERS:], strict=True))
        """For each broker: the port of its proxy, and the port behind it."""

    @property
    def proxied_servers(self) -> str:
        """The addresses of the proxies."""
        return ",".join(f"{HOST}:{proxy}" for proxy, _ in self.routes)

    def _lay_out(self) -> None:
        super()._lay_out()
        for node, (proxy, behind) in zip(self._nodes, self.routes, strict=True):
            direct = f"PLAINTEXT://{HOST}:{node.port}"
            settings = {
                "listeners": (
                    f"{direct},PROXIED://{HOST}:{behind},CONTROLLER://{HOST}:{node.controller_port}"
                ),
                "advertised.listeners": f"{direct},PROXIED://{HOST}:{proxy}",
                "listener.security.protocol.map": (
                    "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"
                ),
                "inter.broker.listener.name": "PLAINTEXT",
                # So that a test can see what the cleaner leaves.
                "log.cleaner.backoff.ms": 500,
            }
            file = node.directory / "server.properties"
            # The last line about a key counts.
            lines = [f"{key}={value}\n" for key, value in settings.items()]
            file.write_text(file.read_text() + "".join(lines))

    def active_controller(self) -> int:
        """The index of the node that is the active controller."""
        for node in self._nodes:
            file = node.directory / "data" / "__cluster_metadata-0" / "quorum-state"
            leader: int = orjson.loads(file.read_bytes())["leaderId"]
            if leader > 0 and self._servers[leader - 1].running:
                return leader - 1
        raise AssertionError("the cluster has no active controller")

    def fail_writes(self, index: int) -> None:
        """Make every write of a node to a file fail, as on a disk that is full or read-only.

        It stays so until the node is started again.
        """
        group = self._servers[index].process_group
        assert group is not None
        children = Path(f"/proc/{group}/task/{group}/children").read_text()
        for pid in children.split():
            resource.prlimit(int(pid), resource.RLIMIT_FSIZE, (0, 0))

    def upgrade_node(self, index: int, version: str) -> None:
        """Stop a node, and start it again as another version of Kafka, with the same data."""
        self.stop_node(index)
        self._servers[index] = self._server(self._java(version), self._nodes[index])
        self.start_node(index)

    def finish_upgrade(self, version: str) -> None:
        """Switch on what only the new version can do; after this there is no way back."""
        command = [*self._java(version), "org.apache.kafka.tools.FeatureCommand"]
        command += [f"--bootstrap-server={self.bootstrap_servers}", "upgrade"]
        subprocess.run([*command, f"--release-version={version[:3]}"], check=True, timeout=60)
        self.version = version

    def running(self, index: int) -> bool:
        """Whether a node runs."""
        return self._servers[index].running

    def heal(self) -> None:
        """Start every node that does not run."""
        for index in range(BROKERS):
            if not self.running(index):
                self.start_node(index)
