"""The classify agent: every record one outcome, in order, the same whenever it comes again."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.classify import HIGH_IMPACT, RULE, classify
from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.errors import InferenceError
from inference.model.threads import Threads
from inference.rules.ruling import SUPPRESSED, ImpactOptions, Rule, Rules
from schemas.event import KIND_OF_DOMAIN, Domain
from schemas.triaged import CalibrationInfo, Label, Timing, TriagedEvent
from tests.records import RECEIVED_AT, decision, record, triaged
from tests.tiny_model import LABELS, SAMPLES

# No rule, and nothing of high impact: the small model alone.
RULES = Rules.of([], ImpactOptions(alerts="", tickets=""), {"alerts": {}, "tickets": {}})

POISON: dict[str, tuple[object, str]] = {
    "nothing": (None, "decode"),
    "no bytes": (b"", "decode"),
    "no UTF-8": (b"\xff\xfe\x00", "decode"),
    "half a document": (b'{"id": "a", "text": "cut', "decode"),
    "an array": (b"[1, 2]", "recognise"),
    "nothing to read": ({"id": "a", "kind": "alert"}, "validate"),
    "a body that is a list": ({"id": "a", "kind": "alert", "body": ["x"]}, "validate"),
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
    """The outcomes without the time they took."""
    return [_timeless(outcome) for outcome in outcomes]


def _timeless(outcome: Outcome) -> Outcome:
    match outcome:
        case Triaged(triaged):
            return Triaged(_without_timing(triaged))
        case Escalated(case):
            return Escalated(msgspec.structs.replace(case, triaged=_without_timing(case.triaged)))
        case _:
            return outcome


def _without_timing(triaged: TriagedEvent) -> TriagedEvent:
    timing = Timing(
        received_at=triaged.timing.received_at, triaged_at="", inference_s=0.0, total_s=0.0
    )
    return msgspec.structs.replace(triaged, timing=timing)


@pytest.mark.parametrize("domain", ["alerts", "tickets"])
async def test_one_outcome_a_record_in_order(classifier: Classifier, domain: Domain) -> None:
    """An outcome left out or swapped would ack an event with another one's answer."""
    batch = samples(domain)
    outcomes = await classify(
        batch, kind=KIND_OF_DOMAIN[domain], classifier=classifier, rules=RULES
    )
    assert len(outcomes) == len(batch)
    for incoming, outcome in zip(batch, outcomes, strict=True):
        if not isinstance(outcome, DeadLettered):
            triaged = decision(outcome)
            assert triaged.origin == incoming.origin
            assert triaged.timing.received_at == RECEIVED_AT
            assert triaged.queue == triaged.labels["queue"].value in LABELS[triaged.domain]["queue"]
    assert {type(outcome) for outcome in outcomes} >= {Triaged, Escalated}


async def test_accepted_is_final_and_the_rest_provisional(classifier: Classifier) -> None:
    """Status is what a consumer acts on: `final` on a doubtful answer would break the promise."""
    for outcome in await classify(
        samples("tickets"), kind="ticket", classifier=classifier, rules=RULES
    ):
        match outcome:
            case Triaged(triaged):
                assert triaged.status == "final"
            case Escalated(case):
                triaged = case.triaged
                assert (triaged.status, case.escalation) == ("provisional", "risk")
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
async def test_poison_is_a_dead_letter_and_the_rest_goes_on(
    classifier: Classifier, value: object, stage: str
) -> None:
    """One bad record that raised would come back with its whole batch for ever."""
    good = {"kind": "alert", "text": "admin login from a new country"}
    batch = [record(good, offset=0), record(value, offset=1), record(good, offset=2)]
    first, poison, last = await classify(batch, kind="alert", classifier=classifier, rules=RULES)
    assert isinstance(poison, DeadLettered)
    assert (poison.stage, poison.error, poison.disposition) == (stage, "InvalidEvent", "poison")
    assert "\n" not in poison.message
    assert [decision(one).origin.offset for one in (first, last)] == [0, 2]


async def test_only_poison(classifier: Classifier) -> None:
    """A batch without a single text must not reach the model, which crashes on nothing."""
    batch = [record(b"not json", offset=n) for n in range(3)]
    outcomes = await classify(batch, kind="alert", classifier=classifier, rules=RULES)
    assert [type(outcome) for outcome in outcomes] == [DeadLettered] * 3


async def test_nothing_in_nothing_out(classifier: Classifier) -> None:
    """An empty batch is no reason to fail."""
    assert await classify([], kind="alert", classifier=classifier, rules=RULES) == []


