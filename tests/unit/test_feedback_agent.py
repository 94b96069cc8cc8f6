"""Tests of the feedback agent: a person's verdict becomes the next revision.

Nothing that a person sends stops the worker.
"""

import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agents.cases import Known, place_of
from agents.decided import Decided
from agents.feedback import apply_feedback
from agents.outcomes import DeadLettered, Incoming, Outcome, Triaged
from agents.reviewers import REVIEWER_HEADER, REVIEWER_SIGNATURE_HEADER, Reviewer
from agents.verdict_checks import VerdictChecks
from schemas.codec import encode
from schemas.event import Origin
from schemas.triaged import Label, Timing, TriagedEvent, Verdict
from tests.doubles import KnownCases
from tests.records import about_the_event, provisional, record
from tests.tiny_model import LABELS

CHECKS = VerdictChecks(LABELS)
FEEDBACK = "triage.feedback.v1"


def verdict(
    labels: dict[str, str], *, triaged: TriagedEvent | None = None, comment: str | None = None
) -> Verdict:
    """A person's answer about `triaged`."""
    return Verdict(triaged=triaged or provisional(), labels=labels, by="r.okafor", comment=comment)


async def outcomes_of(
    batch: Sequence[Incoming],
    *known: Known,
    checks: VerdictChecks = CHECKS,
    decided: Decided | None = None,
) -> list[Outcome]:
    """What becomes of verdicts when this is known."""
    return await apply_feedback(
        batch, checks=checks, cases=KnownCases(*known), decided=decided or Decided()
    )


async def revised(verdict_: Verdict) -> TriagedEvent:
    """The revision that follows from a verdict."""
    (outcome,) = await outcomes_of([record(verdict_, topic=FEEDBACK)])
    assert isinstance(outcome, Triaged)
    return outcome.triaged


