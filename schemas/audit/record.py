"""The audit record (`triage.audit.v2`): one decision, sealed and chained to the record before it.

Two things that are no decisions have records of their own kinds on the same chains: an erasure of
labelled rows (`triage.erasure.v1`), and offsets that nobody has read (`triage.unread.v1`).

The digest of a record covers every byte of its value in front of the digest. The digest of the
previous record is among these bytes. So no record of a chain can be changed, removed or moved
without a trace, as long as a later record follows it (linked time-stamping: Haber and Stornetta,
1991). If a key is configured, the digest is an HMAC (RFC 2104). Then nobody without the key can
rewrite a chain from some record to its end either.

Kafka has no compare-and-swap, so several workers cannot continue the same chain. Each worker
writes its own *segment* of a tenant's chain. The first record of a segment names the last record
of the tenant that its writer knew. Any record may also name the last records of other segments.
All these names of records on other segments are *anchors*: a record that an anchor names cannot be
removed from its segment without a trace.

A record also names the cluster and the topic that it was written to. So records of one topic cannot
be passed off as those of another. Records of version 1 (`triage.audit.v1`) name neither.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
import orjson

from schemas.codec import decode, encode
from schemas.errors import InvalidEvent
from schemas.event import Domain, Origin
from schemas.triaged import DecidedBy, Status

SchemaName = Literal["triage.audit.v1", "triage.audit.v2"]
SCHEMA_NAME: Final = "triage.audit.v2"
ERASURE_SCHEMA_NAME: Final = "triage.erasure.v1"
UNREAD_SCHEMA_NAME: Final = "triage.unread.v1"
HEADERS: list[tuple[str, bytes | None]] = [("triage.schema", SCHEMA_NAME.encode())]

Seal = Literal["sha256", "hmac-sha256"]
SealFault = Literal["unreadable", "changed", "wrong seal"]
UnreadCause = Literal["damaged", "expired"]
"""`damaged`: a person has stepped over a batch that cannot be read. `expired`: retention deleted
the records before they were read."""

MAX_CHARS = 512
MAX_LABELS = 32
MAX_HEADS = 32
TAIL_BYTES = len(',"digest":""}') + hashlib.sha256().digest_size * 2
PREVIOUS = re.compile(rb'"previous":"([0-9a-f]{64})"')


class WrittenTo(NamedTuple):
    """The topic that a record is sealed for. `cluster` is the id of the Kafka cluster.

    `cluster` is empty if the broker has none.
    """

    cluster: str
    topic: str


class LlmUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the LLM tiers did for a decision, without any text of the event or of the model.

    The fields are those of `Enrichment` in the triaged event, with the same meaning.
    """

    status: str
    model: str | None
    tier: str | None
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    redactions: dict[str, int]


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every record of a chain has before it is sealed. `AuditRecord` explains the fields."""

    schema: str
    seal: Seal
    tenant: str
    writer: str
    sequence: int
    previous: str
    heads: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_HEADS)] = ()
    at: str
    cluster: str | None = None
    topic: str | None = None

    @property
    def written_to(self) -> WrittenTo | None:
        """The topic that the record is sealed for; None in version 1."""
        if self.cluster is None or self.topic is None:
            return None
        return WrittenTo(self.cluster, self.topic)


class Entry(Link, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision before it is sealed. `AuditRecord` explains the fields."""

    schema: SchemaName = SCHEMA_NAME
    id: str
    domain: Domain
    revision: int
    status: Status
    decided_by: DecidedBy
    labels: dict[str, str]
    queue: str
    input_digest: str
    output_digest: str
    model_digest: str
    calibration_digest: str
    enrichment: LlmUse | None
    origin: Origin
    by: str | None = None


class ErasedRows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which labelled rows were erased: those that fit everything that is not None.

    `decided_by` is the person or the LLM who had decided or signed them.
    """

    id: str | None = None
    domain: Domain | None = None
    tenant: str | None = None
    decided_by: str | None = None


class ErasureEntry(Link, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One erasure before it is sealed. `ErasureRecord` explains the fields."""

    schema: Literal["triage.erasure.v1"] = ERASURE_SCHEMA_NAME
    by: str
    rows: int
    selection: ErasedRows


class UnreadOffsets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The offsets `first` to `last` of a partition."""

    topic: str
    partition: int
    first: int
    last: int


class UnreadEntry(Link, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Offsets that were not read, before it is sealed. `UnreadRecord` explains the fields."""

    schema: Literal["triage.unread.v1"] = UNREAD_SCHEMA_NAME
    offsets: UnreadOffsets
    cause: UnreadCause
    by: str | None = None
    reason: str | None = None


