"""Find a bootstrap address that answers, before a client of aiokafka is started.

aiokafka tries the addresses one after the other, each for a whole request timeout, and reports only
that all failed. So we connect first ourselves: each address gets five seconds, the next one is
tried before a silent one has used them up, and the cause of a failure becomes a sentence.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiokafka.conn import collect_hosts
from aiokafka.errors import AuthenticationFailedError
from aiokafka.protocol.metadata import MetadataRequest

from streams.config import KafkaSection
from streams.errors import AccessRefused, BrokerUnreachable
from streams.kafka.connection import connection, one_connection
from streams.kafka.diagnosis import Address, Diagnosis, diagnose

log = logging.getLogger(__name__)

ADDRESS_TIMEOUT_S = 5.0
"""How long one address may take to answer: connection, TLS, login and one request."""
HEAD_START_S = 0.5
"""How long an address is waited for before the next one is tried beside it."""
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


class LoginPacer:
    """Makes callers wait after a refused login, twice as long after each one.

    A wrong password does not become right by itself, and brokers count refused logins. `clock`
    gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[KafkaSection, tuple[int, float]] = {}

    def pause_s(self, kafka: KafkaSection) -> float:
        """How long to wait before the next login with this configuration, in seconds."""
        refusals, last_s = self._refused.get(kafka, (0, 0.0))
        if not refusals:
            return 0.0
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (refusals - 1))
        return max(0.0, last_s + pause_s - self._clock())

    def refused(self, kafka: KafkaSection) -> None:
        """Note a refused login."""
        refusals, _ = self._refused.get(kafka, (0, 0.0))
        self._refused[kafka] = (refusals + 1, self._clock())

    def accepted(self, kafka: KafkaSection) -> None:
        """Forget what was refused."""
        self._refused.pop(kafka, None)


pacer = LoginPacer()
"""The logins of this process."""


async def reachable_connection(kafka: KafkaSection) -> dict[str, Any]:
    """Keyword arguments any aiokafka client takes, with an address that answers now.

    After a refused login the next call waits before it tries again.

    Raises:
        AccessRefused: a broker answers, but TLS or the login fails; the sentence says why.
        BrokerUnreachable: no broker answers.
        ConfigError: a certificate or a secret cannot be read.
    """
    await asyncio.sleep(pacer.pause_s(kafka))
    arguments = connection(kafka)
    try:
        address = await _first_answering(kafka, arguments)
    except AccessRefused:
        pacer.refused(kafka)
        raise
    pacer.accepted(kafka)
    return arguments | {"bootstrap_servers": [address.text]}


async def _first_answering(kafka: KafkaSection, arguments: dict[str, Any]) -> Address:
    """Ask the addresses in turn, the next one as soon as one fails or is slow.

    A refused login ends the search: the other brokers of a cluster would refuse it too.
    """
    waiting = [Address(host, port) for host, port, _ in collect_hosts(kafka.bootstrap_servers)]
    asked: dict[asyncio.Task[None], Address] = {}
    failed: list[Diagnosis] = []
    try:
        while waiting or asked:
            if waiting:
                address = waiting.pop(0)
                asked[asyncio.create_task(_ask(address, arguments))] = address
            done, _ = await asyncio.wait(
                asked,
                timeout=HEAD_START_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                address = asked.pop(task)
                if (error := task.exception()) is None:
                    return address
                failed.append(await diagnose(kafka, address, error))
                if failed[-1].login:
                    raise AccessRefused(failed[-1].sentence)
                log.info("%s is not used: %s", address.text, failed[-1].sentence)
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    raise _unreachable(kafka, failed)


async def _ask(address: Address, arguments: dict[str, Any]) -> None:
    """Connect, log in and ask for the brokers of the cluster.

    Raises:
        OSError, TimeoutError, KafkaError: as `diagnose` takes them.
    """
    credentials = {name: arguments[name] for name in arguments if name != "bootstrap_servers"}
    async with (
        asyncio.timeout(ADDRESS_TIMEOUT_S),
        one_connection(address.host, address.port, **credentials) as connected,
    ):
        metadata = await connected.send(MetadataRequest([]))
    if not metadata.brokers and arguments.get("sasl_mechanism") == "OAUTHBEARER":
        # aiokafka does not read the refusal of a token. The broker then answers the next request
        # with an error, and names no brokers.
        raise AuthenticationFailedError("the token is refused")


def _unreachable(kafka: KafkaSection, failed: list[Diagnosis]) -> BrokerUnreachable:
    """The most telling of the failures: one of a broker that answered, if there is one."""
    for diagnosis in failed:
        if diagnosis.answered:
            return AccessRefused(diagnosis.sentence)
    reasons = ", ".join(sorted({diagnosis.sentence for diagnosis in failed}))
    return BrokerUnreachable(
        f"no Kafka broker answers at {kafka.bootstrap_servers} ({reasons}); "
        "start one or set kafka.bootstrap_servers"
    )
