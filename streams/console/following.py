"""Follows the topics for the feed: every decision as it comes, and verdicts that were refused."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.outcomes import Incoming
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, Domain
from schemas.triaged import TriagedEvent
from schemas.visible_text import printable
from streams.config import Settings
from streams.console.decisions import KEPT_DECISIONS
from streams.deadletters import MAX_HEADER_CHARS, Letter
from streams.errors import StreamError
from streams.kafka.reader import reading, seek_recent
from streams.kafka.record import from_record
from streams.topics import Topics
from streams.trust import Trust

log = logging.getLogger(__name__)

OnDecision = Callable[[TriagedEvent, bool], None]
"""Called with each decision; the second says whether it comes while we watch, or is read back."""

OnRefused = Callable[["RefusedVerdict", str], None]
"""Called with a verdict that the feedback agent has refused, and why."""

POLL_MS = 200
BATCH_RECORDS = 500
RETRY_S = 2.0
ASK_AFTER_S = 2.0
"""After so long without a record, the broker is asked whether it is there."""
ANSWER_S = 6.0
QUIET_POLLS = 10
"""After so many empty polls, what was there has been read, whatever the broker says of the end."""


class RefusedVerdict(msgspec.Struct, frozen=True):
    """What can be known of a verdict on the dead-letter topic; other fields do not matter."""

    id: str
    by: str
    domain: Domain | None = None
    tenant: str | None = None


class Follower:
    """Reads back the last decisions, and then follows them without end.

    `problem` says why the topics cannot be read now; it is None if they can.
    """

    def __init__(self, settings: Settings, on_decision: OnDecision, on_refused: OnRefused) -> None:
        topics = Topics(settings.topics.prefix)
        self._settings = settings
        self._trust = Trust.of(settings)
        self._domains: dict[str, Domain] = {topics.triaged(domain): domain for domain in DOMAINS}
        self._deadletter = topics.deadletter
        self._feedback = topics.feedback
        self._limits = settings.limits
        self._on_decision = on_decision
        self._on_refused = on_refused
        self._next: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = "the topics were not read yet"

    async def start(self) -> None:
        """Begin; it waits for nothing."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._read()
            except (StreamError, KafkaError, OSError) as error:
                if self.problem != str(error):
                    log.warning("the feed is not up to date: %s; trying again", error)
                self.problem = str(error) or type(error).__name__
            await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        topics = [*self._domains, self._deadletter]
        async with reading(self._settings.kafka, topics, from_beginning=True) as consumer:
            assigned = consumer.assignment()
            await self._seek(consumer)
            if not self._next:
                await self._read_back(consumer)
            self.problem = None
            answered_s = time.monotonic()
            while consumer.assignment() == assigned:  # else partitions were added
                records = await self._poll(consumer)
                for record in records:
                    self._take(record, live=True)
                if records:
                    answered_s, self.problem = time.monotonic(), None
                elif time.monotonic() - answered_s > ASK_AFTER_S:
                    self.problem = await self._silence(consumer)
                    answered_s = time.monotonic()

    async def _silence(self, consumer: AIOKafkaConsumer) -> str | None:
        """Why the broker says nothing; None if there is only nothing new.

        A poll says the same of a quiet topic and of a broker that has gone. The consumer finds the
        broker again by itself; to close it would take as long as the broker is away.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                await consumer.end_offsets(list(consumer.assignment()))
        except (KafkaError, TimeoutError):
            servers = self._settings.kafka.bootstrap_servers
            return f"no Kafka broker answers at {servers}; check that it is up"
        return None

    async def _seek(self, consumer: AIOKafkaConsumer) -> None:
        """Go on where we were; without that, some decisions back, and no dead letters."""
        assigned = consumer.assignment()
        share = KEPT_DECISIONS // max(1, len(assigned))
        await seek_recent(consumer, share)
        ends = await consumer.end_offsets(list(assigned))
        for partition, end in ends.items():
            if partition in self._next:
                consumer.seek(partition, min(self._next[partition], end))
            elif partition.topic == self._deadletter:
                consumer.seek(partition, end)

    async def _read_back(self, consumer: AIOKafkaConsumer) -> None:
        """Take in what is there already, by the time at which it came in."""
        ends = await consumer.end_offsets(list(consumer.assignment()))
        records: list[Incoming] = []
        quiet = 0
        while quiet < QUIET_POLLS and any(
            [await consumer.position(partition) < end for partition, end in ends.items()]
        ):
            polled = await self._poll(consumer)
            quiet = 0 if polled else quiet + 1
            records += polled
            del records[: -2 * KEPT_DECISIONS]
        for record in sorted(records, key=lambda each: each.received_at_s):
            self._take(record, live=False)

    async def _poll(self, consumer: AIOKafkaConsumer) -> list[Incoming]:
        batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        records = []
        for partition, batch in batches.items():
            records += [from_record(record) for record in batch]
            self._next[partition] = batch[-1].offset + 1
        return records

    def _take(self, record: Incoming, *, live: bool) -> None:
        if record.origin.topic == self._deadletter:
            if live:
                self._take_letter(Letter(record))
            return
        if not self._trust.believes(record):
            return
        try:
            triaged = decode(record.value or b"", TriagedEvent, self._limits)
        except InvalidEvent:
            return
        if triaged.domain == self._domains.get(record.origin.topic):
            self._on_decision(triaged, live)

    def _take_letter(self, letter: Letter) -> None:
        if letter.headers.topic != self._feedback:
            return
        try:
            verdict: Any = decode(letter.record.value or b"", RefusedVerdict, self._limits)
        except InvalidEvent:
            return
        self._on_refused(verdict, printable(letter.headers.message, MAX_HEADER_CHARS))
