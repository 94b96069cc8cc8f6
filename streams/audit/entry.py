"""What audit records say about a decision, an erasure or a loss (`schemas/audit/record.py`)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from agents.outcomes import Incoming
from agents.revision import rfc3339
from schemas.audit.record import (
    Entry,
    ErasedRows,
    ErasureEntry,
    LlmUse,
    Seal,
    UnreadCause,
    UnreadEntry,
    UnreadOffsets,
    WrittenTo,
    bounded_labels,
    bounded_text,
    sha256,
)
from schemas.audit.segment import Segment
from schemas.codec import prepared
from schemas.event import Origin
from schemas.triaged import TriagedEvent


@dataclass(frozen=True, slots=True)
class PublishedDecision:
    """A decision, and the bytes in which it was published.

    `value` is the value of its record on the triaged topic. The audit record has the digest of
    these very bytes.
    """

    triaged: TriagedEvent
    value: bytes


def next_link(
    tenant: str, segment: Segment, *, seal: Seal, written_to: WrittenTo
) -> dict[str, Any]:
    """The fields that the next record of `segment` has, whatever it is about.

    They name the ends of other segments that the segment has not named yet, and the segment counts
    them as named. `tenant` is the tenant as it is written. The record is sealed for the topic
    `written_to`.
    """
    return {
        "seal": seal,
        "tenant": tenant,
        "writer": segment.writer,
        "sequence": segment.sequence,
        "previous": segment.previous,
        "heads": segment.name(),
        "at": rfc3339(time.time()),
        "cluster": written_to.cluster,
        "topic": written_to.topic,
    }


def decision_entry(
    incoming: Incoming, decision: PublishedDecision, link: Mapping[str, Any]
) -> Entry:
    """The entry of the decision about the event `incoming`; `link` is from `next_link`."""
    triaged, origin = decision.triaged, incoming.origin
    return Entry(
        **link,
        id=bounded_text(triaged.id),
        domain=triaged.domain,
        revision=triaged.revision,
        status=triaged.status,
        decided_by=triaged.decided_by,
        by=_person(incoming) if triaged.decided_by == "human" else None,
        labels=bounded_labels({axis: label.value for axis, label in triaged.labels.items()}),
        queue=bounded_text(triaged.queue),
        input_digest=_digest(incoming),
        output_digest=sha256(decision.value),
        model_digest=bounded_text(triaged.model.digest),
        calibration_digest=bounded_text(triaged.calibration.digest),
        enrichment=_llm_use(triaged),
        origin=Origin(
            topic=bounded_text(origin.topic), partition=origin.partition, offset=origin.offset
        ),
    )


def erasure_entry(
    erased: ErasedRows, link: Mapping[str, Any], *, by: str, rows: int
) -> ErasureEntry:
    """The entry of an erasure: `by` erases so many labelled rows of the tenant."""
    return ErasureEntry(
        **link,
        by=bounded_text(by),
        rows=rows,
        selection=ErasedRows(
            id=erased.id and bounded_text(erased.id),
            domain=erased.domain,
            tenant=erased.tenant and bounded_text(erased.tenant),
            decided_by=erased.decided_by and bounded_text(erased.decided_by),
        ),
    )


def unread_entry(
    offsets: UnreadOffsets,
    link: Mapping[str, Any],
    *,
    cause: UnreadCause,
    by: str | None,
    reason: str | None,
) -> UnreadEntry:
    """The entry of offsets that nobody reads; `UnreadRecord` explains the fields."""
    return UnreadEntry(
        **link,
        offsets=replace(offsets, topic=bounded_text(offsets.topic)),
        cause=cause,
        by=by and bounded_text(by),
        reason=reason and bounded_text(reason),
    )


class _Author(msgspec.Struct, frozen=True):
    """Of a verdict, who has given it."""

    by: str


def _person(incoming: Incoming) -> str | None:
    """Who has decided, as the verdict says it: the agent has taken it, so it can be read."""
    try:
        return bounded_text(msgspec.json.decode(incoming.value or b"", type=prepared(_Author)).by)
    except msgspec.MsgspecError:
        return None


def _digest(incoming: Incoming) -> str:
    """The digest of the value of the whole record, also for one event of many.

    A reader of the trail can check it against the topic. It is computed once per record: a thousand
    times a megabyte would hold up every other event.
    """
    if incoming.element is not None and incoming.element.record_digest:
        return incoming.element.record_digest
    return sha256(incoming.value or b"")


def _llm_use(triaged: TriagedEvent) -> LlmUse | None:
    used = triaged.enrichment
    # A person's verdict carries the enrichment of the revision it is about. That is paid for once.
    if used is None or triaged.decided_by == "human":
        return None
    return LlmUse(
        status=used.status,
        model=used.model and bounded_text(used.model),
        tier=used.tier and bounded_text(used.tier),
        calls=used.calls,
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        cost_usd=used.cost_usd,
        redactions=used.redactions,
    )
