"""Tests of what a sender states about severity and priority, and of the floor that it is."""

import time
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from inference.rules.options import ImpactOptions
from inference.rules.ruling import Rules
from schemas.event import Event, Kind, Origin, Stated
from schemas.formats import Mapping, read_event
from schemas.formats.level_words import LEVELS
from schemas.formats.stated import (
    guess_stated,
    merged_stated,
    plain_stated,
    stated_from,
    stated_level,
    worst_stated,
)
from schemas.formats.stated_fields import MAX_ORIGINAL_CHARS, says_level
from schemas.triaged import Label
from schemas.visible_text import one_line
from tests.llm_tier import LABELS

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def alert(**fields: Any) -> Event:
    """An alert with these fields."""
    return Event(**{"id": "a-1", "kind": "alert", "text": "x"} | fields)


@pytest.mark.parametrize(
    ("document", "severity"),
    [
        ({"severity": "High"}, "high"),
        ({"severity": " \uff43ritical\u200b"}, "critical"),
        ({"kibana.alert.severity": "critical"}, "critical"),
        ({"class_uid": 2004, "severity_id": 5}, "critical"),
        ({"class_uid": 2004, "severity": "Other", "severity_id": 4}, "high"),
        ({"severity": "Sev-Ultra", "alert": {"severity": "info"}}, "informational"),
        ({"event": {"Severity": 5, "SeverityName": "Critical"}}, "critical"),
        ({"Severity": {"Normalized": 90, "Label": "CRITICAL", "Original": "9"}}, "critical"),
        ({"labels": {"severity": "page"}}, "critical"),
        ({"rule": {"severity_label": "moderate"}}, "medium"),
        ({"alertSeverity": ["high"]}, "high"),
        ({"severity": "low", "asset": {"severity": "critical"}}, "low"),
        ({"a": {"severity": "low"}, "b": {"severity": "critical"}}, "critical"),
        ({"level": "warning", "alert": {"severity": "high"}}, "high"),
        ({"level": "fatal"}, "critical"),
        ({"syslog": {"severity": "alert", "priority": 129}, "message": "x"}, "critical"),
    ],
)
def test_the_severity_that_a_document_states(document: dict[str, Any], severity: str) -> None:
    """Otherwise a critical event could be closed although its sender says what it is."""
    stated = guess_stated(document)
    assert stated
    assert stated.severity == severity


@pytest.mark.parametrize(
    ("axis", "text", "word"),
    [
        ("severity", "P1", "critical"),
        ("severity", "sev-1", "critical"),
        ("severity", "SEV2", "high"),
        ("severity", "S 3", "medium"),
        ("severity", "1 - Critical", "critical"),
        ("severity", "VERY_HIGH", "critical"),
        ("severity", "high (2)", "high"),
        ("severity", "8", None),
        ("severity", "sev-9", None),
        ("severity", "high" * 1000, None),
        ("severity", "not critical", None),
        ("priority", "p1", "urgent"),
        ("priority", "P5", "low"),
        ("priority", "3 - Moderate", "normal"),
        ("priority", "Highest", "urgent"),
        ("priority", "3", None),
        ("status", "To Do", "open"),
        ("status", "IN_PROGRESS", "open"),
        ("status", "Won\u2019t fix", None),
        ("status", "won't fix", "closed"),
        ("status", "auto-resolved", "closed"),
        ("status", "200", None),
    ],
)
def test_the_words_of_senders(axis: str, text: str, word: str | None) -> None:
    """A usual word would not be understood, or a number of an unknown scale would be."""
    stated = stated_from(**{axis: text})
    assert getattr(stated, axis) == word
    assert stated.original == {axis: one_line(text, MAX_ORIGINAL_CHARS)}, "the own value is kept"


@pytest.mark.parametrize("number", range(6))
def test_a_ranked_word_is_never_less_serious_than_the_next_one(number: int) -> None:
    """A P1 would count for less than a P2."""
    for axis, order in LEVELS.items():
        more, less = (stated_from(**{axis: f"P{each}"}) for each in (number, min(5, number + 1)))
        assert order.index(getattr(more, axis)) >= order.index(getattr(less, axis))


def test_a_value_of_a_mapping_may_be_an_object_or_a_number() -> None:
    """What a mapping points to would be lost because it is not text."""
    stated = stated_from(
        severity={"id": 2, "name": "High"}, priority=3, status={"value": 6, "display": "x"}
    )
    assert stated == Stated(
        severity="high", original={"severity": "High", "priority": "3", "status": "6"}
    )
    assert stated_from() == Stated()


