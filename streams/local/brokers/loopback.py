"""Ports on 127.0.0.1 and the wait until a broker answers on them."""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from streams.errors import BrokerError

HOST = "127.0.0.1"
# Below every system's ephemeral range: while a broker is down for a while, a client that keeps
# reconnecting to a port *inside* that range can be given the same port as its own and connect to
# itself.
PORTS = range(20_000, 32_000)
POLL_S = 0.1


def is_free(port: int) -> bool:
    """Whether nothing listens on `port` of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` distinct ports of 127.0.0.1 on which nothing listens now, drawn at random.

    Raises:
        BrokerError: there are not that many.
    """
    candidates = random.sample(PORTS, len(PORTS))
    found = [
        port for port, _ in zip((p for p in candidates if is_free(p)), range(count), strict=False)
    ]
    if len(found) < count:
        raise BrokerError(
            f"no {count} free ports between {PORTS.start} and {PORTS.stop} on {HOST}; "
            "name one instead"
        )
    return found


def require_free(ports: Sequence[int]) -> None:
    """Raise `BrokerError` if something listens on one of `ports`."""
    for port in ports:
        if not is_free(port):
            raise BrokerError(
                f"port {port} on {HOST} is in use; end what listens there or choose another port"
            )


def wait_until_answers(
    ports: Sequence[int], *, brokers: int, require_running: Callable[[], None], timeout_s: float
) -> None:
    """Return when the broker on each of `ports` knows of at least `brokers` brokers.

    `require_running` is called between the tries; it raises if a process has ended.

    Raises:
        BrokerError: `timeout_s` passed.
    """
    deadline = time.monotonic() + timeout_s
    for port in ports:
        while not (_accepts(port) and _known_brokers(port) >= brokers):
            require_running()
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"the broker on {HOST}:{port} gave no answer within {timeout_s:.0f} s; "
                    "the machine may be too busy"
                )
            time.sleep(POLL_S)


def _accepts(port: int) -> bool:
    """Whether it accepts connections; aiokafka would log an error for every refused one."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _known_brokers(port: int) -> int:
    """How many brokers the one at `port` knows of; 0 if it does not answer yet."""
    try:
        return asyncio.run(_count_brokers(port))
    except (KafkaError, OSError, TimeoutError):
        return 0


async def _count_brokers(port: int) -> int:
    client = AIOKafkaClient(bootstrap_servers=f"{HOST}:{port}", request_timeout_ms=2_000)
    try:
        await asyncio.wait_for(client.bootstrap(), timeout=5)
        return len(client.cluster.brokers())
    finally:
        await client.close()
