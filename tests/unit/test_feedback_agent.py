"""Tests of the feedback agent: a person's verdict becomes the next revision.

Nothing that a person sends stops the worker.
"""

from dataclasses import replace

import msgspec
import pytest

from agents.feedback import VerdictChecks, apply_feedback
from agents.outcomes import DeadLettered, Triaged
from schemas.codec import encode
from schemas.triaged import Label, Timing, TriagedEvent, Verdict
from tests.records import about_the_event, provisional, record
from tests.tiny_model import LABELS

CHECKS = VerdictChecks(LABELS)


def verdict(
    labels: dict[str, str], *, triaged: TriagedEvent | None = None, comment: str | None = None
) -> Verdict:
    """A person's answer about `triaged`."""
    return Verdict(triaged=triaged or provisional(), labels=labels, by="r.okafor", comment=comment)


async def revised(verdict_: Verdict) -> TriagedEvent:
    """The revision that follows from a verdict."""
    (outcome,) = await apply_feedback([record(verdict_, topic="triage.feedback.v1")], checks=CHECKS)
    assert isinstance(outcome, Triaged)
    return outcome.triaged


async def test_a_verdict_is_the_next_revision() -> None:
    """Otherwise a verdict with an old revision would not replace the answer of the model."""
    triaged = await revised(verdict({"queue": "refunds_disputes"}, triaged=provisional(revision=1)))
    assert (triaged.revision, triaged.status, triaged.decided_by) == (2, "final", "human")
    assert triaged.queue == "refunds_disputes"
    assert triaged.labels["queue"] == Label(value="refunds_disputes", confidence=1.0)
    assert triaged.labels["priority"] == provisional().labels["priority"], (
        "an axis that is not in the verdict stays"
    )
    assert triaged.reasons[-1] == "decided by r.okafor"
    assert about_the_event(triaged) == about_the_event(provisional())
    assert (triaged.id, triaged.origin, triaged.model) == (
        provisional().id,
        provisional().origin,
        provisional().model,
    )


async def test_a_confirmation_is_a_verdict_too() -> None:
    """Otherwise a person who agrees could not end the case."""
    triaged = await revised(verdict({}, comment="looked at it"))
    assert (triaged.revision, triaged.status, triaged.queue) == (1, "final", "top_up")
    assert triaged.labels == provisional().labels
    assert triaged.reasons[-1] == "decided by r.okafor: looked at it"


async def test_another_axis_leaves_the_queue_alone() -> None:
    """Otherwise a corrected priority would move the ticket to another queue."""
    triaged = await revised(verdict({"priority": "urgent"}))
    assert triaged.queue == triaged.labels["queue"].value == "top_up"
    assert triaged.labels["priority"].value == "urgent"


async def test_time_counts_from_the_event() -> None:
    """Otherwise service levels could not be measured from the arrival of the event."""
    triaged = await revised(verdict({}))
    assert triaged.timing.received_at == provisional().timing.received_at


