"""The map: every topic, the agent that reads it, and where its outcomes go.

    alerts, tickets ─▶ rules, model ─┬─▶ triaged               decided: revision 0, final
                                     ├─▶ triaged + enrichment  not decided: revision 0, provisional
                                     ├─▶ triaged + review      a rule asks for a person: revision 0
                                     ├─▶ triaged + review      high impact: revisions 0 and 1
                                     └─▶ triaged + review      decided, and drawn for a check
    enrichment      ─▶ enrich ───────┬─▶ triaged               answered by the LLM: revision 1
                                     └─▶ triaged + review      for a person: revision 1
    feedback        ─▶ feedback ───────▶ triaged               a person's verdict: next revision
    (a person or the LLM decided)    ──▶ labels                a labelled row, to learn from
    (labels)        ─▶ learn                                   a candidate model, on the disk
    (any of them)                    ──▶ deadletter            what could not be processed
    (every decision, every loss)     ──▶ audit                 one record on its tenant's chain

A record may hold several events. Every event ends in exactly one of these outcomes. The offset of
a record is committed only after the broker has acknowledged all outputs of all of its events
(`pipeline/agent_pipeline.py`, `kafka/offsets.py`).
"""

from collections.abc import Callable, Collection
from functools import partial

from agents.cases import Cases
from agents.decided import Decided
from inference.rules.ruling import Rules
from schemas.event import KIND_OF_DOMAIN
from streams.audit.trail import AuditTrail
from streams.config import AgentName, Settings
from streams.enrichment import EnrichmentAgent
from streams.kafka.producer import Producer
from streams.metrics import Metrics
from streams.models.served import ServedModels
from streams.models.triage import triage
from streams.pipeline.agent_pipeline import AgentPipeline
from streams.pipeline.consumer import GroupConsumer
from streams.pipeline.failures import AtOnce
from streams.topics import Topics
from streams.traces import NO_TRACES, Traces
from streams.trust import Trust
from streams.wiring.feedback import feedback_of
from streams.wiring.model import open_spot_checks, reader_of


def build(
    settings: Settings,
    *,
    agents: Collection[AgentName],
    models: ServedModels,
    rules: Rules,
    producer: Producer,
    audit: AuditTrail,
    metrics: Metrics,
    cases: Cases,
    fail: Callable[[BaseException], None],
    traces: Traces = NO_TRACES,
) -> tuple[GroupConsumer, EnrichmentAgent]:
    """Connect topics and agents as the configuration asks; no connection is opened yet."""
    topics, trust = Topics(settings.topics.prefix), Trust.of(settings, metrics.note_refused)
    on_expired = partial(audit.record_expired, producer=producer)
    consumer = GroupConsumer(settings, metrics=metrics, fail=fail, on_expired=on_expired)
    read_record = reader_of(settings, models.label_sets)
    waiting = partial(consumer.backlog, topics.enrichment)
    enrichment = EnrichmentAgent(settings, models.pinned(), rules, waiting, trust, traces)
    consumer.when_assigned(enrichment.answered.forget)
    agent = partial(
        AgentPipeline,
        topics=topics,
        producer=producer,
        offsets=consumer.offsets,
        audit=audit,
        metrics=metrics,
        fail=fail,
        on_ended=consumer.on_ended,
        keys=trust.keys,
        traces=traces,
    )
    if "classify" in agents:
        drawn = open_spot_checks(settings, trust.keys)
        decide = partial(triage, models=models, rules=rules, spot_checks=drawn)
        for domain, kind in KIND_OF_DOMAIN.items():
            read = partial(read_record, kind=kind, admission=settings.topics.admission(domain))
            pipeline = agent(f"classify-{domain}", decide, pipeline=settings.pipeline, read=read)
            consumer.route(topics.input(domain), pipeline)
    if "enrich" in agents:
        process = AtOnce(trust.guard(enrichment))
        consumer.route(topics.enrichment, agent("enrich", process, pipeline=enrichment.pipeline))
    if "feedback" in agents:
        decided = Decided()
        consumer.when_assigned(decided.forget)
        process = AtOnce(feedback_of(settings, models, trust, read_record, cases, decided))
        consumer.route(topics.feedback, agent("feedback", process, pipeline=settings.pipeline))
    return consumer, enrichment
