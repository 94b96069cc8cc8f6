"""Send dead letters back to the topics that they came from."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.event import DOMAINS
from streams.config import Settings
from streams.deadletters.letter import Letter
from streams.errors import RecordTooLarge
from streams.kafka.producer import Producer
from streams.kafka.reader import reading, until_quiet
from streams.topics import Topics

POLL_INTERVAL_S = 60.0
MAX_LETTERS_A_POLL = 500

Sleep = Callable[[float], Awaitable[None]]


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
