"""One Kafka record: as it is produced, and as it was read."""

import time
from dataclasses import dataclass
from typing import Any

from agents.outcomes import Incoming
from schemas.event import Headers, Origin

OLDEST_PLAUSIBLE_S = 946_684_800.0  # the year 2000


@dataclass(frozen=True, slots=True)
class Record:
    """One record to produce. Without a `partition`, the key chooses it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


def from_record(record: Any) -> Incoming:
    """Convert a record that aiokafka has read; its timestamp becomes `received_at_s`."""
    origin = Origin(topic=record.topic, partition=record.partition, offset=record.offset)
    received_at_s = _received_at_s(record.timestamp / 1000)
    return Incoming(record.value, record.key, list(record.headers), origin, received_at_s)


def _received_at_s(timestamp_s: float) -> float:
    """The record's timestamp, or now if it cannot be true.

    A producer may write any timestamp. An impossible one would only spoil the latency figures.
    """
    now_s = time.time()
    if OLDEST_PLAUSIBLE_S < timestamp_s <= now_s:
        return timestamp_s
    return now_s
