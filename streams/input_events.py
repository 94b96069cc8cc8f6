"""Read an event again from its input topic, where no other topic has its text.

An event that the small model has accepted is no case. If a person corrects it, its text is only on
the input topic, and there only as long as the topic keeps it.
"""

import asyncio
import dataclasses
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import structs

from agents.outcomes import Incoming, Outcome, Triaged
from schemas.agreement import input_digest
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Domain, Event, Origin
from schemas.triaged import TriagedEvent
from streams.config import Settings
from streams.errors import StreamError
from streams.kafka.reader import reading
from streams.kafka.record import from_record
from streams.pipeline.failures import Process
from streams.topics import Topics

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0
"""How long a batch of verdicts may wait for texts."""
POLL_MS = 500

ReadRecord = Callable[..., Awaitable[list[Incoming]]]
"""`agents.reading.read` as it is configured."""


class InputEvents:
    """Finds events on the input topics; `read_record` reads a record as the classify agent does."""

    def __init__(self, settings: Settings, read_record: ReadRecord) -> None:
        self._settings = settings
        self._read_record = read_record
        topics = Topics(settings.topics.prefix)
        self._domains: dict[str, Domain] = {topics.input(domain): domain for domain in DOMAINS}

    async def find(self, decisions: Sequence[TriagedEvent]) -> list[Event | None]:
        """The events of these decisions; None for each that is not there any more.

        What takes longer than `TIMEOUT_S`, or cannot be read, counts as not there: a row without
        text is better than a verdict that waits.
        """
        found: list[Event | None] = [None] * len(decisions)
        by_topic: dict[str, list[int]] = defaultdict(list)
        for number, decision in enumerate(decisions):
            if decision.origin.topic in self._domains and decision.origin.offset >= 0:
                by_topic[decision.origin.topic].append(number)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for topic, numbers in by_topic.items():
                    async with reading(
                        self._settings.kafka, [topic], from_beginning=True
                    ) as consumer:
                        consumer.pause(*consumer.assignment())
                        for number in numbers:
                            found[number] = await self._find(consumer, decisions[number])
        except (TimeoutError, StreamError, KafkaError) as error:
            log.warning("the texts of corrected events cannot be read (%s)", type(error).__name__)
        return found

    async def _find(self, consumer: AIOKafkaConsumer, decision: TriagedEvent) -> Event | None:
        record = await _record_at(consumer, decision.origin)
        if record is None:
            return None
        domain = self._domains[decision.origin.topic]
        events = await self._read_record(
            record,
            kind=KIND_OF_DOMAIN[domain],
            admission=self._settings.topics.admission(domain),
        )
        for each in events:
            event = each.element.content if each.element is not None else None
            # Not only by its id: several events of a record may have the same one.
            if isinstance(event, Event) and input_digest(event) == decision.input_digest:
                return event
        return None


async def _record_at(consumer: AIOKafkaConsumer, origin: Origin) -> Incoming | None:
    """The record at this place; None if it is not there any more."""
    partition = TopicPartition(origin.topic, origin.partition)
    if partition not in consumer.assignment():
        return None
    consumer.seek(partition, origin.offset)
    consumer.resume(partition)
    try:
        batches = await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=1)
    finally:
        consumer.pause(partition)
    for record in batches.get(partition, []):
        if record.offset == origin.offset:
            return from_record(record)
    return None


async def add_texts(
    batch: Sequence[Incoming], *, process: Process, events: InputEvents
) -> list[Outcome]:
    """The outcomes of `process`, in which each labelled row has its text if that can be found."""
    outcomes = list(await process(batch))
    bare = [
        (number, outcome)
        for number, outcome in enumerate(outcomes)
        if isinstance(outcome, Triaged) and outcome.row is not None and outcome.row.event is None
    ]
    found = await events.find([outcome.triaged for _, outcome in bare]) if bare else []
    for (number, outcome), event in zip(bare, found, strict=True):
        if event is not None and outcome.row is not None:
            row = structs.replace(outcome.row, event=event)
            outcomes[number] = dataclasses.replace(outcome, row=row)
    return outcomes
