"""A real Kafka that lets nobody do what no ACL allows, and a client that changes its ACLs."""

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.produce import ProduceRequest

from streams.config import KafkaSection, Settings
from streams.kafka.acl import ROLES, Grant, Role
from streams.kafka.connection import connection
from streams.local.brokers.kafka import KafkaCluster
from streams.local.brokers.loopback import HOST, free_ports

PASSWORD_ENV = "TEST_KAFKA_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD = "correct-horse"  # noqa: S105 - of users that live as long as a test
REFUSED = {29, 30, 31}
"""Kafka's codes for: not authorized for a topic, for a group, for the cluster."""

RESOURCES = {"topic": 2, "group": 3}
PATTERNS = {"literal": 3, "prefixed": 4}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
ALLOW = 3


class SecuredKafka(KafkaCluster):
    """One node with the authorizer of Kafka, and one user for each role.

    The users log in with SCRAM-SHA-256 at `secured_servers`. Who connects to `bootstrap_servers`
    is anonymous and may do everything, because the node talks to itself in that way.
    """

    def __init__(self) -> None:
        super().__init__()
        self._secured_port = free_ports(1)[0]

    @property
    def secured_servers(self) -> str:
        """The address where users log in."""
        return f"{HOST}:{self._secured_port}"

    def _lay_out(self) -> None:
        super()._lay_out()
        node = self._nodes[0]
        listeners = f"PLAINTEXT://{HOST}:{node.port},SECURED://{HOST}:{self._secured_port}"
        settings = {
            "listeners": f"{listeners},CONTROLLER://{HOST}:{node.controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_PLAINTEXT"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "listener.name.secured.scram-sha-256.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        file = node.directory / "server.properties"
        # The last line about a key counts.
        lines = [f"{key}={value}\n" for key, value in settings.items()]
        file.write_text(file.read_text() + "".join(lines))

    def _format_options(self) -> list[str]:
        return [
            f"--add-scram=SCRAM-SHA-256=[name={role},password={PASSWORD},iterations=4096]"
            for role in ROLES
        ]

    def settings_of(self, role: Role, settings: Settings) -> Settings:
        """The same settings for somebody who logs in with this role."""
        os.environ[PASSWORD_ENV] = PASSWORD
        kafka: KafkaSection = msgspec.structs.replace(
            settings.kafka,
            bootstrap_servers=self.secured_servers,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="SCRAM-SHA-256",
            sasl_username=role,
            sasl_password_env=PASSWORD_ENV,
        )
        return msgspec.structs.replace(settings, kafka=kafka)


class Acls:
    """Adds and removes ACLs, as somebody who may."""

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def add(self, rights: Iterable[Grant]) -> None:
        """Add a right for the user of its role."""
        for grant in rights:
            response = await self._client._send_request(CreateAclsRequest(*_entry(grant)))
            assert [code for code, _ in response.creation_responses] == [0]

    async def remove(self, grant: Grant) -> None:
        """Remove exactly one right."""
        response = await self._client._send_request(DeleteAclsRequest(*_entry(grant)))
        [(code, _, removed)] = response.filter_responses
        assert (code, len(removed)) == (0, 1)


def _entry(grant: Grant) -> tuple[Any, ...]:
    return (
        RESOURCES[grant.resource],
        grant.name,
        PATTERNS[grant.pattern],
        f"User:{grant.role}",
        "*",
        OPERATIONS[grant.operation],
        ALLOW,
    )


@asynccontextmanager
async def client(kafka: KafkaSection) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that sends single requests."""
    admin = AIOKafkaAdminClient(**connection(kafka), request_timeout_ms=30_000)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def is_allowed(admin: AIOKafkaAdminClient, grant: Grant) -> bool:
    """Whether the client may do what the right allows, by one request that changes nothing."""
    code = await _PROBES[grant.resource, grant.operation](admin, grant.name)
    return code not in REFUSED


async def _fetch(admin: AIOKafkaAdminClient, topic: str) -> int:
    request = FetchRequest(0, 0, 1 << 20, 0, [(topic, [(0, 0, 1 << 20)])])
    response = await admin._send_request(request)
    return int(response.topics[0][1][0][1])


async def _produce(admin: AIOKafkaAdminClient, topic: str) -> int:
    # No record is in it, so nothing is written; the right is looked at first.
    request = ProduceRequest(None, 1, 10_000, [(topic, [(0, b"")])])
    response = await admin._send_request(request)
    return int(response.topics[0][1][0][1])


async def _describe(admin: AIOKafkaAdminClient, topic: str) -> int:
    [described] = await admin.describe_topics([topic])
    return int(described["error_code"])


async def _describe_configs(admin: AIOKafkaAdminClient, topic: str) -> int:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    [response] = await admin.describe_configs([resource])
    return int(response.resources[0][0])


async def _create(admin: AIOKafkaAdminClient, topic: str) -> int:
    new = NewTopic(topic, num_partitions=1, replication_factor=1)
    response = await admin.create_topics([new], validate_only=True)
    return int(response.topic_errors[0][1])


async def _heartbeat(admin: AIOKafkaAdminClient, group: str) -> int:
    response = await admin._send_request(HeartbeatRequest(group, 0, "nobody"))
    return int(response.error_code)


async def _describe_group(admin: AIOKafkaAdminClient, group: str) -> int:
    try:
        await admin.find_coordinator(group)
    except KafkaError as error:
        return int(error.errno)
    return 0


_PROBES: dict[tuple[str, str], Callable[[AIOKafkaAdminClient, str], Any]] = {
    ("topic", "Read"): _fetch,
    ("topic", "Write"): _produce,
    ("topic", "Describe"): _describe,
    ("topic", "DescribeConfigs"): _describe_configs,
    ("topic", "Create"): _create,
    ("group", "Read"): _heartbeat,
    ("group", "Describe"): _describe_group,
}
