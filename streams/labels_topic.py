"""The topic of labelled rows: read what is learned from, and erase rows.

A later row of the same key replaces the earlier one, and a record without a value erases it. The
key says whose row it is (`schemas/label_record.py`): of an event that a person and the LLM have
decided there are two rows, and that of the person counts.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from msgspec.structs import replace

from agents.outcomes import Incoming
from inference.believed_rows import BeliefOptions, Believed, believed_rows
from schemas.audit.record import ErasedRows
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import DEFAULT_TENANT, Domain
from schemas.folding import fold
from schemas.label_record import LabelRecord, RowAuthor, key_of, label_key, read_key
from schemas.limits import LIMITS, Limits
from streams.audit.trail import AuditTrail
from streams.config import Settings
from streams.kafka.admin import check_present
from streams.kafka.producer import Producer, Receipt
from streams.kafka.reader import reading, until_end
from streams.kafka.record import Record
from streams.refusals import OnRefused, ignore
from streams.topics import Topics
from streams.trust import Trust

log = logging.getLogger(__name__)

AT_ONCE = 1_000
"""How many rows are erased before the broker's acknowledgements are waited for."""


@dataclass(frozen=True, slots=True)
class _Last:
    """The last record of a key: where and when it was written, and its value."""

    partition: int
    at_s: float
    value: bytes | None

    @classmethod
    def of(cls, record: Incoming) -> Self:
        return cls(record.origin.partition, record.received_at_s, record.value)

    def is_before(self, other: "_Last") -> bool:
        """Whether the other record was written later.

        A key is on one partition, in the order of its offsets, unless partitions were added.
        """
        return self.partition == other.partition or self.at_s <= other.at_s


class LabelledRows:
    """The rows that are in force, as the records of the topic are seen one after the other.

    `trust` says which records are believed. A record that erases is always believed: the broker
    obeys it too, whoever wrote it.
    """

    def __init__(self, trust: Trust | None = None, limits: Limits = LIMITS) -> None:
        self._trust = trust or Trust()
        self._limits = limits
        self._last: dict[bytes, _Last] = {}

    def see(self, record: Incoming) -> None:
        """Take the next record. One that is no row, or is not believed, changes nothing."""
        key, value = record.key, record.value
        if key is None:
            return
        if value is not None and not (self._is_row(key, value) and self._trust.believes(record)):
            return
        last, known = _Last.of(record), self._last.get(key)
        if known is None or known.is_before(last):
            self._last[key] = last

    def __iter__(self) -> Iterator[LabelRecord]:
        """The row of each event that has one: the person's, otherwise the LLM's."""
        for last in self._last.values():
            if last.value is None:
                continue
            row = decode(last.value, LabelRecord, self._limits)
            if row.decided_by == "llm":
                if self._of_person(row) is None:
                    yield row
            elif row.event is None:
                yield self._with_event(row)
            else:
                yield row

    def _is_row(self, key: bytes, value: bytes) -> bool:
        try:
            return key_of(decode(value, LabelRecord, self._limits)) == key
        except InvalidEvent:
            return False

    def _row(self, row: LabelRecord, decided_by: RowAuthor) -> LabelRecord | None:
        """The row of another author about the same event."""
        last = self._last.get(label_key(row.id, row.domain, row.tenant, decided_by))
        if last is None or last.value is None:
            return None
        other = decode(last.value, LabelRecord, self._limits)
        return other if other.domain == row.domain else None

    def _of_person(self, row: LabelRecord) -> LabelRecord | None:
        return self._row(row, "human")

    def _with_event(self, row: LabelRecord) -> LabelRecord:
        """The row with the event of the LLM's row, if that is about the same event.

        An event that the LLM has ended was never a case for a person.
        """
        other = self._row(row, "llm")
        if other is None or row.input_digest is None or other.input_digest != row.input_digest:
            return row
        return replace(row, event=other.event, risk=other.risk)


async def read_label_records(
    settings: Settings, on_refused: OnRefused = ignore
) -> AsyncIterator[LabelRecord]:
    """Yield the row of each event that has one, as the topic is now.

    With a worker key, rows that no worker has signed are not there; `on_refused` is called for
    each.

    Raises:
        ConfigError: the worker key cannot be read.
        BrokerUnreachable: no broker answers.
        TopicsMissing: the topic is missing.
        StreamError: the topic cannot be read.
    """
    topic = Topics(settings.topics.prefix).labels
    rows = LabelledRows(Trust.of(settings, on_refused), settings.limits)
    await check_present(settings, [topic])
    async with reading(settings.kafka, [topic], from_beginning=True) as consumer:
        async for record in until_end(consumer):
            rows.see(record)
    for row in rows:
        yield row


