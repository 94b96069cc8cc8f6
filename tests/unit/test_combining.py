"""Combining: the table of who may change what, and that no answer spares anybody a look."""

import pytest

from inference.llm.combining import combine
from inference.llm.options import LimitOptions
from inference.llm.prompt.prompt import Answer
from schemas.triaged import Alternative, Label

(CLOSING,) = LimitOptions().closing
ORDERED = LimitOptions().orders


def label(value: str, *, confident: bool = False, **others: float) -> Label:
    """The small model's opinion, with its alternatives by confidence."""
    return Label(
        value=value,
        confidence=0.6,
        alternatives=[
            Alternative(value=other, confidence=confidence) for other, confidence in others.items()
        ],
        abstained=not confident,
    )


def answer(decidable: bool = True, **labels: str) -> Answer:
    """What the LLM says, by axis."""
    return Answer(labels=labels, decidable=decidable, summary="", rationale="")


@pytest.mark.parametrize(
    ("axis", "small", "said", "confident", "decides", "value", "person"),
    [
        ("queue", "cloud", "cloud", False, True, "cloud", False),
        ("queue", "cloud", "cloud", True, True, "cloud", False),
        ("severity", "low", "high", False, True, "high", False),
        ("severity", "low", "high", True, False, "high", True),
        ("severity", "high", "low", False, False, "high", False),
        ("severity", "high", "low", False, True, "high", True),
        ("severity", "high", "low", True, False, "high", True),
        ("severity", "informational", "critical", False, False, "critical", False),
        ("priority", "normal", "urgent", False, False, "urgent", False),
        ("priority", "urgent", "high", False, False, "urgent", False),
        ("queue", "cloud", "email", False, True, "email", False),
        ("queue", "cloud", "email", True, True, "cloud", True),
        ("tactic", "impact", "execution", False, False, "execution", False),
        ("tactic", "impact", "execution", True, False, "impact", True),
        ("queue", "top_up", CLOSING, False, True, "top_up", True),
        ("queue", "top_up", CLOSING, True, True, "top_up", True),
        ("queue", CLOSING, "top_up", False, True, "top_up", False),
        ("queue", CLOSING, CLOSING, False, True, CLOSING, True),
        ("severity", "bad", "worse", False, False, "bad", False),
        ("severity", "bad", "critical", False, True, "bad", True),
        ("severity", "low", "worse", True, False, "low", True),
    ],
)
def test_the_table(
    axis: str, small: str, said: str, confident: bool, decides: bool, value: str, person: bool
) -> None:
    """One cell wrong, and an attacker's sentence lowers a severity, closes an event or overrules a sure model."""
    deciding = [axis] if decides else []
    combined = combine(
        {axis: label(small, confident=confident)}, answer(**{axis: said}), deciding=deciding
    )
    assert (combined.labels[axis].value, combined.needs_person) == (value, person)
    assert bool(combined.reasons) == (said != small or person), (
        "whoever reads the event must see that there were two opinions"
    )
    assert all(axis in reason and "\n" not in reason for reason in combined.reasons)


def test_a_value_the_llm_chose_keeps_the_calibrated_confidence() -> None:
    """The LLM's own confidence is nobody's promise; a reader would trust the number."""
    combined = combine(
        {"queue": label("cloud", email=0.3, saas=0.1)}, answer(queue="email"), deciding=["queue"]
    )
    assert combined.labels["queue"] == Label(
        value="email",
        confidence=0.3,
        alternatives=[
            Alternative(value="cloud", confidence=0.6),
            Alternative(value="saas", confidence=0.1),
        ],
        abstained=True,
    )
    unheard = combine(
        {"queue": label("cloud", email=0.3)}, answer(queue="network"), deciding=["queue"]
    )
    assert unheard.labels["queue"].confidence == 0.0
    assert [one.value for one in unheard.labels["queue"].alternatives] == ["cloud", "email"]


def test_a_sure_severity_that_is_raised_is_no_longer_sure() -> None:
    """Nobody has calibrated what the LLM raised it to."""
    combined = combine(
        {"severity": label("low", confident=True)}, answer(severity="critical"), deciding=[]
    )
    assert combined.labels["severity"].abstained


def test_an_event_that_cannot_be_decided_keeps_its_labels() -> None:
    """An LLM that says it does not know must not have filled in values all the same."""
    given = {"queue": label("cloud"), "severity": label("low")}
    combined = combine(
        given, answer(decidable=False, queue="email", severity="critical"), deciding=["queue"]
    )
    assert combined.labels == given
    assert combined.needs_person
    assert combined.reasons


def test_axes_only_one_side_has() -> None:
    """An axis the LLM left out must survive, one it made up must not appear, and silence settles none that decides."""
    given = {"queue": label("cloud"), "tactic": label("impact")}
    combined = combine(given, answer(queue="cloud", colour="red"), deciding=["queue"])
    assert (combined.labels, combined.needs_person, combined.reasons) == (given, False, [])
    silent = combine(given, answer(tactic="impact"), deciding=["queue"])
    assert (silent.labels, silent.needs_person) == (given, True)
    assert silent.reasons == ["the LLM says nothing about queue"]


def test_one_axis_calls_a_person_for_all() -> None:
    """A disagreement on one axis must not be lost behind agreement on the others."""
    given = {"tactic": label("impact", confident=True), "queue": label("cloud")}
    combined = combine(given, answer(tactic="execution", queue="email"), deciding=["queue"])
    assert combined.needs_person
    assert combined.labels["queue"].value == "email"
    assert len(combined.reasons) == 2


def test_the_order_is_the_shipped_models() -> None:
    """A severity the order does not know could never be raised."""
    assert ORDERED["severity"][0] == "informational"
    assert ORDERED["severity"][-1] == "critical"
    assert (ORDERED["priority"][0], ORDERED["priority"][-1]) == ("low", "urgent")
