"""Adds up what the LLM has cost, and what it would have cost to ask it about every event.

All of this comes from the triaged topics alone.
"""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from math import inf
from typing import Literal

import msgspec

from inference.llm.options import CostOptions
from schemas.codec import decode, encode
from schemas.errors import InvalidEvent
from schemas.triaged import DecidedBy, Enrichment, TriagedEvent

End = DecidedBy | Literal["needs_review", "waiting"]
"""Who has decided an event so far; `waiting` if the LLM has not answered yet."""

Basis = Literal["measured", "assumed"]

UNNAMED = "?"
"""Stands for a tier or a model that an enrichment does not name."""


class Spend(msgspec.Struct, kw_only=True):
    """Calls, the tokens that the servers billed for them, and US dollars."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0

    def add(self, enrichment: Enrichment) -> None:
        """Add the cost of one enrichment."""
        self.calls += enrichment.calls
        self.prompt_tokens += enrichment.prompt_tokens
        self.completion_tokens += enrichment.completion_tokens
        self.usd += enrichment.cost_usd


class TierSpend(Spend, kw_only=True):
    """What was spent on the events that a tier answered last.

    The cost of the tiers that were asked before it is included.
    """

    tier: str
    model: str


class SpendingReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `triage cost` reports; in US dollars and UTC days.

    `ends` counts the events by their last revision. `asked` counts the events that the LLM was
    asked about. `all_llm_usd` is what it would have cost to ask the LLM about every event. It is
    ``measured`` if anything was paid: the mean cost of the events in `asked` is taken for all of
    them. Otherwise it is ``assumed``: it comes from the `[cost]` section and leaves out the texts
    of the events, which are not on these topics.
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
    all_llm_basis: Basis
    saved_usd: float
    unreadable: int


class Spending:
    """Adds up the triaged events of one `tenant` or of all, decided at `since` or later.

    An event is identified by its id, its content and the record that it came in. So an event that
    was processed twice after a restart counts as one, and two events of one record as two. Money is
    counted once per enrichment. A later revision, or a record that was delivered twice, repeats the
    same enrichment with the same latency. A second call about the same event has another
    enrichment. It takes about 200 bytes of memory per event.
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
        """Count one record of a triaged topic, or count it as unreadable."""
        try:
            self.note(decode(value, TriagedEvent))
        except InvalidEvent:
            self._unreadable += 1

    def refuse(self) -> None:
        """Count a record that no worker has signed as unreadable."""
        self._unreadable += 1

    def note(self, triaged: TriagedEvent) -> None:
        """Count one revision.

        The revisions of an event must come in the order in which they were published.

        Raises:
            InvalidEvent: the revision does not say when it was decided, or what it cost.
        """
        if triaged.enrichment is not None and not 0 <= triaged.enrichment.cost_usd < inf:
            raise InvalidEvent("enrichment.cost_usd is no amount of dollars", stage="validate")
        if self._tenant not in (None, triaged.tenant):
            return
        decided_at = _decided_at(triaged)
        origin = triaged.origin
        # Python seeds the hash of strings at random in every process, so nobody can choose ids that
        # collide.
        event_hash = hash(
            (
                triaged.domain,
                triaged.id,
                triaged.input_digest,
                origin.topic,
                origin.partition,
                origin.offset,
            )
        )
        if decided_at >= self._since and triaged.revision >= self._last_revision(event_hash):
            self._last[event_hash] = triaged.revision, _end(triaged)
        if triaged.enrichment is not None and triaged.enrichment.calls:
            self._note_enrichment(event_hash, triaged, triaged.enrichment, decided_at)

    def report(self, cost: CostOptions) -> SpendingReport:
        """Report what was added up so far."""
        events, asked = len(self._last), len(self._asked)
        usd_per_asked_event = self._spent.usd / max(1, asked)
        basis: Basis = "measured"
        all_llm_usd = usd_per_asked_event * events
        if not usd_per_asked_event:
            basis = "assumed"
            all_llm_usd = assumed_usd(cost, events)
        return SpendingReport(
            events=events,
            ends=dict(Counter(end for _, end in self._last.values())),
            asked=asked,
            spent=self._spent,
            usd_per_asked_event=usd_per_asked_event,
            tiers=sorted(self._tiers.values(), key=lambda spend: -spend.usd),
            tenants=dict(sorted(self._tenants.items(), key=lambda item: -item[1].usd)),
            days=dict(sorted(self._days.items())),
            all_llm_usd=all_llm_usd,
            all_llm_basis=basis,
            saved_usd=all_llm_usd - self._spent.usd,
            unreadable=self._unreadable,
        )

    def _last_revision(self, event_hash: int) -> int:
        revision, _ = self._last.get(event_hash, (0, "slm"))
        return revision

    def _note_enrichment(
        self, event_hash: int, triaged: TriagedEvent, enrichment: Enrichment, decided_at: datetime
    ) -> None:
        enrichment_hash = hash((event_hash, encode(enrichment)))
        if enrichment_hash in self._enrichments:
            return
        # An enrichment from before `since` is remembered as well: a person's verdict of today
        # repeats the cost of yesterday.
        self._enrichments.add(enrichment_hash)
        if decided_at < self._since:
            return
        self._asked.add(event_hash)
        tier, model = enrichment.tier or UNNAMED, enrichment.model or UNNAMED
        for spend in (
            self._spent,
            self._tiers.setdefault((tier, model), TierSpend(tier=tier, model=model)),
            self._tenants[triaged.tenant],
            self._days[decided_at.date().isoformat()],
        ):
            spend.add(enrichment)


def assumed_usd(cost: CostOptions, events: int) -> float:
    """Return what it would cost to ask the LLM about so many events, in US dollars.

    The prices and numbers of tokens come from the `[cost]` section. The texts of the events are
    left out.
    """
    prompt_usd = cost.llm_prompt_overhead_tokens * cost.llm_input_usd_per_million
    answer_usd = cost.llm_answer_tokens * cost.llm_output_usd_per_million
    return events * (prompt_usd + answer_usd) / 1_000_000


def _end(triaged: TriagedEvent) -> End:
    if triaged.status == "final":
        return triaged.decided_by
    if triaged.status == "needs_review":
        return "needs_review"
    return "waiting"


def _decided_at(triaged: TriagedEvent) -> datetime:
    try:
        return datetime.fromisoformat(triaged.timing.triaged_at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEvent(
            "timing.triaged_at is not an RFC 3339 instant", stage="validate"
        ) from None
