"""Reading what a pipeline put on its topics."""

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
    """Everything on the output topics, read until a test has seen enough."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = Topics(settings.topics.prefix)
        self.records: list[Incoming] = []

    def on(self, topic: str) -> list[Incoming]:
        """The records of one topic."""
        return [record for record in self.records if record.origin.topic == topic]

    @property
    def triaged(self) -> list[TriagedEvent]:
        """Every revision, of both domains."""
        names = [self._topics.triaged(domain) for domain in DOMAINS]
        return [decode(r.value or b"", TriagedEvent) for name in names for r in self.on(name)]

    @property
    def dead_letters(self) -> list[Incoming]:
        """The dead letters."""
        return self.on(self._topics.deadletter)

    def origins(self) -> set[tuple[str, int, int]]:
        """Where the inputs that ended came from."""
        decided = {(t.origin.topic, t.origin.partition, t.origin.offset) for t in self.triaged}
        return decided | {dead_letter_origin(letter) for letter in self.dead_letters}

    async def read_until(
        self,
        enough: Callable[[], bool],
        topics: Sequence[str] = (),
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Read from the beginning until `enough` says so; fails after a bounded time."""
        names = topics or [
            t for t in self._topics if t not in {self._topics.input(domain) for domain in DOMAINS}
        ]
        self.records.clear()
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        async with reading(self._settings.kafka, names, from_beginning=True) as consumer:
            while not enough():
                assert asyncio.get_running_loop().time() < deadline_s, (
                    f"only {len(self.records)} records came"
                )
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    self.records += [from_record(record) for record in records]


def dead_letter_origin(letter: Incoming) -> tuple[str, int, int]:
    """Where a dead letter says it came from."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in letter.headers}
    topic, partition, offset = (
        headers[f"__connect.errors.{part}"] for part in ("topic", "partition", "offset")
    )
    return topic, int(partition), int(offset)
