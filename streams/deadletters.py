"""Find dead letters, count them by reason, and send them back to the topics they came from."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.outcomes import Incoming
from schemas.deadletter import DeadLetterHeaders, original_headers
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, Event
from schemas.formats import read_events
from schemas.titles import plain_title
from schemas.visible_text import printable
from streams.config import Settings
from streams.errors import RecordTooLarge, StreamError
from streams.kafka.producer import Producer
from streams.kafka.reader import reading, until_quiet
from streams.kafka.record import Record
from streams.topics import Topics

PREVIEW_CHARS = 80
MAX_HEADER_CHARS = 300
"""Of a header in a list. `show` has all of it."""
MAX_REASONS = 1_000
"""Anybody who may write to the topic chooses reasons. Those after so many are counted as one."""
OTHER_REASONS = "(other)"
POLL_INTERVAL_S = 60.0
MAX_LETTERS_A_POLL = 500
PLACE = re.compile(
    r"\A(?P<topic>.+)\[(?P<partition>\d{1,9})\]@(?P<offset>\d{1,18})(#(?P<element>\d{1,9}))?"
)

Sleep = Callable[[float], Awaitable[None]]


class PlaceOfRecord(NamedTuple):
    """Where a record is; written ``TOPIC[PARTITION]@OFFSET``.

    One event of a record with several has ``#ELEMENT`` behind it.
    """

    topic: str
    partition: int
    offset: int
    element: int | None = None

    def __str__(self) -> str:
        element = "" if self.element is None else f"#{self.element}"
        return f"{self.topic}[{self.partition}]@{self.offset}{element}"

    @classmethod
    def parse(cls, text: str) -> "PlaceOfRecord":
        """Read a place as it is written.

        Raises:
            ValueError: the text is not a place.
        """
        match = PLACE.fullmatch(text)
        if match is None:
            raise ValueError(text)
        element = match["element"]
        return cls(
            match["topic"],
            int(match["partition"]),
            int(match["offset"]),
            None if element is None else int(element),
        )


class Reason(NamedTuple):
    """Why records became dead letters, as their headers say."""

    stage: str
    error: str
    topic: str
    disposition: str


@dataclass(frozen=True)
class Letter:
    """One record of the dead-letter topic."""

    record: Incoming

    @cached_property
    def headers(self) -> DeadLetterHeaders:
        """What its headers say."""
        return DeadLetterHeaders.read(self.record.headers)

    @property
    def reason(self) -> Reason:
        """Why it is one."""
        headers = self.headers
        return Reason(headers.stage, headers.error, headers.topic, headers.disposition)

    @property
    def place(self) -> PlaceOfRecord:
        """Where the letter itself is."""
        origin = self.record.origin
        return PlaceOfRecord(origin.topic, origin.partition, origin.offset)

    @property
    def original_record(self) -> str:
        """Where the original record was, as the headers say."""
        headers = self.headers
        return f"{headers.topic}[{headers.partition}]@{headers.offset}"

    @property
    def original_place(self) -> str:
        """The same, and which of the events of that record it is, if it holds several."""
        element = self.headers.element
        return f"{self.original_record}#{element}" if element else self.original_record

    @property
    def title(self) -> str | None:
        """What the event is about, if the record can be read; of several events, the first one."""
        record = self.record
        try:
            events = read_events(
                record.value,
                headers=original_headers(record.headers),
                origin=record.origin,
                kind="alert",
            )
        except InvalidEvent:
            return None
        titles = (plain_title(event) for event in events if isinstance(event, Event))
        return next((title for title in titles if title), None)

    def line(self) -> str:
        """One line for a person."""
        headers = self.headers
        fields = (self.original_place, headers.stage, headers.disposition, headers.message)
        preview = (self.record.value or b"")[: 4 * PREVIEW_CHARS].decode("utf-8", "replace")
        shown = [printable(text, MAX_HEADER_CHARS) for text in fields]
        about = printable(self.title or repr(preview[:PREVIEW_CHARS]))
        return "  ".join([*shown, about])

    def describe(self) -> dict[str, Any]:
        """All of it, for a program."""
        headers = self.headers
        return {
            "topic": headers.topic,
            "partition": headers.partition,
            "offset": headers.offset,
            "element": headers.element or None,
            "stage": headers.stage,
            "error": headers.error,
            "message": headers.message,
            "disposition": headers.disposition,
            "attempt": headers.attempt,
            "title": self.title,
            "key": _text(self.record.key),
            "value": _text(self.record.value),
        }

    def describe_whole(self) -> dict[str, Any]:
        """`describe`, with the place of the letter and the headers of the original record."""
        headers = original_headers(self.record.headers)
        return {
            "letter": str(self.place),
            **self.describe(),
            "headers": [[name, _text(value)] for name, value in headers],
        }

    def original(self) -> Record:
        """The record as it was first read, with the count of its attempts.

        Of one event of a record with several, it is that event alone.
        """
        headers = original_headers(self.record.headers)
        return Record(self.headers.topic, self.record.key, self.record.value, headers)


@dataclass(slots=True)
class Replay:
    """What `replay` did with the letters that it looked at.

    `replayed` were sent back, `left` were not. `internal` of those left came from a topic that is
    not one of the kind that was asked for. `topics` counts the replayed ones by topic.
    """

    replayed: int = 0
    left: int = 0
    internal: int = 0
    topics: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters to replay.

    Without `stage`, those of every stage. `poison`: also those that no retry can help. `internal`:
    those of the pipeline's own topics, in place of those of the input topics.

    A verdict, a decision or an audit record is believed because of the topic that it is on. Whoever
    may write to the dead-letter topic can write any original topic into a letter. So only input
    topics, which strangers write to anyway, are written to without being asked for.
    """

    stage: str | None = None
    poison: bool = False
    internal: bool = False

    def topics(self, topics: Topics) -> set[str]:
        """The topics that letters may be sent back to. The dead-letter topic is none of them."""
        inputs = {topics.input(domain) for domain in DOMAINS}
        if self.internal:
            return set(topics) - inputs - {topics.deadletter}
        return inputs

    def selects(self, letter: Letter, to: set[str]) -> bool:
        """Whether the letter is one of them; `to` are the topics that may be written to."""
        headers = letter.headers
        return (
            self.stage in (None, headers.stage)
            and (self.poison or not headers.poison)
            and headers.whole
            and headers.topic in to
        )

    def group_id(self, settings: Settings) -> str:
        """The consumer group that remembers how far this selection was looked at."""
        disposition = "all" if self.poison else "retryable"
        internal = "-internal" if self.internal else ""
        stage = self.stage or "every-stage"
        return f"{settings.kafka.group_id}-replay-{stage}-{disposition}{internal}"


