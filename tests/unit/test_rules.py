"""Rules: what a condition may read and cost, which rule decides, and that high impact never escapes a person."""

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from inference.rules.condition import EVENT_FIELDS, MAX_CHARS, MAX_ELEMENTS, Expression, Facts
from inference.rules.ruling import SUPPRESSED, ImpactOptions, Rule, Rules, Ruling
from schemas.event import Domain, Event
from schemas.triaged import Label

NOW = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)
TODAY = date(2026, 3, 15)
LABELS: Mapping[Domain, Mapping[str, tuple[str, ...]]] = {
    "alerts": {"queue": ("cloud", "email"), "severity": ("low", "high", "critical")},
    "tickets": {"queue": ("top_up", "out_of_scope"), "priority": ("low", "urgent")},
}
OFF = ImpactOptions(alerts="", tickets="")


def labels(severity: str = "low", queue: str = "cloud") -> dict[str, Label]:
    """The small model's opinion of an alert."""
    return {
        "queue": Label(value=queue, confidence=0.75),
        "severity": Label(value=severity, confidence=0.5, abstained=True),
    }


def alert(**fields: Any) -> Event:
    """An alert with something of everything."""
    usual = {
        "id": "a-1",
        "kind": "alert",
        "tenant": "acme",
        "source": "scanner",
        "title": "Port scan",
        "occurred_at": "2026-03-15T11:00:00Z",
        "attributes": {"score": 7, "tags": ["noisy", "test"]},
        "event": {"host": {"name": "db-1"}},
    }
    return msgspec.convert(usual | fields, Event)


def rules(*conditions: str, impact: ImpactOptions = OFF, **fields: Any) -> Rules:
    """Rules about alerts, named r0, r1 …, that ask for a person unless told otherwise."""
    fields = fields or {"review": True}
    return Rules.of(
        [
            Rule(name=f"r{i}", when=when, domains=["alerts"], **fields)
            for i, when in enumerate(conditions)
        ],
        impact,
        LABELS,
    )


def ruling(
    given: Rules, event: Event | None = None, opinion: Mapping[str, Label] | None = None
) -> Ruling | None:
    """What they make of it."""
    return given.apply(event or alert(), opinion or labels(), now=NOW)


@pytest.mark.parametrize(
    "when",
    [
        'event.tenant == "acme" && event.kind == "alert" && event.domain == "alerts" && event.id == "a-1"',
        'event.title.matches("(?i)port\\\\s+scan")',
        'event.title.startsWith("Port") || event.text.contains("nothing")',
        'event.text == "" && event.body == ""',
        'event.attributes.score > 5 && "test" in event.attributes.tags',
        'event.attributes.tags.exists(tag, tag.startsWith("no"))',
        'has(event.event.host) && event.event.host.name == "db-1"',
        'event["event"]["host"]["name"] == "db-1"',
        "event.exists(field, field == 'event') && labels.exists(axis, axis == 'queue')",
        'labels.severity == "low" && labels["queue"] in ["cloud", "email"]',
        "confidence.queue >= 0.7 && confidence.severity < 1",
        'now > timestamp("2026-01-01T00:00:00Z") && now.getHours() == 12',
        'now - timestamp(event.occurred_at) < duration("2h")',
        'event.title != "labels.colour == event.colour // matches(" // not a name, and neither is event.colour',
        "type(event.attributes.score) == int",
        "event.title != '''a).all(x, 'y' ''' && event.title != r'\\' && event.title != \"it's (\"",
    ],
)
def test_a_condition_reads_what_is_promised(when: str) -> None:
    """A rule somebody wrote against the documentation would never hold, or not be accepted."""
    given = rules(when)
    assert ruling(given) is not None
    assert not given.errors


