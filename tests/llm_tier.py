"""The LLM tier as a worker opens it, and cases for it.

The small model is a stand-in that needs no weights.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import numpy as np

from agents.enrich import enrich
from agents.outcomes import Outcome
from inference.labels.renames import NO_RENAMES, Renames
from inference.llm.options import EndpointOptions, LlmOptions, PriceOptions
from inference.rules.options import ImpactOptions
from inference.rules.ruling import Rules
from schemas.agreement import input_digest
from schemas.event import DOMAINS, Domain, Event, Origin
from schemas.triaged import Alternative, Case, Label, TriagedEvent
from streams.config import Settings
from streams.enrichment import EnrichmentAgent
from tests.records import record, triaged

LABELS: dict[Domain, dict[str, tuple[str, ...]]] = {
    "alerts": {
        "tactic": ("execution", "exfiltration", "initial-access"),
        "queue": ("endpoint", "cloud", "identity"),
        "severity": ("informational", "low", "medium", "high", "critical"),
    },
    "tickets": {
        "queue": ("card", "transfer", "top_up", "out_of_scope"),
        "intent": ("lost_or_stolen_card", "top_up_failed"),
        "priority": ("urgent", "high", "normal", "low"),
    },
}
PRICES = PriceOptions(input_usd_per_million=1.0, output_usd_per_million=2.0)


class NoModel:
    """A stand-in for the classifier, with the methods that the tier calls."""

    domains = DOMAINS
    label_sets = LABELS

    def __init__(
        self,
        described: Mapping[str, Mapping[str, str]] | None = None,
        renames: Renames = NO_RENAMES,
    ) -> None:
        self.renames = renames
        self._described = {axis: dict(labels) for axis, labels in (described or {}).items()}

    def labels(self, domain: Domain) -> dict[str, tuple[str, ...]]:
        """The labels of a domain."""
        return LABELS[domain]

    def descriptions(self, _: Domain) -> dict[str, dict[str, str]]:
        """What labels of every domain mean, by axis."""
        return self._described

    async def embed(self, _: Domain, events: Sequence[Event]) -> Any:
        """Give all events the same vector."""
        return np.tile(np.array([1.0, 0.0], dtype=np.float32), (len(events), 1))


def endpoint(base_url: str, **changes: Any) -> EndpointOptions:
    """An endpoint with a price."""
    return msgspec.structs.replace(
        EndpointOptions(base_url=base_url, model="m", prices=PRICES, concurrency=32),
        **changes,
    )


def configured(
    *endpoints: EndpointOptions, settings: Settings | None = None, **llm: Any
) -> Settings:
    """Settings with these endpoints as tiers, in order."""
    names = [f"tier-{number}" for number in range(len(endpoints))]
    options = LlmOptions(tiers=names, endpoints=dict(zip(names, endpoints, strict=True)))
    return msgspec.structs.replace(
        settings or Settings(), llm=msgspec.structs.replace(options, **llm)
    )


@asynccontextmanager
async def tier(
    settings: Settings,
    backlog: Callable[[], int] = lambda: 0,
    *,
    described: Mapping[str, Mapping[str, str]] | None = None,
    renames: Renames = NO_RENAMES,
) -> AsyncIterator[EnrichmentAgent]:
    """The enrichment agent with these settings; `end` puts cases through it."""
    rules = Rules.of(settings.rules, ImpactOptions(), LABELS)
    classifier: Any = NoModel(described, renames)
    enrichment = EnrichmentAgent(settings, classifier, rules, backlog)
    try:
        yield enrichment
    finally:
        await enrichment.stop()


class Forgetful:
    """A memory that keeps no answer, so that equal cases are each asked about."""

    def turn(self, _: Case) -> asyncio.Lock:
        """Return a new lock, so that no case waits for another."""
        return asyncio.Lock()

    async def find(self, *_: object) -> TriagedEvent | None:
        """Return None: nothing was answered before."""
        return None

    def note(self, _: TriagedEvent) -> None:
        """Forget it."""


async def end(enrichment: EnrichmentAgent, *cases: Case) -> list[Outcome]:
    """Put cases through the agent."""
    batch = [
        record(case, topic="triage.enrichment.v1", offset=offset)
        for offset, case in enumerate(cases)
    ]
    return await enrich(batch, consultant=enrichment.consultant, memory=Forgetful())


def escalated(event: Event, *, offset: int = 0, **values: str | Label) -> Case:
    """The case of an event that was read at an offset.

    The small model abstains on every axis for which `values` has no whole label.
    """
    labels = {
        axis: _label(names, values.get(axis, names[0]))
        for axis, names in LABELS[event.domain].items()
    }
    decision: TriagedEvent = triaged(
        event.id,
        domain=event.domain,
        tenant=event.tenant,
        source=event.source,
        status="provisional",
        labels=labels,
        queue=labels["queue"].value,
        reasons=["unsure"],
        origin=Origin(topic=f"triage.{event.domain}.v1", partition=0, offset=offset),
        input_digest=input_digest(event),
    )
    return Case(event=event, triaged=decision, risk=0.6)


def _label(names: Sequence[str], value: str | Label) -> Label:
    if isinstance(value, Label):
        return value
    others = [Alternative(value=name, confidence=0.2) for name in names if name != value][:2]
    return Label(value=value, confidence=0.5, alternatives=others, abstained=True)
