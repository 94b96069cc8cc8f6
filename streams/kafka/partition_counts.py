"""Whether the topics have as many partitions as the workers and the configuration need."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from schemas.event import DOMAINS
from streams.config import Settings
from streams.kafka.admin import admin_client, group_members
from streams.topics import Topics

READERS_TIMEOUT_S = 5.0
EVEN_ENOUGH = 0.85
"""Workers that do less than this share of what they could do, because the shares are uneven, are
worth a warning."""


async def partition_warnings(settings: Settings, workers: int | None = None) -> list[str]:
    """What is unwise about the numbers of partitions, one sentence each.

    Without `workers`, those that are in the group now are counted, if the broker tells.

    Raises:
        BrokerUnreachable: no broker answers there.
    """
    topics = Topics(settings.topics.prefix)
    inputs = [topics.input(domain) for domain in DOMAINS]
    async with admin_client(settings) as client:
        counts = await _counts(client, [*inputs, topics.enrichment, topics.feedback])
        if workers is None:
            readers = await _readers(client, settings.kafka.group_id)
        else:
            readers = dict.fromkeys(inputs, workers)
    warnings = [
        f"{name} has {counts[name]} partitions, and topics.partitions is "
        f"{settings.topics.partitions}, by which the spot checks of a day are shared out; set "
        f"topics.partitions to {counts[name]}, or add partitions"
        for name in inputs
        if counts.get(name, settings.topics.partitions) != settings.topics.partitions
    ]
    of_readers = [_of_readers(name, count, readers.get(name, 0)) for name, count in counts.items()]
    return warnings + [warning for warning in of_readers if warning]


def _of_readers(name: str, count: int, readers: int) -> str | None:
    """What is unwise about so many partitions for so many readers."""
    if readers > count:
        return (
            f"{name} has {count} partitions for {readers} workers, so {readers - count} of them "
            f"read nothing of it; add partitions, or run {count} workers"
        )
    if not readers:
        return None
    most = -(-count // readers)
    worth = count / most
    if worth / readers >= EVEN_ENOUGH:
        return None
    return (
        f"{name} has {count} partitions for {readers} workers, and one of them reads {most}: "
        f"together they do the work of {worth:.1f}; a multiple of {readers} partitions is shared "
        "evenly"
    )


async def _counts(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """How many partitions each of these topics has; topics that are missing are left out."""
    # Asked for by name, a topic that is missing must not be created.
    request = MetadataRequest(names, allow_auto_topic_creation=False)
    answer = await client._send_request(request)  # noqa: SLF001 - no public method can say that
    described = {topic["topic"]: topic for topic in answer.to_object()["topics"]}
    return {
        name: len(described[name]["partitions"])
        for name in names
        if name in described and not described[name]["error_code"]
    }


async def _readers(client: AIOKafkaAdminClient, group_id: str) -> Mapping[str, int]:
    """How many members of the group read each topic; nothing if the broker does not tell."""
    try:
        async with asyncio.timeout(READERS_TIMEOUT_S):
            members = await group_members(client, group_id)
    except (KafkaError, TimeoutError):
        return {}
    readers: Counter[str] = Counter()
    for member in members:
        readers.update(_topics_of(member))
    return readers


def _topics_of(member: Mapping[str, Any]) -> list[str]:
    try:
        said = ConsumerProtocolMemberMetadata.decode(member["member_metadata"])
    except ValueError:
        return []  # a member that joins just now has no metadata
    return list(said.subscription)
