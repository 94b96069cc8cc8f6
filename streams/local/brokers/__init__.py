"""Brokers to run on this machine: one small interface, an embedded one and a real Apache Kafka behind it.

Both listen on 127.0.0.1 only and never outlive the process that started them, not even one that was killed.
Every method blocks; from a coroutine call them through `asyncio.to_thread`.
"""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from streams.errors import StreamError


class BrokerError(StreamError):
    """A local broker could not be had; the message is one sentence a person can act on."""


class Broker(ABC):
    """A broker that runs while its `with` block does.

    `stop` is safe at any moment, also twice and also before `start`; after it every process is gone.
    """

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is, for a line a person reads."""

    @property
    @abstractmethod
    def bootstrap_servers(self) -> str:
        """`host:port` of every broker, separated by commas; fixed from construction on."""

    @abstractmethod
    def start(self) -> None:
        """Run it and return once it answers Kafka requests.

        Raises:
            BrokerError: it cannot be had here, or did not answer in time.
        """

    @abstractmethod
    def stop(self) -> None:
        """End it: SIGTERM, a bounded wait, then SIGKILL."""

    @abstractmethod
    def require_running(self) -> None:
        """Raise `BrokerError` with the last words of whatever was started and has died since."""

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
