"""Tests of the classify agent: one outcome per event, in order.

A record that comes again has the same outcome.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.classify import RULE
from agents.classify import classify as classify_events
from agents.enrich import enrich
from agents.escalation import HIGH_IMPACT
from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.errors import InferenceError
from inference.model.threads import Threads
from inference.rules.options import ImpactOptions, Rule
from inference.rules.ruling import SUPPRESSED, Rules
from schemas.event import KIND_OF_DOMAIN, Domain, Stated
from schemas.triaged import CalibrationInfo, Label, ModelInfo, Timing, TriagedEvent
from tests.doubles import FakeAnswered
from tests.records import RECEIVED_AT, decision, record, triaged
from tests.tiny_model import LABELS, SAMPLES
from tests.triage import classify, read_all

# No rules and no high impact, so that only the small model decides.
RULES = Rules.of([], ImpactOptions(alerts="", tickets=""), {"alerts": {}, "tickets": {}})

POISON: dict[str, tuple[object, str]] = {
    "nothing": (None, "decode"),
    "no bytes": (b"", "decode"),
    "no UTF-8": (b"\xff\xfe\x00", "decode"),
    "half a document": (b'{"id": "a", "text": "cut', "decode"),
    "an array": (b"[1, 2]", "recognise"),
    "nothing to read": ({"id": "a", "kind": "alert"}, "validate"),
    "an id that is too long": ({"id": "a" * 600, "kind": "alert", "text": "x"}, "validate"),
}


@pytest.fixture
async def classifier(tiny_model: Path) -> AsyncIterator[Classifier]:
    """The tiny model."""
    opened = Classifier.open(tiny_model, threads=Threads(1, 1))
    yield opened
    await opened.close()


def samples(domain: Domain, count: int = 60) -> list[Incoming]:
    """The first shipped sample events of a domain, as records."""
    lines = (SAMPLES / f"{domain}.ndjson").read_bytes().splitlines()[:count]
    return [
        record(line, offset=offset, topic=f"triage.{domain}.v1")
        for offset, line in enumerate(lines)
    ]


def timeless(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes without their timing."""
    return [_timeless(outcome) for outcome in outcomes]


def _timeless(outcome: Outcome) -> Outcome:
    match outcome:
        case Triaged(triaged):
            return Triaged(_without_timing(triaged))
        case Escalated(case):
            return Escalated(msgspec.structs.replace(case, triaged=_without_timing(case.triaged)))
        case Reviewed(case, provisional):
            case = msgspec.structs.replace(case, triaged=_without_timing(case.triaged))
            return Reviewed(case, provisional and _without_timing(provisional))
        case _:
            return outcome


def _without_timing(triaged: TriagedEvent) -> TriagedEvent:
    timing = Timing(
        received_at=triaged.timing.received_at, triaged_at="", inference_s=0.0, total_s=0.0
    )
    return msgspec.structs.replace(triaged, timing=timing)


@pytest.mark.parametrize("domain", ["alerts", "tickets"])
async def test_there_is_one_outcome_per_event_in_order(
    classifier: Classifier, domain: Domain
) -> None:
    """Otherwise an event would be acked with the answer about another event."""
    batch = await read_all(samples(domain), kind=KIND_OF_DOMAIN[domain], domains=classifier.domains)
    outcomes = await classify_events(batch, classifier=classifier, rules=RULES)
    assert len(outcomes) == len(batch)
    for incoming, outcome in zip(batch, outcomes, strict=True):
        if not isinstance(outcome, DeadLettered):
            triaged = decision(outcome)
            assert triaged.origin == incoming.origin
            assert triaged.timing.received_at == RECEIVED_AT
            assert triaged.queue == triaged.labels["queue"].value in LABELS[triaged.domain]["queue"]
    assert {type(outcome) for outcome in outcomes} >= {Triaged, Escalated}


async def test_accepted_events_are_final_and_others_provisional(classifier: Classifier) -> None:
    """Otherwise a consumer would act on an uncertain answer, and the promise would be broken."""
    for outcome in await classify(
        samples("tickets"), kind="ticket", classifier=classifier, rules=RULES
    ):
        match outcome:
            case Triaged(triaged):
                assert triaged.status == "final"
            case Escalated(case):
                triaged = case.triaged
                assert triaged.status == "provisional"
                assert case.escalation in {"risk", "unfamiliar"}
                assert not case.risk < triaged.calibration.threshold
                assert case.event.id == triaged.id
            case _:
                continue
        assert (triaged.revision, triaged.decided_by, triaged.cost_usd) == (0, "slm", 0.0)
        assert triaged.enrichment is None
        assert triaged.reasons
        assert triaged.model == classifier.model
        assert triaged.calibration == classifier.calibration("tickets")


