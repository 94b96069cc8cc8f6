"""The audit trail of one worker: each of its decisions, appended to the chain of its tenant.

What is erased and what is not read is appended, too.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from math import inf
from typing import Any
from weakref import WeakValueDictionary

from aiokafka import AIOKafkaConsumer

from agents.outcomes import Incoming
from schemas.audit.record import (
    AuditRecord,
    ChainRecord,
    ErasedRows,
    Link,
    SealFault,
    UnreadCause,
    UnreadOffsets,
    WrittenTo,
    bounded_text,
    headers_of,
    seal,
    seal_of,
    unseal,
)
from schemas.audit.segment import Segments
from schemas.event import DEFAULT_TENANT, DOMAINS, Domain
from streams.audit.entry import (
    PublishedDecision,
    decision_entry,
    erasure_entry,
    next_link,
    unread_entry,
)
from streams.audit.spending import SpendingLimits
from streams.config import Settings
from streams.errors import DamagedBatch, DeliveryFailed
from streams.kafka.admin import cluster_id
from streams.kafka.fetching import FOLLOW_PAUSE_S, pace
from streams.kafka.producer import Producer, Receipt
from streams.kafka.reader import reading, seek_recent, until_end
from streams.kafka.record import Record, from_record
from streams.refusals import OnRefused, ignore
from streams.topics import Topics

log = logging.getLogger(__name__)

REFUSALS: dict[SealFault, str] = {
    "unreadable": "unreadable",
    "changed": "wrong_signature",
    "wrong seal": "unsigned",
}
"""What the metric calls the faults of a seal."""

OnSpend = Callable[[str, float, float, Domain], None]
"""Takes a tenant, US dollars, when they were spent in seconds since the epoch, and a domain."""

EntryOf = Callable[[dict[str, Any]], Link]
"""Makes an entry of the fields that `next_link` gives."""

RECENT_RECORDS = 1_000
DAY_S = 86_400
START_TIMEOUT_S = 30.0
POLL_MS = 1_000
RETRY_S = 10.0


class AuditTrail:
    """Seals the decisions of this worker, and keeps the state of its segments.

    It also reads the records of other workers, because its own records name them. `on_refused` is
    called with the topic and a reason for each record that is not believed.

    Raises:
        ConfigError: a key is configured and cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        writer: str | None = None,
        on_refused: OnRefused = ignore,
    ) -> None:
        self._on_refused = on_refused
        self._settings = settings
        self._topics = Topics(settings.topics.prefix)
        self._topic = self._topics.audit
        self._key = settings.audit.read_key()
        self._segments = Segments(writer)
        self._spending = SpendingLimits()
        self._cluster = ""
        self._broken = False
        self._exit_stack = AsyncExitStack()
        self._following: asyncio.Task[None] | None = None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self, on_spend: OnSpend | None = None, *, max_usd: float = inf) -> None:
        """Read the last records of every partition, to learn where the chains end.

        Call it before the first `append`. With `on_spend`, all records of today (UTC) are read too,
        and the records of other workers are followed until `stop`. `on_spend` is called for every
        record that cost something and is not this trail's own, with at most `max_usd` US dollars.

        Reading takes at most half a minute. A longer day is read on in the background.

        Raises:
            BrokerUnreachable: no broker answers.
            StreamError: the broker refuses.
        """
        self._spending = SpendingLimits(max_usd)
        self._cluster = await cluster_id(self._settings)
        consumer = await self._exit_stack.enter_async_context(
            reading(self._settings.kafka, [self._topic], from_beginning=True)
        )
        midnight_s = time.time() // DAY_S * DAY_S
        await seek_recent(consumer, RECENT_RECORDS, midnight_s if on_spend else None)
        await self._read_until_end(consumer, on_spend)
        if on_spend is None:
            await self._exit_stack.aclose()
        else:
            self._following = asyncio.create_task(self._follow(consumer, on_spend))

    async def stop(self) -> None:
        """Stop to follow the records of other workers, and disconnect."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._exit_stack.aclose()

    async def append(
        self, incoming: Incoming, decision: PublishedDecision, producer: Producer
    ) -> Receipt:
        """Hand the record of a decision to the producer.

        The records of one tenant are sent in the order of their sequence numbers, whatever other
        agent pipelines append in the meantime.

        Raises:
            DeliveryFailed: the producer does not take a record, or has lost an earlier one. A later
                record would then leave a hole for ever.
        """
        entry = partial(decision_entry, incoming, decision)
        return await self._append(decision.triaged.tenant, entry, producer)

    async def append_erasure(
        self, erased: ErasedRows, *, tenant: str, by: str, rows: int, producer: Producer
    ) -> Receipt:
        """Hand the record of an erasure of `rows` labelled rows of a tenant to the producer.

        Raises:
            DeliveryFailed: the producer does not take a record, or has lost an earlier one.
        """
        entry = partial(erasure_entry, erased, by=by, rows=rows)
        return await self._append(tenant, entry, producer)

    async def append_unread(
        self,
        offsets: UnreadOffsets,
        *,
        cause: UnreadCause,
        by: str | None = None,
        reason: str | None = None,
        producer: Producer,
    ) -> Receipt:
        """Hand the record of offsets that nobody reads to the producer.

        Raises:
            DeliveryFailed: the producer does not take a record, or has lost an earlier one.
        """
        entry = partial(unread_entry, offsets, cause=cause, by=by, reason=reason)
        return await self._append(self._tenant_of(offsets.topic), entry, producer)

    async def record_expired(self, offsets: UnreadOffsets, *, producer: Producer) -> None:
        """Put on record what retention deleted before it was read; returns when that is there.

        Raises:
            DeliveryFailed: the broker will never take the record.
        """
        receipt = await self.append_unread(offsets, cause="expired", producer=producer)
        await producer.delivered([receipt])

    def record(self, incoming: Incoming, decision: PublishedDecision) -> Record:
        """The next record of the tenant's chain.

        It must be sent before the next one is made. `append` does that.

        Raises:
            DeliveryFailed: an earlier record was lost.
        """
        tenant = bounded_text(decision.triaged.tenant)
        return self._next(tenant, partial(decision_entry, incoming, decision))

    async def _append(self, tenant: str, entry_of: EntryOf, producer: Producer) -> Receipt:
        tenant = bounded_text(tenant)
        lock = self._locks.setdefault(tenant, asyncio.Lock())
        async with lock:
            return await self._send(self._next(tenant, entry_of), producer)

    def _tenant_of(self, topic: str) -> str:
        """Whose events an input topic carries, as far as the configuration says it."""
        for domain in DOMAINS:
            if topic == self._topics.input(domain):
                return self._settings.topics.admission(domain).tenant or DEFAULT_TENANT
        return DEFAULT_TENANT

    def _next(self, tenant: str, entry_of: EntryOf) -> Record:
        if self._broken:
            raise DeliveryFailed(
                "an audit record was not delivered; the chain goes on when the worker is restarted"
            )
        segment = self._segments.of(tenant)
        written_to = WrittenTo(self._cluster, self._topic)
        entry = entry_of(next_link(tenant, segment, seal=seal_of(self._key), written_to=written_to))
        value, digest = seal(entry, self._key)
        segment.extend(digest)
        return Record(self._topic, tenant.encode(), value, headers_of(entry))

    def learn(self, record: Incoming, on_spend: OnSpend | None = None) -> None:
        """Note where another worker's segment ends now, and call `on_spend` if its record cost.

        A record that is damaged, sealed for another topic or this trail's own is ignored.
        """
        unsealed = unseal(record.value or b"", self._key)
        audited = unsealed.record
        if audited is None or unsealed.fault:
            self._on_refused(self._topic, REFUSALS[unsealed.fault or "unreadable"])
            return
        if self._segments.wrote(audited.writer):
            return
        if not self._is_here(audited):
            self._on_refused(self._topic, "elsewhere")
            return
        self._segments.of(audited.tenant).saw(audited.writer, audited.digest)
        if on_spend is None or not isinstance(audited, AuditRecord):
            return
        if audited.enrichment is not None:
            usd = self._spending.counted(audited)
            if usd != audited.enrichment.cost_usd:
                self._on_refused(self._topic, "implausible_cost")
            if usd > 0:
                on_spend(audited.tenant, usd, record.received_at_s, audited.domain)

    def _is_here(self, audited: ChainRecord) -> bool:
        """Whether a record was sealed for this topic; one of version 1 names none."""
        sealed_for = audited.written_to
        if sealed_for is None:
            return True
        other_cluster = self._cluster and sealed_for.cluster not in ("", self._cluster)
        return sealed_for.topic == self._topic and not other_cluster

    async def _read_until_end(self, consumer: AIOKafkaConsumer, on_spend: OnSpend | None) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                async for record in until_end(consumer):
                    self.learn(record, on_spend)
        except TimeoutError:
            log.warning(
                "the audit topic is longer than can be read in %.0f s; working meanwhile",
                START_TIMEOUT_S,
            )
        except DamagedBatch as error:
            # `triage audit verify` reports it. Events do not wait for that.
            log.warning("%s; chains begun now may name no anchor", error)

    async def _send(self, record: Record, producer: Producer) -> Receipt:
        try:
            receipt = await producer.hand_over(record)
        except BaseException:
            # Also after a cancellation: the sequence number is used up.
            self._broken = True
            raise
        receipt.add_done_callback(self._on_delivered)
        return receipt

    def _on_delivered(self, receipt: Receipt) -> None:
        if receipt.cancelled() or receipt.exception() is not None:
            self._broken = True

    async def _follow(self, consumer: AIOKafkaConsumer, on_spend: OnSpend) -> None:
        pace(consumer, FOLLOW_PAUSE_S)
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=POLL_MS)
            except Exception as error:  # noqa: BLE001 - damaged bytes make a parser raise anything
                log.warning(
                    "the audit topic cannot be followed (%s); trying again", type(error).__name__
                )
                await asyncio.sleep(RETRY_S)
                continue
            for records in batches.values():
                for record in records:
                    self.learn(from_record(record), on_spend)
