"""The metrics of the contract: names, units, and label sets that cannot grow."""

from typing import Any

import msgspec
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from agents.outcomes import DeadLettered, Escalated, Outcome, Reviewed, Triaged
from schemas.triaged import Enrichment, Label
from streams.kafka.offsets import Partition
from streams.metrics import BREAKER_STATES, RECENT_EVENTS, Metrics
from tests.doubles import incoming
from tests.records import case, triaged

CONTRACT = {
    "triage_events": ["domain", "outcome"],
    "triage_end_to_end_latency_seconds": ["domain"],
    "triage_inference_latency_seconds": ["domain"],
    "triage_batch_events": ["lane"],
    "triage_confidence_ratio": ["axis", "domain"],
    "triage_coverage_ratio": ["domain"],
    "triage_escalations": ["domain", "reason"],
    "triage_dead_letters": ["stage"],
    "triage_consumer_lag_events": ["partition", "topic"],
    "triage_offset_progress_age_seconds": ["partition", "topic"],
    "triage_drift_ratio": ["domain"],
    "triage_llm_breaker_state": ["endpoint", "state"],
    "triage_enrichments": ["status"],
    "triage_llm_calls": ["status"],
    "triage_llm_tokens": ["direction"],
    "triage_llm_cost_usd": [],
    "triage_llm_latency_seconds": [],
    "triage_llm_redactions": ["kind"],
}
UNITS = ("_seconds", "_bytes", "_ratio", "_events", "_usd", "_state")

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
    Triaged(triaged("secret-id")),
    Escalated(case("secret-id", status="provisional")),
    Triaged(triaged("secret-id", decided_by="llm", revision=1, enrichment=PAID)),
    Reviewed(case("secret-id", status="needs_review", revision=1)),
    Triaged(triaged("secret-id", decided_by="human", revision=2, enrichment=PAID)),
    DeadLettered("decode", "InvalidEvent", "secret-id is not JSON"),
]


@pytest.fixture
def metrics() -> Metrics:
    """With one of everything counted."""
    counted = Metrics({"alerts": {"cloud": 1.0}})
    for outcome in OUTCOMES:
        counted.count(outcome, incoming())
    counted.batch_events.labels(lane="classify-alerts").observe(3)
    counted.observe_partitions(
        {Partition("triage.alerts.v1", 0): 5}, {Partition("triage.alerts.v1", 0): 1.5}
    )
    counted.observe_llm({"small": "open"}, 1.5, 10.0)
    return counted


def families(metrics: Metrics) -> dict[str, Metric]:
    """What Prometheus reads, by name."""
    return {
        family.name: family for family in text_string_to_metric_families(metrics.render().decode())
    }


def test_every_family_of_the_contract_is_there(metrics: Metrics) -> None:
    """A dashboard or an alert rule would stay empty."""
    found = families(metrics)
    for name, labels in CONTRACT.items():
        assert {tuple(sorted(set(s.labels) - {"le"})) for s in found[name].samples} == {
            tuple(labels)
        }, name


def test_names_are_ours_and_in_base_units(metrics: Metrics) -> None:
    """A latency in milliseconds would be read as seconds."""
    for name, family in families(metrics).items():
        assert name.startswith(("triage_", "process_")), (
            name
        )  # process_: Prometheus' own, the same everywhere
        assert not name.startswith("triage_") or family.type == "counter" or name.endswith(UNITS), (
            name
        )
        assert family.documentation


def test_no_label_holds_what_events_bring(metrics: Metrics) -> None:
    """Every event would make a new series, until Prometheus dies of it."""
    assert b"secret-id" not in metrics.render()
    labels = {
        label
        for family in families(metrics).values()
        for sample in family.samples
        for label in sample.labels
    }
    assert labels <= {label for names in CONTRACT.values() for label in names} | {"le", "result"}


def test_each_outcome_is_counted_as_what_it_is(metrics: Metrics) -> None:
    """Events in and events out would not add up."""
    counted = {
        (sample.labels["domain"], sample.labels["outcome"]): sample.value
        for sample in families(metrics)["triage_events"].samples
    }
    assert counted == {
        ("alerts", "accepted"): 1,
        ("alerts", "answered"): 1,
        ("alerts", "escalated"): 1,
        ("alerts", "needs_review"): 1,
        ("alerts", "triaged"): 1,
        ("unknown", "dead_letter"): 1,
    }