async def find(settings: Settings, *, stage: str | None = None) -> AsyncIterator[Letter]:
    """Yield every dead letter on the topic, oldest first; with `stage` only those of that stage.

    Raises:
        BrokerUnreachable: no broker answers.
    """
    topics = Topics(settings.topics.prefix)
    async with reading(settings.kafka, [topics.deadletter], from_beginning=True) as consumer:
        async for record in until_quiet(consumer):
            letter = Letter(record)
            if stage in (None, letter.headers.stage):
                yield letter


async def count_reasons(settings: Settings) -> Counter[Reason]:
    """Count the dead letters by reason.

    Raises:
        BrokerUnreachable: no broker answers.
    """
    counts: Counter[Reason] = Counter()
    other = Reason(*[OTHER_REASONS] * len(Reason._fields))
    async for letter in find(settings):
        reason = Reason(*(text[:MAX_HEADER_CHARS] for text in letter.reason))
        known = reason in counts or len(counts) < MAX_REASONS
        counts[reason if known else other] += 1
    return counts


async def find_at(settings: Settings, place: PlaceOfRecord) -> list[Letter]:
    """The letters at a place: that of the original record or event, or that of the letter itself.

    There may be several letters of one original record: it may hold several events, and anybody may
    have written letters.

    Raises:
        BrokerUnreachable: no broker answers.
        StreamError: there is none.
    """
    letters = [
        letter
        async for letter in find(settings)
        if place == letter.place or str(place) in (letter.original_record, letter.original_place)
    ]
    if not letters:
        raise StreamError(
            f"no dead letter is from {place}; `triage deadletters list` prints their places"
        )
    return letters


