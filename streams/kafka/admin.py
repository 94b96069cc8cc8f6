"""Creating the topics, and whether they are as they must be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams.config import Settings
from streams.errors import StreamError
from streams.kafka.connection import connection, unreachable
from streams.topics import MAX_MESSAGE_BYTES, Topics

KEPT_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""The audit topic: one that forgets, or keeps the last record of a tenant only, is no evidence of anything."""


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
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


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing; returns the names created.

    Raises:
        BrokerUnreachable: nothing answers there.
        StreamError: the broker refused.
    """
    topics = Topics(settings.topics.prefix)
    async with admin_client(settings) as client:
        missing = [name for name in topics if name not in set(await client.list_topics())]
        response = (
            await client.create_topics([_new_topic(name, settings) for name in missing])
            if missing
            else None
        )
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


async def check_topics(settings: Settings) -> list[str]:
    """What is wrong with the topics, one sentence each; empty when all is well.

    Raises:
        BrokerUnreachable: nothing answers there.
    """
    topics = Topics(settings.topics.prefix)
    async with admin_client(settings) as client:
        present = set(await client.list_topics())
        missing = [name for name in topics if name not in present]
        if missing:
            return [f"{name} is missing; run `triage topics create`" for name in missing]
        return await _misconfigured(client, topics)


async def _misconfigured(client: AIOKafkaAdminClient, topics: Topics) -> list[str]:
    ours = [topics.enrichment, topics.review, topics.deadletter, topics.audit]
    try:
        responses = await client.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in ours]
        )
    except (
        KafkaError
    ):  # a broker without DescribeConfigs: sizes cannot be checked, sending will tell
        return []
    found = {
        (resource[3], entry[0]): entry[1]
        for response in responses
        for resource in response.resources
        for entry in resource[4]
    }
    return _small(found, ours[:-1]) + _forgetful(found, topics.audit)


def _small(found: dict[tuple[str, str], str], names: list[str]) -> list[str]:
    limits = {
        name: int(found.get((name, "max.message.bytes"), MAX_MESSAGE_BYTES)) for name in names
    }
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