def counted(*outcomes: Outcome) -> Any:
    """Reads a sample's value, by name and labels, after these."""
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
def test_what_the_llm_did_is_counted_once(outcome: Outcome) -> None:
    """The bill on the dashboard would not be the bill; events that end with a person have been paid for as well."""
    value = counted(outcome)
    assert value("triage_enrichments_total", status="answered") == 1
    assert value("triage_llm_calls_total", status="answered") == 2
    assert value("triage_llm_tokens_total", direction="prompt") == 100
    assert value("triage_llm_tokens_total", direction="completion") == 20
    assert value("triage_llm_cost_usd_total") == pytest.approx(0.25)
    assert value("triage_llm_latency_seconds_sum") == pytest.approx(1.5)
    assert value("triage_llm_redactions_total", kind="email") == 3
    assert value("triage_llm_redactions_total", kind="secret") == 1


def test_what_was_never_sent_is_no_call() -> None:
    """Events that were kept inside would be shown as fast answers, and their values as redacted and gone."""
    kept = Enrichment(status="over_budget", redactions={"email": 3})
    value = counted(Reviewed(case(status="needs_review", revision=1, enrichment=kept)))
    assert value("triage_enrichments_total", status="over_budget") == 1
    assert value("triage_llm_calls_total", status="over_budget") is None
    assert value("triage_llm_redactions_total", kind="email") is None
    assert value("triage_llm_latency_seconds_count") == 0


def test_a_persons_verdict_is_not_the_llms_again() -> None:
    """Every verdict on an enriched event would add its call to the bill once more."""
    value = counted(Triaged(triaged(decided_by="human", revision=2, enrichment=PAID)))
    assert value("triage_enrichments_total", status="answered") is None
    assert value("triage_llm_cost_usd_total") == 0


def test_escalations_are_counted_by_their_reason() -> None:
    """Nobody could tell doubt from high impact."""
    held = msgspec.structs.replace(case(status="provisional"), escalation="high_impact")
    value = counted(Escalated(held), Escalated(case(status="provisional")))
    for reason in ("high_impact", "risk"):
        assert value("triage_escalations_total", domain="alerts", reason=reason) == 1


def test_a_breaker_is_in_one_state() -> None:
    """A breaker that has closed again would stay open on the dashboard."""
    metrics = Metrics()
    for now in ("open", "half_open", "closed"):
        metrics.observe_llm({"small": now, "strong": "closed"}, 1.5, 10.0)
        states = {
            state: metrics.registry.get_sample_value(
                "triage_llm_breaker_state", {"endpoint": "small", "state": state}
            )
            for state in BREAKER_STATES
        }
        assert states == {state: float(state == now) for state in BREAKER_STATES}
    assert metrics.registry.get_sample_value("triage_llm_spent_today_usd") == 1.5
    assert metrics.registry.get_sample_value("triage_llm_budget_usd") == 10.0


def test_coverage_and_drift_are_of_recent_decisions() -> None:
    """A model that stopped deciding an hour ago would still look fine."""
    metrics = Metrics({"alerts": {"cloud": 0.5, "email": 0.5}})
    assert (
        "triage_coverage_ratio"
        not in metrics.render().decode().split("# TYPE triage_coverage_ratio gauge")[1]
    )
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


def test_partitions_that_are_gone_show_nothing(metrics: Metrics) -> None:
    """The lag of a partition that moved away would be an alert for ever."""
    metrics.observe_partitions({}, {})
    assert b"triage_consumer_lag_events{" not in metrics.render()


def test_confidence_is_seen_per_axis() -> None:
    """An axis whose confidence falls would hide behind the others."""
    metrics = Metrics()
    labels = {
        "queue": Label(value="cloud", confidence=0.9),
        "tactic": Label(value="impact", confidence=0.2),
    }
    metrics.count(Triaged(triaged(labels=labels)), incoming())
    for axis, confidence in (("queue", 0.9), ("tactic", 0.2)):
        name, at = "triage_confidence_ratio_sum", {"domain": "alerts", "axis": axis}
        assert metrics.registry.get_sample_value(name, at) == pytest.approx(confidence)
