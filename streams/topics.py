"""The topics of the contract: their names, how they are created, and whether they are as they must be."""

from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.event import DOMAINS, Domain
from streams.config import Settings
from streams.connection import connection, unreachable
from streams.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Our own topics take more than Kafka's default megabyte: a dead letter is its input plus headers, a case is an
event plus its decision, and neither may fail to fit because the input just did."""
KEPT_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""The audit topic: one that forgets, or keeps the last record of a tenant only, is no evidence of anything."""


@dataclass(frozen=True)
class Topics:
    """Topic names under one prefix."""

    prefix: str

    def input(self, domain: Domain) -> str:
        """Where events of a domain arrive."""
        return f"{self.prefix}.{domain}.v1"

    def triaged(self, domain: Domain) -> str:
        """Where decisions of a domain go."""
        return f"{self.prefix}.{domain}.triaged.v1"

    @property
    def enrichment(self) -> str:
        """Low-confidence events on their way to the LLM."""
        return f"{self.prefix}.enrichment.v1"

    @property
    def review(self) -> str:
        """Events waiting for a person."""
        return f"{self.prefix}.review.v1"

    @property
    def feedback(self) -> str:
        """Verdicts by people."""
        return f"{self.prefix}.feedback.v1"

    @property
    def audit(self) -> str:
        """The decision log."""
        return f"{self.prefix}.audit.v1"

    @property
    def deadletter(self) -> str:
        """What could not be processed."""
        return f"{self.prefix}.deadletter.v1"

    def __iter__(self) -> Iterator[str]:
        for domain in DOMAINS:
            yield self.input(domain)
            yield self.triaged(domain)
        yield from (self.enrichment, self.review, self.feedback, self.audit, self.deadletter)


@asynccontextmanager
async def admin(settings: Settings) -> "AsyncIterator[AIOKafkaAdminClient]":
    """An admin client for the configured cluster.

    Raises:
        BrokerUnreachable: nothing answers there.
    """
    client = AIOKafkaAdminClient(**connection(settings.kafka), request_timeout_ms=15_000)
    try:
        await client.start()
    except (KafkaError, OSError) as error:
        await client.close()
        raise unreachable(settings.kafka, error) from None
    try:
        yield client
    finally:
        await client.close()


async def create(settings: Settings) -> list[str]:
    """Create the topics that are missing; returns the names created.

    Raises:
        BrokerUnreachable: nothing answers there.
        StreamError: the broker refused.
    """
    topics = Topics(settings.topics.prefix)
    async with admin(settings) as client:
        missing = [name for name in topics if name not in set(await client.list_topics())]
        response = await client.create_topics([_new_topic(name, settings) for name in missing]) if missing else None
    for name, code, *rest in response.topic_errors if response else ():
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            detail = rest[0] if rest and rest[0] else error.__name__
            raise StreamError(f"the broker refused to create {name}: {detail}")
    return missing


def _new_topic(name: str, settings: Settings) -> NewTopic:
    kept = KEPT_FOR_EVER if name == Topics(settings.topics.prefix).audit else {}
    return NewTopic(
        name=name,
        num_partitions=settings.topics.partitions,
        replication_factor=settings.topics.replication,
        topic_configs={"max.message.bytes": str(MAX_MESSAGE_BYTES)} | kept,
    )


async def check(settings: Settings) -> list[str]:
    """What is wrong with the topics, one sentence each; empty when all is well.

    Raises:
        BrokerUnreachable: nothing answers there.
    """
    topics = Topics(settings.topics.prefix)
    async with admin(settings) as client:
        present = set(await client.list_topics())
        missing = [name for name in topics if name not in present]
        if missing:
            return [f"{name} is missing; run `triage topics create`" for name in missing]
        return await _misconfigured(client, topics)


async def _misconfigured(client: AIOKafkaAdminClient, topics: Topics) -> list[str]:
    ours = [topics.enrichment, topics.review, topics.deadletter, topics.audit]
    try:
        responses = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in ours])
    except KafkaError:  # a broker without DescribeConfigs: sizes cannot be checked, sending will tell
        return []
    found = {
        (resource[3], entry[0]): entry[1]
        for response in responses
        for resource in response.resources
        for entry in resource[4]
    }
    return _small(found, ours[:-1]) + _forgetful(found, topics.audit)


def _small(found: dict[tuple[str, str], str], names: list[str]) -> list[str]:
    limits = {name: int(found.get((name, "max.message.bytes"), MAX_MESSAGE_BYTES)) for name in names}
    return [
        f"{name} takes at most {limit} bytes a record; set its max.message.bytes to {MAX_MESSAGE_BYTES}"
        for name, limit in limits.items()
        if limit < MAX_MESSAGE_BYTES
    ]


def _forgetful(found: dict[tuple[str, str], str], name: str) -> list[str]:
    return [
        f"{name} does not keep every record ({key} is {found[name, key]}); set its {key} to {wanted}"
        for key, wanted in KEPT_FOR_EVER.items()
        if found.get((name, key), wanted) != wanted
    ]


__all__ = ["MAX_MESSAGE_BYTES", "Topics", "admin", "check", "create"]