class AuditRecord(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision on the audit topic. The key of the record is the tenant.

    A record has digests (SHA-256, in hexadecimal) in place of the content of the event.
    `input_digest` covers the value of the record at `origin`, also if that record holds several
    events: each of them has an audit record of its own, with the same digest and its own `id`.
    `output_digest` covers the triaged event as it was published. `enrichment` is set only if this
    decision called the LLM or would have called it, and not if an earlier revision did.

    `by` is the person who has decided, as the verdict at `origin` names them; None if no person
    has.

    Each worker writes its own segment of a tenant's chain. `writer` names the segment, and
    `sequence` counts its records from 0. `previous` is the digest of the record before this one.
    For the first record of a segment it is the digest of the last record of the tenant that the
    writer knew, or empty if the writer knew none. `heads` are the digests, sorted, of the last
    records of other segments of the tenant that have grown since this segment last named them.

    `cluster` is the id of the Kafka cluster that the record was written to, or empty if it has
    none. `topic` is the name of the topic. A record of version 1 has neither.

    `at` is the instant of writing (RFC 3339). `digest` covers all bytes of the value in front of
    it. `seal` says whether it is a plain digest or an HMAC with a secret key.
    """

    digest: str


class ErasureRecord(ErasureEntry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One erasure of labelled rows of one tenant, on the audit topic.

    `by` is who has erased them, `rows` how many, and `selection` what was asked for. The record has
    nothing of the rows. It is written before they are erased: an erasure that failed is there too.
    The other fields are those of `AuditRecord`, with the same meaning.
    """

    digest: str


class UnreadRecord(UnreadEntry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Offsets of an input that the workers went over without reading them, on the audit topic.

    The events at these offsets are lost. How many there were is not known: an offset may hold no
    event, or several. `by` is the person who has stepped over them and `reason` what they say
    about it; both are None if retention deleted the records. The record is written before the
    group goes on, so it may be there twice, or although the group did not go on.

    The events of an input topic with a fixed tenant are of that tenant. Otherwise nobody knows
    whose they were, and the record is on the chain of the default tenant. The other fields are
    those of `AuditRecord`, with the same meaning.
    """

    digest: str


ChainRecord = AuditRecord | ErasureRecord | UnreadRecord
NO_DECISIONS: tuple[type[ErasureRecord | UnreadRecord], ...] = (ErasureRecord, UnreadRecord)


@dataclass(frozen=True, slots=True)
class Unsealed:
    """The result of reading and checking the value of one record.

    `record` is None if the value is not an audit record. `fault` is None if the seal fits.
    `digests` are the two digests that the next record may name: the one that the value carries and
    the one that its bytes have. They are equal if the record is intact. `previous` is the digest
    that the record names as its predecessor, or None if that could not be read.
    """

    record: ChainRecord | None
    fault: SealFault | None
    digests: tuple[str, str]
    previous: str | None


def sha256(data: bytes) -> str:
    """The SHA-256 digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def bounded_text(text: str, max_chars: int = MAX_CHARS) -> str:
    """The text, or its digest if it is longer than `max_chars`.

    Anybody who may write to an input topic chooses tenants and ids. A record that is too large for
    the audit topic would leave a hole in the chain that could never be closed.
    """
    if len(text) <= max_chars:
        return text
    return f"sha256:{sha256(text.encode())}"


def bounded_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels (axis to value) with every text bounded.

    More than `MAX_LABELS` axes, which no domain has, become one digest.
    """
    if len(labels) > MAX_LABELS:
        return {"sha256": sha256(orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS))}
    return {
        bounded_text(axis, MAX_CHARS // 4): bounded_text(value, MAX_CHARS // 4)
        for axis, value in labels.items()
    }


def headers_of(record: Link) -> list[tuple[str, bytes | None]]:
    """The headers that a record of this version has."""
    return [("triage.schema", record.schema.encode())]


def fingerprint(
    value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> str:
    """A digest of a whole Kafka record, whatever is in it."""
    parts = [value, key, *(part for name, content in headers for part in (name.encode(), content))]
    lengths = [-1 if part is None else len(part) for part in parts]
    return sha256(b"".join([repr(lengths).encode(), *(part or b"" for part in parts)]))


def seal_of(key: bytes | None) -> Seal:
    """How records are sealed with this key, or without a key."""
    if key:
        return "hmac-sha256"
    return "sha256"


def seal(entry: Link, key: bytes | None = None) -> tuple[bytes, str]:
    """The value of the sealed record, and its digest of 64 hexadecimal characters."""
    body = encode(entry)[:-1]
    digest = _digest(body, key)
    return body + _tail(digest), digest


def unseal(value: bytes, key: bytes | None = None) -> Unsealed:
    """Read a value and check it against its digest.

    The digest covers the bytes themselves, so it does not matter how the JSON was written.
    """
    body, tail = value[:-TAIL_BYTES], value[-TAIL_BYTES:]
    computed = _digest(body, key)
    carried = tail[-2 - len(computed) : -2].decode("ascii", "replace")
    record = _decoded(value)
    return Unsealed(
        record=record,
        fault=_fault(record, body, tail, key),
        digests=(carried, computed),
        previous=_previous(record, body),
    )


def _fault(
    record: ChainRecord | None, body: bytes, tail: bytes, key: bytes | None
) -> SealFault | None:
    if record is None:
        return "unreadable"
    if record.seal == seal_of(key):
        intact = tail == _tail(_digest(body, key))
        return None if intact else "changed"
    # Without the key, an HMAC cannot be checked. With the key, a plain digest that fits shows that
    # somebody without the key has sealed the record.
    if key is None or tail == _tail(_digest(body, None)):
        return "wrong seal"
    return "changed"


def _previous(record: ChainRecord | None, body: bytes) -> str | None:
    if record is not None:
        return record.previous
    match = PREVIOUS.search(body)
    if match is None:
        return None
    return match[1].decode()


def _decoded(value: bytes) -> ChainRecord | None:
    with suppress(InvalidEvent):
        record = decode(value, AuditRecord)
        # One that calls itself version 1 must not name a topic that version 1 does not check.
        names_topic = record.cluster is not None and record.topic is not None
        names_none = record.cluster is None and record.topic is None
        return record if (names_topic if record.schema == SCHEMA_NAME else names_none) else None
    for kind in NO_DECISIONS:
        with suppress(InvalidEvent):
            other = decode(value, kind)
            return other if other.written_to is not None else None
    return None


def _digest(body: bytes, key: bytes | None) -> str:
    if key:
        return hmac.new(key, body, hashlib.sha256).hexdigest()
    return sha256(body)


def _tail(digest: str) -> bytes:
    return b',"digest":"%s"}' % digest.encode()
