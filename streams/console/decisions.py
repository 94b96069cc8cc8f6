"""The feed: the last decisions in the order in which they came, as one line each."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from schemas.event import Domain
from schemas.triaged import DecidedBy, Status, TriagedEvent
from streams.console.people import Person

KEPT_DECISIONS = 20_000
MAX_REASON_CHARS = 300
MAX_TEXT_CHARS = 512
"""Of an id, a title and a label; whoever may write to the topic chooses them."""
MAX_LABELS = 20
MAX_FEED = 500


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One revision as the feed shows it.

    `seq` counts the decisions that this console has seen. `confidence` is that of the queue, from 0
    to 1; None if it has no label. `reason` is the last of its reasons.
    """

    seq: int
    id: str
    domain: Domain
    tenant: str
    source: str | None
    title: str | None
    queue: str
    revision: int
    status: Status
    decided_by: DecidedBy
    labels: dict[str, str]
    confidence: float | None
    received_at: str
    triaged_at: str
    total_s: float
    inference_s: float
    cost_usd: float
    llm_calls: int
    reason: str | None


class FeedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which decisions: those behind `after` or before `before`, of which the newest come first."""

    after: int | None = None
    before: int | None = None
    limit: int = 100
    domain: str | None = None
    queue: str | None = None
    tenant: str | None = None
    decided_by: str | None = None
    status: str | None = None
    text: str | None = None

    def takes(self, decision: Decision) -> bool:
        """Whether a decision fits."""
        return (
            self.domain in (None, decision.domain)
            and self.queue in (None, decision.queue)
            and self.tenant in (None, decision.tenant)
            and self.decided_by in (None, decision.decided_by)
            and self.status in (None, decision.status)
            and (self.text is None or self._has_text(decision))
        )

    def _has_text(self, decision: Decision) -> bool:
        searched = f"{decision.id}\n{decision.title or ''}\n{decision.source or ''}".casefold()
        return all(word in searched for word in (self.text or "").casefold().split())


class Decisions:
    """The last `KEPT_DECISIONS` decisions, in memory."""

    def __init__(self) -> None:
        self._decisions: deque[Decision] = deque(maxlen=KEPT_DECISIONS)
        self._seq = 0

    def __len__(self) -> int:
        return len(self._decisions)

    @property
    def last(self) -> int:
        """The number of the last decision; 0 if there was none."""
        return self._seq

    def add(self, triaged: TriagedEvent) -> Decision:
        """Take in a revision as the newest decision."""
        self._seq += 1
        decision = decision_of(self._seq, triaged)
        self._decisions.append(decision)
        return decision

    def page(self, person: Person, query: FeedQuery) -> tuple[list[Decision], int | None]:
        """The decisions of a query that a person may see, the newest first.

        Returns:
            The decisions, and what `before` takes to go on; None if there are no more.
        """
        limit = max(1, min(query.limit, MAX_FEED))
        fitting = (
            decision
            for decision in self._newest_first(query)
            if person.sees(decision.tenant) and query.takes(decision)
        )
        found = list(islice(fitting, limit + 1))
        more = found[limit - 1].seq if len(found) > limit else None
        return found[:limit], more

    def each(self, wanted: Callable[[Decision], bool]) -> Iterator[Decision]:
        """The decisions that are wanted, the oldest first."""
        return filter(wanted, self._decisions)

    def _newest_first(self, query: FeedQuery) -> Iterator[Decision]:
        for decision in reversed(self._decisions):
            if query.after is not None and decision.seq <= query.after:
                return
            if query.before is None or decision.seq < query.before:
                yield decision


def decision_of(seq: int, triaged: TriagedEvent) -> Decision:
    """A revision as one line of the feed."""
    queue = triaged.labels.get("queue") or next(iter(triaged.labels.values()), None)
    enrichment = triaged.enrichment if triaged.decided_by == "llm" else None
    reason = triaged.reasons[-1][:MAX_REASON_CHARS] if triaged.reasons else None
    return Decision(
        seq=seq,
        id=triaged.id[:MAX_TEXT_CHARS],
        domain=triaged.domain,
        tenant=triaged.tenant[:MAX_TEXT_CHARS],
        source=_clipped(triaged.source),
        title=_clipped(triaged.title),
        queue=triaged.queue[:MAX_TEXT_CHARS],
        revision=triaged.revision,
        status=triaged.status,
        decided_by=triaged.decided_by,
        labels={
            axis[:MAX_TEXT_CHARS]: label.value[:MAX_TEXT_CHARS]
            for axis, label in islice(triaged.labels.items(), MAX_LABELS)
        },
        confidence=None if queue is None else queue.confidence,
        received_at=triaged.timing.received_at[:MAX_TEXT_CHARS],
        triaged_at=triaged.timing.triaged_at[:MAX_TEXT_CHARS],
        total_s=triaged.timing.total_s,
        inference_s=triaged.timing.inference_s,
        cost_usd=enrichment.cost_usd if enrichment else 0.0,
        llm_calls=enrichment.calls if enrichment else 0,
        reason=reason,
    )


def _clipped(text: str | None) -> str | None:
    return None if text is None else text[:MAX_TEXT_CHARS]