async def replay(
    settings: Settings,
    selection: Selection,
    *,
    limit: int | None = None,
    rate: float | None = None,
    dry_run: bool = False,
    sleep: Sleep = asyncio.sleep,
) -> Replay:
    """Send dead letters back, at most `limit` of them, and at most `rate` in a second.

    A consumer group of its own remembers how far the topic was looked at, so no letter is sent
    twice. Each selection has its own group: a letter that one of them leaves must still be there
    for the next. A `dry_run` sends nothing and remembers nothing.

    Raises:
        BrokerUnreachable: no broker answers.
        DeliveryFailed: the broker did not take a letter. Those before it are replayed, and the
            group remembers that.
    """
    topics = Topics(settings.topics.prefix)
    async with reading(
        settings.kafka,
        [topics.deadletter],
        from_beginning=True,
        group_id=selection.group_id(settings),
    ) as consumer:
        if dry_run:
            return await _count(consumer, selection, selection.topics(topics), limit)
        producer = Producer(settings.kafka)
        await producer.start()
        try:
            replaying = _Replaying(
                consumer, producer, selection, topics, Pace(rate, sleep), time.time()
            )
            return await replaying.run(limit)
        finally:
            await producer.stop()


class Pace:
    """Lets at most `rate` letters through in a second, evenly; without a rate, all of them."""

    def __init__(
        self, rate: float | None, sleep: Sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval_s = 1 / rate if rate else 0.0
        self._sleep = sleep
        self._clock = clock
        self._next_s = clock()

    @property
    def letters_a_poll(self) -> int:
        """How many letters go through while the group still takes the consumer for alive."""
        if not self._interval_s:
            return MAX_LETTERS_A_POLL
        return min(MAX_LETTERS_A_POLL, max(1, int(POLL_INTERVAL_S / self._interval_s)))

    async def wait(self) -> None:
        """Wait until the next letter may be sent."""
        now_s = self._clock()
        if now_s < self._next_s:
            await self._sleep(self._next_s - now_s)
        # A letter that is late does not let the next ones come faster than the rate.
        self._next_s = max(now_s, self._next_s) + self._interval_s


class _ShortPolls:
    """A consumer that gives only so many records at once.

    A consumer that does not poll for five minutes loses its group, and could not commit any more.
    """

    def __init__(self, consumer: AIOKafkaConsumer, max_records: int) -> None:
        self._consumer = consumer
        self._max_records = max_records

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """Fetch, as the consumer does."""
        batches: dict[TopicPartition, list[Any]] = await self._consumer.getmany(
            timeout_ms=timeout_ms, max_records=self._max_records
        )
        return batches


class _Replaying:
    """One run of `replay`."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        producer: Producer,
        selection: Selection,
        topics: Topics,
        pace: Pace,
        began_at_s: float,
    ) -> None:
        self._consumer = consumer
        self._producer = producer
        self._selection = selection
        self._to = selection.topics(topics)
        self._pace = pace
        self._began_at_s = began_at_s

    async def run(self, limit: int | None) -> Replay:
        """Look at the letters that the group has not seen, and send back the selected ones."""
        done = Replay()
        looked_at: dict[TopicPartition, int] = {}
        async for record in until_quiet(_ShortPolls(self._consumer, self._pace.letters_a_poll)):
            if record.received_at_s > self._began_at_s:
                # It became a dead letter meanwhile, perhaps because it was replayed. Without this,
                # an event that fails each time would be replayed for ever.
                continue
            letter = Letter(record)
            partition = TopicPartition(record.origin.topic, record.origin.partition)
            looked_at[partition] = record.origin.offset + 1
            if not self._selection.selects(letter, self._to) or not await self._send_back(letter):
                _note_left(done, letter, self._to)
                continue
            # At once, because the next send may fail; and only what was looked at, because the
            # consumer has fetched more.
            await self._consumer.commit({partition: looked_at[partition]})
            _note_replayed(done, letter)
            if done.replayed == limit:
                break
        if looked_at:
            await self._consumer.commit(looked_at)
        return done

    async def _send_back(self, letter: Letter) -> bool:
        """Returns False if the letter is too large; it stays, and must not block those behind."""
        await self._pace.wait()
        try:
            await self._producer.confirm([await self._producer.send(letter.original())])
        except RecordTooLarge:
            return False
        return True


async def _count(
    consumer: AIOKafkaConsumer, selection: Selection, to: set[str], limit: int | None
) -> Replay:
    done = Replay()
    async for record in until_quiet(consumer):
        letter = Letter(record)
        if not selection.selects(letter, to):
            _note_left(done, letter, to)
            continue
        _note_replayed(done, letter)
        if done.replayed == limit:
            break
    return done


def _note_replayed(done: Replay, letter: Letter) -> None:
    done.replayed += 1
    done.topics[letter.headers.topic] += 1


def _note_left(done: Replay, letter: Letter, to: set[str]) -> None:
    done.left += 1
    done.internal += letter.headers.topic not in to


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
