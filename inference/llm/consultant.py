"""One case through the LLM tier: may it leave, is there time, what is answered, what may be made of it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from inference.egress.policy import Policy
from inference.errors import RedactionFailed
from inference.llm.cascade import Cascade, Consultation
from inference.llm.combining import Combined, combine
from inference.llm.options import LimitOptions
from inference.llm.prompt.context import PromptContext, PromptWriter
from inference.llm.prompt.prompt import Answer
from inference.llm.shedding import Shedding
from schemas.event import Domain, Event
from schemas.triaged import Case, Enrichment, Label

log = logging.getLogger(__name__)

Labels = Mapping[str, Label]
HighImpact = Callable[[Event, Labels], bool]


@dataclass(frozen=True, slots=True)
class LlmOpinion:
    """What the LLM tier has to say of a case; without an answer, `reasons` says why and the labels stay as they were.

    `needs_person` is false only for an answer that may stand alone.
    """

    enrichment: Enrichment
    labels: dict[str, Label]
    needs_person: bool
    reasons: list[str]


class Consultant:
    """Consults the tiers about one case at a time, for any number of concurrent callers; never raises for an event.

    `backlog` says how many cases are waiting; `high_impact` what a person must see whoever decided it.
    """

    def __init__(
        self,
        cascade: Cascade,
        briefer: PromptWriter,
        policy: Policy,
        *,
        deciding: Mapping[Domain, Sequence[str]],
        limits: LimitOptions,
        high_impact: HighImpact,
        shedding: Shedding,
        backlog: Callable[[], int],
    ) -> None:
        self._cascade = cascade
        self._briefer = briefer
        self._policy = policy
        self._deciding = deciding
        self._limits = limits
        self._high_impact = high_impact
        self._shedding = shedding
        self._backlog = backlog

    async def consult(self, case: Case) -> LlmOpinion:
        """Ask about a case, as far as policy, backlog, budget and the endpoints allow."""
        try:
            return await self._consult(case)
        except RedactionFailed as error:
            return unasked(case, "redaction_failed", f"the event could not be redacted ({error})")
        except Exception as error:  # noqa: BLE001 - whatever it is, the event must end, and its text stay out of the log
            log.error("a case failed in the LLM tier: %s", type(error).__name__)  # noqa: TRY400 - see above
            return unasked(case, "failed", f"the LLM tier failed ({type(error).__name__})")

    async def _consult(self, case: Case) -> LlmOpinion:
        decision = self._policy.decision(case.triaged)
        if decision.policy == "never":
            return unasked(case, "kept_inside", "policy keeps this event inside")
        if self._shedding.sheds(case.risk, self._backlog()):
            return unasked(
                case,
                "shed",
                "too many cases wait for the LLM and this one is among the least uncertain",
            )
        briefing = await self._briefer.brief(case, decision)
        weighing = _Weighing(
            case, self._limits, self._deciding[case.event.domain], self._high_impact
        )
        consultation = await self._cascade.ask(
            briefing.question,
            case.event.tenant,
            enough=lambda answer: not weighing.of(answer).needs_person,
        )
        enrichment = _enrichment(briefing, consultation)
        if consultation.answer is None:
            reason = f"the LLM gave no answer: {consultation.explanation}"
            return LlmOpinion(enrichment, dict(case.triaged.labels), True, [reason])
        combined = weighing.last
        return LlmOpinion(enrichment, combined.labels, combined.needs_person, combined.reasons)


class _Weighing:
    """The answers about one case, tier by tier: what an earlier one has raised a later one may not lower."""

    def __init__(
        self, case: Case, limits: LimitOptions, deciding: Sequence[str], high_impact: HighImpact
    ) -> None:
        self._event = case.event
        self._small = case.triaged.labels
        self._labels = dict(case.triaged.labels)
        self._limits = limits
        self._deciding = deciding
        self._high_impact = high_impact
        self.last = Combined(self._labels, True, [])

    def of(self, answer: Answer) -> Combined:
        """What to make of the case after this answer."""
        combined = combine(self._labels, answer, deciding=self._deciding, limits=self._limits)
        self._labels |= {
            axis: label for axis, label in combined.labels.items() if axis in self._limits.orders
        }
        high_impact = self._high_impact(self._event, combined.labels)
        # Raised by one tier and repeated by the next, a label is still not what the small model was confident of.
        overruled = any(
            not label.abstained and combined.labels[axis].value != label.value
            for axis, label in self._small.items()
        )
        self.last = Combined(
            combined.labels,
            combined.needs_person or overruled or high_impact,
            [*combined.reasons, *(["high impact"] if high_impact else [])],
        )
        return self.last


def unasked(case: Case, status: str, reason: str) -> LlmOpinion:
    """The opinion about a case no LLM was asked about."""
    return LlmOpinion(Enrichment(status=status), dict(case.triaged.labels), True, [reason])


def _enrichment(briefing: PromptContext, consultation: Consultation) -> Enrichment:
    enrichment = Enrichment(
        status=consultation.status,
        model=consultation.model,
        tier=consultation.tier,
        calls=consultation.calls,
        quoted=list(briefing.quoted),
        redactions=dict(briefing.redaction.counts) if briefing.redaction else {},
        prompt_tokens=consultation.usage.prompt_tokens,
        completion_tokens=consultation.usage.completion_tokens,
        cost_usd=consultation.cost_usd,
        latency_s=round(consultation.latency_s, 3),
    )
    if consultation.answer is None:
        return enrichment
    return replace(
        enrichment,
        summary=briefing.restored(consultation.answer.summary),
        rationale=briefing.restored(consultation.answer.rationale),
    )
