"""How an escalated event ends: the rule that both the classify and the enrichment agent follow."""

from msgspec.structs import replace

from agents.outcomes import Escalated, Incoming, Reviewed
from agents.revision import queue_of, successor
from inference.llm.opinion import LlmOpinion, unasked
from schemas.triaged import Case, TriagedEvent

HIGH_IMPACT = "high_impact"
"""The escalation reason of an event that the small model accepted and a person must see anyway."""


def never_asked(case: Case) -> LlmOpinion | None:
    """Why no LLM is ever asked about a case, as far as the case alone says it; else None."""
    if case.escalation == HIGH_IMPACT:
        # The small model is sure of it, and only a person may end it.
        return unasked(case, HIGH_IMPACT, "no question for an LLM")
    return None


def escalated(case: Case, incoming: Incoming) -> Escalated | Reviewed:
    """The outcome of an event that the small model does not end.

    If no LLM would be asked about it, it ends with a person at once: on the enrichment topic it
    would wait behind cases that a slow LLM is asked about.
    """
    opinion = never_asked(case)
    if opinion is None:
        return Escalated(case)
    return Reviewed(
        replace(case, triaged=revised(case, opinion, incoming)), provisional=case.triaged
    )


def revised(case: Case, opinion: LlmOpinion, incoming: Incoming) -> TriagedEvent:
    """The revision that ends an escalated event; see `successor` for what it raises."""
    triaged = case.triaged
    if opinion.needs_person:
        status, reasons = "needs_review", [*opinion.reasons, "a person decides"]
        changed = opinion.labels != triaged.labels
    else:
        status, reasons, changed = "final", opinion.reasons, True
    return replace(
        successor(triaged, incoming),
        status=status,
        decided_by="llm" if changed else triaged.decided_by,
        labels=opinion.labels,
        queue=queue_of(opinion.labels, triaged.queue),
        reasons=[*triaged.reasons, *reasons],
        enrichment=opinion.enrichment,
        cost_usd=triaged.cost_usd + opinion.enrichment.cost_usd,
    )
