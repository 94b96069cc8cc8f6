"""Tests of combining: the table of what the LLM may change, and that it spares nobody a look."""

import msgspec
import pytest

from inference.llm.combining import combine, keep_guarded_queue
from inference.llm.options import LimitOptions
from inference.llm.prompt.prompt import Answer
from schemas.triaged import Alternative, Label

(CLOSING,) = LimitOptions().closing
ORDERED = LimitOptions().orders


def label(value: str, *, confident: bool = False, **others: float) -> Label:
    """A label of the small model; `others` gives its alternatives and their confidences."""
    return Label(
        value=value,
        confidence=0.6,
        alternatives=[
            Alternative(value=other, confidence=confidence) for other, confidence in others.items()
        ],
        abstained=not confident,
    )


def answer(decidable: bool = True, **labels: str) -> Answer:
    """An answer of the LLM, by axis."""
    return Answer(labels=labels, decidable=decidable, summary="", rationale="")


@pytest.mark.parametrize(
    ("axis", "small", "llm", "confident", "decides", "value", "person"),
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
    axis: str, small: str, llm: str, confident: bool, decides: bool, value: str, person: bool
) -> None:
    """Otherwise a sentence of an attacker could lower a severity or close an event."""
    deciding = [axis] if decides else []
    combined = combine(
        {axis: label(small, confident=confident)},
        Answer({axis: llm}, decidable=True, summary="", rationale=""),
        deciding=deciding,
    )
    assert (combined.labels[axis].value, combined.needs_person) == (value, person)
    assert bool(combined.reasons) == (llm != small or person), (
        "the event must show that the two models differ"
    )
    assert all(axis in reason and "\n" not in reason for reason in combined.reasons)


def test_a_value_of_the_llm_has_the_confidence_of_the_small_model() -> None:
    """Otherwise a reader would trust a number that nobody has calibrated."""
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
    unknown = combine(
        {"queue": label("cloud", email=0.3)}, answer(queue="network"), deciding=["queue"]
    )
    assert unknown.labels["queue"].confidence == 0.0
    assert [other.value for other in unknown.labels["queue"].alternatives] == ["cloud", "email"]


def test_a_confident_severity_that_is_raised_abstains() -> None:
    """Otherwise a severity that nobody has calibrated would count as confident."""
    combined = combine(
        {"severity": label("low", confident=True)}, answer(severity="critical"), deciding=[]
    )
    assert combined.labels["severity"].abstained


def test_an_event_that_cannot_be_decided_keeps_its_labels() -> None:
    """Otherwise values of an LLM that cannot decide would be taken."""
    labels = {"queue": label("cloud"), "severity": label("low")}
    combined = combine(
        labels, answer(decidable=False, queue="email", severity="critical"), deciding=["queue"]
    )
    assert combined.labels == labels
    assert combined.needs_person
    assert combined.reasons


def test_axes_that_only_one_side_has() -> None:
    """Otherwise an axis could be lost or invented, or a deciding one count as answered."""
    labels = {"queue": label("cloud"), "tactic": label("impact")}
    combined = combine(labels, answer(queue="cloud", colour="red"), deciding=["queue"])
    assert (combined.labels, combined.needs_person, combined.reasons) == (labels, False, [])
    silent = combine(labels, answer(tactic="impact"), deciding=["queue"])
    assert (silent.labels, silent.needs_person) == (labels, True)
    assert silent.reasons == ["the LLM says nothing about queue"]


def test_a_disagreement_on_one_axis_is_enough_for_a_person() -> None:
    """Otherwise a disagreement on one axis would be lost if the others agree."""
    labels = {"tactic": label("impact", confident=True), "queue": label("cloud")}
    combined = combine(labels, answer(tactic="execution", queue="email"), deciding=["queue"])
    assert combined.needs_person
    assert combined.labels["queue"].value == "email"
    assert len(combined.reasons) == 2


def test_the_default_orders_fit_the_shipped_model() -> None:
    """Otherwise a severity that the order does not contain could never be raised."""
    assert ORDERED["severity"][0] == "informational"
    assert ORDERED["severity"][-1] == "critical"
    assert (ORDERED["priority"][0], ORDERED["priority"][-1]) == ("low", "urgent")


@pytest.mark.parametrize(
    ("axis", "level", "stated", "guarded"),
    [
        ("severity", "high", None, True),
        ("severity", "critical", None, True),
        ("severity", "medium", None, False),
        ("severity", "medium", ("severity", "high"), True),
        ("severity", "medium", ("severity", "medium"), False),
        ("priority", "urgent", None, True),
        ("priority", "high", None, False),
        ("priority", "normal", ("priority", "urgent"), True),
        ("colour", "red", None, False),
    ],
)
def test_the_queue_of_a_serious_event_stays(
    axis: str, level: str, stated: tuple[str, str] | None, guarded: bool
) -> None:
    """Otherwise the LLM could move a serious event to a queue where nobody looks for it."""
    before = {axis: label(level), "queue": label("cloud"), "tactic": label("impact")}
    said = answer(queue="email", tactic="execution")
    limits = LimitOptions()
    combined = keep_guarded_queue(
        combine(before, said, deciding=["queue"], limits=limits),
        before,
        stated=stated,
        deciding=["queue"],
        limits=limits,
    )
    assert combined.needs_person == guarded
    assert combined.labels["tactic"].value == "execution", "only the queue is guarded"
    if guarded:
        assert combined.labels["queue"] == before["queue"]
        assert combined.reasons[-1].endswith("it stays cloud")
    else:
        assert combined.labels["queue"].value == "email"


def test_what_is_guarded_must_have_an_order() -> None:
    """Otherwise a mistyped level would guard nothing, without a word."""
    LimitOptions(orders={"urgency": ["p2", "p1"]})
    LimitOptions(orders={"urgency": ["p2", "p1"]}, guarded={"urgency": "p1"})
    for guarded in ({"severity": "huge"}, {"queue": "cloud"}):
        with pytest.raises(msgspec.ValidationError, match="guarded"):
            LimitOptions(guarded=guarded)
