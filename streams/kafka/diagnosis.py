"""Why a broker could not be connected to, as one sentence that is true.

aiokafka reports most failures as a closed connection. Where the error itself does not tell, the
listener is asked what it speaks: TLS or not, and which logins. Nothing secret is sent for that.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslHandShakeRequest

from streams.config import KafkaSection
from streams.kafka.connection import one_connection

LOOK_TIMEOUT_S = 2.0
MAX_WORDS = 200
"""Characters of what a broker says."""

X509_EXPIRED, X509_NOT_YET_VALID = 10, 9
X509_WRONG_NAME = (62, 64)
"""OpenSSL's codes of a certificate for another host name, or for another IP address."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens."""

    host: str
    port: int

    @property
    def text(self) -> str:
        """As the configuration writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with one address.

    `answered` says whether something answers there at all; if not, `sentence` is only the reason.
    `login` says whether a login was refused.
    """

    sentence: str
    answered: bool = True
    login: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """What a listener speaks; `mechanisms` of SASL, empty if it takes no login."""

    protocol: str
    mechanisms: tuple[str, ...] = ()


async def diagnose(kafka: KafkaSection, address: Address, error: BaseException) -> Diagnosis:
    """Say why a connection failed.

    Args:
        kafka: the configuration that the connection was made with.
        address: where it was made to.
        error: what aiokafka or asyncio raised.
    """
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Diagnosis(_certificate(address, cause))
    if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
        return Diagnosis(_alert(kafka, address, cause))
    if isinstance(cause, SaslAuthenticationFailed | AuthenticationFailedError):
        return Diagnosis(_login(kafka, address, cause), login=True)
    if (away := _away(cause)) is not None:
        return Diagnosis(away, answered=False)
    if isinstance(cause, KafkaError | OSError | EOFError):
        return await _mismatch(kafka, address, cause)
    raise error


def _certificate(address: Address, error: ssl.SSLCertVerificationError) -> str:
    code, words = error.verify_code, error.verify_message.rstrip(".")
    if code == X509_EXPIRED:
        return f"the certificate of the broker {address.text} has expired; renew it there"
    if code == X509_NOT_YET_VALID:
        return (
            f"the certificate of the broker {address.text} is not valid yet; check the clocks of "
            "both machines"
        )
    if code in X509_WRONG_NAME:
        return (
            f"the certificate of the broker {address.text} is for another name ({words}); write "
            "the name that it is for into kafka.bootstrap_servers, or have it renewed"
        )
    return (
        f"the certificate of the broker {address.text} is not from an authority that we trust "
        f"({words}); set kafka.ssl_cafile to the certificate of its authority"
    )


def _alert(kafka: KafkaSection, address: Address, error: ssl.SSLError) -> str:
    words = _words(error.reason).lower().replace("_", " ")
    if "certificate" not in words and "unknown ca" not in words:
        return f"the broker {address.text} refuses TLS with us ({words}); check its versions of TLS"
    if kafka.ssl_certfile is None:
        return (
            f"the broker {address.text} asks for a client certificate; set kafka.ssl_certfile and "
            "kafka.ssl_keyfile"
        )
    return (
        f"the broker {address.text} refuses our client certificate ({words}); check that "
        "kafka.ssl_certfile is in date and from an authority that the broker trusts"
    )


def _login(kafka: KafkaSection, address: Address, error: BaseException) -> str:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        words = _words(*error.args[:1])
        if words.startswith("kafka."):  # from our own source of tokens
            return words
        return (
            f"the broker {address.text} refuses the token of OAUTHBEARER; check that it has not "
            "expired and is for this cluster"
        )
    return (
        f"the broker {address.text} refuses the login of {kafka.sasl_username} with "
        f"{kafka.sasl_mechanism}; check kafka.sasl_username and the password that "
        "kafka.sasl_password_env or kafka.sasl_password_file names"
    )


def _away(error: BaseException) -> str | None:
    """Why nothing answers; None if something does."""
    if isinstance(error, TimeoutError):
        return "silent"
    if isinstance(error, socket.gaierror):
        return "unknown name"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and not isinstance(error, ConnectionError | ssl.SSLError):
        return error.strerror or type(error).__name__
    return None


async def _mismatch(kafka: KafkaSection, address: Address, error: BaseException) -> Diagnosis:
    """Compare what the listener speaks with what we spoke."""
    listener = await _look(address)
    ours = kafka.security_protocol
    if listener is None:
        if await _speaks_tls(address):
            return Diagnosis(_closed_after_tls(address, ours))
        return Diagnosis(
            f"what listens at {address.text} closes the connection; check that it is a Kafka "
            "broker and that kafka.security_protocol is the one of this port"
        )
    if listener.protocol != ours:
        return Diagnosis(
            f"the broker {address.text} speaks {listener.protocol}, and not {ours}; set "
            f"kafka.security_protocol to {listener.protocol}, or name a port that speaks {ours}"
        )
    if listener.mechanisms and kafka.sasl_mechanism not in listener.mechanisms:
        return Diagnosis(
            f"the broker {address.text} takes no login with {kafka.sasl_mechanism}; set "
            f"kafka.sasl_mechanism to one of {', '.join(listener.mechanisms)}"
        )
    return Diagnosis(
        f"the broker {address.text} closes the connection ({type(error).__name__}); look into its "
        "log"
    )


def _closed_after_tls(address: Address, ours: str) -> str:
    if "SSL" not in ours:
        return (
            f"the broker {address.text} speaks TLS, and not {ours}; set kafka.security_protocol "
            "to SSL or SASL_SSL"
        )
    return (
        f"the broker {address.text} closes the connection after TLS; it may ask for a client "
        "certificate: set kafka.ssl_certfile and kafka.ssl_keyfile"
    )


async def _look(address: Address) -> Listener | None:
    """What the listener speaks; None if it does not speak Kafka to somebody without credentials."""
    tls = await _speaks_tls(address)
    with suppress(OSError, EOFError, KafkaError):
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            mechanisms = await _mechanisms(address, tls=tls)
        transport = "SSL" if tls else "PLAINTEXT"
        if mechanisms is None:
            return Listener(transport)
        return Listener(f"SASL_{transport}", mechanisms)
    return None


async def _speaks_tls(address: Address) -> bool:
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                address.host, address.port, ssl=_without_verification()
            )
    except (OSError, EOFError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def _mechanisms(address: Address, *, tls: bool) -> tuple[str, ...] | None:
    """The logins that the listener takes; None if it takes none."""
    arguments: dict[str, Any] = {"security_protocol": "PLAINTEXT"}
    if tls:
        arguments = {"security_protocol": "SSL", "ssl_context": _without_verification()}
    async with one_connection(address.host, address.port, **arguments) as connected:
        answer = await connected.send(SaslHandShakeRequest("PLAIN"))
    if answer.error_code == IllegalSaslStateError.errno:
        return None
    if answer.error_code not in (0, UnsupportedSaslMechanismError.errno):
        raise KafkaError(answer.error_code)
    return tuple(_words(name) for name in answer.enabled_mechanisms)


def _without_verification() -> ssl.SSLContext:
    """For a look at a listener: nothing secret is sent, and nothing that it says is believed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _words(said: object = "") -> str:
    """What a broker says, printable and not too long."""
    text = "".join(character for character in str(said) if character.isprintable())
    return text[:MAX_WORDS]
