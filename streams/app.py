"""The map: every topic, the agent that reads it, and where its outcomes go.

    alerts, tickets ─▶ classify ─┬─▶ triaged            accepted: revision 0, final
                                 └─▶ triaged + enrichment   unsure: revision 0, provisional
    enrichment      ─▶ enrich   ───▶ triaged + review    revision 1, needs_review while no LLM is configured
    feedback        ─▶ feedback ───▶ triaged             the next revision, by a person
    (any of them)               ───▶ deadletter          what could not be processed

Every event ends in exactly one of these; its offset is committed only after the broker has acknowledged all of
its outputs (`lane.py`, `ledger.py`).
"""

from collections.abc import Callable, Collection
from functools import partial

from agents.classify import classify
from agents.enrich import enrich
from agents.feedback import apply_feedback
from inference.classifier import Classifier
from streams.config import AgentName, Settings
from streams.consumption import Consumption
from streams.delivery import Delivery
from streams.lane import Lane, Process
from streams.metrics import Metrics
from streams.topics import Topics


def build(
    settings: Settings,
    *,
    agents: Collection[AgentName],
    classifier: Classifier,
    delivery: Delivery,
    metrics: Metrics,
    fail: Callable[[BaseException], None],
) -> Consumption:
    """Wire configuration, topics and agents together; nothing is connected yet."""
    topics = Topics(settings.topics.prefix)
    consumption = Consumption(settings, metrics=metrics, fail=fail)
    triage = partial(classify, classifier=classifier, mappings=settings.mappings)

    def route(topic: str, name: str, process: Process) -> None:
        lane = Lane(
            name,
            process,
            pipeline=settings.pipeline,
            topics=topics,
            delivery=delivery,
            ledger=consumption.ledger,
            metrics=metrics,
            fail=fail,
        )
        consumption.route(topic, lane)

    if "classify" in agents:
        route(topics.input("alerts"), "classify-alerts", partial(triage, kind="alert"))
        route(topics.input("tickets"), "classify-tickets", partial(triage, kind="ticket"))
    if "enrich" in agents:
        route(topics.enrichment, "enrich", enrich)
    if "feedback" in agents:
        route(topics.feedback, "feedback", apply_feedback)
    return consumption
