"""The enrichment agent: every escalated case ends once, by the LLM's answer or as a person's work."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from agents.classify import HIGH_IMPACT
from agents.enrich import enrich
from agents.outcomes import DeadLettered, Incoming, Outcome, Reviewed, Triaged
from inference.llm.consultant import LlmOpinion, unasked
from schemas.codec import encode
from schemas.triaged import Case, Enrichment, Label, Timing, TriagedEvent
from tests.llm_tier import Forgetful
from tests.records import record, unsure

CARD = Label(value="card", confidence=0.3, abstained=True)
PAID = Enrichment(
    status="answered", model="m", tier="small", calls=1, summary="A card.", cost_usd=0.002
)


async def ended(batch: Sequence[Incoming]) -> list[Outcome]:
    """What becomes of cases with no LLM and none answered before."""
    return await enrich(batch, consultant=None, memory=Forgetful())


async def test_a_case_ends_in_review() -> None:
    """An escalated event without a later revision would stay provisional for ever: nobody would look at it."""
    given = unsure()
    (outcome,) = await ended([record(given, topic="triage.enrichment.v1")])
    assert isinstance(outcome, Reviewed)
    triaged = outcome.case.triaged
    assert outcome.case.event == given.event
    assert (triaged.revision, triaged.status, triaged.decided_by) == (1, "needs_review", "slm")
    assert triaged.labels == given.triaged.labels, "the small model's labels are kept"
    assert triaged.enrichment is not None
    assert (triaged.enrichment.status, triaged.enrichment.cost_usd) == ("llm_off", 0.0)
    assert triaged.reasons == [*given.triaged.reasons, "no LLM is configured", "a person decides"]
    assert triaged.origin == given.triaged.origin, (
        "where the event came from, not where the case did"
    )


async def test_time_counts_from_the_event() -> None:
    """Latency measured from the enrichment topic would hide the time the event has waited already."""
    given = unsure()
    (outcome,) = await ended([record(given)])
    assert isinstance(outcome, Reviewed)
    timing = outcome.case.triaged.timing
    assert timing.received_at == given.triaged.timing.received_at
    assert timing.inference_s == given.triaged.timing.inference_s
    assert timing.total_s > given.triaged.timing.total_s


async def test_a_redelivered_case_ends_the_same() -> None:
    """A revision that counted up with every redelivery would never settle."""
    first, again = await ended([record(unsure(), offset=1), record(unsure(), offset=1)])
    assert isinstance(first, Reviewed)
    assert isinstance(again, Reviewed)
    timeless = [
        msgspec.structs.replace(one.case.triaged, timing=unsure().triaged.timing)
        for one in (first, again)
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
async def test_what_is_no_case_is_a_dead_letter(value: object, stage: str) -> None:
    """Anyone may write to the topic: an exception here would stop the worker at the same record again and again."""
    bad, good = await ended([record(value), record(unsure(), offset=1)])
    assert isinstance(bad, DeadLettered)
    assert (bad.stage, bad.error, bad.disposition) == (stage, "InvalidEvent", "poison")
    assert "\n" not in bad.message
    assert isinstance(good, Reviewed)


class Opinionated:
    """A consultant who says the same of every case."""

    def __init__(self, says: LlmOpinion) -> None:
        self.says = says
        self.asked: list[Case] = []

    async def consult(self, case: Case) -> LlmOpinion:
        """Says it."""
        self.asked.append(case)
        return self.says


class Remembering(Forgetful):
    """Has, or has not, the answer to the case."""

    def __init__(self, known: TriagedEvent | None = None) -> None:
        self.known = known
        self.noted: list[TriagedEvent] = []

    async def find(self, *_: object) -> TriagedEvent | None:
        """What is known."""
        return self.known

    def note(self, triaged: TriagedEvent) -> None:
        """Noted."""
        self.noted.append(triaged)


def opinion(*, needs_person: bool = False, **labels: Label) -> LlmOpinion:
    """What comes of an answer that says so of the ticket's axes."""
    return LlmOpinion(
        PAID, {**unsure().triaged.labels, **labels}, needs_person, ["the LLM decides queue"]
    )


async def asked(case: Case, consultant: Any, memory: Any = None) -> Outcome:
    """What becomes of one case."""
    (outcome,) = await enrich([record(case)], consultant=consultant, memory=memory or Forgetful())
    return outcome


async def test_an_answer_that_may_stand_alone_is_final() -> None:
    """An answered event would wait for a person, or go to the queue the small model had guessed."""
    given = unsure(cost_usd=0.001)
    outcome = await asked(given, Opinionated(opinion(queue=CARD)))
    assert isinstance(outcome, Triaged)
    triaged = outcome.triaged
    assert (triaged.revision, triaged.status, triaged.decided_by) == (1, "final", "llm")
    assert (triaged.queue, triaged.labels["queue"]) == ("card", CARD)
    assert triaged.labels["priority"] == given.triaged.labels["priority"]
    assert triaged.reasons == [*given.triaged.reasons, "the LLM decides queue"]
    assert triaged.enrichment == PAID
    assert triaged.cost_usd == pytest.approx(0.003), "what the event has cost so far counts"


