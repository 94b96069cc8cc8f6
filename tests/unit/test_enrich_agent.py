"""Tests of the enrichment agent: every escalated case ends once, with an answer or in review."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from agents.enrich import enrich
from agents.escalation import HIGH_IMPACT
from agents.outcomes import DeadLettered, Incoming, Outcome, Reviewed, Triaged
from inference.llm.opinion import LlmOpinion, unasked
from schemas.codec import encode
from schemas.triaged import Case, Enrichment, Label, Timing, TriagedEvent
from tests.doubles import FakeAnswered
from tests.patience import PATIENCE_S
from tests.records import ABOUT_THE_EVENT, about_the_event, record, unsure

CARD = Label(value="card", confidence=0.3, abstained=True)
PAID = Enrichment(
    status="answered", model="m", tier="small", calls=1, summary="A card.", cost_usd=0.002
)


async def ended_without_llm(batch: Sequence[Incoming]) -> list[Outcome]:
    """The outcomes of cases without an LLM, none of which was answered before."""
    return await enrich(batch, consultant=None, memory=FakeAnswered())


async def test_a_case_ends_in_review() -> None:
    """Otherwise an escalated event would stay provisional for ever, and nobody would look at it."""
    case = unsure()
    (outcome,) = await ended_without_llm([record(case, topic="triage.enrichment.v1")])
    assert isinstance(outcome, Reviewed)
    triaged = outcome.case.triaged
    assert outcome.case.event == case.event
    assert (triaged.revision, triaged.status, triaged.decided_by) == (1, "needs_review", "slm")
    assert triaged.labels == case.triaged.labels, "the small model's labels are kept"
    assert triaged.enrichment is not None
    assert (triaged.enrichment.status, triaged.enrichment.cost_usd) == ("llm_off", 0.0)
    assert triaged.reasons == [*case.triaged.reasons, "no LLM is configured", "a person decides"]
    assert triaged.origin == case.triaged.origin, (
        "the origin is that of the event, not that of the case"
    )


async def test_time_counts_from_the_event() -> None:
    """Otherwise the latency would not include the time before the enrichment topic."""
    case = unsure()
    (outcome,) = await ended_without_llm([record(case)])
    assert isinstance(outcome, Reviewed)
    timing = outcome.case.triaged.timing
    assert timing.received_at == case.triaged.timing.received_at
    assert timing.inference_s == case.triaged.timing.inference_s
    assert timing.total_s > case.triaged.timing.total_s


async def test_a_redelivered_case_ends_the_same() -> None:
    """Otherwise every redelivery would make one more revision."""
    first, again = await ended_without_llm([record(unsure(), offset=1), record(unsure(), offset=1)])
    assert isinstance(first, Reviewed)
    assert isinstance(again, Reviewed)
    timeless = [
        msgspec.structs.replace(outcome.case.triaged, timing=unsure().triaged.timing)
        for outcome in (first, again)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    ("value", "stage"),
    [
        (None, "decode"),
        (b"\x00\xff", "decode"),
        (b"{}", "validate"),
        (b"[]", "validate"),
        (encode(unsure()).replace(b'"provisional"', b'"perhaps"'), "validate"),
        (encode(unsure()).replace(b'"queue":"top_up"', b'"queue":7'), "validate"),
        (unsure(revision=-1), "validate"),
        (unsure(revision=2**64 - 1), "validate"),
        (
            unsure(
                timing=Timing(received_at="yesterday", triaged_at="", inference_s=0.0, total_s=0.0)
            ),
            "validate",
        ),
        (
            unsure(
                timing=Timing(
                    received_at="0001-01-01T00:00:00+23:59",
                    triaged_at="",
                    inference_s=0.0,
                    total_s=0.0,
                )
            ),
            "validate",
        ),
    ],
)
async def test_what_is_not_a_case_is_a_dead_letter(value: object, stage: str) -> None:
    """Otherwise a bad record would stop the worker again after every restart."""
    bad, good = await ended_without_llm([record(value), record(unsure(), offset=1)])
    assert isinstance(bad, DeadLettered)
    assert (bad.stage, bad.error, bad.disposition) == (stage, "InvalidEvent", "poison")
    assert "\n" not in bad.message
    assert isinstance(good, Reviewed)


class FixedConsultant:
    """A consultant that has the same opinion of every case."""

    def __init__(self, opinion: LlmOpinion) -> None:
        self.opinion = opinion
        self.cases: list[Case] = []

    async def consult(self, case: Case) -> LlmOpinion:
        """Return the opinion."""
        self.cases.append(case)
        return self.opinion


def opinion(*, needs_person: bool = False, **labels: Label) -> LlmOpinion:
    """The opinion of an LLM that has answered; `labels` replace those of the ticket."""
    return LlmOpinion(
        PAID, {**unsure().triaged.labels, **labels}, needs_person, ["the LLM decides queue"]
    )


async def ended(case: Case, consultant: Any, memory: Any = None) -> Outcome:
    """The outcome of one case."""
    (outcome,) = await enrich(
        [record(case)], consultant=consultant, memory=memory or FakeAnswered()
    )
    return outcome


async def test_an_answer_that_may_stand_alone_is_final() -> None:
    """Otherwise the event would wait for a person, or keep the queue of the small model."""
    case = unsure(cost_usd=0.001)
    outcome = await ended(case, FixedConsultant(opinion(queue=CARD)))
    assert isinstance(outcome, Triaged)
    triaged = outcome.triaged
    assert (triaged.revision, triaged.status, triaged.decided_by) == (1, "final", "llm")
    assert (triaged.queue, triaged.labels["queue"]) == ("card", CARD)
    assert triaged.labels["priority"] == case.triaged.labels["priority"]
    assert triaged.reasons == [*case.triaged.reasons, "the LLM decides queue"]
    assert triaged.enrichment == PAID
    assert triaged.cost_usd == pytest.approx(0.003), "the earlier cost of the event counts too"
    assert about_the_event(triaged) == about_the_event(case.triaged)
    assert triaged.title


@pytest.mark.parametrize(
    ("labels", "decided_by", "queue"), [({}, "slm", "top_up"), ({"queue": CARD}, "llm", "card")]
)
async def test_an_answer_that_needs_a_person_goes_to_review(
    labels: Any, decided_by: str, queue: str
) -> None:
    """Otherwise the person would not know who gave the labels, and that a call was paid."""
    outcome = await ended(unsure(), FixedConsultant(opinion(needs_person=True, **labels)))
    assert isinstance(outcome, Reviewed)
    triaged = outcome.case.triaged
    assert (triaged.status, triaged.decided_by, triaged.queue) == (
        "needs_review",
        decided_by,
        queue,
    )
    assert triaged.reasons[-2:] == ["the LLM decides queue", "a person decides"]
    assert (triaged.enrichment, triaged.cost_usd) == (PAID, PAID.cost_usd)
    assert outcome.case.event == unsure().event


async def test_an_event_that_a_rule_decided_stays_decided_by_the_rule() -> None:
    """Otherwise labels of a rule would be shown as those of the small model."""
    case = unsure(decided_by="rule")
    outcome = await ended(
        case, FixedConsultant(unasked(case, "kept_inside", "policy keeps this event inside"))
    )
    assert isinstance(outcome, Reviewed)
    assert outcome.case.triaged.decided_by == "rule"


async def test_without_a_queue_axis_the_queue_stays() -> None:
    """Otherwise a model without a queue axis would end its events with a KeyError."""
    labels = {"priority": Label(value="low", confidence=0.4, abstained=True)}
    outcome = await ended(
        unsure(labels=labels), FixedConsultant(LlmOpinion(PAID, labels, False, []))
    )
    assert isinstance(outcome, Triaged)
    assert outcome.triaged.queue == "top_up"


async def test_no_llm_is_asked_about_a_case_of_high_impact() -> None:
    """Otherwise the LLM would be paid for a case that only a person may end, or end it."""
    consultant = FixedConsultant(opinion())
    outcome = await ended(msgspec.structs.replace(unsure(), escalation=HIGH_IMPACT), consultant)
    assert isinstance(outcome, Reviewed)
    assert outcome.case.triaged.enrichment == Enrichment(status="high_impact")
    assert outcome.case.triaged.reasons[-1] == "a person decides"
    assert consultant.cases == []


@pytest.mark.parametrize("status", ["final", "needs_review"])
async def test_a_remembered_answer_is_repeated_without_change(status: Any) -> None:
    """Otherwise a second copy of the case would get another answer, and a second paid call."""
    answered = unsure(
        revision=1, status=status, decided_by="llm", enrichment=PAID, cost_usd=0.002
    ).triaged
    consultant, memory = FixedConsultant(opinion()), FakeAnswered(answered)
    outcome = await ended(unsure(), consultant, memory)
    assert outcome == (Triaged(answered) if status == "final" else Reviewed(unsure_with(answered)))
    assert not consultant.cases
    assert not memory.noted


def unsure_with(triaged: TriagedEvent) -> Case:
    """The case in a later revision."""
    return msgspec.structs.replace(unsure(), triaged=triaged)


async def test_an_answer_is_remembered() -> None:
    """Otherwise the LLM would be asked again about a case that comes again."""
    memory = FakeAnswered()
    outcome = await ended(unsure(), FixedConsultant(opinion()), memory)
    assert isinstance(outcome, Triaged)
    assert memory.noted == [outcome.triaged]


async def test_without_an_llm_nothing_is_remembered() -> None:
    """Otherwise every case would take two kilobytes, for an answer that is always the same."""
    memory = FakeAnswered()
    assert isinstance(await ended(unsure(), None, memory), Reviewed)
    assert not memory.noted


@pytest.mark.parametrize("bad", [unsure(revision=-1), b"{}"])
async def test_nothing_is_paid_for_a_dead_letter(bad: object) -> None:
    """Otherwise a case that is a dead letter anyway would be sent and billed first."""
    consultant: Any = FixedConsultant(opinion())
    (outcome,) = await enrich([record(bad)], consultant=consultant, memory=FakeAnswered())
    assert isinstance(outcome, DeadLettered)
    assert not consultant.cases


async def test_cases_of_a_batch_do_not_wait_for_each_other() -> None:
    """Otherwise a batch would take the sum of the times of its answers."""
    together = asyncio.Barrier(3)

    class Meeting(FixedConsultant):
        async def consult(self, case: Case) -> LlmOpinion:
            await together.wait()
            return await super().consult(case)

    batch = [record(unsure(id=f"t-{number}"), offset=number) for number in range(3)]
    consultant: Any = Meeting(opinion())
    outcomes = await asyncio.wait_for(
        enrich(batch, consultant=consultant, memory=FakeAnswered()), PATIENCE_S
    )
    assert [outcome.triaged.id for outcome in outcomes if isinstance(outcome, Triaged)] == [
        "t-0",
        "t-1",
        "t-2",
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", "t-9"), ("tenant", "secret"), ("source", "vault"), ("kind", "alert"), ("text", "x")],
)
async def test_a_case_of_two_events_is_refused(field: str, value: str) -> None:
    """A policy about the tenant of the decision would let out the text of another tenant."""
    forged = msgspec.structs.replace(
        unsure(), event=msgspec.structs.replace(unsure().event, **{field: value})
    )
    consultant = FixedConsultant(opinion())
    outcome = await ended(forged, consultant)
    assert isinstance(outcome, DeadLettered)
    name = {"kind": "domain", "text": "input_digest"}.get(field, field)
    assert outcome.message.startswith(f"event and triaged differ in {name};")
    assert not consultant.cases


async def test_a_case_of_the_first_release_says_less_about_its_event() -> None:
    """Cases that wait while the workers are updated would become dead letters."""
    document = msgspec.to_builtins(unsure())
    for name in ABOUT_THE_EVENT:
        del document["triaged"][name]
    (outcome,) = await enrich([record(document)], consultant=None, memory=FakeAnswered())
    assert isinstance(outcome, Reviewed)
    assert set(about_the_event(outcome.case.triaged).values()) == {None}


@pytest.mark.parametrize(
    "changes", [{"status": "final"}, {"status": "needs_review"}, {"revision": 1}, {"revision": 999}]
)
async def test_a_case_that_has_ended_is_refused(changes: dict[str, Any]) -> None:
    """A decision of a person would be changed by the LLM, or an event locked by its revision."""
    consultant = FixedConsultant(opinion())
    outcome = await ended(unsure(**changes), consultant)
    assert isinstance(outcome, DeadLettered)
    assert "provisional in revision 0" in outcome.message
    assert not consultant.cases
