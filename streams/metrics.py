"""Every metric, declared once with its unit and meaning.

Metrics are attributes, so that a mistyped name is a type error and not a new series.
"""

import collections
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace
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
from inference.acceptance.mix import MixWatch
from inference.acceptance.watch import STATES, WatchReport
from inference.learning.agreement import Agreement
from schemas.event import Domain
from schemas.label_record import LabelRecord
from schemas.triaged import DecidedBy, Enrichment, TriagedEvent
from streams.kafka.offsets import Partition
from streams.problems import Problem

log = logging.getLogger(__name__)

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
RECORD_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
RECENT_EVENTS = 1000
MIX_DELTA = 0.01
"""With this probability a worker ever says that the mix has changed although it has not."""
MIX_EVERY_S = 5.0
"""The mix is judged by one event in so many seconds, so that a burst does not count as a change."""
UNFAMILIAR = "unfamiliar"
"""An escalation reason: such events are a category of the mix, whatever their labels say."""

QueueShares = Mapping[str, float]

NO_CHECKS = WatchReport(
    state="in_doubt",
    checks=0,
    wrong=0,
    estimate=None,
    lower=0.0,
    upper=1.0,
    evidence=0.0,
    threshold=0.0,
    breaches=(),
    limit=0.0,
)

# Otherwise every counter has a second series that nothing here reads.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(slots=True)
class _Recent:
    """The last decisions of one domain: which were accepted, and to which queues they went."""

    usual: QueueShares
    accepted: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    queues: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    mix: MixWatch = field(default_factory=lambda: MixWatch(MIX_DELTA))
    mixed_at_s: float = -math.inf

    def note_mix(self, domain: Domain, category: str, at_s: float) -> None:
        """Take an event for the mix, if the last one was long enough ago."""
        if at_s - self.mixed_at_s < MIX_EVERY_S or self.mix.changed is not None:
            return
        self.mixed_at_s = at_s
        self.mix.add(category, at_s)
        if self.mix.changed is not None:
            log.warning(
                "the mix of %s has changed: there are more events of the category %s than among "
                "the first ones; see whether the model was calibrated on such events",
                domain,
                self.mix.changed,
            )

    def coverage(self) -> float:
        return sum(self.accepted) / len(self.accepted)

    def drift(self) -> float:
        """Total variation distance of the recent queues from those of the calibration sample."""
        seen = collections.Counter(self.queues)
        names = self.usual.keys() | seen.keys()
        return (
            sum(abs(seen[name] / len(self.queues) - self.usual.get(name, 0.0)) for name in names)
            / 2
        )


