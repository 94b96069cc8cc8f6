"""Which cases have been answered already: read from the topics themselves, so that no worker pays twice.

An answer by an LLM is not the same the second time, and it has been paid for. A case that is read again (its worker
died after the answer was delivered and before its offset was committed) gets the answer that is on the triaged
topic, and no call is made.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from weakref import WeakValueDictionary

from agents.outcomes import Incoming
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, Origin
from schemas.triaged import Case, TriagedEvent
from streams.config import KafkaSection
from streams.tail import since
from streams.topics import Topics

log = logging.getLogger(__name__)

MAX_KNOWN = 20_000
CLOCK_SKEW_S = 60.0
"""How far the clocks of two workers may be apart: an answer is looked for from so long before its case."""


_Key = tuple[str, Origin]


class Answered:
    """Answers of this worker and of earlier readers of its partitions, by id and by where their event came from."""

    def __init__(self, kafka: KafkaSection, topics: Topics) -> None:
        self._kafka = kafka
        self._topics = topics
        self._known: OrderedDict[_Key, TriagedEvent] = OrderedDict()
        self._read_from_s = float("inf")
        self._one_at_a_time = asyncio.Lock()
        self._turns: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    def turn(self, case: Case) -> asyncio.Lock:
        """Held while a case is being answered."""
        return self._turns.setdefault(_key(case.triaged), asyncio.Lock())

    def forget(self) -> None:
        """Partitions have changed hands: what others have answered meanwhile is to be read anew."""
        self._read_from_s = float("inf")

    def note(self, triaged: TriagedEvent) -> None:
        """An answer was given: the same case, come twice, gets the same."""
        self._known[_key(triaged)] = triaged
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    async def find(self, incoming: Incoming, case: Case) -> TriagedEvent | None:
        """The later revision this case has on its triaged topic, if it has one."""
        async with self._one_at_a_time:
            if incoming.received_at_s < self._read_from_s:
                await self._read(incoming.received_at_s)
        return self._known.get(_key(case.triaged))

    async def _read(self, from_s: float) -> None:
        started_s = time.monotonic()
        self._read_from_s = from_s  # before the first record: partitions may change hands while it reads
        try:
            await self._note_since(from_s - CLOCK_SKEW_S)
        except BaseException:
            self.forget()
            raise
        log.info("%d cases were answered before (%.1f s)", len(self._known), time.monotonic() - started_s)

    async def _note_since(self, from_s: float) -> None:
        names = [self._topics.triaged(domain) for domain in DOMAINS]
        async for record in since(self._kafka, names, from_s):
            try:
                triaged = decode(record.value or b"", TriagedEvent)
            except InvalidEvent:
                continue  # not ours, or of another version
            if triaged.revision and triaged.decided_by != "human" and triaged.enrichment is not None:
                self.note(triaged)


def _key(triaged: TriagedEvent) -> _Key:
    return triaged.id, triaged.origin