@pytest.mark.parametrize(("value", "stage"), POISON.values(), ids=POISON.keys())
async def test_a_bad_record_is_a_dead_letter_and_the_others_go_on(
    classifier: Classifier, value: object, stage: str
) -> None:
    """Otherwise one bad record would come back with its whole batch for ever."""
    good = {"kind": "alert", "text": "admin login from a new country"}
    batch = [record(good, offset=0), record(value, offset=1), record(good, offset=2)]
    first, poison, last = await classify(batch, kind="alert", classifier=classifier, rules=RULES)
    assert isinstance(poison, DeadLettered)
    assert (poison.stage, poison.error, poison.disposition) == (stage, "InvalidEvent", "poison")
    assert "\n" not in poison.message
    assert [decision(outcome).origin.offset for outcome in (first, last)] == [0, 2]


async def test_a_batch_of_bad_records_only(classifier: Classifier) -> None:
    """Otherwise a batch without texts would reach the model, which would crash."""
    batch = [record(b"not json", offset=n) for n in range(3)]
    outcomes = await classify(batch, kind="alert", classifier=classifier, rules=RULES)
    assert [type(outcome) for outcome in outcomes] == [DeadLettered] * 3


async def test_an_empty_batch_has_no_outcomes(classifier: Classifier) -> None:
    """Otherwise an empty batch would fail."""
    assert await classify([], kind="alert", classifier=classifier, rules=RULES) == []


async def test_mixed_kinds_on_one_topic(classifier: Classifier) -> None:
    """Otherwise the heads for alerts would label a ticket that is on the topic of alerts."""
    text = "my card was swallowed by the machine"
    kinds = ["ticket", None, "alert", "ticket", None]
    batch = [
        record({"id": str(n), "text": text} | ({"kind": kind} if kind else {}), offset=n)
        for n, kind in enumerate(kinds)
    ]
    outcomes = [
        decision(outcome)
        for outcome in await classify(batch, kind="alert", classifier=classifier, rules=RULES)
    ]
    assert [triaged.domain for triaged in outcomes] == [
        "tickets",
        "alerts",
        "alerts",
        "tickets",
        "alerts",
    ]
    assert [triaged.id for triaged in outcomes] == ["0", "1", "2", "3", "4"]
    for event in outcomes:
        assert set(event.labels) == set(LABELS[event.domain])


async def test_a_redelivered_event_is_decided_the_same(
    classifier: Classifier, tiny_model: Path
) -> None:
    """Otherwise copies of an event would differ, but consumers keep only one of each id."""
    records = [*samples("alerts", 40), *samples("tickets", 40)]
    batch = await read_all(records, kind="alert", domains=classifier.domains)
    first = timeless(await classify_events(batch, classifier=classifier, rules=RULES))
    other = Classifier.open(tiny_model, threads=Threads(2, 1))
    again = timeless(await classify_events(batch[::-1], classifier=other, rules=RULES))[::-1]
    alone = timeless(
        [
            (await classify_events([incoming], classifier=other, rules=RULES))[0]
            for incoming in batch
        ]
    )
    await other.close()
    assert first == again == alone


async def test_an_event_without_id_gets_one_from_its_origin(classifier: Classifier) -> None:
    """Otherwise a random id would make every redelivery a new event."""
    anonymous = {"text": "login from two places at once"}
    batch = [record(anonymous, offset=5), record(anonymous, offset=5), record(anonymous, offset=6)]
    first, again, other = (
        decision(outcome).id
        for outcome in await classify(batch, kind="alert", classifier=classifier, rules=RULES)
    )
    assert first == again != other