async def test_a_verdict_is_the_next_revision() -> None:
    """Otherwise a verdict with an old revision would not replace the answer of the model."""
    read = provisional(revision=1, status="needs_review")
    triaged = await revised(verdict({"queue": "refunds_disputes"}, triaged=read))
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
    assert (triaged.revision, triaged.status, triaged.queue) == (2, "final", "top_up")
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
    outcomes = await outcomes_of(
        [record(verdict({"queue": "fees_fx"})), record(verdict({"queue": "fees_fx"}))]
    )
    assert [outcome.triaged.revision for outcome in outcomes if isinstance(outcome, Triaged)] == [
        2,
        2,
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
    bad, good = await outcomes_of([record(value), record(verdict({}), offset=1)])
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
    (outcome,) = await outcomes_of([record(correction)])
    assert isinstance(outcome, Triaged)
    assert (outcome.triaged.queue, outcome.triaged.decided_by) == ("refunds_disputes", "human")
    (refused,) = await outcomes_of([record(verdict({"colour": "red"}, triaged=ended))])
    assert isinstance(refused, DeadLettered)


async def test_the_key_of_a_verdict_is_the_id_of_its_event() -> None:
    """Verdicts about one event would be on several partitions, and a late one could come first."""
    own, other = (
        replace(record(verdict({})), key=key) for key in (provisional().id.encode(), b"t-2")
    )
    taken, refused = await outcomes_of([own, other])
    assert isinstance(taken, Triaged)
    assert isinstance(refused, DeadLettered)
    assert "the key of the verdict" in refused.message


async def test_what_a_verdict_says_again_may_be_said() -> None:
    """The short form of a verdict, with the event in it, would be refused."""
    said = msgspec.structs.replace(
        verdict({"queue": "fees_fx"}), id="t-1", domain="tickets", tenant="acme", about=0
    )
    assert (await revised(said)).revision == 2


# The short form: an id, and what is known of it.


def short(labels: dict[str, str] | None = None, *, offset: int = 0, **fields: Any) -> Incoming:
    """A verdict as a person writes it, about the event of `provisional`."""
    chosen = {"queue": "fees_fx"} if labels is None else labels
    document = {"id": "t-1", "labels": chosen, "by": "r.okafor"} | fields
    return record(document, offset=offset, topic=FEEDBACK)


def waiting(**changes: Any) -> TriagedEvent:
    """The decision about the event after the LLM was asked: a person must decide."""
    fields: dict[str, Any] = {"revision": 1, "status": "needs_review", "input_digest": "d" * 64}
    return provisional(**fields | changes)


def known(*revisions: TriagedEvent, **verdicts: str) -> Known:
    """What is known of an event with these revisions."""
    return Known(
        revisions[-1],
        None,
        revisions,
        {int(name.removeprefix("r")): place for name, place in verdicts.items()},
    )


async def taken(batch: Sequence[Incoming], *events: Known, **options: Any) -> list[TriagedEvent]:
    """The revisions that verdicts make; none of them may be refused."""
    outcomes = await outcomes_of(batch, *events, **options)
    assert all(isinstance(outcome, Triaged) for outcome in outcomes), outcomes
    return [outcome.triaged for outcome in outcomes if isinstance(outcome, Triaged)]


async def refusal(incoming: Incoming, *events: Known, **options: Any) -> str:
    """Why a verdict is refused."""
    (outcome,) = await outcomes_of([incoming], *events, **options)
    assert isinstance(outcome, DeadLettered), outcome
    assert outcome.stage == "validate"
    return outcome.message


async def test_an_id_is_enough() -> None:
    """A person would have to copy a document of a hundred lines to say one word."""
    (revision,) = await taken([short(comment="a fee")], known(waiting()))
    assert (revision.revision, revision.status, revision.decided_by) == (2, "final", "human")
    assert revision.queue == "fees_fx"
    assert revision.labels["priority"] == waiting().labels["priority"]
    assert revision.reasons == [*waiting().reasons, "decided by r.okafor: a fee"]
    assert about_the_event(revision) == about_the_event(waiting())


async def test_an_unknown_id_is_refused() -> None:
    """A mistyped id would be lost without a word."""
    message = await refusal(short(id="t-2"), known(waiting()))
    assert "no event with the id 't-2' is known; send the whole triaged event, or check" in message


@pytest.mark.parametrize("where", [{"tenant": "other"}, {"domain": "alerts"}])
async def test_an_id_of_somebody_else_is_unknown(where: dict[str, Any]) -> None:
    """A verdict about one tenant's event would decide another tenant's."""
    assert "no event with the id" in await refusal(short(**where), known(waiting()))


async def test_an_id_of_several_events_must_be_told_apart() -> None:
    """The event of any tenant that has the same id would be decided."""
    events = known(waiting()), known(waiting(tenant="globex"))
    assert "belongs to several events" in await refusal(short(), *events)
    (revision,) = await taken([short(tenant="globex")], *events)
    assert revision.tenant == "globex"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"queue": "feess"}, "'feess', which is no value of queue; use one of access_identity, "),
        ({"quue": "fees_fx"}, "'quue', which is no axis of tickets; use one of "),
    ],
)
async def test_a_mistyped_label_is_refused_with_what_is_allowed(
    labels: dict[str, str], message: str
) -> None:
    """A queue that nobody reads would be published as final."""
    assert message in await refusal(short(labels), known(waiting()))


@pytest.mark.parametrize(
    "document", [{"labels": {}, "by": "x"}, {"id": "", "labels": {}, "by": "x"}]
)
async def test_a_verdict_names_an_event(document: dict[str, Any]) -> None:
    """The worker would look for an event without an id."""
    (outcome,) = await outcomes_of([record(document)])
    assert isinstance(outcome, DeadLettered)
    assert "names no event" in outcome.message or "$.id" in outcome.message


@pytest.mark.parametrize(
    ("current", "revision"),
    [
        (waiting(revision=0, status="final"), 1),
        (waiting(revision=0, status="needs_review"), 1),
        (waiting(revision=0, status="provisional"), 2),
        (waiting(revision=1, status="final", decided_by="llm"), 2),
    ],
)
async def test_no_two_records_claim_the_same_revision(current: TriagedEvent, revision: int) -> None:
    """The LLM's answer, which comes later as revision 1, would be taken for the person's."""
    (made,) = await taken([short()], known(current))
    assert made.revision == revision