def test_attributes_stand_before_the_document() -> None:
    """Whoever added a severity knows more than the vendor, and the rest would be lost."""
    sources = [{"severity": "low"}, {"severity": "high", "status": "open"}, {}]
    stated = merged_stated(*map(guess_stated, sources))
    assert stated
    assert (stated.severity, stated.status) == ("low", "open")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"severities": "high"},
        {"severity": ["high", "low"]},
        {"severity_id": 5},
        {"severity": True},
        {"severity": "\u200b"},
        {"findings": [{"severity": "high"}, {"severity": "low"}]},
        {"status": "success", "state": "CA", "level": "ground floor"},
        {"a": {"b": {"c": {"d": {"e": {"severity": "high"}}}}}},
    ],
)
def test_what_says_nothing_states_nothing(document: dict[str, Any]) -> None:
    """A field about something else would be taken for a statement of the sender."""
    assert guess_stated(document) is None


@pytest.mark.parametrize(
    "document", [{"severity": 9}, {"alert": {"severity": 1}}, {"severity": "Sev-Ultra"}]
)
def test_what_is_not_understood_has_no_level(document: dict[str, Any]) -> None:
    """Otherwise a number on an unknown scale would be taken for a severity of ours."""
    stated = guess_stated(document)
    assert stated
    assert stated.original
    assert stated_level(alert(stated=stated)) is None
    assert worst_stated(alert(stated=stated)) is None


@pytest.mark.parametrize(
    "document",
    [
        {f"k{number}": {"severity": "x" * 90, "y": [1]} for number in range(25_000)},
        {"severity" + "." * number + "severity": "x" * 100 for number in range(20_000)},
        {"severity": {f"k{number}": "high" for number in range(50_000)}},
        {"severity": "high " * 200_000, "priority": "\u0300" * 500_000},
    ],
    ids=["many objects", "many names", "a large object", "long texts"],
)
def test_a_hostile_document_is_read_in_bounded_time(document: dict[str, Any]) -> None:
    """A sender could hold up the worker with a document full of severities."""
    stated = guess_stated(document)  # what is compiled and cached is not counted
    started_s = time.process_time()
    again = guess_stated(document)
    assert time.process_time() - started_s < 1.0
    assert again == stated
    for text in (stated.original if stated else {}).values():
        assert len(text) <= MAX_ORIGINAL_CHARS


@pytest.mark.parametrize(
    ("kind", "stated", "level", "worst"),
    [
        ("ticket", {"priority": "urgent"}, ("priority", "urgent"), "urgent"),
        ("ticket", {"severity": "critical"}, ("priority", "urgent"), "critical"),
        ("ticket", {"priority": "low", "severity": "high"}, ("priority", "high"), None),
        ("ticket", {"severity": "informational"}, ("priority", "low"), None),
        ("alert", {"priority": "urgent"}, ("severity", "critical"), "urgent"),
        (
            "alert",
            {"priority": "urgent", "severity": "critical"},
            ("severity", "critical"),
            "critical",
        ),
        ("alert", {"severity": "low", "priority": "normal"}, ("severity", "medium"), None),
        ("alert", {"severity": "high", "priority": "low"}, ("severity", "high"), None),
        ("alert", {"severity": "huge", "priority": "1"}, None, None),
        ("alert", {"status": "closed"}, None, None),
    ],
)
def test_severity_and_priority_both_count(
    kind: str, stated: dict[str, str], level: tuple[str, str] | None, worst: str | None
) -> None:
    """An alert of priority P1, or a ticket of critical severity, would count for less."""
    event = Event(id="e", kind=kind, text="x", stated=Stated(**stated))  # type: ignore[arg-type]
    assert stated_level(event) == level
    assert worst_stated(event) == worst


def test_what_is_published_is_bounded_and_visible() -> None:
    """A mapping, or a case that somebody else wrote, could bring a terminal to obey its sender."""
    hostile = Stated(
        severity="\x1b[2J",
        priority="urgent",
        original={"severity": "\x1b[2J" + "a" * 500, "x": "y"},
    )
    plain = plain_stated(hostile)
    assert plain == Stated(
        priority="urgent", original={"severity": "[2J" + "a" * (MAX_ORIGINAL_CHARS - 4) + "…"}
    )
    assert plain_stated(Stated(severity="huge")) is None
    assert plain_stated(None) is None


