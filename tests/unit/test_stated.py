"""Tests of what a sender states about severity and priority, and of the floor that it is."""

from datetime import UTC, datetime
from typing import Any

import pytest

from inference.rules.options import ImpactOptions
from inference.rules.ruling import Rules
from schemas.event import Event
from schemas.formats.stated import stated_level
from schemas.triaged import Label
from tests.llm_tier import LABELS

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def alert(**fields: Any) -> Event:
    """An alert with these fields."""
    return Event(**{"id": "a-1", "kind": "alert", "text": "x"} | fields)


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"attributes": {"severity": "High"}}, "high"),
        ({"event": {"severity": " \uff43ritical\u200b"}}, "critical"),
        ({"event": {"kibana.alert.severity": "critical"}}, "critical"),
        ({"event": {"class_uid": 2004, "severity_id": 5}}, "critical"),
        ({"attributes": {"severity": "low"}, "event": {"severity": "high"}}, "low"),
        ({"event": {"severity": "Sev-Ultra", "alert": {"severity": "info"}}}, "informational"),
    ],
)
def test_the_severity_that_a_sender_states(fields: dict[str, Any], level: str) -> None:
    """Otherwise a critical event could be closed although its sender says what it is."""
    assert stated_level(alert(**fields)) == ("severity", level)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"attributes": {"severity": 9}},
        {"event": {"severity": ["high", "low"]}},
        {"event": {"alert": {"severity": 1}}},
        {"event": {"severity_id": 5}},
        {"event": {"severity": "high" * 1000}},
        {"event": {"severity": {"severity": "high"}}},
    ],
)
def test_what_is_not_understood_is_not_stated(fields: dict[str, Any]) -> None:
    """Otherwise a number on an unknown scale would be taken for a severity of ours."""
    assert stated_level(alert(**fields)) is None


def test_the_priority_of_a_ticket() -> None:
    """Otherwise an urgent ticket would have no floor."""
    ticket = Event(id="t-1", kind="ticket", text="x", event={"ticket": {"priority": "P1"}})
    assert stated_level(ticket) == ("priority", "urgent")


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
    event, labels = (
        alert(event={"severity": stated}),
        {"severity": Label(value=value, confidence=0.9)},
    )
    on, off = (Rules.of([], ImpactOptions(below_stated=switch), LABELS) for switch in (True, False))
    reason = on.needs_person(event, labels, now=NOW)
    assert bool(reason) == person
    if person:
        assert stated in reason
        assert value in reason
    assert not off.needs_person(event, labels, now=NOW)
    assert not on.high_impact(event, labels, now=NOW), "a rule may overrule a sender"
