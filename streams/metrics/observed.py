"""What happens to events, and what is so now, as values of the metrics."""

import math
import time
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace
from prometheus_client import generate_latest

from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from inference.acceptance.watch import STATES, WatchReport
from inference.learning.agreement import Agreement
from schemas.event import Domain
from schemas.label_record import LabelRecord
from schemas.triaged import DecidedBy, Enrichment, TriagedEvent
from streams.kafka.offsets import Partition
from streams.metrics.declared import DeclaredMetrics
from streams.metrics.recent import QueueShares, RecentDecisions
from streams.problems import Problem

FINAL_OUTCOMES: dict[DecidedBy, str] = {
    "rule": "ruled",
    "slm": "accepted",
    "llm": "answered",
    "human": "triaged",
}
BREAKER_STATES = ("closed", "half_open", "open")
UNFAMILIAR = "unfamiliar"
"""An escalation reason: such events are a category of the mix, whatever their labels say."""

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


class Metrics(DeclaredMetrics):
    """The metrics of the worker, and the methods that set them.

    `usual_queues` gives for each domain the share of each queue among the model's answers on its
    calibration sample.
    """

    def __init__(self, usual_queues: Mapping[Domain, QueueShares] | None = None) -> None:
        super().__init__()
        self._observers: list[Callable[[Metrics], None]] = []
        self._truncated: dict[Domain, int] = {}
        self._encoded: dict[tuple[Domain, str], int] = {}
        self._recent: dict[Domain, RecentDecisions] = {}
        self.expect_queues(usual_queues or {})

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
        recent = self._recent.setdefault(domain, RecentDecisions({}))
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
        self._recent = {domain: RecentDecisions(shares) for domain, shares in usual_queues.items()}

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