def test_every_field_can_be_read_alone() -> None:
    """A field left out of the conversion would look absent to the rule that names it."""
    for name in EVENT_FIELDS:
        expression = Expression.compile(f"event.{name} == event.{name}", axes=())
        assert expression.holds(Facts(alert(), labels(), NOW, expression.reads)), name


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("", "is not valid CEL"),
        ('labels.severity = "low"', "is not valid CEL at line 1, column"),
        ("event.?title == 'x'", "is not valid CEL"),
        ("evnt.tenant == 'acme'", "reads 'evnt'; it may read event, labels"),
        ("event.tennant == 'acme'", "reads 'event.tennant'; an event has id"),
        ("labels.colour == 'red'", "reads the axis 'colour'; the model has queue, severity"),
        ("labels.priority == 'urgent'", "reads the axis 'priority'"),
        ("event.title.lower() == 'x'", "calls 'lower'"),
        (
            "event.attributes.tags.all(a, event.attributes.tags.all(b, a == b))",
            "loops inside a loop",
        ),
        (
            "event.attributes.tags.all(a, (size(a) > 1) && [1].map(b, b) == [1])",
            "loops inside a loop",
        ),
        ("event.title.matches(event.text)", "pattern from elsewhere"),
        ("event.title.matches('a' + event.text)", "pattern from elsewhere"),
        ("event.title.matches('(')", "no RE2 pattern"),
        ("event.title.matches('(?=x)')", "no RE2 pattern"),
        ("event.title.matches(r'a{1000}{1000}')", "no RE2 pattern"),
        ("(" * 200 + "true" + ")" * 200, "is not valid CEL"),
        ("true" + " || true" * (MAX_CHARS // 8), "is longer than"),
    ],
)
def test_a_condition_that_cannot_work_is_refused(when: str, message: str) -> None:
    """It would be found out on the first event, by everybody but its author; or let a sender choose what it costs."""
    with pytest.raises(ValueError, match=r"^rule 'r0' ") as caught:
        rules(when)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_loops_beside_each_other_are_fine() -> None:
    """Refusing more than what can run away would make people write worse rules."""
    tags = "event.attributes.tags"
    assert ruling(
        rules(f"{tags}.filter(t, t != 'x').exists(t, t == 'test') && {tags}.all(t, t != '')")
    )


