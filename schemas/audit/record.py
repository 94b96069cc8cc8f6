"""The audit record (`triage.audit.v1`): one decision, sealed, and chained to the one before it.

A record's digest covers every byte of its value in front of it, the digest of the record before among them, so that
nothing on a chain can be altered, taken out or moved unseen (linked time-stamping: Haber and Stornetta, 1991). With a
key it is an HMAC (RFC 2104): then nobody without the key can rewrite a chain from some record to its end either.

Kafka has no compare-and-swap, so that several workers cannot continue one chain. Each writes a *strand* of a tenant's
chain of its own; its first record names the last record of that tenant its writer knew, and any record may name the
last ones of other strands. What a record names besides its predecessor are *anchors*: a strand cannot lose what
another has named.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
import orjson

from schemas.codec import decode, encode
from schemas.errors import InvalidEvent
from schemas.event import Domain, Origin
from schemas.triaged import DecidedBy, Status

SCHEMA_NAME: Final = "triage.audit.v1"
HEADERS: list[tuple[str, bytes | None]] = [("triage.schema", SCHEMA_NAME.encode())]

Seal = Literal["sha256", "hmac-sha256"]

MAX_CHARS = 512
MAX_LABELS = 32
MAX_HEADS = 32
TAIL_BYTES = len(',"digest":""}') + hashlib.sha256().digest_size * 2
PREVIOUS = re.compile(rb'"previous":"([0-9a-f]{64})"')


class LlmUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a decision took of the LLM tier: `schemas.triaged.Enrichment` without anything anybody wrote."""

    status: str
    model: str | None
    tier: str | None
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    redactions: dict[str, int]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision before it is sealed: what came in and what went out by digest, never by content.

    `writer` names the strand, `sequence` counts on it from 0, `previous` is the digest of the record before; for the
    first that of the last record of the tenant, or empty where the writer knew of none. `heads` are the digests of the
    last records of other strands of the tenant, sorted, where those have grown since this one last named them. `at`
    (RFC 3339) is when it was written. `origin` is where the record lies whose value has the SHA-256 `input_digest`;
    `output_digest` is that of the triaged event as published. `enrichment` is there where this decision, not an
    earlier revision, asked or would have asked the LLM.
    """

    schema: Literal["triage.audit.v1"] = SCHEMA_NAME
    seal: Seal
    tenant: str
    writer: str
    sequence: int
    previous: str
    heads: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_HEADS)] = ()
    at: str
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


class AuditRecord(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision as it lies on the topic, under its tenant as key."""

    digest: str


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What could be made of a value. `digests` are those its successor may name: the one it carries and the one its
    bytes have, the same where it is whole; `previous` the one it names itself, where that could be read.
    """  # noqa: D205 - one thought

    record: AuditRecord | None
    fault: Literal["unreadable", "changed", "wrong seal"] | None
    digests: tuple[str, str]
    previous: str | None


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def or_digest(text: str, max_chars: int = MAX_CHARS) -> str:
    """The text, or its digest where it is longer.

    Whoever may write to an input topic chooses tenants and ids; a record too large for the audit topic would be a hole
    in the chain that nobody could ever close.
    """
    return text if len(text) <= max_chars else f"sha256:{sha256(text.encode())}"


def labels_or_digest(labels: Mapping[str, str]) -> dict[str, str]:
    """Axis to value, every text clipped; more axes than any domain has become one digest."""
    if len(labels) > MAX_LABELS:
        return {"sha256": sha256(orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS))}
    return {
        or_digest(axis, MAX_CHARS // 4): or_digest(value, MAX_CHARS // 4)
        for axis, value in labels.items()
    }


def seal_of(key: bytes | None) -> Seal:
    """How records are sealed with that key, or with none."""
    return "hmac-sha256" if key else "sha256"


def seal(entry: Entry, key: bytes | None = None) -> tuple[bytes, str]:
    """The value of the record, and its digest: 64 hexadecimal characters over everything before it."""
    body = encode(entry)[:-1]
    digest = _digest(body, key)
    return body + _tail(digest), digest


def unseal(value: bytes, key: bytes | None = None) -> Unsealed:
    """Read a value and check it against its digest. The bytes as they are, so that no way of writing JSON matters."""
    body, tail = value[:-TAIL_BYTES], value[-TAIL_BYTES:]
    computed = _digest(body, key)
    carried = tail[-2 - len(computed) : -2].decode("ascii", "replace")
    record = _decoded(value)
    named = PREVIOUS.search(body)
    previous = record.previous if record else named[1].decode() if named else None
    return Unsealed(record, _fault(record, body, tail, key), (carried, computed), previous)


def _fault(
    record: AuditRecord | None, body: bytes, tail: bytes, key: bytes | None
) -> Literal["unreadable", "changed", "wrong seal"] | None:
    if record is None:
        return "unreadable"
    if record.seal == seal_of(key):
        return None if tail == _tail(_digest(body, key)) else "changed"
    # Without the key nothing can be said of an HMAC; with one, a plain digest shows who cannot have written it.
    return "wrong seal" if key is None or tail == _tail(_digest(body, None)) else "changed"


def _decoded(value: bytes) -> AuditRecord | None:
    try:
        return decode(value, AuditRecord)
    except InvalidEvent:
        return None


def _digest(body: bytes, key: bytes | None) -> str:
    return hmac.new(key, body, hashlib.sha256).hexdigest() if key else sha256(body)


def _tail(digest: str) -> bytes:
    return b',"digest":"%s"}' % digest.encode()
