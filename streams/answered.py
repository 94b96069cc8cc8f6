"""Which cases have been answered already: read from the topics themselves, so that no worker pays twice.

An answer by an LLM is not the same the second time, and it has been paid for. A case that is read again (its worker
died after the answer was delivered and before its offset was committed) gets the answer that is on the triaged
topic, and no call is made.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from datetime import datetime
from weakref import WeakValueDictionary

import msgspec

from agents.outcomes import Incoming
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, Origin
from schemas.triaged import Case, TriagedEvent
from streams.config import KafkaSection
from streams.kafka.reader import since
from streams.topics import Topics

log = logging.getLogger(__name__)

MAX_KNOWN = 50_000
FIRST_REVISION = b'"revision":0,'
LOOK_BACK_S = 3_600.0
"""A worker that was down longer before it escalated an event again may pay for it again."""
AHEAD_S = 300.0
"""Read so much more than one case needs: the next is often a little older."""
CLOCK_SKEW_S = 60.0
"""How far the clocks of two workers may be apart: an answer is looked for from so long before its case."""


_Key = tuple[str, Origin]


class Answered:
    """Answers of this worker and of earlier readers of its partitions, by id and by where their event came from."""

    def __init__(self, kafka: KafkaSection, topics: Topics) -> None:
        self._kafka = kafka
        self._topics = topics
        self._known: OrderedDict[_Key, bytes] = OrderedDict()
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
        self._keep(triaged, msgspec.json.encode(triaged))

    async def find(self, incoming: Incoming, case: Case) -> TriagedEvent | None:
        """The later revision this case has on its triaged topic, if it has one.

        Raises:
            StreamError: the topics cannot be read.
        """
        async with self._one_at_a_time:
            since_s = _first_seen_s(incoming, case) - CLOCK_SKEW_S
            if since_s < self._read_from_s:
                await self._read(since_s - AHEAD_S)
        known = self._known.get(_key(case.triaged))
        return None if known is None else decode(known, TriagedEvent)

    async def _read(self, from_s: float) -> None:
        started_s = time.monotonic()
        self._read_from_s = (
            from_s  # before the first record: partitions may change hands while it reads
        )
        try:
            await self._note_since(from_s)
        except BaseException:
            self.forget()
            raise
        log.info(
            "%d cases were answered before (%.1f s)", len(self._known), time.monotonic() - started_s
        )

    async def _note_since(self, from_s: float) -> None:
        names = [self._topics.triaged(domain) for domain in DOMAINS]
        async for record in since(self._kafka, names, from_s):
            value = record.value or b""
            if FIRST_REVISION in value:
                continue  # most of them, and none is an answer
            try:
                triaged = decode(value, TriagedEvent)
            except InvalidEvent:
                continue  # not ours, or of another version
            if triaged.decided_by != "human" and triaged.enrichment is not None:
                self._keep(triaged, value)

    def _keep(self, triaged: TriagedEvent, value: bytes) -> None:
        # As bytes: a fifth of what the objects would take.
        self._known[_key(triaged)] = value
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _first_seen_s(incoming: Incoming, case: Case) -> float:
    """When the event entered the pipeline: a case that is escalated anew is as old as its event, within bounds."""
    received_s = datetime.fromisoformat(case.triaged.timing.received_at).timestamp()
    return max(min(incoming.received_at_s, received_s), incoming.received_at_s - LOOK_BACK_S)


def _key(triaged: TriagedEvent) -> _Key:
    return triaged.id, triaged.origin