class Metrics:
    """The metrics of the worker, in a registry of their own.

    `usual_queues` gives for each domain the share of each queue among the model's answers on its
    calibration sample.
    """

    def __init__(self, usual_queues: Mapping[Domain, QueueShares] | None = None) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._observers: list[Callable[[Metrics], None]] = []
        self._recent: dict[Domain, _Recent] = {
            domain: _Recent(shares) for domain, shares in (usual_queues or {}).items()
        }
        self._declare_events()
        self._declare_promise()
        self._declare_models()
        self._declare_partitions()
        self._declare_llm()

    def _declare_events(self) -> None:
        self.events = self._counter("events", "Events that ended, by outcome.", "domain", "outcome")
        self.end_to_end = self._histogram(
            "end_to_end_latency_seconds",
            "From entering the input topic until all outputs are acknowledged.",
            "domain",
            buckets=LATENCY_BUCKETS_S,
        )
        self.inference = self._histogram(
            "inference_latency_seconds",
            "Time from the start of the forward pass of an event until it was decided.",
            "domain",
            buckets=LATENCY_BUCKETS_S,
        )
        # The label `lane` names the agent: an old name that users' dashboards rely on.
        self.batch_events = self._histogram(
            "batch_events", "Events in one batch of an agent.", "lane", buckets=BATCH_BUCKETS
        )
        self.record_events = self._histogram(
            "record_events",
            "Events in one record that an agent has read.",
            "lane",
            buckets=RECORD_BUCKETS,
        )
        self.confidence = self._histogram(
            "confidence_ratio",
            "Calibrated confidence of the chosen value.",
            "domain",
            "axis",
            buckets=CONFIDENCE_BUCKETS,
        )
        self.coverage = self._gauge(
            "coverage_ratio",
            "Share of recent events that the small model decided alone.",
            "domain",
        )
        self.drift = self._gauge(
            "drift_ratio",
            "Distance of recent queues from the calibration sample: 0 is alike, 1 is disjoint.",
            "domain",
        )
        self.labelled_rows = self._counter(
            "labelled_rows",
            "Labelled rows written, by who decided and how the event was chosen.",
            "domain",
            "decided_by",
            "chosen",
        )
        self.escalations = self._counter(
            "escalations", "Events sent to enrichment, by reason.", "domain", "reason"
        )
        self.input_truncated = self._counter(
            "input_truncated",
            "Events with more text than the encoder reads. The n-gram head reads more.",
            "domain",
        )
        self._truncated: dict[Domain, int] = {}
        self.encoder_texts = self._counter(
            "encoder_texts",
            "Texts of events and of their parts whose vector was computed or cached.",
            "domain",
            "result",
        )
        self._encoded: dict[tuple[Domain, str], int] = {}
        self.dead_letters = self._counter("dead_letters", "Dead letters, by stage.", "stage")
        self.refused = self._counter(
            "refused_records",
            "Records of internal topics that were not believed, by reason.",
            "topic",
            "reason",
        )

    def _declare_models(self) -> None:
        self.candidate_events = self._gauge(
            "candidate_events", "Events that the present candidate has answered as well.", "domain"
        )
        self.candidate_agreement = self._gauge(
            "candidate_agreement_ratio",
            "Share of these events on which candidate and served model decide the same.",
            "domain",
        )
        self.candidate_coverage = self._gauge(
            "candidate_coverage_ratio",
            "Share of these events that the candidate would have accepted.",
            "domain",
        )

    def _declare_promise(self) -> None:
        self.spot_checks = self._counter(
            "spot_checks", "Accepted events that were drawn to be checked by a person.", "domain"
        )
        self.promise_state = self._gauge(
            "promise_state",
            "1 for what the spot checks say of the promise, 0 for the other states.",
            "domain",
            "state",
        )
        self.promise_checked = self._gauge(
            "promise_checked_events", "Spot checks that people have decided.", "domain"
        )
        self.promise_wrong = self._gauge(
            "promise_wrong_events", "Spot checks that were wrong on a deciding axis.", "domain"
        )
        self.promise_risk = self._gauge(
            "promise_risk_ratio",
            "Share of accepted events that is wrong, as the spot checks say.",
            "domain",
            "bound",
        )
        self.promise_threshold = self._gauge(
            "promise_threshold_ratio", "The risk below which events are accepted.", "domain"
        )
        self.promise_read_age = self._gauge(
            "promise_read_age_seconds", "How long ago the spot checks were last read."
        )
        self.mix_change = self._gauge(
            "mix_change_ratio",
            "Evidence that the mix of events has changed: 1 or more is a change.",
            "domain",
        )

    def _declare_partitions(self) -> None:
        self.lag = self._gauge(
            "consumer_lag_events",
            "Records whose outputs are not acknowledged yet.",
            "topic",
            "partition",
        )
        self.progress_age = self._gauge(
            "offset_progress_age_seconds",
            "Age of the oldest record whose outputs are not acknowledged yet.",
            "topic",
            "partition",
        )
        self.problems = self._gauge(
            "problems",
            "1 for each problem that keeps the worker from its events, by kind.",
            "kind",
            "topic",
            "partition",
        )
        self.expired = self._counter(
            "expired_events", "Events that retention deleted before they were read.", "topic"
        )
        self.rewound = self._counter(
            "rewound_partitions",
            "How often a partition was read again from its beginning, because its log was lost.",
            "topic",
        )
        self.commits = self._counter("commits", "Offset commits, by result.", "result")
        self.loop_stall = self._histogram(
            "event_loop_stall_seconds",
            "How much later than asked a sleep of 50 ms ended, because other work held the loop.",
            buckets=LATENCY_BUCKETS_S,
        )
        self.rebalances = self._counter("rebalances", "How often partitions were revoked.")

    def _declare_llm(self) -> None:
        self.enrichments = self._counter(
            "enrichments", "Escalated events that ended, by what the LLM tier did.", "status"
        )
        self.llm_calls = self._counter(
            "llm_calls", "Requests sent to an LLM endpoint, by how the event ended.", "status"
        )
        self.llm_tokens = self._counter(
            "llm_tokens", "Tokens that the LLM endpoints billed, by direction.", "direction"
        )
        self.llm_cost = self._counter("llm_cost_usd", "What the LLM has cost, in US dollars.")
        self.llm_latency = self._histogram(
            "llm_latency_seconds",
            "From the first request about an event to the last answer.",
            buckets=LLM_LATENCY_BUCKETS_S,
        )
        self.llm_breaker = self._gauge(
            "llm_breaker_state",
            "1 for the state of an endpoint's circuit breaker, 0 for the other states.",
            "endpoint",
            "state",
        )
        self.llm_spent = self._gauge(
            "llm_spent_today_usd", "Dollars of today's budget that all workers have spent."
        )
        self.llm_budget = self._gauge("llm_budget_usd", "The LLM budget of one day, in US dollars.")
        self.redactions = self._counter(
            "llm_redactions",
            "Values that were replaced before an event left the house, by kind.",
            "kind",
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"triage_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"triage_{name}", meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, *labels: str, buckets: Sequence[float]
    ) -> Histogram:
        return Histogram(f"triage_{name}", meaning, labels, buckets=buckets, registry=self.registry)

    def count(self, outcome: Outcome, incoming: Incoming) -> None:
        """Count one event whose outputs are acknowledged."""
        match outcome:
            case Triaged(triaged):
                self._decided(triaged, incoming, FINAL_OUTCOMES[triaged.decided_by])
                self._kept(outcome.row)
                if outcome.spot_check is not None:
                    self.spot_checks.labels(domain=triaged.domain).inc()
            case Escalated(case):
                self._decided(case.triaged, incoming, "escalated", case.escalation)
                self.escalations.labels(domain=case.triaged.domain, reason=case.escalation).inc()
            case Reviewed(case, provisional):
                if provisional is not None:
                    self.count(Escalated(replace(case, triaged=provisional)), incoming)
                self.events.labels(domain=case.triaged.domain, outcome="needs_review").inc()
                self._enriched(case.triaged.enrichment)
            case DeadLettered(stage=stage):
                self.events.labels(domain="unknown", outcome="dead_letter").inc()
                self.dead_letters.labels(stage=stage).inc()

    def _decided(
        self, triaged: TriagedEvent, incoming: Incoming, outcome: str, escalation: str = ""
    ) -> None:
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
        category = triaged.queue
        if escalation == UNFAMILIAR:
            category = UNFAMILIAR
        recent.note_mix(domain, category, incoming.received_at_s)

    def _kept(self, row: LabelRecord | None) -> None:
        if row is not None:
            self.labelled_rows.labels(
                domain=row.domain, decided_by=row.decided_by, chosen=row.chosen
            ).inc()

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

    def note_refused(self, topic: str, reason: str) -> None:
        """Count a record of an internal topic that was not believed."""
        self.refused.labels(topic=topic, reason=reason).inc()

    def observe_partitions(
        self, lag: Mapping[Partition, int], age_s: Mapping[Partition, float]
    ) -> None:
        """Set the gauges of the assigned partitions; those of other partitions disappear."""
        self.lag.clear()
        self.progress_age.clear()
        for partition, events in lag.items():
            self.lag.labels(topic=partition.topic, partition=partition.partition).set(events)
        for partition, seconds in age_s.items():
            self.progress_age.labels(topic=partition.topic, partition=partition.partition).set(
                seconds
            )

    def observe_problems(self, problems: Iterable[Problem]) -> None:
        """Set the gauge of the problems that there are now."""
        self.problems.clear()
        for kind, partition, _ in problems:
            topic, number = partition or ("", "")
            self.problems.labels(kind=kind, topic=topic, partition=number).set(1)

    def observe_llm(self, breakers: Mapping[str, str], spent_usd: float, budget_usd: float) -> None:
        """Set the gauges of the LLM tier; `breakers` gives the state of each endpoint's breaker."""
        for endpoint, now in breakers.items():
            for state in BREAKER_STATES:
                self.llm_breaker.labels(endpoint=endpoint, state=state).set(state == now)
        self.llm_spent.set(spent_usd)
        self.llm_budget.set(budget_usd)

    def observe_promise(
        self,
        reports: Mapping[Domain, WatchReport],
        thresholds: Mapping[Domain, float],
        read_age_s: float,
    ) -> None:
        """Set the gauges of the promise, by domain. A domain without checks is in doubt."""
        self.promise_read_age.set(read_age_s)
        for domain, threshold in thresholds.items():
            self.promise_threshold.labels(domain=domain).set(threshold)
            report = reports.get(domain, NO_CHECKS)
            for state in STATES:
                gauge = self.promise_state.labels(domain=domain, state=state)
                gauge.set(state == report.state)
            self.promise_checked.labels(domain=domain).set(report.checks)
            self.promise_wrong.labels(domain=domain).set(report.wrong)
            bounds = {"estimate": report.estimate, "lower": report.lower, "upper": report.upper}
            for bound, risk in bounds.items():
                value = math.nan if risk is None else risk
                self.promise_risk.labels(domain=domain, bound=bound).set(value)

    def expect_queues(self, usual_queues: Mapping[Domain, QueueShares]) -> None:
        """Compare with the queues of other models from now on."""
        self._recent = {domain: _Recent(shares) for domain, shares in usual_queues.items()}

    def observe_candidate(self, agreements: Mapping[Domain, Agreement]) -> None:
        """Set the gauges of the candidate; without one, there are none."""
        for gauge in (self.candidate_events, self.candidate_agreement, self.candidate_coverage):
            gauge.clear()
        for domain, agreement in agreements.items():
            self.candidate_events.labels(domain=domain).set(agreement.events)
            if agreement.events:
                self.candidate_agreement.labels(domain=domain).set(agreement.share_same)
                self.candidate_coverage.labels(domain=domain).set(agreement.candidate_coverage)

    def observe_truncated(self, truncated: Mapping[Domain, int]) -> None:
        """Count the events whose text was cut since the last call; `truncated` counts all."""
        for domain, count in truncated.items():
            self.input_truncated.labels(domain=domain).inc(count - self._truncated.get(domain, 0))
            self._truncated[domain] = count

    def observe_encoded(self, texts: Mapping[tuple[Domain, str], int]) -> None:
        """Count the texts since the last call, by domain and result; `texts` counts all."""
        for key, count in texts.items():
            self.encoder_texts.labels(*key).inc(count - self._encoded.get(key, 0))
            self._encoded[key] = count

    def when_rendered(self, observe: Callable[["Metrics"], None]) -> None:
        """Call `observe` before every rendering, to set gauges."""
        self._observers.append(observe)

    def render(self) -> bytes:
        """The Prometheus text format."""
        for observe in self._observers:
            observe(self)
        for domain, recent in self._recent.items():
            if recent.queues:
                self.coverage.labels(domain=domain).set(recent.coverage())
                self.mix_change.labels(domain=domain).set(recent.mix.evidence)
                if recent.usual:
                    self.drift.labels(domain=domain).set(recent.drift())
        return generate_latest(self.registry)
