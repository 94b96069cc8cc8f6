"""How aiokafka is told to reach the cluster: one place for addresses and credentials."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.conn import AIOKafkaConnection

from streams.config import KafkaSection
from streams.errors import BrokerUnreachable
from streams.kafka import batches, logins
from streams.kafka.tls import broker_context
from streams.kafka.tokens import token_provider

CLOSE_TIMEOUT_S = 1.0

# Here, because whoever connects takes the arguments from this module.
logins.install()
batches.install()


def connection(kafka: KafkaSection) -> dict[str, Any]:
    """Keyword arguments any aiokafka client takes.

    Prefer `bootstrap.reachable_connection`, which leaves out addresses that do not answer.

    Raises:
        ConfigError: a certificate or a secret cannot be read.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
    }
    if "SSL" in kafka.security_protocol:
        arguments["ssl_context"] = broker_context(kafka)
    if "SASL" in kafka.security_protocol:
        arguments |= {"sasl_mechanism": kafka.sasl_mechanism} | _credentials(kafka)
    return arguments


@asynccontextmanager
async def one_connection(host: str, port: int, **arguments: Any) -> AsyncIterator[Any]:
    """Open one connection of aiokafka, without a client around it, and close it.

    Unlike a client, it raises the cause if it fails.

    Raises:
        OSError, TimeoutError, KafkaError: it could not be opened, or it broke.
    """
    opened: list[None] = []
    made = AIOKafkaConnection(host, port, on_close=lambda *_: opened.append(None), **arguments)
    try:
        await made.connect()
        yield made
    finally:
        closed = made.close()
        if opened:
            await asyncio.wait([closed], timeout=CLOSE_TIMEOUT_S)


def consumer_options(kafka: KafkaSection) -> dict[str, Any]:
    """Keyword arguments that every `AIOKafkaConsumer` takes besides those of the connection."""
    return {"isolation_level": kafka.isolation_level}


def member_options(kafka: KafkaSection) -> dict[str, Any]:
    """Keyword arguments of a consumer that is a member of the workers' group."""
    return consumer_options(kafka) | {
        "group_id": kafka.group_id,
        "group_instance_id": kafka.group_instance_id,
        "session_timeout_ms": int(kafka.session_timeout_s * 1000),
        "heartbeat_interval_ms": int(kafka.heartbeat_interval_s * 1000),
    }


def unreachable(kafka: KafkaSection, error: Exception) -> BrokerUnreachable:
    """What a person is told when a client could not connect."""
    return BrokerUnreachable(
        f"no Kafka broker answers at {kafka.bootstrap_servers} ({type(error).__name__}); "
        "start one or set kafka.bootstrap_servers"
    )


def _credentials(kafka: KafkaSection) -> dict[str, Any]:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return {"sasl_oauth_token_provider": token_provider(kafka)}
    return {
        "sasl_plain_username": kafka.sasl_username,
        "sasl_plain_password": kafka.read_password(),
    }
