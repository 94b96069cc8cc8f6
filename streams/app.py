"""The map: every topic, the agent that reads it, and where its outcomes go.

    alerts, tickets ─▶ rules, classify ─┬─▶ triaged               decided: revision 0, final
                                        ├─▶ triaged + enrichment  unsure, or of high impact: revision 0, provisional
                                        └─▶ triaged + review      a rule wants a person: revision 0, needs_review
    enrichment      ─▶ enrich ──────────┬─▶ triaged               answered by the LLM: revision 1, final
                                        └─▶ triaged + review      for a person: revision 1, needs_review
    feedback        ─▶ feedback ──────────▶ triaged               the next revision, by a person
    (any of them)                       ──▶ deadletter            what could not be processed
    (every decision)                    ──▶ audit                 one record more on its tenant's chain

Every event ends in exactly one of these; its offset is committed only after the broker has acknowledged all of
its outputs (`lane.py`, `ledger.py`).
"""

from collections.abc import Callable, Collection
from functools import partial

from agents.classify import classify
from agents.feedback import apply_feedback
from inference.classifier import Classifier
from inference.rules.ruling import Rules
from streams.audit.trail import AuditTrail
from streams.config import AgentName, Settings
from streams.enrichment import EnrichmentAgent
from streams.kafka.producer import Producer
from streams.metrics import Metrics
from streams.pipeline.agent_pipeline import AgentPipeline, Process
from streams.pipeline.consumer import GroupConsumer
from streams.topics import Topics


def build(
    settings: Settings,
    *,
    agents: Collection[AgentName],
    classifier: Classifier,
    rules: Rules,
    producer: Producer,
    audit: AuditTrail,
    metrics: Metrics,
    fail: Callable[[BaseException], None],
) -> tuple[GroupConsumer, EnrichmentAgent]:
    """Wire configuration, topics and agents together; nothing is connected yet."""
    topics = Topics(settings.topics.prefix)
    consumption = GroupConsumer(settings, metrics=metrics, fail=fail)
    triage = partial(classify, classifier=classifier, rules=rules, mappings=settings.mappings)
    enrichment = EnrichmentAgent(
        settings, classifier, rules, backlog=lambda: consumption.backlog(topics.enrichment)
    )
    consumption.when_assigned(enrichment.answered.forget)

    def route(topic: str, name: str, process: Process, *, in_order: bool = True) -> None:
        lane = AgentPipeline(
            name,
            process,
            pipeline=settings.pipeline if in_order else enrichment.pipeline,
            topics=topics,
            producer=producer,
            offsets=consumption.offsets,
            audit=audit,
            metrics=metrics,
            fail=fail,
            in_order=in_order,
        )
        consumption.route(topic, lane)

    if "classify" in agents:
        route(topics.input("alerts"), "classify-alerts", partial(triage, kind="alert"))
        route(topics.input("tickets"), "classify-tickets", partial(triage, kind="ticket"))
    if "enrich" in agents:
        route(topics.enrichment, "enrich", enrichment, in_order=not settings.llm.tiers)
    if "feedback" in agents:
        route(topics.feedback, "feedback", apply_feedback)
    return consumption, enrichment