async def read_believed_rows(settings: Settings, on_refused: OnRefused = ignore) -> Believed:
    """The rows that are learned from, as the topic is now, and those that are not.

    Raises:
        ConfigError, StreamError: as `read_label_records`.
    """
    records = [record async for record in read_label_records(settings, on_refused)]
    return believed_rows(records, belief_of(settings))


def belief_of(settings: Settings) -> BeliefOptions:
    """Whose rows the configuration lets us learn from."""
    learning = settings.learning
    return BeliefOptions(
        max_share_of_reviewer=learning.max_share_of_reviewer,
        max_share_of_llm=learning.max_share_of_llm,
        people=settings.security.people,
        excluded_reviewers=learning.exclude_reviewers,
        excluded_tenants=learning.exclude_tenants,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSelection:
    """Which rows to erase: those that fit everything that is given.

    Tenants and people are compared as they are read, without regard to case.
    """

    id: str | None = None
    domain: Domain | None = None
    tenant: str | None = None
    by: str | None = None

    def tenant_of(self, key: bytes, value: bytes) -> str | None:
        """The tenant of a row if it is one of them, else None.

        A row that cannot be read is judged by its key.
        """
        named = read_key(key)
        try:
            row = decode(value, LabelRecord)
        except InvalidEvent:
            if named is None:
                return None
            tenant = named.tenant or DEFAULT_TENANT
            return tenant if self._fits(named.id, named.domain, tenant, []) else None
        people = [row.by, row.signed_by]
        return row.tenant if self._fits(row.id, row.domain, row.tenant, people) else None

    def _fits(
        self, id_: str, domain: str | None, tenant: str, people: Sequence[str | None]
    ) -> bool:
        names = {fold(name) for name in people if name is not None}
        return (
            self.id in (None, id_)
            and self.domain in (None, domain)
            and (self.tenant is None or fold(self.tenant) == fold(tenant))
            and (self.by is None or fold(self.by) in names)
        )


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows were erased, and how many are left."""

    erased: int
    left: int


async def forget_rows(
    settings: Settings, selection: RowSelection, *, erased_by: str, dry_run: bool = False
) -> Forgotten:
    """Erase rows: a record without a value is written for each, to the partition of the row.

    Before that, the audit topic gets a record for each tenant: who erases, what was asked for, and
    how many rows. Rows that no worker has signed are erased too. With `dry_run` they are only
    counted.

    Raises:
        BrokerUnreachable: no broker answers.
        ConfigError: the key of the audit topic cannot be read.
        TopicsMissing: the topic is missing.
        StreamError: the topic cannot be read, or the broker does not take a record.
    """
    topics = Topics(settings.topics.prefix)
    await check_present(settings, [topics.labels, topics.audit])
    tenants: dict[tuple[int, bytes], str | None] = {}
    async with reading(settings.kafka, [topics.labels], from_beginning=True) as consumer:
        async for record in until_end(consumer):
            if record.key is None:
                continue
            place = (record.origin.partition, record.key)
            if record.value is None:
                tenants.pop(place, None)
            else:
                tenants[place] = selection.tenant_of(record.key, record.value)
    taken = {place: tenant for place, tenant in tenants.items() if tenant is not None}
    if taken and not dry_run:
        producer = Producer(settings.kafka)
        await producer.start()
        try:
            counts = Counter(taken.values())
            await _record(settings, selection, counts, erased_by, producer)
            await _erase(topics.labels, list(taken), producer)
        finally:
            await producer.stop()
    return Forgotten(len(taken), len(tenants) - len(taken))


async def _record(
    settings: Settings,
    selection: RowSelection,
    counts: Mapping[str, int],
    erased_by: str,
    producer: Producer,
) -> None:
    """Write to the audit topic what will be erased."""
    erased = ErasedRows(
        id=selection.id,
        domain=selection.domain,
        tenant=selection.tenant,
        decided_by=selection.by,
    )
    trail = AuditTrail(settings)
    try:
        await trail.start()
        receipts = [
            await trail.append_erasure(
                erased, tenant=tenant, by=erased_by, rows=rows, producer=producer
            )
            for tenant, rows in sorted(counts.items())
        ]
        await producer.confirm(receipts)
    finally:
        await trail.stop()


async def _erase(topic: str, places: Sequence[tuple[int, bytes]], producer: Producer) -> None:
    for start in range(0, len(places), AT_ONCE):
        receipts: list[Receipt] = [
            await producer.send(Record(topic, key, None, partition=partition))
            for partition, key in places[start : start + AT_ONCE]
        ]
        await producer.confirm(receipts)
