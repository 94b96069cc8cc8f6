"""Every metric, declared once with its unit and meaning; a mistyped name is a type error, not a new series."""

import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from schemas.event import Domain
from schemas.triaged import DecidedBy, Enrichment, TriagedEvent
from streams.kafka.offsets import Partition

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LLM_LATENCY_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120)
FINAL_OUTCOMES: dict[DecidedBy, str] = {
    "rule": "ruled",
    "slm": "accepted",
    "llm": "answered",
    "human": "triaged",
}
BREAKER_STATES = ("closed", "half_open", "open")
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
RECENT_EVENTS = 1000

Shares = Mapping[str, float]

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every counter, which nothing here reads


@dataclass(slots=True)
class _Recent:
    """The last decisions of one domain: what share was accepted, and how the queues are spread."""

    usual: Shares
    accepted: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    queues: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))

    def coverage(self) -> float:
        return sum(self.accepted) / len(self.accepted)

    def drift(self) -> float:
        """Total variation distance between the queues seen lately and those the model was calibrated on."""
        seen = Tally(self.queues)
        names = self.usual.keys() | seen.keys()
        return (
            sum(abs(seen[name] / len(self.queues) - self.usual.get(name, 0.0)) for name in names)
            / 2
        )


class Metrics:
    """The worker's metrics in a registry of their own.

    `usual_queues` gives, a domain, the share of each queue among the model's answers on its calibration sample.
    """

    def __init__(self, usual_queues: Mapping[Domain, Shares] | None = None) -> None:
        self.registry = r = CollectorRegistry()
        ProcessCollector(registry=r)
        self._observers: list[Callable[[Metrics], None]] = []
        self._recent: dict[Domain, _Recent] = {
            domain: _Recent(shares) for domain, shares in (usual_queues or {}).items()
        }
        self.events = Counter(
            "triage_events", "Events that ended, by outcome.", ["domain", "outcome"], registry=r
        )
        self.end_to_end = Histogram(
            "triage_end_to_end_latency_seconds",
            "From entering the input topic to the outputs' acknowledgement.",
            ["domain"],
            buckets=LATENCY_BUCKETS_S,
            registry=r,
        )
        self.inference = Histogram(
            "triage_inference_latency_seconds",
            "Wall time of the model call that carried an event.",
            ["domain"],
            buckets=LATENCY_BUCKETS_S,
            registry=r,
        )
        self.batch_events = Histogram(
            "triage_batch_events",
            "Events in one batch of an agent.",
            ["lane"],
            buckets=BATCH_BUCKETS,
            registry=r,
        )
        self.confidence = Histogram(
            "triage_confidence_ratio",
            "Calibrated confidence of the chosen value.",
            ["domain", "axis"],
            buckets=CONFIDENCE_BUCKETS,
            registry=r,
        )
        self.coverage = Gauge(
            "triage_coverage_ratio",
            "Share of recent events the small model decided alone.",
            ["domain"],
            registry=r,
        )
        self.drift = Gauge(
            "triage_drift_ratio",
            "Total variation distance of recent queues from the calibration sample's; 0 alike, 1 disjoint.",
            ["domain"],
            registry=r,
        )
        self.escalations = Counter(
            "triage_escalations",
            "Events sent to enrichment, by reason.",
            ["domain", "reason"],
            registry=r,
        )
        self.dead_letters = Counter(
            "triage_dead_letters", "Dead letters, by stage.", ["stage"], registry=r
        )
        self.lag = Gauge(
            "triage_consumer_lag_events",
            "Records not yet settled.",
            ["topic", "partition"],
            registry=r,
        )
        self.progress_age = Gauge(
            "triage_offset_progress_age_seconds",
            "How long the oldest unsettled record has been in hand.",
            ["topic", "partition"],
            registry=r,
        )
        self.enrichments = Counter(
            "triage_enrichments",
            "Escalated events that ended, by what the LLM tier did.",
            ["status"],
            registry=r,
        )
        self.llm_calls = Counter(
            "triage_llm_calls",
            "Requests sent to an endpoint, by how their event ended.",
            ["status"],
            registry=r,
        )
        self.llm_tokens = Counter(
            "triage_llm_tokens", "Tokens the LLM was paid for.", ["direction"], registry=r
        )
        self.llm_cost = Counter(
            "triage_llm_cost_usd", "What the LLM has cost, in US dollars.", registry=r
        )
        self.llm_latency = Histogram(
            "triage_llm_latency_seconds",
            "From asking the first tier to the last answer about one event.",
            buckets=LLM_LATENCY_BUCKETS_S,
            registry=r,
        )
        self.llm_breaker = Gauge(
            "triage_llm_breaker_state",
            "1 for the state an endpoint's circuit breaker is in: closed, half_open or open.",
            ["endpoint", "state"],
            registry=r,
        )
        self.llm_spent = Gauge(
            "triage_llm_spent_today_usd",
            "Dollars of today's budget that are spent, by all workers.",
            registry=r,
        )
        self.llm_budget = Gauge(
            "triage_llm_budget_usd", "The budget of a day, in US dollars.", registry=r
        )
        self.redactions = Counter(
            "triage_llm_redactions",
            "Values replaced before an event left the house, by kind.",
            ["kind"],
            registry=r,
        )
        self.commits = Counter(
            "triage_commits", "Offset commits, by result.", ["result"], registry=r
        )
        self.rebalances = Counter(
            "triage_rebalances", "Times partitions were taken away.", registry=r
        )

    def count(self, outcome: Outcome, incoming: Incoming) -> None:
        """Note one event that ended: its outputs are acknowledged."""
        match outcome:
            case Triaged(triaged):
                self._decided(triaged, incoming, FINAL_OUTCOMES[triaged.decided_by])
            case Escalated(case):
                self._decided(case.triaged, incoming, "escalated")
                self.escalations.labels(domain=case.triaged.domain, reason=case.escalation).inc()
            case Reviewed(case):
                self.events.labels(domain=case.triaged.domain, outcome="needs_review").inc()
                self._enriched(case.triaged.enrichment)
            case DeadLettered(stage=stage):
                self.events.labels(domain="unknown", outcome="dead_letter").inc()
                self.dead_letters.labels(stage=stage).inc()

    def _decided(self, triaged: TriagedEvent, incoming: Incoming, outcome: str) -> None:
        domain = triaged.domain
        self.events.labels(domain=domain, outcome=outcome).inc()
        if triaged.decided_by != "slm":
            self._enriched(triaged.enrichment if triaged.decided_by == "llm" else None)
            return
        self.end_to_end.labels(domain=domain).observe(
            max(0.0, time.time() - incoming.received_at_s)
        )
        self.inference.labels(domain=domain).observe(triaged.timing.inference_s)
        for axis, label in triaged.labels.items():
            self.confidence.labels(domain=domain, axis=axis).observe(label.confidence)
        recent = self._recent.setdefault(domain, _Recent({}))
        recent.accepted.append(outcome == "accepted")
        recent.queues.append(triaged.queue)

    def _enriched(self, enrichment: Enrichment | None) -> None:
        if enrichment is None:
            return
        self.enrichments.labels(status=enrichment.status).inc()
        if not enrichment.calls:
            return
        self.llm_calls.labels(status=enrichment.status).inc(enrichment.calls)
        self.llm_latency.observe(enrichment.latency_s)
        for kind, count in enrichment.redactions.items():
            self.redactions.labels(kind=kind).inc(count)
        self.llm_tokens.labels(direction="prompt").inc(enrichment.prompt_tokens)
        self.llm_tokens.labels(direction="completion").inc(enrichment.completion_tokens)
        self.llm_cost.inc(enrichment.cost_usd)

    def observe_partitions(
        self, lag: Mapping[Partition, int], age_s: Mapping[Partition, float]
    ) -> None:
        """Set the gauges of assigned partitions; those of partitions no longer ours disappear."""
        self.lag.clear()
        self.progress_age.clear()
        for partition, events in lag.items():
            self.lag.labels(topic=partition.topic, partition=partition.partition).set(events)
        for partition, seconds in age_s.items():
            self.progress_age.labels(topic=partition.topic, partition=partition.partition).set(
                seconds
            )

    def observe_llm(self, breakers: Mapping[str, str], spent_usd: float, budget_usd: float) -> None:
        """Set the gauges of the LLM tier; `breakers` gives the state of each endpoint's."""
        for endpoint, now in breakers.items():
            for state in BREAKER_STATES:
                self.llm_breaker.labels(endpoint=endpoint, state=state).set(state == now)
        self.llm_spent.set(spent_usd)
        self.llm_budget.set(budget_usd)

    def when_rendered(self, observe: Callable[["Metrics"], None]) -> None:
        """Have gauges set whenever somebody looks."""
        self._observers.append(observe)

    def render(self) -> bytes:
        """The Prometheus text format."""
        for observe in self._observers:
            observe(self)
        for domain, recent in self._recent.items():
            if recent.queues:
                self.coverage.labels(domain=domain).set(recent.coverage())
                if recent.usual:
                    self.drift.labels(domain=domain).set(recent.drift())
        return generate_latest(self.registry)
