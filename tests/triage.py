"""Records through reading and the classify agent, as a pipeline takes them."""

from collections.abc import Sequence
from typing import Any

from agents import classify as agent
from agents.outcomes import Incoming, Outcome
from agents.reading import read


async def read_all(batch: Sequence[Incoming], **options: Any) -> list[Incoming]:
    """The events of all records, in order; `options` are those of `agents.reading.read`."""
    return [event for record in batch for event in await read(record, **options)]


async def classify(
    batch: Sequence[Incoming], *, classifier: Any, rules: Any, **options: Any
) -> list[Outcome]:
    """Triage records: one outcome per event, in order."""
    domains = options.pop("domains", classifier.domains)
    events = await read_all(batch, domains=domains, **options)
    return await agent.classify(events, classifier=classifier, rules=rules)
