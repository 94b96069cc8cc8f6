"""What the LLM has cost, and what it would have cost to ask it about everything, from the triaged topics alone."""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Literal

import msgspec

from inference.llm.options import CostOptions
from schemas.codec import decode, encode
from schemas.errors import InvalidEvent
from schemas.triaged import DecidedBy, Enrichment, TriagedEvent

End = DecidedBy | Literal["needs_review", "waiting"]
"""Who had the last word about an event so far; `waiting`: the LLM has yet to be heard."""

UNNAMED = "?"


class Spend(msgspec.Struct, kw_only=True):
    """Calls, the tokens their servers billed, and US dollars."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0

    def add(self, enrichment: Enrichment) -> None:
        """Count what one enrichment cost."""
        self.calls += enrichment.calls
        self.prompt_tokens += enrichment.prompt_tokens
        self.completion_tokens += enrichment.completion_tokens
        self.usd += enrichment.cost_usd


class TierSpend(Spend, kw_only=True):
    """What was spent on events a tier had the last word on; cheaper tiers asked before it are in it."""

    tier: str
    model: str


class SpendingReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `triage cost` says; dollars, days in UTC.

    `ends` counts events by their last revision. `all_llm_usd` is what asking the LLM about every event would have
    cost: `measured`, by the mean cost of those it was asked about, or where nothing was paid `assumed`, from the
    `[cost]` section and without the events' own text, which is not on these topics.
    """

    events: int
    ends: dict[End, int]
    asked: int
    spent: Spend
    usd_per_asked_event: float
    tiers: list[TierSpend]
    tenants: dict[str, Spend]
    days: dict[str, Spend]
    all_llm_usd: float
    all_llm_basis: Literal["measured", "assumed"]
    saved_usd: float
    unreadable: int


class Spending:
    """Adds up triaged events, of one `tenant` or of all, decided at `since` or later.

    Events are told apart by id and the record they came in, so one that was processed twice after a restart is one
    event. Money is counted by enrichment: a later revision and a record delivered twice carry the one they were given,
    latency and all, while a second call about the same event has its own. Memory: about 200 bytes an event.
    """

    def __init__(self, *, tenant: str | None = None, since: datetime | None = None) -> None:
        self._tenant = tenant
        self._since = since or datetime.min.replace(tzinfo=UTC)
        self._last: dict[int, tuple[int, End]] = {}
        self._asked: set[int] = set()
        self._enrichments: set[int] = set()
        self._spent = Spend()
        self._tiers: dict[tuple[str, str], TierSpend] = {}
        self._tenants: defaultdict[str, Spend] = defaultdict(Spend)
        self._days: defaultdict[str, Spend] = defaultdict(Spend)
        self._unreadable = 0

    def read(self, value: bytes) -> None:
        """Count one record of a triaged topic; what is no triaged event is counted as that."""
        try:
            self.note(decode(value, TriagedEvent))
        except InvalidEvent:
            self._unreadable += 1

    def note(self, triaged: TriagedEvent) -> None:
        """Count one revision; those of an event in the order they were published.

        Raises:
            InvalidEvent: it does not say when it was decided.
        """
        if self._tenant not in (None, triaged.tenant):
            return
        decided_at = _decided_at(triaged)
        origin = triaged.origin
        # Python's hash of strings is keyed anew in every process: nobody can choose ids that collide.
        event = hash((triaged.domain, triaged.id, origin.topic, origin.partition, origin.offset))
        if decided_at >= self._since and triaged.revision >= self._last.get(event, (0, "slm"))[0]:
            self._last[event] = triaged.revision, _end(triaged)
        if triaged.enrichment is not None and triaged.enrichment.calls:
            self._note_enrichment(event, triaged, triaged.enrichment, decided_at)

    def report(self, cost: CostOptions) -> SpendingReport:
        """What it comes to so far."""
        events, asked = len(self._last), len(self._asked)
        per_asked_usd = self._spent.usd / asked if asked else 0.0
        all_llm_usd = per_asked_usd * events if per_asked_usd else assumed_usd(cost, events)
        return SpendingReport(
            events=events,
            ends=dict(Counter(end for _, end in self._last.values())),
            asked=asked,
            spent=self._spent,
            usd_per_asked_event=per_asked_usd,
            tiers=sorted(self._tiers.values(), key=lambda each: -each.usd),
            tenants=dict(sorted(self._tenants.items(), key=lambda each: -each[1].usd)),
            days=dict(sorted(self._days.items())),
            all_llm_usd=all_llm_usd,
            all_llm_basis="measured" if per_asked_usd else "assumed",
            saved_usd=all_llm_usd - self._spent.usd,
            unreadable=self._unreadable,
        )

    def _note_enrichment(
        self, event: int, triaged: TriagedEvent, enrichment: Enrichment, decided_at: datetime
    ) -> None:
        known = len(self._enrichments)
        self._enrichments.add(hash((event, encode(enrichment))))
        # An older one is remembered all the same: a person's verdict today repeats what was paid yesterday.
        if len(self._enrichments) == known or decided_at < self._since:
            return
        self._asked.add(event)
        tier, model = enrichment.tier or UNNAMED, enrichment.model or UNNAMED
        for spend in (
            self._spent,
            self._tiers.setdefault((tier, model), TierSpend(tier=tier, model=model)),
            self._tenants[triaged.tenant],
            self._days[decided_at.date().isoformat()],
        ):
            spend.add(enrichment)


def assumed_usd(cost: CostOptions, events: int) -> float:
    """What asking the LLM about so many events would cost by the `[cost]` section, their own text left out."""
    prompt_usd = cost.llm_prompt_overhead_tokens * cost.llm_input_usd_per_million
    answer_usd = cost.llm_answer_tokens * cost.llm_output_usd_per_million
    return events * (prompt_usd + answer_usd) / 1_000_000


def _end(triaged: TriagedEvent) -> End:
    if triaged.status == "final":
        return triaged.decided_by
    return "needs_review" if triaged.status == "needs_review" else "waiting"


def _decided_at(triaged: TriagedEvent) -> datetime:
    try:
        return datetime.fromisoformat(triaged.timing.triaged_at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEvent("timing.triaged_at is no RFC 3339 instant", stage="validate") from None