async def test_mixed_kinds_on_one_topic(classifier: Classifier) -> None:
    """An event's own kind wins over the topic's: a ticket judged by the alerts' heads gets a queue that is not its."""
    text = "my card was swallowed by the machine"
    kinds = ["ticket", None, "alert", "ticket", None]
    batch = [
        record({"id": str(n), "text": text} | ({"kind": kind} if kind else {}), offset=n)
        for n, kind in enumerate(kinds)
    ]
    outcomes = [
        decision(one)
        for one in await classify(batch, kind="alert", classifier=classifier, rules=RULES)
    ]
    assert [triaged.domain for triaged in outcomes] == [
        "tickets",
        "alerts",
        "alerts",
        "tickets",
        "alerts",
    ]
    assert [triaged.id for triaged in outcomes] == ["0", "1", "2", "3", "4"]
    for one in outcomes:
        assert set(one.labels) == set(LABELS[one.domain])


async def test_a_redelivered_event_is_decided_the_same(
    classifier: Classifier, tiny_model: Path
) -> None:
    """All copies of an id must agree, also from another worker and in another batch; consumers deduplicate by id."""
    batch = [*samples("alerts", 40), *samples("tickets", 40)]
    first = timeless(await classify(batch, kind="alert", classifier=classifier, rules=RULES))
    other = Classifier.open(tiny_model, threads=Threads(2, 1))
    again = timeless(await classify(batch[::-1], kind="alert", classifier=other, rules=RULES))[::-1]
    alone = timeless(
        [(await classify([one], kind="alert", classifier=other, rules=RULES))[0] for one in batch]
    )
    await other.close()
    assert first == again == alone


async def test_an_event_without_id_gets_one_from_its_origin(classifier: Classifier) -> None:
    """A random id would make every redelivery a new event."""
    anonymous = {"text": "login from two places at once"}
    batch = [record(anonymous, offset=5), record(anonymous, offset=5), record(anonymous, offset=6)]
    first, again, other = (
        decision(one).id
        for one in await classify(batch, kind="alert", classifier=classifier, rules=RULES)
    )
    assert first == again != other


