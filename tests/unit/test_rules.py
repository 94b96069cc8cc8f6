"""Tests of the rules: what a condition may read and cost, and which rule decides.

An event of high impact always goes to a person.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from inference.errors import ConfigError
from inference.rules.condition import (
    EVENT_FIELDS,
    MAX_CHARS,
    MAX_ELEMENTS,
    MAX_VALUES,
    Condition,
    Facts,
)
from inference.rules.options import ImpactOptions, Rule
from inference.rules.ruling import SUPPRESSED, Rules, Ruling
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
    """The labels of the small model for an alert."""
    return {
        "queue": Label(value=queue, confidence=0.75),
        "severity": Label(value=severity, confidence=0.5, abstained=True),
    }


def alert(**fields: Any) -> Event:
    """An alert in which every field has a value."""
    usual = {
        "id": "a-1",
        "kind": "alert",
        "tenant": "acme",
        "source": "scanner",
        "title": "Port scan",
        "occurred_at": "2026-03-15T11:00:00Z",
        "attributes": {"score": 7, "tags": ["noisy", "test"]},
        "event": {"host": {"name": "db-1"}},
        "stated": {"severity": "critical", "original": {"severity": "Sev 1"}},
    }
    return msgspec.convert(usual | fields, Event)


def rules(
    *conditions: str,
    impact: ImpactOptions = OFF,
    clock: Callable[[], datetime] = lambda: NOW,
    **fields: Any,
) -> Rules:
    """Rules about alerts, named r0, r1 …; without `fields` they ask for a person."""
    fields = fields or {"review": True}
    return Rules.of(
        [
            Rule(name=f"r{i}", when=when, domains=["alerts"], **fields)
            for i, when in enumerate(conditions)
        ],
        impact,
        LABELS,
        clock=clock,
    )


def _same(instant: datetime) -> datetime:
    return instant


def ruling(
    ruleset: Rules,
    event: Event | None = None,
    model_labels: Mapping[str, Label] | None = None,
) -> Ruling | None:
    """The ruling about an event: before the model, or after it if the model has to decide."""
    return decided_at(ruleset, event or alert(), model_labels or labels(), NOW)


def decided_at(
    ruleset: Rules, event: Event, model_labels: Mapping[str, Label], now: datetime
) -> Ruling | None:
    """The ruling about an event at a time."""
    earlier = ruleset.before_model(event, now=now)
    if earlier is not None and not earlier.needs_model:
        return earlier
    return ruleset.after_model(event, model_labels, earlier, now=now)


@pytest.mark.parametrize(
    "when",
    [
        (
            'event.tenant == "acme" && event.kind == "alert"'
            ' && event.domain == "alerts" && event.id == "a-1"'
        ),
        'event.title.matches("(?i)port\\\\s+scan")',
        'event.title.startsWith("Port") || event.text.contains("nothing")',
        'event.text == "" && event.body == ""',
        'event.attributes.score > 5 && "test" in event.attributes.tags',
        'event.attributes.tags.exists(tag, tag.startsWith("no"))',
        'has(event.event.host) && event.event.host.name == "db-1"',
        'event["event"]["host"]["name"] == "db-1"',
        "event.exists(field, field == 'event') && labels.exists(axis, axis == 'queue')",
        'stated.severity == "critical" && stated.priority == "" && stated["status"] == ""',
        'labels.severity == "low" && labels["queue"] in ["cloud", "email"]',
        "confidence.queue >= 0.7 && confidence.severity < 1",
        'now > timestamp("2026-01-01T00:00:00Z") && now.getHours() == 12',
        'now - timestamp(event.occurred_at) < duration("2h")',
        (
            'event.title != "labels.colour == event.colour // matches("'
            " // not a name, and neither is event.colour"
        ),
        "type(event.attributes.score) == int",
        "event.title != '''a).all(x, 'y' ''' && event.title != r'\\' && event.title != \"it's (\"",
    ],
)
def test_a_condition_can_read_what_is_documented(when: str) -> None:
    """Otherwise a rule that follows the documentation would never hold, or be refused."""
    ruleset = rules(when)
    assert ruling(ruleset) is not None
    assert not ruleset.errors


def test_every_field_can_be_read_alone() -> None:
    """Otherwise a field would be missing in the conversion, and a rule would not see it."""
    for name in EVENT_FIELDS:
        condition = Condition.compile(f"event.{name} == event.{name}", axes=(), subject="x")
        assert condition.holds(Facts(alert(), labels(), NOW, condition.reads)), name


def test_an_event_that_states_nothing_can_be_asked() -> None:
    """A rule about what senders state would fail on each event of a sender that states nothing."""
    ruleset = rules('stated.severity == "" && stated.status != "closed"')
    assert ruling(ruleset, alert(stated=None)) is not None
    assert ruling(ruleset, alert(stated={"priority": "urgent"})) is not None
    assert ruling(ruleset) is None
    assert not ruleset.errors


def test_a_rule_wins_over_the_sender_unless_impact_says_otherwise() -> None:
    """A sender that overstates could not be put right by a rule, or nobody could forbid that."""
    by_default = ruling(rules("true", impact=ImpactOptions(), queue="noise"))
    assert by_default is not None
    assert (by_default.action, by_default.needs_model) == ("route", False)
    strict = ImpactOptions(alerts='stated.severity == "critical" || labels.severity == "critical"')
    kept = ruling(rules("true", impact=strict, queue="noise"))
    assert kept is not None
    assert kept.action == "review"
    lower = alert(stated={"severity": "high"})
    unkept = ruling(rules("true", impact=strict, queue="noise"), lower)
    assert unkept is not None
    assert unkept.action == "route"


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("", "is not valid CEL"),
        ('labels.severity = "low"', "is not valid CEL at line 1, column"),
        ("event.?title == 'x'", "is not valid CEL"),
        ("evnt.tenant == 'acme'", "reads 'evnt'; it may read event, stated, labels"),
        ("event.tennant == 'acme'", "reads 'event.tennant'; an event has id"),
        ("stated.original == 'x'", "reads 'stated.original'; a sender states severity, priority"),
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
    """Otherwise it would fail on the first event, or a sender could choose what it costs."""
    with pytest.raises(ConfigError, match=r"^rules: rule 'r0' ") as caught:
        rules(when)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_loops_next_to_each_other_are_accepted() -> None:
    """Otherwise people would have to write worse rules, although only nested loops are slow."""
    tags = "event.attributes.tags"
    assert ruling(
        rules(f"{tags}.filter(t, t != 'x').exists(t, t == 'test') && {tags}.all(t, t != '')")
    )


def test_a_rule_may_read_an_axis_of_either_of_its_domains() -> None:
    """Otherwise a rule for both domains could not read an axis that only one of them has."""
    both = Rule(name="both", when='event.kind == "ticket" && labels.priority == "low"', review=True)
    ruleset = Rules.of([both], OFF, LABELS)
    ticket = Event(id="t-1", kind="ticket", text="hello")
    assert decided_at(ruleset, ticket, {"priority": Label(value="low", confidence=0.9)}, NOW)
    assert not decided_at(ruleset, alert(), labels(), NOW)
    assert not ruleset.errors


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
def test_a_contradictory_rule_is_refused(fields: dict[str, Any], message: str) -> None:
    """Otherwise a worker would do something that nobody has asked for."""
    rule = msgspec.convert({"name": "odd", "when": "true", "domains": ["alerts"]} | fields, Rule)
    with pytest.raises(ConfigError, match=r"^rules: rule 'odd' ") as caught:
        Rules.of([rule], OFF, LABELS)
    assert message in str(caught.value)


def test_a_rule_about_a_domain_without_a_model_is_refused() -> None:
    """Otherwise it would never hold, and nobody would know."""
    rule = Rule(name="r", when="true", domains=["tickets"], review=True)
    with pytest.raises(ConfigError, match="'r' is about tickets, which the model does not label"):
        Rules.of([rule], ImpactOptions(), {"alerts": LABELS["alerts"]})


def test_names_of_rules_are_unique() -> None:
    """Otherwise reasons and counters could not tell two rules with one name apart."""
    twice = Rule(name="r", when="true", review=True)
    with pytest.raises(ConfigError, match="'r' exists twice"):
        Rules.of([twice, twice], OFF, LABELS)


def test_an_impact_about_an_unknown_axis_is_refused() -> None:
    """Otherwise it would fail on every event and send all of them to people."""
    alerts: Mapping[Domain, Mapping[str, tuple[str, ...]]] = {"alerts": {"queue": ("cloud",)}}
    with pytest.raises(ConfigError, match=r"impact\.alerts reads the axis 'severity'"):
        Rules.of([], ImpactOptions(alerts='labels.severity == "high"'), alerts)
    assert not Rules.of([], ImpactOptions(), alerts).high_impact(
        Event(id="e", kind="alert"), {}, now=NOW
    ), "the default condition was not written by the user"


def test_rules_read_from_configuration() -> None:
    """Otherwise a date from TOML or from a variable would fail, or a mistyped key would pass."""
    rule = {"name": "r", "when": "true", "suppress": True}
    for until in (TODAY, "2026-03-15"):
        assert msgspec.convert(rule | {"until": until}, Rule, strict=False).until == TODAY
    assert msgspec.convert(rule, Rule).domains == ["alerts", "tickets"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(rule | {"untill": TODAY}, Rule)


def test_the_actions_of_a_rule() -> None:
    """Otherwise agents, which see only the ruling, would do something else than the rule says."""
    label_ruling = ruling(rules("true", labels={"severity": "high"}))
    assert label_ruling == Ruling(
        "r0",
        "label",
        "rule 'r0' sets severity to high",
        {"severity": Label(value="high", confidence=1.0)},
    )
    route_ruling = ruling(rules("true", queue="soc-emea", labels={"queue": "email"}))
    assert route_ruling == Ruling(
        "r0",
        "route",
        "rule 'r0' sends it to soc-emea",
        {"queue": Label(value="email", confidence=1.0)},
        "soc-emea",
        needs_model=False,
    )
    suppress_ruling = ruling(rules("true", suppress=True, until=TODAY))
    assert suppress_ruling is not None
    assert suppress_ruling.action == "suppress"
    assert (suppress_ruling.queue, suppress_ruling.labels) == (SUPPRESSED, {})
    assert (
        suppress_ruling.reason == "rule 'r0' suppresses it as known to be benign until 2026-03-15"
    )
    review_ruling = ruling(rules("true", review=True, queue="soc-emea"))
    assert review_ruling == Ruling("r0", "review", "rule 'r0' asks for a person", {}, "soc-emea")


def test_the_first_rule_that_holds_decides() -> None:
    """Otherwise rules would not be applied in the order in which people wrote them."""
    decided = ruling(rules("false", 'event.tenant == "acme"', "true"))
    assert decided is not None
    assert decided.rule == "r1"
    assert ruling(rules("false", "false")) is None
    assert ruling(rules()) is None


def test_a_rule_ends_with_its_last_day() -> None:
    """Otherwise a suppression would hide events after the day that its author chose."""
    last = datetime(2026, 3, 15, 23, 59, 59, tzinfo=UTC)
    after = datetime(2026, 3, 16, tzinfo=UTC)
    east = datetime.fromisoformat("2026-03-16T08:00:00+09:00")
    for clock, holds in ((last, True), (after, False), (east, True)):  # east: the 15th in UTC
        ruleset = rules("true", clock=partial(_same, clock), suppress=True, until=TODAY)
        assert bool(ruling(ruleset)) == holds
        assert ruleset.expired(now=clock) == ([] if holds else ["r0"])


@pytest.mark.parametrize("when", ["true", "labels.severity == 'low'"])
@pytest.mark.parametrize("days", [-3650, -2, 0, 2])
def test_the_time_of_an_event_does_not_revive_a_rule(when: str, days: int) -> None:
    """Otherwise a sender could write an old timestamp, and an expired rule would hide its event."""
    received_at = NOW + timedelta(days=days)
    for today, holds in ((NOW + timedelta(days=1), False), (NOW, True)):
        ruleset = rules(when, clock=partial(_same, today), suppress=True, until=TODAY)
        assert bool(decided_at(ruleset, alert(), labels(), received_at)) == holds


FAILING = (
    "event.attributes.title.contains('x')",
    "event.attributes.score > 'high'",
    "event.attributes.score / 0 == 1",
)


@pytest.mark.parametrize("when", [*FAILING, "event.tenant"])
def test_a_condition_that_fails_does_not_hold_and_is_counted(when: str) -> None:
    """Otherwise an odd event would be suppressed by a rule that failed, or stop the worker."""
    ruleset = rules(when, suppress=True, until=TODAY)
    event = alert(attributes={"title": 3, "score": 7})
    assert ruling(ruleset, event) is None
    assert ruling(ruleset, event) is None
    assert ruleset.errors == {"r0": 2}


def test_a_review_condition_that_fails_asks_for_a_person() -> None:
    """Otherwise a sender could avoid the review by sending a number as text."""
    ruleset = rules("event.attributes.score > 5")
    decided = ruling(ruleset, alert(attributes={"score": "7"}))
    assert decided is not None
    assert (decided.action, decided.rule) == ("review", "r0")
    assert "could not be evaluated" in decided.reason
    assert ruling(ruleset, alert(attributes={})) is None, (
        "with a missing field the condition does not hold"
    )
    assert ruleset.errors == {"r0": 2}


def test_an_event_that_cannot_be_converted_fails_alone() -> None:
    """Otherwise text that is not Unicode would raise an error and stop the worker."""
    odd = alert(tenant="\ud800")
    ruleset = rules('event.tenant == "acme"', suppress=True, until=TODAY)
    assert ruling(ruleset, odd) is None
    assert ruleset.errors == {"r0": 1}


def test_a_loop_over_a_very_long_list_fails() -> None:
    """Otherwise a sender could send a long list, and all other events would wait."""
    long: dict[str, Any] = {"tags": ["x"] * (MAX_ELEMENTS + 1)}
    ruleset = rules(
        "event.attributes.tags.exists(tag, tag == 'x')",
        suppress=True,
        until=TODAY,
    )
    assert ruling(ruleset, alert(attributes=long)) is None
    assert ruleset.errors == {"r0": 1}
    assert ruling(ruleset, alert(attributes={"tags": ["x"] * MAX_ELEMENTS}))
    assert ruling(rules("'x' in event.attributes.tags"), alert(attributes=long)), (
        "without a loop, any length is accepted"
    )


@pytest.mark.parametrize(
    "condition",
    [
        "event.attributes.tags.exists(tag, event.text.contains(tag))",
        "event.attributes.tags.exists(tag, tag in event.attributes.tags)",
        "event.attributes.tags.map(tag, event.text + tag).size() > 3",
        "event.attributes.tags.filter(tag, tag == 'x').size() > 3",
        "event.attributes.tags.exists(tag, event['text'] == tag)",
    ],
)
def test_a_loop_that_would_copy_too_much_fails(condition: str) -> None:
    """A thousand elements, with a text of 500 kB added to each, took nine seconds and 500 MB."""
    large = alert(text="a" * 500_000, attributes={"tags": ["x"] * MAX_ELEMENTS})
    ruleset = rules(condition, review=True)
    decision = ruling(ruleset, large)
    assert decision is not None
    assert "could not be evaluated" in decision.reason
    small = alert(text="x" * 100, attributes={"tags": ["x"] * 60})
    quiet = rules(condition, suppress=True, until=TODAY)
    ruling(quiet, small)
    assert not quiet.errors, "a list of a usual length is looped over"


def test_a_loop_that_reads_its_elements_only_may_be_long() -> None:
    """Rules over a list of a thousand tags would all stop working."""
    ruleset = rules("event.attributes.tags.exists(tag, tag == 'y')", suppress=True, until=TODAY)
    tags = [*(["x" * 400] * (MAX_ELEMENTS - 1)), "y"]
    assert ruling(ruleset, alert(text="a" * 500_000, attributes={"tags": tags}))


def test_an_event_with_very_many_values_fails() -> None:
    """To convert a large document for the evaluator takes as long as a stall."""
    ruleset = rules('event.event.host.name == "db-1"', suppress=True, until=TODAY)
    host = {"name": "db-1"}
    many: dict[str, Any] = {"host": host, "list": [[]] * (MAX_VALUES + 1)}
    assert ruling(ruleset, alert(event=many)) is None
    assert ruleset.errors == {"r0": 1}
    assert ruling(ruleset, alert(event={"host": host, "list": ["x"] * (MAX_VALUES - 10)}))


def test_conditions_are_quick_for_any_event() -> None:
    """Otherwise backtracking or nesting would let one event delay the whole topic."""
    event = alert(text="a" * 200_000, attributes={"tags": ["a" * 500] * MAX_ELEMENTS})
    ruleset = rules(
        "event.text.matches('^(a+)+$(b|c)')"
        " || event.attributes.tags.exists(t, t.matches('(a*)*b'))",
        queue="x",
    )
    started_s = time.process_time()
    ruling(ruleset, event)
    assert time.process_time() - started_s < 2.0
    assert not ruleset.errors


READS_LABELS = 'labels.severity != "none"'
"""A condition that always holds, but only after the model."""


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
    """Otherwise a rule for usual events would end an important one."""
    ruleset = rules(READS_LABELS, impact=ImpactOptions(), **fields)
    decided = ruling(ruleset, model_labels=labels(severity))
    assert decided is not None
    if severity == "critical":
        assert decided.action == "review"
        assert decided.queue != SUPPRESSED
    else:
        assert (decided.action == "review") == ("review" in fields)


def test_a_rule_that_makes_the_impact_high_asks_for_a_person() -> None:
    """Otherwise an event that a rule calls critical would be final."""
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


def test_high_impact_of_each_domain() -> None:
    """Otherwise one domain would have no high impact, because its highest label is different."""
    ruleset = Rules.of([], ImpactOptions(), LABELS)
    ticket = Event(id="t-1", kind="ticket", text="x")
    for event, axis, value, high in (
        (alert(), "severity", "critical", True),
        (alert(), "severity", "high", False),
        (ticket, "priority", "urgent", True),
        (ticket, "priority", "low", False),
    ):
        assert (
            ruleset.high_impact(event, {axis: Label(value=value, confidence=0.5)}, now=NOW) is high
        )
    off = Rules.of([], OFF, LABELS)
    assert not off.high_impact(alert(), labels("critical"), now=NOW)


@pytest.mark.parametrize("impact", [*FAILING, "event.tenant", "event.attributes.missing == 1"])
def test_an_impact_condition_that_fails_counts_as_high(impact: str) -> None:
    """Otherwise a sender could avoid the review by making the condition fail."""
    ruleset = rules("true", impact=ImpactOptions(alerts=impact), suppress=True, until=TODAY)
    event = alert(attributes={"title": 3, "score": 7})
    assert ruleset.high_impact(event, labels(), now=NOW)
    decided = ruling(ruleset, event)
    assert decided is not None
    assert decided.action == "review"
    assert ruleset.errors["impact.alerts"] == 2


def test_without_rules_an_event_costs_almost_nothing() -> None:
    """Otherwise each event would cost milliseconds, because its document is converted."""
    ruleset = Rules.of([], ImpactOptions(), LABELS)
    event = alert(event={"rows": [{f"k{i}": "v" * 50 for i in range(20)}] * 100})
    model_labels = labels()
    started_s = time.process_time()
    for _ in range(1_000):
        decided_at(ruleset, event, model_labels, NOW)
        ruleset.high_impact(event, model_labels, now=NOW)
    assert time.process_time() - started_s < 0.5, (
        "half a millisecond per event on a busy machine; 15 µs on an idle one"
    )


ENDS: list[dict[str, Any]] = [
    {"suppress": True, "until": TODAY},
    {"queue": "email"},
    {"labels": {"severity": "low", "queue": "email"}},
]


@pytest.mark.parametrize("fields", ENDS, ids=["suppress", "route", "label every axis"])
def test_a_rule_that_reads_no_label_ends_an_event_before_the_model(fields: dict[str, Any]) -> None:
    """Otherwise the event would need a pass of the encoder although nothing depends on it."""
    ruleset = rules('event.tenant == "acme"', impact=ImpactOptions(), **fields)
    before = ruleset.before_model(alert(), now=NOW)
    assert before is not None
    assert not before.needs_model
    assert ruleset.before_model(alert(tenant="other"), now=NOW) is None
    assert not ruleset.errors


@pytest.mark.parametrize("fields", ENDS, ids=["suppress", "route", "label every axis"])
def test_a_rule_that_reads_labels_waits_for_the_model(fields: dict[str, Any]) -> None:
    """Otherwise it would read labels that do not exist yet, and never hold."""
    for when in (READS_LABELS, "confidence.queue > 0.1"):
        ruleset = rules(when, **fields)
        assert ruleset.before_model(alert(), now=NOW) is None
        assert ruleset.after_model(alert(), labels(), None, now=NOW) is not None


@pytest.mark.parametrize("fields", [{"review": True}, {"labels": {"severity": "low"}}])
def test_a_rule_that_ends_nothing_leaves_the_rest_to_the_model(fields: dict[str, Any]) -> None:
    """Otherwise a person would see no labels, or an event would have no queue."""
    ruleset = rules("true", **fields)
    before = ruleset.before_model(alert(), now=NOW)
    assert before is not None
    assert before.needs_model
    assert ruleset.after_model(alert(), labels(), before, now=NOW) == before


def test_rules_that_read_no_label_are_tried_first() -> None:
    """Otherwise the rules would not be applied in the documented order."""
    written = [
        Rule(name="reads labels", when=READS_LABELS, queue="one"),
        Rule(name="reads none", when="true", labels={"severity": "low"}),
    ]
    ruleset = Rules.of(
        [msgspec.structs.replace(rule, domains=["alerts"]) for rule in written], OFF, LABELS
    )
    decided = ruling(ruleset)
    assert decided is not None
    assert decided.rule == "reads none"


@pytest.mark.parametrize(
    ("impact", "to_a_person"),
    [
        ('labels.severity == "critical"', False),
        ('event.source == "scanner"', True),
        ('event.source == "other"', False),
        ('event.source == "scanner" || labels.severity == "critical"', True),
    ],
)
def test_before_the_model_high_impact_is_judged_by_what_is_known(
    impact: str, to_a_person: bool
) -> None:
    """Otherwise a rule would end an event that a person must see, or could end no event."""
    ruleset = rules("true", impact=ImpactOptions(alerts=impact), suppress=True, until=TODAY)
    before = ruleset.before_model(alert(), now=NOW)
    assert before is not None
    assert (before.action == "review", before.needs_model) == (to_a_person, to_a_person)
