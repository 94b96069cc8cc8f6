"""Produce the records of a file to the input topics."""

import asyncio
from collections.abc import Callable, Iterable

from schemas.errors import InvalidEvent
from schemas.event import DOMAIN_OF_KIND, Domain, Kind
from streams.config import Settings
from streams.errors import RecordTooLarge, StreamError
from streams.files import key_of, kind_of
from streams.kafka.producer import Producer, Receipt
from streams.kafka.record import Record
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
            kind = _kind(line, domain, number, settings)
            key = key_of(line, kind, settings.limits, settings.mappings)
            record = Record(topics.input(DOMAIN_OF_KIND[kind]), key, line)
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


def _kind(line: bytes, domain: Domain | None, number: int, settings: Settings) -> Kind:
    try:
        return kind_of(line, domain, settings.limits, settings.mappings)
    except InvalidEvent as error:
        raise InvalidEvent(f"line {number + 1}: {error}", stage=error.stage) from None