class AlertsOnly:
    """A classifier whose model was trained only on alerts."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.domains = ("alerts",)

    def __getattr__(self, name: str) -> Any:
        """Everything else comes from the whole classifier."""
        return getattr(self._classifier, name)


async def test_a_kind_that_the_model_does_not_know_is_a_dead_letter(classifier: Classifier) -> None:
    """Otherwise one ticket on the topic of alerts would stop the worker after every restart."""
    batch = [
        record({"id": kind, "kind": kind, "text": "x"}, offset=n)
        for n, kind in enumerate(("alert", "ticket"))
    ]
    alerts_only: Any = AlertsOnly(classifier)
    known, unknown = await classify(batch, kind="alert", classifier=alerts_only, rules=RULES)
    assert decision(known).id == "alert"
    assert isinstance(unknown, DeadLettered)
    assert (unknown.stage, unknown.disposition) == ("classify", "retryable")
    assert "tickets" in unknown.message
    assert "\n" not in unknown.message


async def test_a_tenant_gets_its_own_calibration(classifier: Classifier) -> None:
    """Otherwise an auditor would check a decision against the threshold of another tenant."""
    calls: list[tuple[Domain, str]] = []
    spying: Any = AlertsOnly(classifier)

    def calibration(domain: Domain, tenant: str) -> CalibrationInfo:
        calls.append((domain, tenant))
        return msgspec.structs.replace(classifier.calibration(domain), digest=tenant)

    spying.calibration = calibration
    batch = [
        record({"kind": "alert", "text": "x", "tenant": tenant}) for tenant in ("acme", "bmce")
    ]
    outcomes = await classify(batch, kind="alert", classifier=spying, rules=RULES)
    assert [decision(outcome).calibration for outcome in outcomes] == [
        calibration("alerts", tenant) for tenant in ("acme", "bmce")
    ]
    assert calls[:2] == [("alerts", "acme"), ("alerts", "bmce")]


class Failing:
    """A classifier whose model fails."""

    domains = ("alerts",)

    async def classify_each(self, *_: object) -> AsyncGenerator[tuple[int, Decision], None]:
        """Fail like the encoder."""
        raise InferenceError("the encoder failed on 1 texts; restart with more memory")
        yield


async def test_after_a_failure_of_the_model_there_are_no_dead_letters() -> None:
    """Otherwise one broken model would turn thousands of good events into dead letters."""
    failing: Any = Failing()
    with pytest.raises(InferenceError):
        await classify([record({"text": "fine"})], kind="alert", classifier=failing, rules=RULES)


class Deciding:
    """A classifier that gives every alert the same labels; its queue decides."""

    domains = ("alerts",)

    def __init__(self, *, accepted: bool = True, severity: str = "low") -> None:
        labels = {
            "queue": Label(value="cloud", confidence=0.9),
            "severity": Label(value=severity, confidence=0.8),
        }
        why = "" if accepted else "risk"
        self.decision = Decision(labels, 0.25, 0.0, accepted, "the model says so", why, 0.01)

    async def classify_each(
        self, _: Domain, events: Sequence[object]
    ) -> AsyncGenerator[tuple[int, Decision], None]:
        """Give the decision for every event."""
        for row in range(len(events)):
            yield row, self.decision

    def queue_axis(self, _: Domain) -> str:
        """The axis that names the queue."""
        return "queue"

    def deciding(self, _: Domain) -> tuple[str, ...]:
        """The axes that must be right."""
        return ("queue",)

    def model_of(self, _: Domain) -> ModelInfo:
        """The name of the model."""
        return triaged().model

    def calibration(self, *_: object) -> CalibrationInfo:
        """A promise."""
        return triaged().calibration


class NeverAsked(Deciding):
    """A classifier whose model must get no event."""

    async def classify_each(
        self, _: Domain, events: Sequence[object]
    ) -> AsyncGenerator[tuple[int, Decision], None]:
        """Refuse every event."""
        assert not events, "a rule has already ended this event"
        return
        yield


SETS: dict[Domain, dict[str, tuple[str, ...]]] = {"alerts": LABELS["alerts"]}
ON_THE_DAY = "2026-02-02"
"""When the records of `tests.records` entered their topic."""
CLOCK = datetime.fromisoformat(f"{ON_THE_DAY}T12:00:00Z")


async def ruled(
    rule: dict[str, Any] | None,
    impact: str = "",
    *,
    today: str = ON_THE_DAY,
    says: dict[str, Any] | None = None,
    **decided: Any,
) -> Outcome:
    """The outcome of an alert with one rule that always holds, and a condition of high impact.

    Without a condition of its own, the rule reads a label, so that it comes after the model. `says`
    has further fields of the alert.
    """
    fields = {"name": "r", "when": "confidence.queue > 0.0", **(rule or {})}
    written = [msgspec.convert(fields, Rule)] if rule else []
    clock = datetime.fromisoformat(f"{today}T12:00:00Z")
    rules = Rules.of(written, ImpactOptions(alerts=impact), SETS, clock=lambda: clock)
    classifier: Any = Deciding(**decided)
    event = {"id": "a-1", "kind": "alert", "text": "x", "source": "scanner"} | (says or {})
    (outcome,) = await classify([record(event)], kind="alert", classifier=classifier, rules=rules)
    return outcome


def end(outcome: Outcome) -> tuple[type[Outcome], str, str, str]:
    """How an event ended: type of the outcome, status, who decided, queue."""
    triaged_event = decision(outcome)
    return (
        type(outcome),
        triaged_event.status,
        triaged_event.decided_by,
        triaged_event.queue,
    )


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize(
    ("rule", "queue"),
    [
        ({"queue": "the scanners"}, "the scanners"),
        ({"suppress": True, "until": ON_THE_DAY}, SUPPRESSED),
        ({"labels": {"queue": "email"}}, "email"),
        ({"labels": {"queue": "email", "severity": "medium"}}, "email"),
        ({"labels": {"severity": "medium"}, "queue": "the scanners"}, "the scanners"),
    ],
    ids=["route", "suppress", "decide", "label all", "label and route"],
)
async def test_a_rule_ends_an_event(rule: dict[str, Any], queue: str, accepted: bool) -> None:
    """Otherwise the rule would have no effect, or an LLM would be asked and paid."""
    outcome = await ruled(rule, accepted=accepted)
    assert end(outcome) == (Triaged, "final", "rule", queue)
    triaged_event = decision(outcome)
    for axis, value in rule.get("labels", {}).items():
        assert triaged_event.labels[axis] == Label(value=value, confidence=1.0)
    assert triaged_event.reasons[0] == "the model says so"
    assert "rule 'r'" in triaged_event.reasons[1]


async def test_a_rule_may_ask_for_a_person() -> None:
    """Otherwise the event would not go to the people that the rule asks for."""
    outcome = await ruled({"review": True, "queue": "the night shift"})
    assert end(outcome) == (Reviewed, "needs_review", "rule", "the night shift")
    assert isinstance(outcome, Reviewed)
    assert (outcome.case.escalation, outcome.case.risk, outcome.case.event.id) == (
        RULE,
        0.25,
        "a-1",
    )


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        (True, (Triaged, "final", "slm", "cloud")),
        (False, (Escalated, "provisional", "slm", "cloud")),
    ],
)
async def test_a_label_on_an_axis_that_does_not_decide_ends_nothing(
    accepted: bool, expected: tuple[Any, ...]
) -> None:
    """Otherwise a rule about severity would make an uncertain queue final."""
    outcome = await ruled({"labels": {"severity": "medium"}}, accepted=accepted)
    assert end(outcome) == expected
    assert decision(outcome).labels["severity"] == Label(value="medium", confidence=1.0)
    assert len(decision(outcome).reasons) == 2


CRITICAL = 'labels.severity == "critical"'


async def test_an_accepted_event_of_high_impact_ends_with_a_person_at_once() -> None:
    """The small model alone would end it, or it would wait behind cases for a slow LLM."""
    outcome = await ruled(None, CRITICAL, severity="critical")
    assert end(outcome) == (Reviewed, "needs_review", "slm", "cloud")
    assert isinstance(outcome, Reviewed)
    assert outcome.case.escalation == HIGH_IMPACT
    first, last = outcome.provisional, outcome.case.triaged
    assert first is not None
    assert (first.revision, first.status, first.enrichment) == (0, "provisional", None)
    assert first.reasons == ["the model says so", "high impact"]
    assert (last.revision, last.labels, last.origin) == (1, first.labels, first.origin)
    assert last.reasons == [*first.reasons, "no question for an LLM", "a person decides"]
    assert end(await ruled(None, CRITICAL)) == (Triaged, "final", "slm", "cloud")


@pytest.mark.parametrize("consultant", [None, object()])
async def test_an_event_of_high_impact_ends_as_the_enrichment_agent_ends_it(
    consultant: Any,
) -> None:
    """Cases that an earlier release has escalated would end otherwise than those of today."""
    outcome = await ruled(None, CRITICAL, severity="critical")
    assert isinstance(outcome, Reviewed)
    assert outcome.provisional is not None
    case = msgspec.structs.replace(outcome.case, triaged=outcome.provisional)
    (enriched,) = await enrich([record(case)], consultant=consultant, memory=FakeAnswered())
    assert isinstance(enriched, Reviewed)
    assert _without_timing(enriched.case.triaged) == _without_timing(outcome.case.triaged)
    assert enriched.case.event == outcome.case.event


async def test_an_uncertain_event_of_high_impact_is_escalated_for_its_risk() -> None:
    """Otherwise the LLM would not be asked, although it may help and cannot end the event alone."""
    outcome = await ruled(None, CRITICAL, severity="critical", accepted=False)
    assert isinstance(outcome, Escalated)
    assert outcome.case.escalation == "risk"


@pytest.mark.parametrize(
    ("says", "word"),
    [
        ({"severity": "Critical"}, "critical"),
        ({"attributes": {"priority": "P1"}}, "urgent"),
        ({"event": {"Severity": 5, "SeverityName": "Critical"}}, "critical"),
        ({"severity": "critical", "status": "resolved"}, "critical"),
    ],
)
async def test_what_the_sender_calls_critical_ends_with_a_person(
    says: dict[str, Any], word: str
) -> None:
    """Otherwise a model that is sure would end what a vendor calls critical."""
    outcome = await ruled(None, says=says)
    assert isinstance(outcome, Reviewed)
    assert outcome.case.escalation == HIGH_IMPACT
    assert outcome.provisional is not None
    assert outcome.provisional.reasons[-1] == f"high impact: the sender calls it {word}"
    assert outcome.case.triaged.stated == outcome.case.event.stated
    other = await ruled(None, says={"severity": "medium", "status": "closed"})
    assert end(other) == (Triaged, "final", "slm", "cloud")


ALERTMANAGER = {
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "SuspiciousLogin", "severity": "critical"},
            "annotations": {"summary": "Login by an administrator from a country never seen"},
            "startsAt": "2031-05-02T10:00:00Z",
            "fingerprint": "9c1e",
        }
    ],
    "version": "4",
    "groupKey": "{}:{}",
    "receiver": "triage",
}
DETECTION = {
    "metadata": {"eventType": "DetectionSummaryEvent", "eventCreationTime": 1930000000000},
    "event": {
        "DetectName": "Hands-on-keyboard activity",
        "DetectDescription": "Activity of a human adversary on this host",
        "Severity": 5,
        "SeverityName": "Critical",
        "ComputerName": "SRV-DB-2",
        "DetectId": "ldt:aa:1",
    },
}
CEF = b"<134>May  2 10:11:12 fw01 CEF:0|ExampleFW|UTM|7.2|0211|virus: infected|10|msg=infected"


@pytest.mark.parametrize(
    ("document", "original"),
    [(ALERTMANAGER, "critical"), (DETECTION, "Critical"), (CEF, "10")],
    ids=["of a label", "of a word beside a number", "of a standard"],
)
async def test_what_a_vendor_calls_critical_ends_with_a_person(
    document: object, original: str
) -> None:
    """A critical alert of a vendor would be accepted because a model is sure of another level."""
    classifier: Any = Deciding()
    rules = Rules.of([], ImpactOptions(), SETS)
    (outcome,) = await classify(
        [record(document)], kind="alert", classifier=classifier, rules=rules
    )
    assert isinstance(outcome, Reviewed)
    triaged_event = outcome.provisional
    assert triaged_event is not None
    assert triaged_event.reasons[-1] == "high impact: the sender calls it critical"
    assert triaged_event.stated
    assert triaged_event.stated.severity == "critical"
    assert triaged_event.stated.original["severity"] == original


@pytest.mark.parametrize("when", ["confidence.queue > 0.0", "true"], ids=["after", "before"])
async def test_a_rule_ends_what_the_sender_calls_critical(when: str) -> None:
    """Otherwise nobody could put right a sender that calls everything critical."""
    says = {"severity": "critical"}
    outcome = await ruled({"when": when, "queue": "noise"}, says=says)
    assert end(outcome) == (Triaged, "final", "rule", "noise")
    strict = 'stated.severity == "critical"'
    kept = await ruled({"when": when, "queue": "noise"}, strict, says=says)
    assert end(kept) == (Reviewed, "needs_review", "rule", "noise")


async def test_a_decision_says_what_its_event_is_about() -> None:
    """A consumer could neither show a decision to a person nor lead back to the event."""
    says = {
        "title": "Root login\u202e without MFA",
        "occurred_at": "2026-02-01T10:00:00+01:00",
        "severity": "Sev-2",
        "status": "New",
        "link": "https://siem.example.com/a-1",
    }
    rule = {"when": "true", "queue": "bin"}
    for outcome in (await ruled(None, says=says), await ruled(rule, says=says)):
        triaged_event = decision(outcome)
        assert triaged_event.title == "Root login without MFA"
        assert triaged_event.occurred_at == "2026-02-01T09:00:00Z"
        assert triaged_event.stated == Stated(
            severity="high", status="open", original={"severity": "Sev-2", "status": "New"}
        )
        assert triaged_event.link == "https://siem.example.com/a-1"
    bare = decision(await ruled(None, says={"link": "https://example.com/?token=abc"}))
    assert (bare.title, bare.occurred_at, bare.stated, bare.link) == ("x", None, None, None)


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ({"suppress": True, "until": ON_THE_DAY}, "critical"),
        ({"queue": "bin"}, "critical"),
        ({"labels": {"queue": "email", "severity": "low"}}, "critical"),
        ({"labels": {"severity": "critical"}}, "low"),
    ],
    ids=["suppressed", "routed", "lowered", "raised"],
)
async def test_no_rule_spares_a_critical_event_a_person(
    rule: dict[str, Any], severity: str
) -> None:
    """Otherwise a rule that is too broad would end an incident as known to be benign."""
    outcome = await ruled(rule, CRITICAL, severity=severity)
    assert isinstance(outcome, Reviewed)
    reviewed = outcome.case.triaged
    assert (reviewed.status, reviewed.decided_by) == ("needs_review", "rule")
    assert reviewed.queue != SUPPRESSED
    assert "high impact" in reviewed.reasons[-1]


@pytest.mark.parametrize(("today", "ended_by"), [(ON_THE_DAY, "rule"), ("2026-02-03", "slm")])
async def test_the_clock_of_the_worker_counts_for_the_end_of_a_rule(
    today: str, ended_by: str
) -> None:
    """Otherwise a sender could revive an expired suppression with the timestamp of its record."""
    outcome = await ruled({"suppress": True, "until": ON_THE_DAY}, today=today)
    assert decision(outcome).decided_by == ended_by


@pytest.mark.parametrize(
    ("rule", "queue"),
    [
        ({"queue": "the scanners"}, "the scanners"),
        ({"suppress": True, "until": ON_THE_DAY}, SUPPRESSED),
        ({"labels": {"queue": "email", "severity": "low", "tactic": "impact"}}, "email"),
    ],
    ids=["route", "suppress", "label every axis"],
)
async def test_a_rule_that_reads_no_label_costs_no_inference(
    rule: dict[str, Any], queue: str
) -> None:
    """Otherwise every suppressed event would need a pass of the encoder."""
    written = msgspec.convert({"name": "r", "when": 'event.source == "scanner"', **rule}, Rule)
    rules = Rules.of([written], ImpactOptions(), SETS, clock=lambda: CLOCK)
    classifier: Any = NeverAsked()
    event = {"id": "a-1", "kind": "alert", "text": "x", "source": "scanner"}
    (outcome,) = await classify([record(event)], kind="alert", classifier=classifier, rules=rules)
    assert end(outcome) == (Triaged, "final", "rule", queue)
    triaged_event = decision(outcome)
    assert triaged_event.timing.inference_s == 0.0
    assert {axis: label.value for axis, label in triaged_event.labels.items()} == rule.get(
        "labels", {}
    )
    assert len(triaged_event.reasons) == 1


async def test_only_the_events_that_no_rule_ended_reach_the_model() -> None:
    """Otherwise an event would get the answer about another event."""
    written = msgspec.convert(
        {"name": "r", "when": 'event.source == "scanner"', "queue": "the scanners"}, Rule
    )
    rules = Rules.of([written], ImpactOptions(alerts=""), SETS)
    classifier: Any = Deciding()
    batch = [
        record({"id": f"a-{n}", "kind": "alert", "text": "x", "source": source}, offset=n)
        for n, source in enumerate(["scanner", "edr", "scanner", "edr"])
    ]
    outcomes = await classify(batch, kind="alert", classifier=classifier, rules=rules)
    assert [decision(outcome).id for outcome in outcomes] == ["a-0", "a-1", "a-2", "a-3"]
    assert [decision(outcome).decided_by for outcome in outcomes] == ["rule", "slm", "rule", "slm"]
