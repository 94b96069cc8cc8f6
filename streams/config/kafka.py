"""How Kafka is reached: the section `[kafka]` and its checks."""

import re
from importlib.util import find_spec
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from inference.addresses import is_loopback
from inference.errors import ConfigError
from inference.llm.options import check_url
from inference.options import Options, Seconds
from inference.secret import read_secret

SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s,:\[\]/]+)(:\d{1,5})?")

GroupInstanceId = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class KafkaSection(Options, frozen=True):
    """How to reach the cluster, and how long to wait for it."""

    bootstrap_servers: str = "127.0.0.1:9092"
    group_id: str = "triage"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password_env: str | None = None
    sasl_password_file: str | None = None
    oauth_token_file: str | None = None
    oauth_token_url: str | None = None
    oauth_client_id: str | None = None
    oauth_client_secret_env: str | None = None
    oauth_client_secret_file: str | None = None
    oauth_scope: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_key_password_env: str | None = None
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    group_instance_id: GroupInstanceId | None = None
    idempotence: Literal["auto", "on", "off"] = "auto"
    linger_ms: Annotated[int, Meta(ge=0)] = 0
    compression: Literal["none", "gzip", "lz4", "zstd", "snappy"] = "none"
    delivery_timeout_s: Seconds = 120.0
    session_timeout_s: Seconds = 10.0
    heartbeat_interval_s: Seconds = 3.0
    commit_interval_s: Seconds = 1.0

    def read_password(self) -> str | None:
        """The password for SASL; None if none is configured.

        Raises:
            ConfigError: the variable or file that should hold it is missing or empty, or holds no
                UTF-8.
        """
        return self._text("sasl_password", self.sasl_password_env, self.sasl_password_file)

    def read_client_secret(self) -> str | None:
        """The secret of the OAuth client; None if none is configured.

        Raises:
            ConfigError: as `read_password` does.
        """
        return self._text(
            "oauth_client_secret", self.oauth_client_secret_env, self.oauth_client_secret_file
        )

    def read_key_password(self) -> str | None:
        """The password of the key in `ssl_keyfile`; None if none is configured.

        Raises:
            ConfigError: as `read_password` does.
        """
        return self._text("ssl_key_password", self.ssl_key_password_env, None)

    def _text(self, key: str, env: str | None, file: str | None) -> str | None:
        key = f"kafka.{key}"
        secret = read_secret(env, file, key=key)
        try:
            return None if secret is None else secret.decode()
        except UnicodeDecodeError:
            raise ConfigError("the secret is no UTF-8; write it as UTF-8", key=key) from None


def check_kafka(kafka: KafkaSection) -> None:
    """Refuse keys that contradict each other.

    Raises:
        ConfigError: names the key, and says what it takes.
    """
    servers = kafka.bootstrap_servers.split(",")
    if not all(SERVER.fullmatch(server.strip()) for server in servers):
        raise ConfigError("kafka.bootstrap_servers takes HOST:PORT, and commas between several")
    if kafka.heartbeat_interval_s * 3 > kafka.session_timeout_s:
        raise ConfigError(
            "kafka.heartbeat_interval_s must be at most a third of kafka.session_timeout_s"
        )
    _check_certificate(kafka)
    if "SASL" in kafka.security_protocol:
        _check_login(kafka)
    else:
        kafka.read_password()
    if kafka.compression not in ("none", "gzip") and find_spec("cramjam") is None:
        raise ConfigError(
            f"kafka.compression {kafka.compression!r} needs the package cramjam; "
            "install it or use gzip"
        )


def _check_certificate(kafka: KafkaSection) -> None:
    if kafka.ssl_certfile is None:
        if kafka.ssl_keyfile is not None or kafka.ssl_key_password_env is not None:
            raise ConfigError("kafka.ssl_keyfile belongs to a certificate; set kafka.ssl_certfile")
    elif "SSL" not in kafka.security_protocol:
        raise ConfigError(
            "kafka.ssl_certfile needs TLS; set kafka.security_protocol to SSL or SASL_SSL"
        )
    kafka.read_key_password()


def _check_login(kafka: KafkaSection) -> None:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        _check_oauth(kafka)
    elif not (kafka.sasl_username and kafka.read_password()):
        raise ConfigError(
            "kafka.security_protocol with SASL needs kafka.sasl_username and "
            "kafka.sasl_password_env or kafka.sasl_password_file"
        )


def _check_oauth(kafka: KafkaSection) -> None:
    if (kafka.oauth_token_file is None) == (kafka.oauth_token_url is None):
        raise ConfigError(
            "kafka.sasl_mechanism OAUTHBEARER takes kafka.oauth_token_file or "
            "kafka.oauth_token_url; set one of the two"
        )
    if kafka.oauth_token_url is None:
        return
    if not (kafka.oauth_client_id and kafka.read_client_secret()):
        raise ConfigError(
            "kafka.oauth_token_url needs kafka.oauth_client_id and kafka.oauth_client_secret_env "
            "or kafka.oauth_client_secret_file"
        )
    check_url(kafka.oauth_token_url, "kafka.oauth_token_url", example="https://HOST/token")
    url = urlsplit(kafka.oauth_token_url)
    if url.scheme != "https" and not is_loopback(url.hostname or ""):
        raise ConfigError(
            "would send the secret of the client over plain http; use https",
            key="kafka.oauth_token_url",
        )
