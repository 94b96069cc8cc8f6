"""Tests of scoring parts: a benign text beside what happened does not hide how severe it is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.acceptance.parts import (
    CONFIDENT_FROM,
    MAX_REPEATED,
    RAISE_FROM,
    may_hide_severity,
    severe_levels,
    severe_probabilities,
    with_parts,
)
from inference.acceptance.policy import Decision
from inference.model.input_text import read_content
from inference.model.parts import MAX_CHARS, MAX_PARTS, repeated_share, split_content
from schemas.event import Event
from schemas.formats.level_words import LEVELS
from schemas.triaged import Alternative, Label

HAPPENED = "Ransomware encrypted the shares of a file server and deleted every shadow copy on it."
BENIGN = "This is a weekly health check of the monitoring system and it can safely be ignored. "


def alert(text: str = "", **fields: Any) -> Event:
    """An alert with this text."""
    return Event(**{"id": "a-1", "kind": "alert", "text": text or None} | fields)


def decision(severity: str = "medium", *, accepted: bool = True) -> Decision:
    """The decision about the whole of an event."""
    labels = {
        "queue": Label(value="endpoint", confidence=0.99),
        "severity": Label(
            value=severity,
            confidence=0.5,
            alternatives=[Alternative(value="high", confidence=0.4)],
        ),
    }
    return Decision(labels, 0.01, 0.2, accepted, "it is", "" if accepted else "risk", 0.0)


def texts(event: Event) -> list[str]:
    """The texts of the parts of an event; an empty one for its document."""
    return [part.plain_text for part in split_content(read_content(event))]


@pytest.mark.parametrize("joint", [" ", "\n"])
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("first", [True, False])
def test_what_happened_stands_in_a_part_without_the_benign_text(
    joint: str, repeats: int, first: bool
) -> None:
    """Otherwise no part would be free of the text that hides it."""
    padding = [BENIGN.strip()] * repeats
    written = [HAPPENED, *padding] if first else [*padding, HAPPENED]
    assert HAPPENED in texts(alert(joint.join(written)))


def test_the_title_the_body_and_the_document_are_parts() -> None:
    """Otherwise a benign title, or a long text in the document, would hide the rest."""
    event = alert(
        title=BENIGN, body=HAPPENED, event={"message": BENIGN + HAPPENED, "rule": "lsass"}
    )
    found = texts(event)
    assert found.count(HAPPENED) == 2
    assert found[-1] == "", "what is left of the document"
    assert split_content(read_content(event))[-1].leaves == (("rule", "lsass"),)


def test_a_short_event_has_no_parts() -> None:
    """Otherwise every event would cost a second call of the model."""
    for event in (alert("Port scan from a host."), alert(), alert(event={"rule": "x", "ip": "y"})):
        assert texts(event) == []


@given(st.text(max_size=400), st.dictionaries(st.text(max_size=5), st.text(max_size=200)))
def test_parts_of_any_event(text: str, document: dict[str, str]) -> None:
    """Otherwise some text would raise an error and stop the worker."""
    content = read_content(alert(text, event=document))
    parts = split_content(content)
    assert len(parts) != 1
    assert len(parts) <= MAX_PARTS + 1
    assert 0 <= repeated_share(content.plain_text) <= 1


def test_the_parts_of_a_huge_event_are_bounded() -> None:
    """Otherwise one large event would cost as much as a hundred."""
    huge = alert(HAPPENED * 10_000, event={f"k{n}": BENIGN * 1_000 for n in range(500)})
    parts = split_content(read_content(huge))
    assert len(parts) <= MAX_PARTS + 1
    assert sum(len(part.plain_text) for part in parts) <= MAX_CHARS + MAX_PARTS


def test_repetition() -> None:
    """Otherwise a benign text could be repeated until it outweighs what happened."""
    assert repeated_share(HAPPENED + " " + BENIGN) == 0
    assert repeated_share(HAPPENED + " " + BENIGN * 3) > MAX_REPEATED
    assert repeated_share(BENIGN * 3 + HAPPENED) > MAX_REPEATED
    assert repeated_share("too short") == 0


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize(
    ("severest", "repeated", "severity", "person"),
    [
        (0.0, 0.0, "medium", False),
        (RAISE_FROM - 0.01, MAX_REPEATED, "medium", False),
        (RAISE_FROM, 0.0, "high", False),
        (CONFIDENT_FROM, 0.0, "high", True),
        (0.0, MAX_REPEATED + 0.01, "medium", True),
        (RAISE_FROM, 1.0, "high", True),
    ],
)
def test_parts_only_raise_and_escalate(
    accepted: bool, severest: float, repeated: float, severity: str, person: bool
) -> None:
    """Otherwise the promise would not hold for what is accepted."""
    before = decision(accepted=accepted)
    after = with_parts(before, severest, repeated)
    assert (after.accepted, after.risk, after.escalation) == (
        accepted,
        before.risk,
        before.escalation,
    )
    assert after.labels["queue"] == before.labels["queue"]
    label = after.labels["severity"]
    assert (label.value, bool(after.person)) == (severity, person)
    if severity == "high":
        assert label.abstained, "nobody has calibrated it"
        assert label.confidence == 0.4, "the probability that the whole has"
        assert label.alternatives == [Alternative(value="medium", confidence=0.5)]
        assert "medium" in after.note


@pytest.mark.parametrize("severity", LEVELS["severity"])
def test_only_a_low_severity_can_hide_something(severity: str) -> None:
    """Otherwise every event would cost a second call of the model."""
    assert may_hide_severity(decision(severity)) == (severity not in ("high", "critical"))
    without = replace(decision(), labels={"queue": decision().labels["queue"]})
    assert not may_hide_severity(without)


def test_severe_probabilities() -> None:
    """Otherwise another axis order of a model would be misread."""
    names = ("critical", "low", "high")
    assert severe_levels(names) == ["high", "critical"]
    assert severe_levels(("p1", "p2")) == []
    probabilities = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    assert severe_probabilities(probabilities, names).tolist() == [0.75, 0.0]
