"""How aiokafka and Faust are told to reach the cluster: one place for addresses and credentials."""

import ssl
from typing import Any

import faust

from inference.errors import ConfigError
from streams.config import KafkaSection
from streams.errors import BrokerUnreachable


def connection(kafka: KafkaSection) -> dict[str, Any]:
    """Keyword arguments any aiokafka client takes.

    Raises:
        ConfigError: the certificate authorities cannot be read.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
    }
    if "SSL" in kafka.security_protocol:
        arguments["ssl_context"] = _ssl_context(kafka)
    if "SASL" in kafka.security_protocol:
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.read_password(),
        }
    return arguments


def unreachable(kafka: KafkaSection, error: Exception) -> BrokerUnreachable:
    """What a person is told when a client could not connect."""
    return BrokerUnreachable(
        f"no Kafka broker answers at {kafka.bootstrap_servers} ({type(error).__name__}); "
        "start one or set kafka.bootstrap_servers"
    )


def faust_broker(kafka: KafkaSection) -> list[str]:
    """The bootstrap servers as Faust writes them."""
    return [f"kafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")]


def faust_credentials(kafka: KafkaSection) -> Any:
    """Faust's form of the same credentials; None for plain text."""
    context = _ssl_context(kafka) if "SSL" in kafka.security_protocol else None
    if "SASL" in kafka.security_protocol:
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.read_password(),
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def _ssl_context(kafka: KafkaSection) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=kafka.ssl_cafile)
    except OSError as error:  # a file that holds no certificates too
        raise ConfigError(
            f"kafka.ssl_cafile {kafka.ssl_cafile} cannot be used ({error}); name a PEM file"
        ) from None
