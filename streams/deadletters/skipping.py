"""Step over a damaged batch: its events are lost, and that is on record."""

from agents.outcomes import DeadLettered, Incoming
from schemas.audit.record import UnreadOffsets
from schemas.deadletter import NEVER_READ
from schemas.event import DOMAINS, Origin
from streams.audit.trail import AuditTrail
from streams.config import Settings
from streams.deadletters.letter import PlaceOfRecord
from streams.errors import StreamError
from streams.kafka.admin import check_present
from streams.kafka.offsets import Partition
from streams.kafka.producer import Producer
from streams.kafka.stopped_group import Damage, check_stopped, stopped_group
from streams.pipeline.records import dead_letter
from streams.topics import Topics


async def skip(
    settings: Settings, place: PlaceOfRecord, *, by: str, reason: str, dry_run: bool = False
) -> Damage:
    """Let the stopped workers go on behind the damaged batch at `place`, and return what it was.

    A dead letter and an audit record are written first: they name `by` and the `reason`. If the
    commit then fails, they are there although nothing was stepped over. A `dry_run` only looks.

    Raises:
        BrokerUnreachable: no broker answers.
        ConfigError: the key of the audit topic cannot be read.
        TopicsMissing: a topic is missing.
        StreamError: a worker runs, or there is no damaged batch at `place`.
    """
    topics = Topics(settings.topics.prefix)
    _check_read(topics, place)
    await check_present(settings, [place.topic, topics.deadletter, topics.audit])
    await check_stopped(settings)
    async with stopped_group(settings.kafka, Partition(place.topic, place.partition)) as group:
        damage = await group.damage()
        if damage.first != place.offset:
            raise StreamError(
                f"the damaged batch of {damage.partition} begins at {damage.first} for the group; "
                f"give {damage.partition}@{damage.first}"
            )
        if not dry_run:
            await _record(settings, topics, damage, by, reason)
            await group.commit(damage.next)
    return damage


def _check_read(topics: Topics, place: PlaceOfRecord) -> None:
    read = [*(topics.input(domain) for domain in DOMAINS), topics.enrichment, topics.feedback]
    if place.topic not in read:
        raise StreamError(
            f"the group of the workers does not read {place.topic}; it reads {', '.join(read)}"
        )


async def _record(settings: Settings, topics: Topics, damage: Damage, by: str, reason: str) -> None:
    """Write the dead letter and the audit record."""
    topic, partition = damage.partition
    offsets = UnreadOffsets(topic=topic, partition=partition, first=damage.first, last=damage.last)
    origin = Origin(topic=topic, partition=partition, offset=damage.first)
    letter = DeadLettered(NEVER_READ, "CorruptBatch", _message(damage, by, reason))
    trail, producer = AuditTrail(settings), Producer(settings.kafka)
    try:
        await producer.start()
        await trail.start()
        record = dead_letter(letter, Incoming(None, None, (), origin, 0.0), topics)
        receipts = [
            await producer.send(record),
            await trail.append_unread(
                offsets, cause="damaged", by=by, reason=reason, producer=producer
            ),
        ]
        await producer.confirm(receipts)
    finally:
        await trail.stop()
        await producer.stop()


def _message(damage: Damage, by: str, reason: str) -> str:
    return (
        f"the batch of offsets {damage.first} to {damage.last} of {damage.partition} is damaged "
        f"({damage.what}), and at most {damage.count} records are lost; have them sent again. "
        f"{by} stepped over it: {reason}"
    )
