"""Reads the output topics of a pipeline."""

import asyncio
from collections.abc import Callable, Sequence

from agents.outcomes import Incoming
from schemas.codec import decode
from schemas.event import DOMAINS
from schemas.triaged import TriagedEvent
from streams.config import Settings
from streams.kafka.reader import reading
from streams.kafka.record import from_record
from streams.topics import Topics

TIMEOUT_S = 90.0


class Outputs:
    """The records on the output topics, read until a test has seen enough."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = Topics(settings.topics.prefix)
        self.records: list[Incoming] = []

    def on(self, topic: str) -> list[Incoming]:
        """The records of one topic."""
        return [record for record in self.records if record.origin.topic == topic]

    @property
    def triaged(self) -> list[TriagedEvent]:
        """All revisions of all events, of both domains."""
        names = [self._topics.triaged(domain) for domain in DOMAINS]
        records = [record for name in names for record in self.on(name)]
        return [decode(record.value or b"", TriagedEvent) for record in records]

    @property
    def dead_letters(self) -> list[Incoming]:
        """The records on the dead letter topic."""
        return self.on(self._topics.deadletter)

    def origins(self) -> set[tuple[str, int, int]]:
        """The origins (topic, partition, offset) of all inputs that have an output."""
        origins = [triaged.origin for triaged in self.triaged]
        decided = {(origin.topic, origin.partition, origin.offset) for origin in origins}
        return decided | {dead_letter_origin(letter) for letter in self.dead_letters}

    async def read_until(
        self,
        enough: Callable[[], bool],
        topics: Sequence[str] = (),
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Read from the beginning until `enough` returns true. Fail after `timeout_s` seconds.

        Without `topics`, all topics except the input topics are read.
        """
        inputs = {self._topics.input(domain) for domain in DOMAINS}
        names = topics or [topic for topic in self._topics if topic not in inputs]
        self.records.clear()
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        async with reading(self._settings.kafka, names, from_beginning=True) as consumer:
            while not enough():
                assert asyncio.get_running_loop().time() < deadline_s, (
                    f"only {len(self.records)} records arrived"
                )
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    self.records += [from_record(record) for record in records]


def dead_letter_origin(letter: Incoming) -> tuple[str, int, int]:
    """The origin (topic, partition, offset) in the headers of a dead letter."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in letter.headers}
    topic, partition, offset = (
        headers[f"__connect.errors.{part}"] for part in ("topic", "partition", "offset")
    )
    return topic, int(partition), int(offset)