async def test_a_redelivered_verdict_makes_the_same_revision() -> None:
    """Otherwise a verdict that is read twice would count as two."""
    outcomes = await apply_feedback(
        [record(verdict({"queue": "fees_fx"})), record(verdict({"queue": "fees_fx"}))],
        checks=CHECKS,
    )
    assert [outcome.triaged.revision for outcome in outcomes if isinstance(outcome, Triaged)] == [
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("value", "stage", "message"),
    [
        (None, "decode", "not JSON"),
        (b"\xff", "decode", "not JSON"),
        (b"{}", "validate", "not a Verdict"),
        (encode(verdict({})).replace(b'"by"', b'"who"'), "validate", "not a Verdict"),
        (verdict({"colour": "red"}), "validate", "'colour', which is no axis of tickets"),
        (
            verdict({"queue": "fees_fx", "colour": "red"}),
            "validate",
            "'colour', which is no axis of tickets",
        ),
        (verdict({}, triaged=provisional(revision=2**64 - 1)), "validate", "has no successor"),
        (verdict({}, triaged=provisional(revision=-1)), "validate", "has no successor"),
        (
            verdict({}, triaged=provisional(revision=2**31 - 2)),
            "validate",
            "has no successor, the last is 1000",
        ),
        (
            verdict({"queue": "nowhere"}),
            "validate",
            "'nowhere', which is no value of queue; use one of access_identity, card_orders",
        ),
        (
            verdict({}, triaged=provisional(labels={"shade": Label(value="red", confidence=1.0)})),
            "validate",
            "'shade', which is no axis of tickets; use one of ",
        ),
        (
            verdict({}, triaged=provisional(labels={"queue": Label(value="x", confidence=1.0)})),
            "validate",
            "'x', which is no value of queue",
        ),
        (verdict({"queue": "\u0430" * 9_000}), "validate", "no value of queue"),
        (msgspec.structs.replace(verdict({}), tenant="other"), "validate", "differ in tenant"),
        (msgspec.structs.replace(verdict({}), id="t-2"), "validate", "differ in id"),
        (msgspec.structs.replace(verdict({}), domain="alerts"), "validate", "differ in domain"),
        (msgspec.structs.replace(verdict({}), about=3), "validate", "differ in revision"),
        (msgspec.structs.replace(verdict({}), by=""), "validate", "$.by"),
        (msgspec.structs.replace(verdict({}), by=" \t"), "validate", "$.by"),
        (msgspec.structs.replace(verdict({}), by="x" * 201), "validate", "$.by"),
        (
            verdict(
                {},
                triaged=provisional(
                    timing=Timing(received_at="", triaged_at="", inference_s=0.0, total_s=0.0)
                ),
            ),
            "validate",
            "timing.received_at",
        ),
    ],
)
async def test_what_is_not_a_verdict_is_a_dead_letter(
    value: object, stage: str, message: str
) -> None:
    """Otherwise a mistyped verdict would stop the worker again after every restart."""
    bad, good = await apply_feedback([record(value), record(verdict({}), offset=1)], checks=CHECKS)
    assert isinstance(bad, DeadLettered)
    assert (bad.stage, bad.error, bad.disposition) == (stage, "InvalidEvent", "poison")
    assert message in bad.message
    assert "\n" not in bad.message
    assert len(bad.message) < 1_000
    assert isinstance(good, Triaged)


async def test_a_verdict_may_label_an_event_that_a_rule_ended_before_the_model() -> None:
    """Otherwise a person could never correct a rule that was wrong about an event."""
    ended = msgspec.structs.replace(provisional(), labels={}, queue="suppressed", decided_by="rule")
    correction = verdict({"queue": "refunds_disputes"}, triaged=ended)
    (outcome,) = await apply_feedback([record(correction)], checks=CHECKS)
    assert isinstance(outcome, Triaged)
    assert (outcome.triaged.queue, outcome.triaged.decided_by) == ("refunds_disputes", "human")
    (refused,) = await apply_feedback(
        [record(verdict({"colour": "red"}, triaged=ended))], checks=CHECKS
    )
    assert isinstance(refused, DeadLettered)


async def test_the_key_of_a_verdict_is_the_id_of_its_event() -> None:
    """Verdicts about one event would be on several partitions, and a late one could come first."""
    own, other = (
        replace(record(verdict({})), key=key) for key in (provisional().id.encode(), b"t-2")
    )
    taken, refused = await apply_feedback([own, other], checks=CHECKS)
    assert isinstance(taken, Triaged)
    assert isinstance(refused, DeadLettered)
    assert "the key of the verdict" in refused.message


async def test_what_a_verdict_says_again_may_be_said() -> None:
    """The short form of a verdict, with the event in it, would be refused."""
    said = msgspec.structs.replace(
        verdict({"queue": "fees_fx"}), id="t-1", domain="tickets", tenant="acme", about=0
    )
    assert (await revised(said)).revision == 1
