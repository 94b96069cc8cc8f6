"""The metrics: documented names, base units, and labels with a closed set of values."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from agents.outcomes import DeadLettered, Escalated, Outcome, Reviewed, Triaged
from schemas.triaged import Enrichment, Label
from streams.kafka.offsets import Partition
from streams.metrics import BREAKER_STATES, RECENT_EVENTS, Metrics
from streams.problems import Problem
from tests.doubles import incoming
from tests.records import case, triaged
from tests.unit.test_labels_topic import of_llm, row

DOCUMENTED_LABELS = {
    "triage_events": ["domain", "outcome"],
    "triage_end_to_end_latency_seconds": ["domain"],
    "triage_inference_latency_seconds": ["domain"],
    "triage_batch_events": ["lane"],
    "triage_record_events": ["lane"],
    "triage_confidence_ratio": ["axis", "domain"],
    "triage_coverage_ratio": ["domain"],
    "triage_escalations": ["domain", "reason"],
    "triage_labelled_rows": ["chosen", "decided_by", "domain"],
    "triage_dead_letters": ["stage"],
    "triage_consumer_lag_events": ["partition", "topic"],
    "triage_offset_progress_age_seconds": ["partition", "topic"],
    "triage_problems": ["kind", "partition", "topic"],
    "triage_expired_events": ["topic"],
    "triage_rewound_partitions": ["topic"],
    "triage_drift_ratio": ["domain"],
    "triage_spot_checks": ["domain"],
    "triage_promise_state": ["domain", "state"],
    "triage_promise_checked_events": ["domain"],
    "triage_promise_wrong_events": ["domain"],
    "triage_promise_risk_ratio": ["bound", "domain"],
    "triage_promise_threshold_ratio": ["domain"],
    "triage_promise_read_age_seconds": [],
    "triage_mix_change_ratio": ["domain"],
    "triage_llm_breaker_state": ["endpoint", "state"],
    "triage_enrichments": ["status"],
    "triage_llm_calls": ["status"],
    "triage_llm_tokens": ["direction"],
    "triage_llm_cost_usd": [],
    "triage_llm_latency_seconds": [],
    "triage_llm_redactions": ["kind"],
}
UNITS = ("_seconds", "_bytes", "_ratio", "_events", "_usd", "_state", "_problems")

PAID = Enrichment(
    status="answered",
    model="secret-id",
    tier="secret-id",
    calls=2,
    quoted=["secret-id"],
    redactions={"email": 3, "secret": 1},
    summary="secret-id",
    prompt_tokens=100,
    completion_tokens=20,
    cost_usd=0.25,
    latency_s=1.5,
)
OUTCOMES: list[Outcome] = [
    Triaged(triaged("secret-id"), spot_check=case("secret-id")),
    Escalated(case("secret-id", status="provisional")),
    Triaged(triaged("secret-id", decided_by="llm", revision=1, enrichment=PAID)),
    Reviewed(case("secret-id", status="needs_review", revision=1)),
    Triaged(
        triaged("secret-id", decided_by="human", revision=2, enrichment=PAID),
        row("secret-id", by="secret-id"),
    ),
    DeadLettered("decode", "InvalidEvent", "secret-id is not JSON"),
]


@pytest.fixture
def metrics() -> Metrics:
    """Metrics that have counted one event of each outcome."""
    filled = Metrics({"alerts": {"cloud": 1.0}})
    for outcome in OUTCOMES:
        filled.count(outcome, incoming())
    filled.batch_events.labels(lane="classify-alerts").observe(3)
    filled.record_events.labels(lane="classify-alerts").observe(3)
    filled.observe_partitions(
        {Partition("triage.alerts.v1", 0): 5}, {Partition("triage.alerts.v1", 0): 1.5}
    )
    filled.observe_problems(
        [Problem("damaged", Partition("t", 1), "."), Problem("group", None, ".")]
    )
    filled.expired.labels(topic="t").inc(3)
    filled.rewound.labels(topic="t").inc()
    filled.observe_llm({"small": "open"}, 1.5, 10.0)
    filled.observe_promise({}, {"alerts": 0.1}, 2.0)
    return filled


def families(metrics: Metrics) -> dict[str, Metric]:
    """The metric families that Prometheus reads, by name."""
    return {
        family.name: family for family in text_string_to_metric_families(metrics.render().decode())
    }


def test_every_documented_family_exists(metrics: Metrics) -> None:
    """A dashboard or an alert rule would stay empty."""
    by_name = families(metrics)
    for name, labels in DOCUMENTED_LABELS.items():
        label_sets = {tuple(sorted(set(s.labels) - {"le"})) for s in by_name[name].samples}
        assert label_sets == {tuple(labels)}, name


def test_names_have_our_prefix_and_a_base_unit(metrics: Metrics) -> None:
    """A latency in milliseconds would be read as seconds."""
    for name, family in families(metrics).items():
        # The families with process_ are those that every Prometheus client has.
        assert name.startswith(("triage_", "process_")), name
        assert not name.startswith("triage_") or family.type == "counter" or name.endswith(UNITS), (
            name
        )
        assert family.documentation


def test_no_label_holds_a_value_of_an_event(metrics: Metrics) -> None:
    """Every event would make a new series, until Prometheus runs out of memory."""
    assert b"secret-id" not in metrics.render()
    labels = {
        label
        for family in families(metrics).values()
        for sample in family.samples
        for label in sample.labels
    }
    documented = {label for names in DOCUMENTED_LABELS.values() for label in names}
    assert labels <= documented | {"le", "result"}


def test_each_outcome_is_counted_under_its_name(metrics: Metrics) -> None:
    """The number of events that were read would not equal the number that ended."""
    counts = {
        (sample.labels["domain"], sample.labels["outcome"]): sample.value
        for sample in families(metrics)["triage_events"].samples
    }
    assert counts == {
        ("alerts", "accepted"): 1,
        ("alerts", "answered"): 1,
        ("alerts", "escalated"): 1,
        ("alerts", "needs_review"): 1,
        ("alerts", "triaged"): 1,
        ("unknown", "dead_letter"): 1,
    }


def metrics_after(*outcomes: Outcome) -> Any:
    """Count these outcomes; gives a function from name and labels to the value of a sample."""
    metrics = Metrics()
    for outcome in outcomes:
        metrics.count(outcome, incoming())
    return lambda name, **labels: metrics.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    "outcome",
    [
        Triaged(triaged(decided_by="llm", revision=1, enrichment=PAID)),
        Reviewed(case(status="needs_review", revision=1, enrichment=PAID)),
    ],
    ids=["final", "needs_review"],
)
def test_the_work_of_the_llm_is_counted_once(outcome: Outcome) -> None:
    """The cost on the dashboard would differ from the bill.

    Events that end with a person were paid for as well.
    """
    value = metrics_after(outcome)
    assert value("triage_enrichments_total", status="answered") == 1
    assert value("triage_llm_calls_total", status="answered") == 2
    assert value("triage_llm_tokens_total", direction="prompt") == 100
    assert value("triage_llm_tokens_total", direction="completion") == 20
    assert value("triage_llm_cost_usd_total") == pytest.approx(0.25)
    assert value("triage_llm_latency_seconds_sum") == pytest.approx(1.5)
    assert value("triage_llm_redactions_total", kind="email") == 3
    assert value("triage_llm_redactions_total", kind="secret") == 1


def test_an_event_that_was_not_sent_counts_no_call() -> None:
    """Events that were not sent to the LLM would look like fast answers.

    Their values would be counted as redacted before sending.
    """
    not_sent = Enrichment(status="over_budget", redactions={"email": 3})
    value = metrics_after(Reviewed(case(status="needs_review", revision=1, enrichment=not_sent)))
    assert value("triage_enrichments_total", status="over_budget") == 1
    assert value("triage_llm_calls_total", status="over_budget") is None
    assert value("triage_llm_redactions_total", kind="email") is None
    assert value("triage_llm_latency_seconds_count") == 0


def test_a_verdict_does_not_count_the_llm_call_again() -> None:
    """Every verdict on an enriched event would add its call to the cost a second time."""
    value = metrics_after(Triaged(triaged(decided_by="human", revision=2, enrichment=PAID)))
    assert value("triage_enrichments_total", status="answered") is None
    assert value("triage_llm_cost_usd_total") == 0


def test_spot_checks_are_counted_beside_their_outcome() -> None:
    """Nobody would see whether the drawn share is the configured one."""
    value = metrics_after(Triaged(triaged(), spot_check=case()), Triaged(triaged()))
    assert value("triage_spot_checks_total", domain="alerts") == 1
    assert value("triage_events_total", domain="alerts", outcome="accepted") == 2


def test_a_change_of_the_mix_is_measured_on_few_events(caplog: pytest.LogCaptureFixture) -> None:
    """A burst of one alert would look like a change, or a lasting change like a burst."""
    metrics = Metrics()

    def count(outcome: Outcome, number: int, every_s: float) -> None:
        received_at_s = 1_000_000.0 + number * every_s
        metrics.count(outcome, replace(incoming(), received_at_s=received_at_s))

    for number in range(1_001):
        count(Triaged(triaged(queue=("cloud", "email")[number % 2])), number, 100.0)
    end = 1_001 * 100
    strange = Escalated(case(status="provisional"))
    unfamiliar = Escalated(msgspec.structs.replace(strange.case, escalation="unfamiliar"))
    for _ in range(500):
        count(unfamiliar, end, 1.0)  # a burst in one second
    metrics.render()
    evidence = metrics.registry.get_sample_value("triage_mix_change_ratio", {"domain": "alerts"})
    assert evidence is not None
    assert evidence < 0.1
    for number in range(200):
        count(unfamiliar, end + 10 * number, 1.0)
    metrics.render()
    assert metrics.registry.get_sample_value("triage_mix_change_ratio", {"domain": "alerts"}) == 1
    (warning,) = (each.getMessage() for each in caplog.records)
    assert "the mix of alerts has changed" in warning


def test_labelled_rows_are_counted_by_their_author() -> None:
    """Nobody would see that nothing is kept to learn from."""
    value = metrics_after(
        Triaged(triaged(), row()), Triaged(triaged(), of_llm()), Triaged(triaged())
    )
    for author in ("human", "llm"):
        labels = {"domain": "tickets", "decided_by": author, "chosen": "escalated"}
        assert value("triage_labelled_rows_total", **labels) == 1


def test_escalations_are_counted_by_their_reason() -> None:
    """Escalations because of risk and because of high impact could not be distinguished."""
    high_impact = msgspec.structs.replace(case(status="provisional"), escalation="high_impact")
    value = metrics_after(Escalated(high_impact), Escalated(case(status="provisional")))
    for reason in ("high_impact", "risk"):
        assert value("triage_escalations_total", domain="alerts", reason=reason) == 1


def test_a_cut_text_is_counted_once() -> None:
    """The classifier counts from its start, and each rendering would add all of them again."""
    metrics = Metrics()
    for count in (2, 2, 5):
        metrics.observe_truncated({"alerts": count})
    assert b'triage_input_truncated_total{domain="alerts"} 5.0' in metrics.render()


def test_a_text_that_was_computed_is_counted_once() -> None:
    """The hit rate of the cache would be wrong by what earlier renderings had counted."""
    metrics = Metrics()
    for computed, cached in ((2, 0), (2, 7), (3, 9)):
        metrics.observe_encoded({("alerts", "computed"): computed, ("alerts", "cached"): cached})
    rendered = metrics.render()
    assert b'triage_encoder_texts_total{domain="alerts",result="computed"} 3.0' in rendered
    assert b'triage_encoder_texts_total{domain="alerts",result="cached"} 9.0' in rendered


def test_a_breaker_is_in_one_state() -> None:
    """A breaker that has closed again would stay open on the dashboard."""
    metrics = Metrics()
    for current in ("open", "half_open", "closed"):
        metrics.observe_llm({"small": current, "strong": "closed"}, 1.5, 10.0)
        states = {
            state: metrics.registry.get_sample_value(
                "triage_llm_breaker_state", {"endpoint": "small", "state": state}
            )
            for state in BREAKER_STATES
        }
        assert states == {state: float(state == current) for state in BREAKER_STATES}
    assert metrics.registry.get_sample_value("triage_llm_spent_today_usd") == 1.5
    assert metrics.registry.get_sample_value("triage_llm_budget_usd") == 10.0


def test_coverage_and_drift_are_about_recent_decisions() -> None:
    """A model that stopped accepting events an hour ago would still look healthy."""
    metrics = Metrics({"alerts": {"cloud": 0.5, "email": 0.5}})
    _, after_header = metrics.render().decode().split("# TYPE triage_coverage_ratio gauge")
    assert "triage_coverage_ratio" not in after_header
    for _ in range(RECENT_EVENTS):
        metrics.count(Triaged(triaged()), incoming())
    value = metrics.registry.get_sample_value
    metrics.render()
    assert value("triage_coverage_ratio", {"domain": "alerts"}) == 1.0
    assert value("triage_drift_ratio", {"domain": "alerts"}) == pytest.approx(0.5)
    for _ in range(RECENT_EVENTS):
        metrics.count(Escalated(case(queue="email", status="provisional")), incoming())
        metrics.count(Triaged(triaged(queue="cloud")), incoming())
    metrics.render()
    assert value("triage_coverage_ratio", {"domain": "alerts"}) == 0.5
    assert value("triage_drift_ratio", {"domain": "alerts"}) == pytest.approx(0.0)


def test_revoked_partitions_have_no_samples(metrics: Metrics) -> None:
    """The lag of a partition that another worker took over would raise an alert for ever."""
    metrics.observe_partitions({}, {})
    assert b"triage_consumer_lag_events{" not in metrics.render()


def test_confidence_is_counted_per_axis() -> None:
    """The falling confidence of one axis would be hidden by the other axes."""
    metrics = Metrics()
    labels = {
        "queue": Label(value="cloud", confidence=0.9),
        "tactic": Label(value="impact", confidence=0.2),
    }
    metrics.count(Triaged(triaged(labels=labels)), incoming())
    for axis, confidence in (("queue", 0.9), ("tactic", 0.2)):
        total = metrics.registry.get_sample_value(
            "triage_confidence_ratio_sum", {"domain": "alerts", "axis": axis}
        )
        assert total == pytest.approx(confidence)


def test_a_problem_that_has_ended_is_not_shown(metrics: Metrics) -> None:
    """An alert would never end."""
    value = metrics.registry.get_sample_value
    labels = {"kind": "group", "topic": "", "partition": ""}
    assert value("triage_problems", labels) == 1
    metrics.observe_problems([])
    assert value("triage_problems", labels) is None