@pytest.mark.parametrize(
    ("labels", "decided_by", "queue"), [({}, "slm", "top_up"), ({"queue": CARD}, "llm", "card")]
)
async def test_an_answer_that_needs_a_person_is_reviewed(
    labels: Any, decided_by: str, queue: str
) -> None:
    """Whoever looks at the event must be told whose labels it has, and that it has been paid for."""
    outcome = await asked(unsure(), Opinionated(opinion(needs_person=True, **labels)))
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


async def test_what_a_rule_has_decided_stays_the_rules() -> None:
    """An event whose labels a rule has set would be shown as the small model's."""
    given = unsure(decided_by="rule")
    outcome = await asked(
        given, Opinionated(unasked(given, "kept_inside", "policy keeps this event inside"))
    )
    assert isinstance(outcome, Reviewed)
    assert outcome.case.triaged.decided_by == "rule"


async def test_a_queue_that_is_no_axis_stays() -> None:
    """A model without a queue axis would end its events with a KeyError."""
    labels = {"priority": Label(value="low", confidence=0.4, abstained=True)}
    outcome = await asked(unsure(labels=labels), Opinionated(LlmOpinion(PAID, labels, False, [])))
    assert isinstance(outcome, Triaged)
    assert outcome.triaged.queue == "top_up"


async def test_a_case_of_high_impact_is_no_question() -> None:
    """The small model is sure and only a person may end it: the LLM would be paid for nothing, or end it."""
    consultant = Opinionated(opinion())
    outcome = await asked(msgspec.structs.replace(unsure(), escalation=HIGH_IMPACT), consultant)
    assert isinstance(outcome, Reviewed)
    assert outcome.case.triaged.enrichment == Enrichment(status="high_impact")
    assert outcome.case.triaged.reasons[-1] == "a person decides"
    assert consultant.asked == []


@pytest.mark.parametrize("status", ["final", "needs_review"])
async def test_a_recalled_answer_is_given_again_as_it_was(status: Any) -> None:
    """The second copy would be another answer, or one more revision, and the call be paid twice."""
    answered = unsure(
        revision=1, status=status, decided_by="llm", enrichment=PAID, cost_usd=0.002
    ).triaged
    consultant, memory = Opinionated(opinion()), Remembering(answered)
    outcome = await asked(unsure(), consultant, memory)
    assert outcome == (Triaged(answered) if status == "final" else Reviewed(unsure_with(answered)))
    assert not consultant.asked
    assert not memory.noted


def unsure_with(triaged: TriagedEvent) -> Case:
    """The case in a later revision."""
    return msgspec.structs.replace(unsure(), triaged=triaged)


async def test_what_was_answered_is_remembered() -> None:
    """The same case, come again, would be asked about again."""
    memory = Remembering()
    outcome = await asked(unsure(), Opinionated(opinion()), memory)
    assert isinstance(outcome, Triaged)
    assert memory.noted == [outcome.triaged]


async def test_what_cost_nothing_is_not_remembered() -> None:
    """Without an LLM every case would be kept, two kilobytes each, for an answer that is the same the second time."""
    memory = Remembering()
    assert isinstance(await asked(unsure(), None, memory), Reviewed)
    assert not memory.noted


@pytest.mark.parametrize("bad", [unsure(revision=-1), b"{}"])
async def test_nothing_is_paid_for_what_is_refused(bad: object) -> None:
    """A case that ends as a dead letter anyway would be sent out and billed first."""
    consultant = Opinionated(opinion())
    (outcome,) = await enrich([record(bad)], consultant=consultant, memory=Forgetful())  # type: ignore[arg-type]
    assert isinstance(outcome, DeadLettered)
    assert not consultant.asked


async def test_cases_of_a_batch_do_not_wait_for_each_other() -> None:
    """A batch would take the sum of its answers' times."""
    together = asyncio.Barrier(3)

    class Meeting(Opinionated):
        async def consult(self, case: Case) -> LlmOpinion:
            await together.wait()
            return await super().consult(case)

    batch = [record(unsure(id=f"t-{number}"), offset=number) for number in range(3)]
    consultant: Any = Meeting(opinion())
    outcomes = await asyncio.wait_for(enrich(batch, consultant=consultant, memory=Forgetful()), 5)
    assert [outcome.triaged.id for outcome in outcomes if isinstance(outcome, Triaged)] == [
        "t-0",
        "t-1",
        "t-2",
    ]