async def test_of_two_persons_in_one_batch_the_first_stands() -> None:
    """Both would be published as final, and the queue would depend on who reads which."""
    batch = [short(by="a.novak"), short({"queue": "card_orders"}, offset=1)]
    first, second = await outcomes_of(batch, known(waiting()))
    assert isinstance(first, Triaged)
    assert isinstance(second, DeadLettered)
    for part in ("fees_fx", "decided by a.novak", first.triaged.timing.triaged_at, "about = 2"):
        assert part in second.message, part


async def test_the_second_is_told_before_the_first_is_read_back() -> None:
    """The view of cases is a little late, so both verdicts would be taken."""
    decided = Decided()
    await taken([short(by="a.novak")], known(waiting()), decided=decided)
    message = await refusal(
        short({"queue": "card_orders"}, offset=1), known(waiting()), decided=decided
    )
    assert "decided by a.novak" in message


async def test_after_an_assignment_only_the_topics_count() -> None:
    """What was decided and never published would refuse the verdicts of others for ever."""
    decided = Decided()
    await taken([short(by="a.novak")], known(waiting()), decided=decided)
    decided.forget()
    (revision,) = await taken([short({"queue": "card_orders"})], known(waiting()), decided=decided)
    assert revision.queue == "card_orders"


async def test_a_batch_of_an_earlier_assignment_is_not_remembered() -> None:
    """A slow batch would put back what was forgotten when its partitions were taken away."""
    decided = Decided()

    class Reassigned(KnownCases):
        async def find(self, id_: str, **where: Any) -> Known | None:
            decided.forget()
            return await super().find(id_, **where)

    await apply_feedback(
        [short()], checks=CHECKS, cases=Reassigned(known(waiting())), decided=decided
    )
    assert decided.latest(known(waiting())) == known(waiting())


async def test_only_so_many_decisions_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that runs for months would hold every verdict in memory."""
    monkeypatch.setattr("agents.decided.MAX_REMEMBERED", 2)
    decided = Decided()
    events = [known(waiting(id=f"t-{number}")) for number in range(3)]
    for event in events:
        await taken([short(id=event.current.id)], event, decided=decided)
    assert [decided.latest(event) is event for event in events] == [True, False, False]


async def test_a_person_may_correct_what_a_person_decided() -> None:
    """A wrong verdict would stand for ever."""
    first = waiting(revision=2, decided_by="human", status="final")
    correction = short({"queue": "card_orders"}, about=2)
    (revision,) = await taken([correction], known(waiting(), first))
    assert (revision.revision, revision.queue) == (3, "card_orders")
    assert "about = 2" in await refusal(short(about=1), known(waiting(), first))
    assert "about = 2" in await refusal(short(about=3), known(waiting(), first))


async def test_the_whole_triaged_event_says_what_was_read() -> None:
    """A program that sends whole events could overrule a person without having seen the verdict."""
    first = waiting(revision=2, decided_by="human", status="final")
    events = known(waiting(), first)
    message = await refusal(record(verdict({"queue": "fees_fx"}, triaged=waiting())), events)
    assert "a person has decided revision 2" in message
    (revision,) = await taken([record(verdict({"queue": "fees_fx"}, triaged=first))], events)
    assert revision.revision == 3


async def test_a_person_outranks_a_model() -> None:
    """The answer of an LLM that came while a person was reading would make the verdict void."""
    answer = waiting(status="final", decided_by="llm", queue="card_orders")
    read = waiting(revision=0, status="provisional")
    whole = record(verdict({"queue": "fees_fx"}, triaged=read))
    for incoming in (short(), whole):
        (revision,) = await taken([incoming], known(answer))
        assert (revision.revision, revision.queue) == (2, "fees_fx")


async def test_a_stale_revision_is_refused() -> None:
    """A person would decide about an answer that they have never seen."""
    answer = waiting(status="final", decided_by="llm")
    message = await refusal(short(about=0), known(answer))
    assert "about revision 0, but current is revision 1" in message
    assert "send about = 1, or leave about out" in message
    invented = record(verdict({"queue": "fees_fx"}, triaged=waiting(revision=7)))
    assert "about revision 7, but current is revision 1" in await refusal(invented, known(answer))


async def test_a_confirmation_says_what_it_confirms() -> None:
    """A person would confirm an answer that came after they looked."""
    answer = waiting(status="final", decided_by="llm")
    assert "say which one in about" in await refusal(short({}), known(answer))
    read = record(verdict({}, triaged=waiting(revision=0, status="provisional")))
    assert "say which one in about" in await refusal(read, known(answer))
    (revision,) = await taken([short({}, about=1)], known(answer))
    assert revision.labels == answer.labels


@pytest.mark.parametrize("is_published", [True, False])
async def test_a_verdict_that_is_read_again_is_the_same_revision(is_published: bool) -> None:
    """After a crash a verdict would be refused because of itself, or be published twice."""
    (first,) = await taken([short()], known(waiting()))
    place = place_of(FEEDBACK, 2, 0)
    event = known(waiting(), first, r2=place) if is_published else known(waiting(), first)
    assert await taken([short()], event) == [first]
    (correction,) = await taken([short({"queue": "card_orders"}, offset=1, about=2)], event)
    later = known(waiting(), first, correction, r2=place, r3=place_of(FEEDBACK, 2, 1))
    again = await taken([short({"queue": "card_orders"}, offset=1, about=2)], later)
    assert again == [correction]
    if is_published:
        assert await taken([short()], later) == [first], "also when it was corrected since"


async def test_a_person_may_send_a_verdict_twice() -> None:
    """A person who clicks twice would be told that somebody was faster."""
    first, second = await taken([short(), short(offset=1)], known(waiting()))
    assert first == second


async def test_another_record_at_the_same_place_is_another_verdict() -> None:
    """On a feedback topic that was made again, a verdict would be taken for an old one."""
    (first,) = await taken([short()], known(waiting()))
    event = known(waiting(), first, r2=place_of(FEEDBACK, 2, 0))
    assert "about = 2" in await refusal(short({"queue": "card_orders"}), event)


async def test_an_event_that_was_sent_again_is_decided_anew() -> None:
    """A verdict about the text of yesterday would decide about today's."""
    new = waiting(
        revision=0,
        input_digest="e" * 64,
        origin=Origin(topic="elsewhere", partition=0, offset=0),
        timing=msgspec.structs.replace(waiting().timing, received_at="2026-02-01T00:00:00Z"),
    )
    old = record(verdict({"queue": "fees_fx"}, triaged=waiting()))
    assert "was sent again with another content" in await refusal(old, known(new))
    (revision,) = await taken(
        [record(verdict({"queue": "fees_fx"}, triaged=new))], known(waiting())
    )
    assert (revision.revision, revision.input_digest) == (1, "e" * 64)
    broken = msgspec.structs.replace(
        new, timing=msgspec.structs.replace(new.timing, received_at="today")
    )
    message = await refusal(record(verdict({}, triaged=broken)), known(waiting()))
    assert "timing.received_at" in message