def test_a_rule_may_read_an_axis_of_either_of_its_domains() -> None:
    """One rule for both domains must be able to look at what only one has."""
    both = Rule(name="both", when='event.kind == "ticket" && labels.priority == "low"', review=True)
    given = Rules.of([both], OFF, LABELS)
    ticket = Event(id="t-1", kind="ticket", text="hello")
    assert given.apply(ticket, {"priority": Label(value="low", confidence=0.9)}, now=NOW)
    assert not given.apply(alert(), labels(), now=NOW)
    assert not given.errors


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "does nothing"),
        ({"until": TODAY}, "does nothing"),
        ({"suppress": True}, "suppresses without an end"),
        ({"suppress": True, "until": TODAY, "review": True}, "choose one"),
        ({"suppress": True, "until": TODAY, "queue": "cloud"}, "choose one"),
        ({"queue": SUPPRESSED}, "suppress = true"),
        ({"labels": {"colour": "red"}}, "sets 'colour', which is no axis of alerts"),
        (
            {"labels": {"severity": "terrible"}},
            "sets severity to 'terrible', which is no label of alerts",
        ),
        ({"labels": {"queue": "cloud"}, "domains": ["alerts", "tickets"]}, "no label of tickets"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(fields: dict[str, Any], message: str) -> None:
    """A worker that starts with it would do something nobody has asked for."""
    rule = msgspec.convert({"name": "odd", "when": "true", "domains": ["alerts"]} | fields, Rule)
    with pytest.raises(ValueError, match=r"^rule 'odd' ") as caught:
        Rules.of([rule], OFF, LABELS)
    assert message in str(caught.value)


def test_a_rule_about_nothing_served_is_refused() -> None:
    """It would never hold, and nobody would know."""
    rule = Rule(name="r", when="true", domains=["tickets"], review=True)
    with pytest.raises(ValueError, match="'r' is about tickets, which the model does not label"):
        Rules.of([rule], ImpactOptions(), {"alerts": LABELS["alerts"]})


def test_a_name_is_taken_once() -> None:
    """Reasons and counters name the rule: two of one name could not be told apart."""
    twice = Rule(name="r", when="true", review=True)
    with pytest.raises(ValueError, match="'r' exists twice"):
        Rules.of([twice, twice], OFF, LABELS)


def test_an_impact_about_no_axis_is_refused() -> None:
    """It would fail on every event and send all of them to people."""
    alerts = {"alerts": {"queue": ("cloud",)}}
    with pytest.raises(ValueError, match=r"impact\.alerts reads the axis 'severity'"):
        Rules.of([], ImpactOptions(alerts='labels.severity == "high"'), alerts)
    assert not Rules.of([], ImpactOptions(), alerts).high_impact(
        Event(id="e", kind="alert"), {}, now=NOW
    ), "the default is not the user's"


def test_rules_read_from_configuration() -> None:
    """TOML has dates, environment variables have text; a mistyped key must not pass."""
    rule = {"name": "r", "when": "true", "suppress": True}
    for until in (TODAY, "2026-03-15"):
        assert msgspec.convert(rule | {"until": until}, Rule, strict=False).until == TODAY
    assert msgspec.convert(rule, Rule).domains == ["alerts", "tickets"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(rule | {"untill": TODAY}, Rule)


def test_what_a_rule_may_do() -> None:
    """Agents act on the ruling alone."""
    sets = ruling(rules("true", labels={"severity": "high"}))
    assert sets == Ruling(
        "r0",
        "label",
        "rule 'r0' sets severity to high",
        {"severity": Label(value="high", confidence=1.0)},
    )
    sends = ruling(rules("true", queue="soc-emea", labels={"queue": "email"}))
    assert sends == Ruling(
        "r0",
        "route",
        "rule 'r0' sends it to soc-emea",
        {"queue": Label(value="email", confidence=1.0)},
        "soc-emea",
    )
    ends = ruling(rules("true", suppress=True, until=TODAY))
    assert ends is not None
    assert (ends.action, ends.queue, ends.labels) == ("suppress", SUPPRESSED, {})
    assert ends.reason == "rule 'r0' suppresses it as known to be benign until 2026-03-15"
    asks = ruling(rules("true", review=True, queue="soc-emea"))
    assert asks == Ruling("r0", "review", "rule 'r0' asks for a person", {}, "soc-emea")


def test_the_first_rule_that_holds_decides() -> None:
    """The order people wrote them in is the order they think in."""
    decided = ruling(rules("false", 'event.tenant == "acme"', "true"))
    assert decided is not None
    assert decided.rule == "r1"
    assert ruling(rules("false", "false")) is None
    assert ruling(rules()) is None


def test_a_rule_ends_with_its_last_day() -> None:
    """A suppression that outlived its day would hide what nobody vouches for any more."""
    given = rules("true", suppress=True, until=TODAY)
    last = datetime(2026, 3, 15, 23, 59, 59, tzinfo=UTC)
    after = datetime(2026, 3, 16, tzinfo=UTC)
    assert given.apply(alert(), labels(), now=last)
    assert given.expired(now=last) == []
    assert not given.apply(alert(), labels(), now=after)
    assert given.expired(now=after) == ["r0"]
    east = datetime.fromisoformat("2026-03-16T08:00:00+09:00")
    assert given.apply(alert(), labels(), now=east), "it is still the 15th in UTC"


FAILING = (
    "event.attributes.title.contains('x')",
    "event.attributes.score > 'high'",
    "event.attributes.score / 0 == 1",
)


@pytest.mark.parametrize("when", [*FAILING, "event.tenant"])
def test_a_condition_that_fails_does_not_hold_and_is_counted(when: str) -> None:
    """One odd event must neither be suppressed by a rule that could not read it, nor stop the worker."""
    given = rules(when, suppress=True, until=TODAY)
    event = alert(attributes={"title": 3, "score": 7})
    assert ruling(given, event) is None
    assert ruling(given, event) is None
    assert given.errors == {"r0": 2}


def test_a_review_nobody_evades_by_making_it_fail() -> None:
    """A sender could leave the person out by sending a number as text."""
    given = rules("event.attributes.score > 5")
    decided = ruling(given, alert(attributes={"score": "7"}))
    assert decided is not None
    assert (decided.action, decided.rule) == ("review", "r0")
    assert "could not be evaluated" in decided.reason
    assert ruling(given, alert(attributes={})) is None, (
        "a field that is not there is a condition not met"
    )
    assert given.errors == {"r0": 2}


def test_what_cannot_be_converted_fails_one_event() -> None:
    """Text that is no Unicode would otherwise raise out of the rules."""
    odd = alert(tenant="\ud800")
    given = rules('event.tenant == "acme"', suppress=True, until=TODAY)
    assert ruling(given, odd) is None
    assert given.errors == {"r0": 1}


def test_a_loop_over_more_than_a_person_would_write_fails() -> None:
    """A sender decides how long a list is, and everybody else's events wait for it."""
    long: dict[str, Any] = {"tags": ["x"] * (MAX_ELEMENTS + 1)}
    given = rules(
        "event.attributes.tags.exists(tag, tag in event.attributes.tags)",
        suppress=True,
        until=TODAY,
    )
    assert ruling(given, alert(attributes=long)) is None
    assert given.errors == {"r0": 1}
    assert ruling(given, alert(attributes={"tags": ["x"] * MAX_ELEMENTS}))
    assert ruling(rules("'x' in event.attributes.tags"), alert(attributes=long)), (
        "without a loop any length is fine"
    )


def test_conditions_stay_quick_on_what_a_sender_can_choose() -> None:
    """Backtracking or nesting would let one event hold up the topic."""
    event = alert(text="a" * 200_000, attributes={"tags": ["a" * 500] * MAX_ELEMENTS})
    given = rules(
        "event.text.matches('^(a+)+$(b|c)') || event.attributes.tags.exists(t, t.matches('(a*)*b'))",
        queue="x",
    )
    started_s = time.process_time()
    ruling(given, event)
    assert time.process_time() - started_s < 2.0
    assert not given.errors


@pytest.mark.parametrize("severity", ["critical", "low"])
@pytest.mark.parametrize(
    "fields",
    [
        {"suppress": True, "until": TODAY},
        {"queue": "email"},
        {"labels": {"severity": "low"}},
        {"review": True},
    ],
)
def test_high_impact_always_ends_with_a_person(severity: str, fields: dict[str, Any]) -> None:
    """A rule written for the usual case would end the one event that matters."""
    given = rules("true", impact=ImpactOptions(), **fields)
    decided = ruling(given, opinion=labels(severity))
    assert decided is not None
    if severity == "critical":
        assert decided.action == "review"
        assert decided.queue != SUPPRESSED
    else:
        assert (decided.action == "review") == ("review" in fields)


def test_a_rule_that_makes_it_high_impact_calls_a_person_too() -> None:
    """What people call critical would be final because the model had called it low."""
    decided = ruling(
        rules("true", impact=ImpactOptions(), queue="email", labels={"severity": "critical"})
    )
    assert decided is not None
    assert (decided.action, decided.queue, decided.labels["severity"].value) == (
        "review",
        "email",
        "critical",
    )
    assert decided.reason.endswith("but high impact always ends with a person")


def test_high_impact_by_domain() -> None:
    """Alerts and tickets call the worst by different names."""
    given = Rules.of([], ImpactOptions(), LABELS)
    ticket = Event(id="t-1", kind="ticket", text="x")
    for event, axis, value, high in (
        (alert(), "severity", "critical", True),
        (alert(), "severity", "high", False),
        (ticket, "priority", "urgent", True),
        (ticket, "priority", "low", False),
    ):
        assert given.high_impact(event, {axis: Label(value=value, confidence=0.5)}, now=NOW) is high
    off = Rules.of([], OFF, LABELS)
    assert not off.high_impact(alert(), labels("critical"), now=NOW)


@pytest.mark.parametrize("impact", [*FAILING, "event.tenant", "event.attributes.missing == 1"])
def test_an_impact_that_cannot_be_told_is_high(impact: str) -> None:
    """A sender could switch the last guard off by making it fail."""
    given = rules("true", impact=ImpactOptions(alerts=impact), suppress=True, until=TODAY)
    event = alert(attributes={"title": 3, "score": 7})
    assert given.high_impact(event, labels(), now=NOW)
    decided = ruling(given, event)
    assert decided is not None
    assert decided.action == "review"
    assert given.errors["impact.alerts"] == 2


def test_without_rules_an_event_costs_nothing_to_speak_of() -> None:
    """Every event passes here: a converted vendor document costs milliseconds and must wait to be asked for."""
    given = Rules.of([], ImpactOptions(), LABELS)
    event = alert(event={"rows": [{f"k{i}": "v" * 50 for i in range(20)}] * 100})
    opinion = labels()
    started_s = time.process_time()
    for _ in range(1_000):
        given.apply(event, opinion, now=NOW)
        given.high_impact(event, opinion, now=NOW)
    assert time.process_time() - started_s < 0.5, (
        "half a millisecond an event on a busy machine; 15 µs on an idle one"
    )
