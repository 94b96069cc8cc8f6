"""Takes one case through the LLM tiers.

It checks whether the event may leave and whether there is time for it, asks the tiers, and decides
what the answer changes.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from inference.egress.policy import Policy
from inference.errors import RedactionFailed
from inference.llm.cascade import Cascade, Consultation
from inference.llm.combining import Combined, combine, keep_guarded_queue
from inference.llm.opinion import LlmOpinion, unasked
from inference.llm.options import LimitOptions
from inference.llm.prompt.context import PromptContext, PromptWriter
from inference.llm.prompt.prompt import Answer
from inference.llm.shedding import Shedding
from schemas.event import Domain, Event
from schemas.formats.stated import stated_level
from schemas.triaged import Case, Enrichment, Label

log = logging.getLogger(__name__)

Labels = Mapping[str, Label]
WhyPerson = Callable[[Event, Labels], str]


class Consultant:
    """Asks the LLM tiers about cases; safe for concurrent callers of one event loop.

    It raises no error because of an event.

    Args:
        cascade: the LLM tiers.
        prompt_writer: writes the prompt about a case.
        policy: the egress policy.
        deciding: the axes of each domain that must be right.
        limits: what the LLM may not do alone.
        why_person: says why a person must see an event with these labels, whoever decided it;
            empty if nobody must.
        shedding: chooses the cases to shed.
        backlog: returns the number of cases that are waiting.
    """

    def __init__(
        self,
        cascade: Cascade,
        prompt_writer: PromptWriter,
        policy: Policy,
        *,
        deciding: Mapping[Domain, Sequence[str]],
        limits: LimitOptions,
        why_person: WhyPerson,
        shedding: Shedding,
        backlog: Callable[[], int],
    ) -> None:
        self._cascade = cascade
        self._prompt_writer = prompt_writer
        self._policy = policy
        self._deciding = deciding
        self._limits = limits
        self._why_person = why_person
        self._shedding = shedding
        self._backlog = backlog

    async def consult(self, case: Case) -> LlmOpinion:
        """Ask about a case, if policy, backlog, budget and the endpoints allow it."""
        try:
            return await self._consult(case)
        except RedactionFailed as error:
            return unasked(case, "redaction_failed", f"the event could not be redacted ({error})")
        # Whatever it is, the event must end, and its text must not reach the log. So the log gets
        # the class of the error, without message and traceback.
        except Exception as error:  # noqa: BLE001 - see above
            name = type(error).__name__
            log.error("a case failed in the LLM tier: %s", name)  # noqa: TRY400 - see above
            return unasked(case, "failed", f"the LLM tier failed ({name})")

    async def _consult(self, case: Case) -> LlmOpinion:
        decision = self._policy.strictest(case.event, case.triaged)
        if decision.policy == "never":
            return unasked(case, "kept_inside", "policy keeps this event inside")
        if self._shedding.sheds(case.risk, self._backlog()):
            return unasked(
                case,
                "shed",
                "too many cases wait for the LLM and this one is among the least uncertain",
            )
        context = await self._prompt_writer.write(case, decision)
        results = _TierResults(
            case, self._limits, self._deciding[case.event.domain], self._why_person
        )
        consultation = await self._cascade.ask(
            context.prompt,
            case.event.tenant,
            domain=case.event.domain,
            enough=lambda answer: not results.add(answer).needs_person,
        )
        enrichment = _enrichment(context, consultation)
        if consultation.answer is None:
            reason = f"the LLM gave no answer: {consultation.explanation}"
            return LlmOpinion(enrichment, dict(case.triaged.labels), True, [reason])
        combined = results.last
        return LlmOpinion(enrichment, combined.labels, combined.needs_person, combined.reasons)


class _TierResults:
    """Combines the answers about one case, tier by tier.

    If an earlier tier has raised a label, a later tier may not lower it.
    """

    def __init__(
        self, case: Case, limits: LimitOptions, deciding: Sequence[str], why_person: WhyPerson
    ) -> None:
        self._event = case.event
        self._stated = stated_level(case.event)
        self._small_model_labels = case.triaged.labels
        self._labels = dict(case.triaged.labels)
        self._limits = limits
        self._deciding = deciding
        self._why_person = why_person
        self.last = Combined(self._labels, True, [])

    def add(self, answer: Answer) -> Combined:
        """Return the result for the case after this answer."""
        combined = keep_guarded_queue(
            combine(self._labels, answer, deciding=self._deciding, limits=self._limits),
            self._small_model_labels,
            stated=self._stated,
            deciding=self._deciding,
            limits=self._limits,
        )
        self._labels |= {
            axis: label for axis, label in combined.labels.items() if axis in self._limits.orders
        }
        reasons = list(combined.reasons)
        why_person = self._why_person(self._event, combined.labels)
        if why_person:
            reasons.append(why_person)
        needs_person = combined.needs_person or bool(why_person) or self._overrules(combined.labels)
        self.last = Combined(combined.labels, needs_person, reasons)
        return self.last

    def _overrules(self, labels: Labels) -> bool:
        """Whether the labels differ from one that the small model was confident of.

        `combine` does not see this if one tier has raised a label and the next one repeats it.
        """
        return any(
            not label.abstained and labels[axis].value != label.value
            for axis, label in self._small_model_labels.items()
        )


def _enrichment(context: PromptContext, consultation: Consultation) -> Enrichment:
    enrichment = Enrichment(
        status=consultation.status,
        model=consultation.model,
        tier=consultation.tier,
        calls=consultation.calls,
        quoted=list(context.quoted_ids),
        redactions=context.redactions,
        prompt_tokens=consultation.usage.prompt_tokens,
        completion_tokens=consultation.usage.completion_tokens,
        cost_usd=consultation.cost_usd,
        latency_s=round(consultation.latency_s, 3),
    )
    if consultation.answer is None:
        return enrichment
    return replace(
        enrichment,
        summary=context.restored(consultation.answer.summary),
        rationale=context.restored(consultation.answer.rationale),
    )
