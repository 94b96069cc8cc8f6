"""A real Kafka whose listeners ask for certificates, passwords or tokens, with ACLs."""

import base64
import json
import subprocess
import time
from pathlib import Path

from streams.local.brokers.java import default_cache_dir, fetch_jars, java_command
from streams.local.brokers.kafka import KafkaCluster
from streams.local.brokers.loopback import HOST, free_ports
from tests.certificates import Certificates

LISTENERS = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "MISNAMED": "SSL",
    "EXPIRED": "SSL",
    "SASL": "SASL_PLAINTEXT",
    "SASLTLS": "SASL_SSL",
    "TOKENS": "SASL_PLAINTEXT",
}
"""The listeners besides PLAINTEXT, each with its protocol."""

STORES = {"MISNAMED": "misnamed", "EXPIRED": "expired"}
"""The certificates of listeners whose certificate is not the right one."""

USER, PASSWORD = "worker", "worker-pw"
POWERLESS, POWERLESS_PASSWORD = "powerless", "powerless-pw"
"""A user that no ACL allows anything."""

PLAIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required"
    f' user_{USER}="{PASSWORD}" user_{POWERLESS}="{POWERLESS_PASSWORD}";'
)
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
TOKENS = (
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
    ' unsecuredLoginStringClaim_sub="broker";'
)


class SecureKafka(KafkaCluster):
    """One node with a listener for each way to connect; `servers(NAME)` is where it listens.

    Nobody needs rights on PLAINTEXT, TLS and MUTUAL; `USER` may do everything, `POWERLESS`
    nothing.
    """

    def __init__(self, certificates: Certificates) -> None:
        super().__init__()
        self.certificates = certificates
        self._listener_ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))

    def servers(self, listener: str) -> str:
        """The address of a listener."""
        if listener == "PLAINTEXT":
            return self.bootstrap_servers
        return f"{HOST}:{self._listener_ports[listener]}"

    def start(self) -> None:
        """Start, and make `USER` known to SCRAM."""
        super().start()
        java = [str(java_command()), "-cp", f"{fetch_jars(default_cache_dir())}/*"]
        command = [*java, "kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap_servers]
        command += ["--alter", "--entity-type", "users", "--entity-name", USER, "--add-config"]
        # Kafka takes one mechanism of a user per request.
        running = [
            subprocess.Popen([*command, f"{mechanism}=[password={PASSWORD}]"])
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        assert [process.wait(60) for process in running] == [0, 0]

    def _lay_out(self) -> None:
        super()._lay_out()
        (node,) = self._nodes
        # Each refused login is a line of this level.
        log4j2 = node.directory / "log4j2.xml"
        log4j2.write_text(log4j2.read_text().replace('level="warn"', 'level="info"'))
        with (node.directory / "server.properties").open("a") as file:
            file.writelines(f"{key}={value}\n" for key, value in self._properties().items())

    def _properties(self) -> dict[str, str]:
        (node,) = self._nodes
        addresses = {"PLAINTEXT": node.port} | self._listener_ports
        listeners = ",".join(f"{name}://{HOST}:{port}" for name, port in addresses.items())
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | LISTENERS
        common = {
            "listeners": f"{listeners},CONTROLLER://{HOST}:{node.controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in protocols.items()
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{USER};User:CN=client",
            "ssl.keystore.type": "PEM",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.certificates.path("ca.pem"),
        }
        return common | {
            f"listener.name.{name.lower()}.{key}": value
            for name in LISTENERS
            for key, value in self._of_listener(name).items()
        }

    def _of_listener(self, name: str) -> dict[str, str]:
        if name == "TOKENS":
            return {
                "sasl.enabled.mechanisms": "OAUTHBEARER",
                "oauthbearer.sasl.jaas.config": TOKENS,
            }
        store = self.certificates.path(f"{STORES.get(name, 'server')}.store")
        properties = {"ssl.keystore.location": store}
        if name == "MUTUAL":
            properties["ssl.client.auth"] = "required"
        if "SASL" in LISTENERS[name]:
            properties |= {
                "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
                "plain.sasl.jaas.config": PLAIN,
                "scram-sha-256.sasl.jaas.config": SCRAM,
                "scram-sha-512.sasl.jaas.config": SCRAM,
            }
        return properties

    def refused_logins(self) -> int:
        """How many logins the node has refused."""
        (node,) = self._nodes
        log = (node.directory / "kafka.log").read_text()
        return log.count("Failed authentication")


def token(user: str = USER, *, valid_s: float = 3600) -> str:
    """An unsigned token, as the listener TOKENS takes it."""
    now_s = time.time()
    claims = {"sub": user, "iat": int(now_s), "exp": int(now_s + valid_s)}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def write(path: Path, text: str) -> str:
    """Write a file, and return its path."""
    path.write_text(text)
    return str(path)
