"""Brokers that run on this machine: one interface, with an embedded broker and a real Kafka.

Both listen on 127.0.0.1 only. They end with the process that started them, even if it is killed.
Every method blocks: call it through `asyncio.to_thread` from a coroutine.
"""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Broker(ABC):
    """A broker that runs while its `with` block does.

    `stop` is safe at any moment, also twice and also before `start`; after it every process is
    gone.
    """

    @property
    @abstractmethod
    def title(self) -> str:
        """The kind of broker, for a person."""

    @property
    @abstractmethod
    def bootstrap_servers(self) -> str:
        """`host:port` of every broker, separated by commas; it never changes."""

    @abstractmethod
    def start(self) -> None:
        """Start it, and return when it answers Kafka requests.

        Raises:
            BrokerError: it cannot run here, or did not answer in time.
        """

    @abstractmethod
    def stop(self) -> None:
        """End it: SIGTERM, a bounded wait, then SIGKILL."""

    @abstractmethod
    def require_running(self) -> None:
        """Raise `BrokerError` with the end of the log of a process that has ended by itself."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
