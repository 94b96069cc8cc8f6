"""The audit trail: every decision of this worker, appended to its tenant's chain (`schemas/audit/record.py`)."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from agents.outcomes import DeadLettered, Incoming, Outcome, Triaged
from agents.revision import rfc3339
from schemas.audit.record import (
    HEADERS,
    Entry,
    LlmUse,
    labels_or_digest,
    or_digest,
    seal,
    seal_of,
    sha256,
    unseal,
)
from schemas.audit.segment import Segment, Segments
from schemas.codec import encode
from schemas.event import Origin
from schemas.triaged import TriagedEvent
from streams.config import AuditSection, Settings
from streams.errors import ConfigError, DamagedBatch, DeliveryFailed
from streams.kafka.producer import Producer, Receipt
from streams.kafka.reader import reading, seek_recent, until_end
from streams.kafka.record import Record, from_record
from streams.topics import Topics

log = logging.getLogger(__name__)

OnSpend = Callable[[str, float, float], None]
"""Takes a tenant, US dollars, and when they were spent in seconds since the epoch."""

RECENT_RECORDS = 1_000
DAY_S = 86_400
START_TIMEOUT_S = 30.0
POLL_MS = 1_000
RETRY_S = 10.0


class AuditTrail:
    """Seals decisions and keeps the place on every tenant's chain; learns what others write there.

    Raises:
        ConfigError: a key is configured and cannot be read.
    """

    def __init__(self, settings: Settings, *, writer: str | None = None) -> None:
        self._settings = settings
        self._topic = Topics(settings.topics.prefix).audit
        self._key = read_key(settings.audit)
        self._segments = Segments(writer)
        self._broken = False
        self._open = AsyncExitStack()
        self._following: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def start(self, on_spend: OnSpend | None = None) -> None:
        """Learn where chains end, from the last records of every partition; call it before the first `append`.

        With `on_spend` today's records are read too (UTC), and whatever others write is followed until `stop`: it is
        called for every record that cost something and is not this trail's own, and this trail's records name what
        it has read. Half a minute at most; a day that takes longer is read on in the background.

        Raises:
            BrokerUnreachable: nothing answers there.
            StreamError: the broker refuses.
        """
        consumer = await self._open.enter_async_context(
            reading(self._settings.kafka, [self._topic], from_beginning=True)
        )
        midnight_s = time.time() // DAY_S * DAY_S
        await seek_recent(consumer, RECENT_RECORDS, midnight_s if on_spend else None)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                async for record in until_end(consumer):
                    self.learn(record, on_spend)
        except TimeoutError:
            log.warning(
                "the audit topic is longer than can be read in %.0f s; working meanwhile",
                START_TIMEOUT_S,
            )
        except (
            DamagedBatch
        ) as error:  # for `triage audit verify` to look into; events do not wait for it
            log.warning("%s; chains begun now may name no anchor", error)
        if on_spend is None:
            await self._open.aclose()
        else:
            self._following = asyncio.create_task(self._follow(consumer, on_spend))

    async def stop(self) -> None:
        """Follow no longer."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._open.aclose()

    async def append(
        self, decided: Iterable[tuple[Outcome, Incoming]], producer: Producer
    ) -> list[Receipt]:
        """Hand the records of these decisions to the producer, in the order of their sequence numbers whatever other
        lanes do meanwhile. Dead letters decide nothing and have none.

        Raises:
            DeliveryFailed: the producer takes none, or has lost one: a later one would leave a hole for ever.
        """  # noqa: D205 - one thought
        receipts = []
        async with self._lock:
            for outcome, incoming in decided:
                entry = self.record(outcome, incoming)
                if entry is not None:
                    receipts.append(await self._send(entry, producer))
        return receipts

    def record(self, outcome: Outcome, incoming: Incoming) -> Record | None:
        """The next record of its tenant's strand; None for a dead letter. Each must be sent before the next is made,
        which `append` sees to.

        Raises:
            DeliveryFailed: an earlier one was lost.
        """  # noqa: D205 - one thought
        if self._broken:
            raise DeliveryFailed(
                "an audit record was not delivered; the chain goes on when the worker is restarted"
            )
        if isinstance(outcome, DeadLettered):
            return None
        triaged = outcome.triaged if isinstance(outcome, Triaged) else outcome.case.triaged
        tenant = or_digest(triaged.tenant)
        segment = self._segments.of(tenant)
        value, digest = seal(self._entry(triaged, incoming, tenant, segment), self._key)
        segment.extend(digest)
        return Record(self._topic, tenant.encode(), value, HEADERS)

    def learn(self, record: Incoming, on_spend: OnSpend | None = None) -> None:
        """Take note of a record on the topic; one that is damaged, or this trail's own, is passed over."""
        found = unseal(record.value or b"", self._key)
        if found.record is None or found.fault or self._segments.wrote(found.record.writer):
            return
        self._segments.of(found.record.tenant).saw(found.record.writer, found.record.digest)
        llm = found.record.enrichment
        if on_spend is not None and llm is not None and llm.cost_usd > 0:
            on_spend(found.record.tenant, llm.cost_usd, record.received_at_s)

    def _entry(
        self, triaged: TriagedEvent, incoming: Incoming, tenant: str, segment: Segment
    ) -> Entry:
        origin = incoming.origin
        return Entry(
            seal=seal_of(self._key),
            tenant=tenant,
            writer=segment.writer,
            sequence=segment.sequence,
            previous=segment.previous,
            heads=segment.name(),
            at=rfc3339(time.time()),
            id=or_digest(triaged.id),
            domain=triaged.domain,
            revision=triaged.revision,
            status=triaged.status,
            decided_by=triaged.decided_by,
            labels=labels_or_digest({axis: label.value for axis, label in triaged.labels.items()}),
            queue=or_digest(triaged.queue),
            input_digest=sha256(incoming.value or b""),
            output_digest=sha256(encode(triaged)),
            model_digest=or_digest(triaged.model.digest),
            calibration_digest=or_digest(triaged.calibration.digest),
            enrichment=_llm_use(triaged),
            origin=Origin(
                topic=or_digest(origin.topic), partition=origin.partition, offset=origin.offset
            ),
        )

    async def _send(self, entry: Record, producer: Producer) -> Receipt:
        try:
            receipt = await producer.send(entry)
        except BaseException:  # a cancellation too: the number is used up
            self._broken = True
            raise
        receipt.add_done_callback(self._delivered)
        return receipt

    def _delivered(self, receipt: Receipt) -> None:
        if receipt.cancelled() or receipt.exception() is not None:
            self._broken = True

    async def _follow(self, consumer: AIOKafkaConsumer, on_spend: OnSpend) -> None:
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=POLL_MS)
            except Exception as error:  # noqa: BLE001 - whatever damaged bytes make a parser raise
                log.warning(
                    "the audit topic cannot be followed (%s); trying again", type(error).__name__
                )
                await asyncio.sleep(RETRY_S)
                continue
            for record in (from_record(each) for records in batches.values() for each in records):
                self.learn(record, on_spend)


def read_key(options: AuditSection, environ: Mapping[str, str] = os.environ) -> bytes | None:
    """The key records are sealed with; None where none is configured.

    Raises:
        ConfigError: the variable or the file is missing or empty.
    """
    if options.key_env is not None:
        name, key = f"key_env names {options.key_env}", environ.get(options.key_env, "").encode()
    elif options.key_file is not None:
        name, key = f"key_file names {options.key_file}", _contents(options.key_file)
    else:
        return None
    if not key.strip():
        raise ConfigError(f"audit.{name}, which holds no key; put the key of the audit seal there")
    return key.strip()


def _llm_use(triaged: TriagedEvent) -> LlmUse | None:
    used = triaged.enrichment
    if (
        used is None or triaged.decided_by == "human"
    ):  # a verdict comes with the enrichment of what it was about
        return None
    return LlmUse(
        status=used.status,
        model=used.model and or_digest(used.model),
        tier=used.tier and or_digest(used.tier),
        calls=used.calls,
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        cost_usd=used.cost_usd,
        redactions=used.redactions,
    )


def _contents(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"audit.key_file {file} cannot be read ({error.strerror}); name a file of the key"
        ) from None