async def test_labels_of_an_earlier_model_may_stay() -> None:
    """Events that wait for a person while the model is replaced could never be ended."""
    old = waiting(labels={"shade": Label(value="red", confidence=0.4)})
    (revision,) = await taken([short()], known(old))
    assert set(revision.labels) == {"shade", "queue"}


async def test_a_reviewer_decides_only_about_their_tenants() -> None:
    """Without the whole event in it, a verdict could be about anybody's."""
    reviewer = Reviewer("anna", b"a" * 32, tenants=["globex"])
    checks = VerdictChecks(LABELS, reviewers=[reviewer])
    incoming = short()
    signature = hmac.digest(reviewer.key, incoming.value or b"", "sha256").hex().encode()
    headers = [(REVIEWER_HEADER, b"anna"), (REVIEWER_SIGNATURE_HEADER, signature)]
    signed = replace(incoming, headers=headers)
    (outcome,) = await outcomes_of([signed], known(waiting()), checks=checks)
    assert isinstance(outcome, DeadLettered)
    assert outcome.stage == "authorize"
    (revision,) = await taken([signed], known(waiting(tenant="globex")), checks=checks)
    assert revision.reasons[-1] == "decided by r.okafor, signed by anna"


async def test_nothing_is_decided_while_the_view_cannot_be_asked() -> None:
    """A verdict would be refused because a broker was away for a moment."""

    class Away(KnownCases):
        async def find(self, id_: str, **where: Any) -> Known | None:
            raise ConnectionError(id_, where)

    with pytest.raises(ConnectionError):
        await apply_feedback([short()], checks=CHECKS, cases=Away(), decided=Decided())
