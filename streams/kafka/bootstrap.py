"""Find a bootstrap address that answers, before a client of aiokafka is started.

aiokafka tries the addresses one after the other, each for a whole request timeout, and reports only
that all failed. So we connect first ourselves: each address gets five seconds, the next one is
tried before a silent one has used them up, and the cause of a failure becomes a sentence.
"""

import asyncio
import logging
from typing import Any

from aiokafka.conn import collect_hosts

from streams.config import KafkaSection
from streams.errors import AccessRefused, BrokerUnreachable
from streams.kafka import logins
from streams.kafka.connection import connection, one_connection
from streams.kafka.diagnosis import Address, Diagnosis, diagnose

log = logging.getLogger(__name__)

ADDRESS_TIMEOUT_S = 5.0
"""How long one address may take to answer: connection, TLS, login and one request."""
HEAD_START_S = 0.5
"""How long an address is waited for before the next one is tried beside it."""


async def reachable_connection(kafka: KafkaSection) -> dict[str, Any]:
    """Keyword arguments any aiokafka client takes, with an address that answers now.

    After a refused login the next call waits before it tries again.

    Raises:
        AccessRefused: a broker answers, but TLS or the login fails; the sentence says why.
        BrokerUnreachable: no broker answers.
        ConfigError: a certificate or a secret cannot be read.
    """
    arguments = connection(kafka)
    credentials = logins.credentials_of(arguments)
    await asyncio.sleep(logins.pacer.pause_s(credentials))
    address = await _first_answering(kafka, arguments)
    logins.pacer.accepted(credentials)
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
                asked[asyncio.create_task(_ask_in_time(address, arguments))] = address
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
                    logins.pacer.refused(logins.credentials_of(arguments))
                    raise AccessRefused(failed[-1].sentence)
                log.info("%s is not used: %s", address.text, failed[-1].sentence)
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    raise _unreachable(kafka, failed)


async def _ask_in_time(address: Address, arguments: dict[str, Any]) -> None:
    async with asyncio.timeout(ADDRESS_TIMEOUT_S):
        await _ask(address, arguments)


async def _ask(address: Address, arguments: dict[str, Any]) -> None:
    """Connect, log in and ask for the brokers of the cluster.

    Raises:
        OSError, TimeoutError, KafkaError: as `diagnose` takes them.
    """
    credentials = {name: arguments[name] for name in arguments if name != "bootstrap_servers"}
    async with one_connection(address.host, address.port, **credentials) as opened:
        await logins.require_accepted(opened, credentials)


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
