"""Create the topics, and check that they are configured as the pipeline needs them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.config import Settings
from streams.errors import AccessRefused, StreamError, TopicsMissing
from streams.kafka.bootstrap import reachable_connection
from streams.kafka.connection import unreachable
from streams.topics import KEPT_FOR_EVER, MAX_MESSAGE_BYTES, Topics, compacted

log = logging.getLogger(__name__)

REFUSED_RIGHTS = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError)

GROUP_RETRY_S = 0.2

ConfigValues = dict[tuple[str, str], str]
"""Configuration values by topic and key."""


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client for the configured cluster.

    Raises:
        BrokerUnreachable: no broker answers there, or it stops to answer.
        ConfigError: a certificate or a secret cannot be read.
    """
    arguments = await reachable_connection(settings.kafka)
    client = AIOKafkaAdminClient(**arguments, request_timeout_ms=15_000)
    try:
        await client.start()
        yield client
    except (KafkaError, OSError) as error:
        raise unreachable(settings.kafka, error) from None
    finally:
        await client.close()


async def group_members(
    client: AIOKafkaAdminClient, group_id: str, *, patience_s: float = 0.0
) -> list[dict[str, Any]]:
    """The members of a consumer group, as the broker describes them; none if nobody knows it.

    Raises:
        KafkaError: the broker refuses to say. What passes, such as a broker that has just started
            and still reads the group, is waited for, at most `patience_s` seconds.
    """
    give_up_s = time.monotonic() + patience_s
    while True:
        try:
            (answer,) = await client.describe_consumer_groups([group_id])
            (group,) = answer.to_object()["groups"]
            if group["error_code"]:
                raise for_code(group["error_code"])
            return list(group["members"])
        except KafkaError as error:
            if not error.retriable or time.monotonic() >= give_up_s:
                raise
        await asyncio.sleep(GROUP_RETRY_S)


async def cluster_id(settings: Settings) -> str:
    """The id of the Kafka cluster; empty if the broker gives none.

    Raises:
        BrokerUnreachable: no broker answers there.
    """
    async with admin_client(settings) as client:
        described = await client.describe_cluster()
    return described.get("cluster_id") or ""


async def check_present(settings: Settings, names: Collection[str]) -> None:
    """Refuse to read topics that are not there: a broker may create them, or let us wait.

    Raises:
        TopicsMissing: one of them is missing.
        BrokerUnreachable: no broker answers there.
    """
    async with admin_client(settings) as client:
        missing = set(names) - set(await client.list_topics())
    if missing:
        raise TopicsMissing(
            f"there is no topic {min(missing)}; run `triage topics create` or set topics.prefix"
        )


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
            hidden = await _hidden(client, missing)
            return [_absent(name, hidden=name in hidden) for name in missing]
        return await _misconfigured(client, topics, settings.learning.retention_days)


async def _hidden(client: AIOKafkaAdminClient, names: list[str]) -> set[str]:
    """Those of the topics that we may not see. A list of all topics leaves them out."""
    # Asked for by name, a topic that is missing must not be created.
    request = MetadataRequest(names, allow_auto_topic_creation=False)
    answer = await client._send_request(request)  # noqa: SLF001 - no public method can say that
    return {
        topic["topic"]
        for topic in answer.to_object()["topics"]
        if topic["error_code"] == TopicAuthorizationFailedError.errno
    }


def _absent(name: str, *, hidden: bool) -> str:
    if hidden:
        return (
            f"{name} may not be seen with these credentials; grant Describe on it, or Read and "
            "Write as docs/how-to/kafka.md lists them"
        )
    return f"{name} is missing; run `triage topics create`"


async def _create(client: AIOKafkaAdminClient, names: list[str], settings: Settings) -> None:
    response = await client.create_topics([_new_topic(name, settings) for name in names])
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        # Somebody else may have created the topic since it was found missing.
        if code and error is not TopicAlreadyExistsError:
            if error in REFUSED_RIGHTS:
                raise AccessRefused(
                    f"the broker does not let us create {name}; grant Create on it or on the "
                    "cluster, or let somebody else create the topics"
                )
            detail = rest[0] if rest and rest[0] else error.__name__
            raise StreamError(f"the broker refused to create {name}: {detail}")


def _new_topic(name: str, settings: Settings) -> NewTopic:
    return NewTopic(
        name=name,
        num_partitions=settings.topics.partitions,
        replication_factor=settings.topics.replication,
        topic_configs=Topics(settings.topics.prefix).configs(
            name, settings.learning.retention_days
        ),
    )


async def _misconfigured(
    client: AIOKafkaAdminClient, topics: Topics, retention_days: int = 0
) -> list[str]:
    sized = [topics.enrichment, topics.review, topics.labels, topics.deadletter]
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in (*sized, topics.audit)]
    try:
        responses = await client.describe_configs(resources)
    except KafkaError:
        # This broker has no DescribeConfigs. If a size is wrong, sending will report it.
        return []
    _warn_of_hidden_configs(responses)
    values: ConfigValues = {
        (resource[3], entry[0]): entry[1]
        for response in responses
        for resource in response.resources
        for entry in resource[4]
    }
    problems = _too_small(values, sized) + _not_kept(values, topics.audit)
    return problems + _not_compacted(values, topics.labels, compacted(retention_days))


def _warn_of_hidden_configs(responses: list[Any]) -> None:
    hidden = sorted(
        resource[3]
        for response in responses
        for resource in response.resources
        if resource[0] == TopicAuthorizationFailedError.errno
    )
    if hidden:
        log.warning(
            "the configuration of %s is not checked; grant DescribeConfigs on the topics",
            ", ".join(hidden),
        )


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


def _not_compacted(values: ConfigValues, name: str, wanted: Mapping[str, str]) -> list[str]:
    return [
        f"{name} loses labelled rows or keeps them too long ({key} is {values[name, key]}); "
        f"set its {key} to {value}"
        for key, value in wanted.items()
        if _unordered(values.get((name, key), value)) != _unordered(value)
    ]


def _unordered(value: str) -> set[str]:
    """The parts of a list, in any order: a broker may give them in another one."""
    return {part.strip() for part in value.split(",")}
