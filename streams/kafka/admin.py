"""Create the topics, and check that they are configured as the pipeline needs them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams.config import Settings
from streams.errors import StreamError
from streams.kafka.connection import connection, unreachable
from streams.topics import KEPT_FOR_EVER, MAX_MESSAGE_BYTES, Topics

ConfigValues = dict[tuple[str, str], str]
"""Configuration values by topic and key."""


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client for the configured cluster.

    Raises:
        BrokerUnreachable: no broker answers there.
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


async def cluster_id(settings: Settings) -> str:
    """The id of the Kafka cluster; empty if the broker gives none.

    Raises:
        BrokerUnreachable: no broker answers there.
    """
    async with admin_client(settings) as client:
        described = await client.describe_cluster()
    return described.get("cluster_id") or ""


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, and return their names.

    Raises:
        BrokerUnreachable: no broker answers there.
        StreamError: the broker refused to create a topic.
    """
    async with admin_client(settings) as client:
        present = set(await client.list_topics())
        missing = [name for name in Topics(settings.topics.prefix) if name not in present]
        if missing:
            await _create(client, missing, settings)
    return missing


async def check_topics(settings: Settings) -> list[str]:
    """Report what is wrong with the topics, one sentence per problem; empty if nothing is.

    Raises:
        BrokerUnreachable: no broker answers there.
    """
    topics = Topics(settings.topics.prefix)
    async with admin_client(settings) as client:
        present = set(await client.list_topics())
        missing = [name for name in topics if name not in present]
        if missing:
            return [f"{name} is missing; run `triage topics create`" for name in missing]
        return await _misconfigured(client, topics)


async def _create(client: AIOKafkaAdminClient, names: list[str], settings: Settings) -> None:
    response = await client.create_topics([_new_topic(name, settings) for name in names])
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        # Somebody else may have created the topic since it was found missing.
        if code and error is not TopicAlreadyExistsError:
            detail = rest[0] if rest and rest[0] else error.__name__
            raise StreamError(f"the broker refused to create {name}: {detail}")


def _new_topic(name: str, settings: Settings) -> NewTopic:
    return NewTopic(
        name=name,
        num_partitions=settings.topics.partitions,
        replication_factor=settings.topics.replication,
        topic_configs=Topics(settings.topics.prefix).configs(name),
    )


async def _misconfigured(client: AIOKafkaAdminClient, topics: Topics) -> list[str]:
    sized = [topics.enrichment, topics.review, topics.deadletter]
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in (*sized, topics.audit)]
    try:
        responses = await client.describe_configs(resources)
    except KafkaError:
        # This broker has no DescribeConfigs. If a size is wrong, sending will report it.
        return []
    values: ConfigValues = {
        (resource[3], entry[0]): entry[1]
        for response in responses
        for resource in response.resources
        for entry in resource[4]
    }
    return _too_small(values, sized) + _not_kept(values, topics.audit)


def _too_small(values: ConfigValues, names: list[str]) -> list[str]:
    limits = {
        name: int(values.get((name, "max.message.bytes"), MAX_MESSAGE_BYTES)) for name in names
    }
    return [
        f"{name} takes at most {limit} bytes a record; "
        f"set its max.message.bytes to {MAX_MESSAGE_BYTES}"
        for name, limit in limits.items()
        if limit < MAX_MESSAGE_BYTES
    ]


def _not_kept(values: ConfigValues, name: str) -> list[str]:
    return [
        f"{name} does not keep every record ({key} is {values[name, key]}); "
        f"set its {key} to {value}"
        for key, value in KEPT_FOR_EVER.items()
        if values.get((name, key), value) != value
    ]
