"""One Kafka record: as it is produced, and as it was read."""

from dataclasses import dataclass
from typing import Any

from agents.outcomes import Incoming
from schemas.event import Headers, Origin


@dataclass(frozen=True, slots=True)
class Record:
    """One record to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def from_record(record: Any) -> Incoming:
    """An aiokafka record as ours."""
    origin = Origin(topic=record.topic, partition=record.partition, offset=record.offset)
    return Incoming(record.value, record.key, list(record.headers), origin, record.timestamp / 1000)