@pytest.mark.parametrize(
    ("path", "text", "level"),
    [
        ("severity", "High", True),
        ("kibana.alert.severity", "critical", True),
        ("SeverityName", "Critical", True),
        ("finding.Severity.Label", "CRITICAL", True),
        ("ticket.priority.name", "P1", True),
        ("riskLevel", "high", True),
        ("urgency", "1 - High", True),
        ("risk", "Data may leave the company", False),
        ("severity", "AVAILABILITY", False),
        ("status", "open", False),
        ("name", "critical", False),
        ("severity.a.b", "high", False),
        ("x" * 100_000 + ".severity", "high" * 100_000, False),
    ],
)
def test_the_fields_that_the_small_model_must_not_read(path: str, text: str, level: bool) -> None:
    """The model would copy what a sender states into its own severity."""
    assert says_level(path, text) == level


@pytest.mark.parametrize(
    ("stated", "value", "person"),
    [
        ("critical", "informational", True),
        ("critical", "medium", True),
        ("critical", "high", False),
        ("high", "low", True),
        ("high", "medium", False),
        ("medium", "informational", False),
        ("low", "informational", False),
    ],
)
def test_a_severity_far_below_the_stated_one_needs_a_person(
    stated: str, value: str, person: bool
) -> None:
    """Otherwise an event that its sender calls critical would be closed as informational."""
    event = alert(stated=Stated(severity=stated))
    labels = {"severity": Label(value=value, confidence=0.9)}
    on, off = (
        Rules.of([], ImpactOptions(stated=False, below_stated=switch), LABELS)
        for switch in (True, False)
    )
    reason = on.needs_person(event, labels, now=NOW)
    assert bool(reason) == person
    if person:
        assert stated in reason
        assert value in reason
    assert not off.needs_person(event, labels, now=NOW)
    assert not on.high_impact(event, labels, now=NOW), "a rule may overrule a sender"


@pytest.mark.parametrize("kind", ["alert", "ticket"])
@pytest.mark.parametrize(
    ("stated", "word"),
    [
        ({"severity": "critical"}, "critical"),
        ({"priority": "urgent"}, "urgent"),
        ({"severity": "critical", "status": "closed"}, "critical"),
        ({"severity": "high"}, ""),
        ({}, ""),
    ],
)
def test_what_the_sender_calls_the_worst_needs_a_person(
    kind: Kind, stated: dict[str, str], word: str
) -> None:
    """Otherwise what a vendor calls critical would end without a person, if a model is sure."""
    event = Event(id="e", kind=kind, text="x", stated=Stated(**stated))  # type: ignore[arg-type]
    labels = {
        "severity": Label(value="high", confidence=0.99),
        "priority": Label(value="high", confidence=0.99),
    }
    expected = f"high impact: the sender calls it {word}" if word else ""
    rules = Rules.of([], ImpactOptions(), LABELS)
    assert rules.needs_person(event, labels, now=NOW) == expected
    other_axes = Rules.of([], ImpactOptions(), {domain: {"queue": ("a",)} for domain in LABELS})
    assert other_axes.needs_person(event, {}, now=NOW) == expected
    assert not rules.high_impact(event, labels, now=NOW), "a rule may overrule a sender"
    off = Rules.of([], ImpactOptions(stated=False), LABELS)
    assert not off.needs_person(event, labels, now=NOW)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            {"title": "x", "attributes": {"status": "open"}, "event": {"severity": "critical"}},
            Stated(
                severity="critical",
                status="open",
                original={"status": "open", "severity": "critical"},
            ),
        ),
        (
            {"title": "x", "attributes": {"severity": "8"}, "event": {"severity": "high"}},
            Stated(severity="high", original={"severity": "high"}),
        ),
        (
            {"title": "x", "severity": "low", "event": {"severity": "high"}},
            Stated(severity="low", original={"severity": "low"}),
        ),
        (
            {"mine": 1, "urgency": "critical", "deep": {"severity": "high"}},
            Stated(
                severity="high",
                priority="urgent",
                original={"priority": "critical", "severity": "high"},
            ),
        ),
        (
            {"theirs": 1, "sev": {"id": 2, "name": "High"}, "urgency": "critical"},
            Stated(severity="high", original={"severity": "High"}),
        ),
        ({"title": "x"}, None),
    ],
    ids=[
        "a status does not hide a severity",
        "a number does not hide a word",
        "the event's own word counts",
        "a mapping that names no place",
        "a mapping that names a place",
        "nothing",
    ],
)
def test_what_is_stated_through_the_door(record: dict[str, Any], expected: Stated | None) -> None:
    """A severity would be lost on the way from the record to the event."""
    mappings = [
        Mapping(name="mine", when={"mine": True}, fields={"id": "mine"}),
        Mapping(name="theirs", when={"theirs": True}, fields={"severity": "sev"}),
    ]
    event = read_event(
        orjson.dumps(record),
        origin=Origin(topic="t", partition=0, offset=0),
        kind="alert",
        mappings=mappings,
    )
    assert event.stated == expected
