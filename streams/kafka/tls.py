"""The TLS of a connection: whom we trust, and the certificate that we show."""

import ssl

from inference.errors import ConfigError
from streams.config import KafkaSection


def broker_context(kafka: KafkaSection) -> ssl.SSLContext:
    """How brokers are verified, and our own certificate if one is configured.

    Raises:
        ConfigError: a file cannot be read, or the password of the key is wrong.
    """
    context = _verifying(kafka.ssl_cafile)
    if kafka.ssl_certfile is not None:
        _load_certificate(context, kafka, kafka.ssl_certfile)
    return context


def endpoint_context(kafka: KafkaSection) -> ssl.SSLContext:
    """How the token endpoint is verified: by the system's authorities and by `kafka.ssl_cafile`.

    Raises:
        ConfigError: the authorities cannot be read.
    """
    context = ssl.create_default_context()
    if kafka.ssl_cafile is not None:
        _verifying(kafka.ssl_cafile)
        context.load_verify_locations(kafka.ssl_cafile)
    return context


def _verifying(cafile: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:  # a file that holds no certificates too
        raise ConfigError(
            f"kafka.ssl_cafile {cafile} cannot be used ({error}); name a PEM file"
        ) from None


def _load_certificate(context: ssl.SSLContext, kafka: KafkaSection, certfile: str) -> None:
    # Without a password, OpenSSL would ask for one on the terminal.
    password = kafka.read_key_password() or ""
    try:
        context.load_cert_chain(certfile, kafka.ssl_keyfile, lambda: password)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "strerror", None) or type(error).__name__
        if isinstance(error, ssl.SSLError):
            reason = error.reason or "no certificate with its key in it, or a wrong password"
        raise ConfigError(
            f"cannot be used with kafka.ssl_keyfile ({reason}); name PEM files of a certificate "
            "and its key, and with kafka.ssl_key_password_env the variable of the key's password",
            key="kafka.ssl_certfile",
        ) from None
