"""Produce lines of NDJSON to the input topics."""

import asyncio
from collections.abc import Callable, Iterable

from schemas.errors import InvalidEvent
from schemas.event import DOMAIN_OF_KIND, Domain
from schemas.limits import Limits
from streams.config import Settings
from streams.errors import RecordTooLarge, StreamError
from streams.kafka.producer import Producer, Receipt
from streams.kafka.record import Record
from streams.ndjson import key_of, kind_of
from streams.topics import Topics

IN_FLIGHT = 500


async def produce(
    settings: Settings,
    lines: Iterable[bytes],
    domain: Domain | None,
    *,
    rate: float | None = None,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Send lines to their input topics, and wait until the broker has all of them.

    Args:
        settings: Names the broker and the topics.
        lines: One event per line.
        domain: The domain of all events; if None, each line names its kind.
        rate: How many lines are sent per second; if None, as many as the broker takes.
        advance: Called after each line.

    Raises:
        StreamError: the broker is away, or does not take a line.
        InvalidEvent: there is no `domain`, and a line does not name its kind.
    """
    topics = Topics(settings.topics.prefix)
    producer = Producer(settings.kafka)
    loop = asyncio.get_running_loop()
    await producer.start()
    try:
        receipts: list[Receipt] = []
        started_s = loop.time()
        for number, line in enumerate(lines):
            if rate:
                await asyncio.sleep(max(0.0, started_s + number / rate - loop.time()))
            topic = _topic(topics, line, domain, number, settings.limits)
            record = Record(topic, key_of(line, settings.limits), line)
            receipts.append(await producer.send(record))
            advance()
            if len(receipts) >= IN_FLIGHT:
                await producer.confirm(receipts)
                receipts.clear()
        await producer.confirm(receipts)
    except RecordTooLarge as error:
        raise StreamError(
            f"an event is larger than {error.reason} takes; leave it out or raise max.message.bytes"
        ) from None
    finally:
        await producer.stop()


def _topic(topics: Topics, line: bytes, domain: Domain | None, number: int, limits: Limits) -> str:
    try:
        return topics.input(domain or DOMAIN_OF_KIND[kind_of(line, None, limits)])
    except InvalidEvent as error:
        raise InvalidEvent(f"line {number + 1}: {error}", stage=error.stage) from None
