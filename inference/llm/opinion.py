"""What the LLM tiers say about a case."""

from dataclasses import dataclass

from schemas.triaged import Case, Enrichment, Label


@dataclass(frozen=True, slots=True)
class LlmOpinion:
    """What the LLM tiers say about a case.

    Without an answer, the labels do not change and `reasons` says why. `needs_person` is false only
    for an answer that may stand alone.
    """

    enrichment: Enrichment
    labels: dict[str, Label]
    needs_person: bool
    reasons: list[str]


def unasked(case: Case, status: str, reason: str) -> LlmOpinion:
    """Return the result for a case that no LLM was asked about."""
    return LlmOpinion(Enrichment(status=status), dict(case.triaged.labels), True, [reason])
