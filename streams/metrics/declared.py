"""Every metric, declared once with its unit and meaning.

Metrics are attributes, so that a mistyped name is a type error and not a new series.
"""

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LLM_LATENCY_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RECORD_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)

# Otherwise every counter has a second series that nothing here reads.
disable_created_metrics()  # type: ignore[no-untyped-call]


class DeclaredMetrics:
    """The metrics of the worker, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
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
        self.encoder_texts = self._counter(
            "encoder_texts",
            "Texts of events and of their parts whose vector was computed or cached.",
            "domain",
            "result",
        )
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
