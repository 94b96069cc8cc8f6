"""Which cases were answered before: read from the triaged topics, so that no worker pays twice.

An LLM does not give the same answer a second time, and its answer has been paid for. A case is read
again if its worker died after the answer was delivered and before the offset was committed. Such a
case gets the answer that is on the triaged topic, and no call is made.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime
from weakref import WeakValueDictionary

import msgspec

from agents.outcomes import Incoming
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS
from schemas.triaged import Case, Identity, TriagedEvent
from streams.config import KafkaSection
from streams.kafka.reader import since
from streams.topics import Topics
from streams.trust import Trust

log = logging.getLogger(__name__)

MAX_KNOWN = 50_000
FIRST_REVISION = b'"revision":0,'
LOOK_BACK_S = 3_600.0
"""How far back the answer of a case is looked for.

A worker that was down for longer before it escalated an event again may pay for that event again.
"""
AHEAD_S = 300.0
"""How much more is read than the present case needs, because the next case is often a little
older."""
CLOCK_SKEW_S = 60.0
"""How far the clocks of two workers may differ.

The answer of a case is looked for from so long before the case.
"""


class Answered:
    """The answers of this worker, and of earlier readers of its partitions.

    An answer is found by everything that tells its event from others. With a worker key, an answer
    that no worker has signed is ignored. See `agents.enrich.Memory` for what callers rely on.
    """

    def __init__(self, kafka: KafkaSection, topics: Topics, trust: Trust | None = None) -> None:
        self._trust = trust or Trust()
        self._kafka = kafka
        self._topics = topics
        self._known: OrderedDict[Identity, bytes] = OrderedDict()
        self._read_from_s = float("inf")
        self._reading = asyncio.Lock()
        self._turns: WeakValueDictionary[Identity, asyncio.Lock] = WeakValueDictionary()

    def turn(self, case: Case) -> asyncio.Lock:
        """The lock to hold while this case is being answered."""
        return self._turns.setdefault(case.triaged.identity, asyncio.Lock())

    def forget(self) -> None:
        """Read the topics again before the next case.

        Call it when partitions were assigned: other workers may have answered their cases.
        """
        self._read_from_s = float("inf")

    def note(self, triaged: TriagedEvent) -> None:
        """Remember an answer, so that the same case gets it again."""
        self._keep(triaged, msgspec.json.encode(triaged))

    async def find(self, incoming: Incoming, case: Case) -> TriagedEvent | None:
        """The answer that this case was given before, or None.

        Raises:
            StreamError: the topics cannot be read.
        """
        async with self._reading:
            since_s = _first_seen_s(incoming, case) - CLOCK_SKEW_S
            if since_s < self._read_from_s:
                await self._read(since_s - AHEAD_S)
        known = self._known.get(case.triaged.identity)
        return None if known is None else decode(known, TriagedEvent)

    async def _read(self, from_s: float) -> None:
        started_s = time.monotonic()
        # Set before the first record is read: if partitions are assigned while this reads, `forget`
        # must still have its effect.
        self._read_from_s = from_s
        try:
            async for record in self._published_since(from_s):
                self._note_published(record)
        except BaseException:
            self.forget()
            raise
        log.info(
            "%d cases were answered before (%.1f s)", len(self._known), time.monotonic() - started_s
        )

    def _published_since(self, from_s: float) -> AsyncIterator[Incoming]:
        """The records of the triaged topics, from `from_s` (seconds since the epoch) until now."""
        return since(self._kafka, [self._topics.triaged(domain) for domain in DOMAINS], from_s)

    def _note_published(self, record: Incoming) -> None:
        value = record.value or b""
        if FIRST_REVISION in value:
            return  # most records are a first revision, and no answer is one
        try:
            triaged = decode(value, TriagedEvent)
        except InvalidEvent:
            return  # not a triaged event, or one of another version
        is_answer = triaged.decided_by != "human" and triaged.enrichment is not None
        if is_answer and self._trust.believes(record):
            self._keep(triaged, value)

    def _keep(self, triaged: TriagedEvent, value: bytes) -> None:
        # As bytes, because the objects would take five times as much memory.
        self._known[triaged.identity] = value
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _first_seen_s(incoming: Incoming, case: Case) -> float:
    """When the event entered the pipeline, in seconds since the epoch.

    A case that is escalated again is as old as its event, but not older than `LOOK_BACK_S` allows.
    """
    received_s = datetime.fromisoformat(case.triaged.timing.received_at).timestamp()
    return max(min(incoming.received_at_s, received_s), incoming.received_at_s - LOOK_BACK_S)