class AlertsOnly:
    """A classifier of a model that was trained on alerts alone."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.domains = ("alerts",)

    def __getattr__(self, name: str) -> Any:
        """Whatever the other one has."""
        return getattr(self._classifier, name)


async def test_a_kind_the_model_does_not_know_is_a_dead_letter(classifier: Classifier) -> None:
    """One ticket on the alerts topic of somebody who trained on alerts would stop the topic, again on redelivery."""
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


async def test_a_tenant_gets_the_calibration_in_force_for_it(classifier: Classifier) -> None:
    """An auditor would check a tenant's decision against somebody else's threshold."""
    asked: list[tuple[Domain, str]] = []
    spying: Any = AlertsOnly(classifier)

    def calibration(domain: Domain, tenant: str) -> CalibrationInfo:
        asked.append((domain, tenant))
        return msgspec.structs.replace(classifier.calibration(domain), digest=tenant)

    spying.calibration = calibration
    batch = [
        record({"kind": "alert", "text": "x", "tenant": tenant}) for tenant in ("acme", "bmce")
    ]
    outcomes = await classify(batch, kind="alert", classifier=spying, rules=RULES)
    assert [decision(one).calibration for one in outcomes] == [
        calibration("alerts", one) for one in ("acme", "bmce")
    ]
    assert asked[:2] == [("alerts", "acme"), ("alerts", "bmce")]


class Failing:
    """A classifier whose model fails."""

    domains = ("alerts",)

    async def classify(self, *_: object) -> list[object]:
        """Fail as a model does."""
        raise InferenceError("the encoder failed on 1 texts; restart with more memory")


async def test_a_failing_model_is_no_dead_letter() -> None:
    """The event is not to blame: dead-lettered, thousands would go with one broken model."""
    with pytest.raises(InferenceError):
        await classify([record({"text": "fine"})], kind="alert", classifier=Failing(), rules=RULES)  # type: ignore[arg-type]


class Deciding:
    """A classifier that says the same of every alert; its queue decides."""

    domains = ("alerts",)
    model = triaged().model

    def __init__(self, *, accepted: bool = True, severity: str = "low") -> None:
        labels = {
            "queue": Label(value="cloud", confidence=0.9),
            "severity": Label(value=severity, confidence=0.8),
        }
        why = "" if accepted else "risk"
        self.decision = Decision(labels, 0.25, 0.0, accepted, "the model says so", why, 0.01)

    async def classify(self, _: Domain, events: Sequence[object]) -> list[Decision]:
        """Say it."""
        return [self.decision] * len(events)

    def queue_axis(self, _: Domain) -> str:
        """Which axis says where an event goes."""
        return "queue"

    def deciding(self, _: Domain) -> tuple[str, ...]:
        """Which axes must be right."""
        return ("queue",)

    def calibration(self, *_: object) -> CalibrationInfo:
        """The promise in force."""
        return triaged().calibration


SETS: dict[Domain, dict[str, tuple[str, ...]]] = {"alerts": LABELS["alerts"]}
ON_THE_DAY = "2026-02-02"
"""When the records of `tests.records` entered their topic."""


async def ruled(rule: dict[str, Any] | None, impact: str = "", **opinion: Any) -> Outcome:
    """What becomes of an alert with one rule, of which every event is a case, and a condition of high impact."""
    written = [msgspec.convert({"name": "r", "when": "true", **rule}, Rule)] if rule else []
    rules = Rules.of(written, ImpactOptions(alerts=impact), SETS)
    classifier: Any = Deciding(**opinion)
    event = {"id": "a-1", "kind": "alert", "text": "x", "source": "scanner"}
    (outcome,) = await classify([record(event)], kind="alert", classifier=classifier, rules=rules)
    return outcome


def end(outcome: Outcome) -> tuple[type[Outcome], str, str, str]:
    """How an event ended: as what, in which state, by whom, in which queue."""
    one = decision(outcome)
    return type(outcome), one.status, one.decided_by, one.queue


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
    """What people have written down would wait for a model, or be asked of an LLM and paid for."""
    outcome = await ruled(rule, accepted=accepted)
    assert end(outcome) == (Triaged, "final", "rule", queue)
    one = decision(outcome)
    for axis, value in rule.get("labels", {}).items():
        assert one.labels[axis] == Label(value=value, confidence=1.0)
    assert one.reasons[0] == "the model says so"
    assert "rule 'r'" in one.reasons[1]


async def test_a_rule_may_ask_for_a_person() -> None:
    """The event would go where nobody was to decide it."""
    outcome = await ruled({"review": True, "queue": "the night shift"})
    assert end(outcome) == (Reviewed, "needs_review", "rule", "the night shift")
    assert isinstance(outcome, Reviewed)
    assert (outcome.case.escalation, outcome.case.risk, outcome.case.event.id) == (
        RULE,
        0.25,
        "a-1",
    )


@pytest.mark.parametrize(
    ("accepted", "ended"),
    [
        (True, (Triaged, "final", "slm", "cloud")),
        (False, (Escalated, "provisional", "slm", "cloud")),
    ],
)
async def test_a_label_on_an_axis_that_does_not_decide_ends_nothing(
    accepted: bool, ended: tuple[Any, ...]
) -> None:
    """A rule about severity would make the queue, which nobody is sure of, final."""
    outcome = await ruled({"labels": {"severity": "medium"}}, accepted=accepted)
    assert end(outcome) == ended
    assert decision(outcome).labels["severity"] == Label(value="medium", confidence=1.0)
    assert len(decision(outcome).reasons) == 2


CRITICAL = 'labels.severity == "critical"'


async def test_an_accepted_event_of_high_impact_is_held() -> None:
    """The small model alone would end what a person must see."""
    outcome = await ruled(None, CRITICAL, severity="critical")
    assert end(outcome) == (Escalated, "provisional", "slm", "cloud")
    assert isinstance(outcome, Escalated)
    assert outcome.case.escalation == HIGH_IMPACT
    assert outcome.case.triaged.reasons == ["the model says so", "high impact"]
    assert end(await ruled(None, CRITICAL)) == (Triaged, "final", "slm", "cloud")


async def test_doubt_about_an_event_of_high_impact_is_doubt() -> None:
    """The LLM would not be asked what it may well know; it cannot end the event alone anyway."""
    outcome = await ruled(None, CRITICAL, severity="critical", accepted=False)
    assert isinstance(outcome, Escalated)
    assert outcome.case.escalation == "risk"


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
    """One rule too broad, and an incident ends as known to be benign."""
    outcome = await ruled(rule, CRITICAL, severity=severity)
    assert isinstance(outcome, Reviewed)
    one = outcome.case.triaged
    assert (one.status, one.decided_by) == ("needs_review", "rule")
    assert one.queue != SUPPRESSED
    assert "high impact" in one.reasons[-1]


@pytest.mark.parametrize(("until", "ended_by"), [(ON_THE_DAY, "rule"), ("2026-02-01", "slm")])
async def test_a_rule_ends_on_the_events_own_day(until: str, ended_by: str) -> None:
    """An event read again after the rule's last day would be decided otherwise than before."""
    assert decision(await ruled({"suppress": True, "until": until})).decided_by == ended_by
