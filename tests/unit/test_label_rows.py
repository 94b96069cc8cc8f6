"""The labelled row that a decision adds to what is learned from."""

from typing import Any

import pytest
from msgspec.structs import replace

from agents.cases import Known
from agents.decided import Decided
from agents.enrich import enrich
from agents.feedback import apply_feedback
from agents.label_rows import NOTHING_KEPT, RowsKept, label_record_of, person_of, row_of_llm
from agents.outcomes import Outcome, Triaged
from agents.verdict_checks import VerdictChecks
from inference.llm.combining import combine
from inference.llm.opinion import LlmOpinion
from inference.llm.prompt.prompt import Answer
from schemas.agreement import input_digest
from schemas.codec import encode
from schemas.event import Event, Origin
from schemas.label_record import EarlierDecision, LabelRecord, key_of, label_key, read_key
from schemas.triaged import Case, Enrichment, Label, TriagedEvent, Verdict
from tests.doubles import FakeAnswered, KnownCases
from tests.records import RECEIVED_AT, RECEIVED_AT_S, provisional, record, triaged, unsure
from tests.unit.test_enrich_agent import CARD, PAID, FixedConsultant, opinion

CHECKS = VerdictChecks(
    {"tickets": {"queue": ["top_up", "card"], "priority": ["low", "high"]}, "alerts": {}}
)


async def answered(case: Case, kept: RowsKept, memory: Any = None, **changes: Any) -> Outcome:
    """What becomes of a case that the LLM answers."""
    (outcome,) = await enrich(
        [record(case)],
        consultant=FixedConsultant(opinion(queue=CARD, **changes)),  # type: ignore[arg-type]
        memory=memory or FakeAnswered(),
        kept=kept,
    )
    return outcome


def row_in(outcome: Outcome) -> LabelRecord:
    """The row of an outcome that has one."""
    assert isinstance(outcome, Triaged)
    assert outcome.row is not None
    return outcome.row


async def test_an_answer_of_the_llm_is_a_row() -> None:
    """What the LLM decides could teach nobody, or would not say what the small model had said."""
    case = unsure()
    outcome = await answered(replace(case, risk=0.6), RowsKept())
    row = row_in(outcome)
    assert (row.id, row.domain, row.tenant, row.source) == ("t-1", "tickets", "acme", "chat")
    assert row.labels == {"queue": "card", "priority": "low"}
    assert (row.decided_by, row.by) == ("llm", PAID.model)
    assert (row.chosen, row.probability) == ("escalated", 1.0)
    assert row.proposed == case.triaged.labels
    assert (row.risk, row.accepted) == (0.6, False)
    assert (row.model, row.calibration) == (case.triaged.model, case.triaged.calibration)
    assert row.event == case.event
    assert row.input_digest == input_digest(case.event)
    assert isinstance(outcome, Triaged)
    assert row.decided_at == outcome.triaged.timing.triaged_at


async def test_an_axis_on_which_the_llm_was_overruled_is_not_taught() -> None:
    """The small model would learn its own guess as if somebody had decided it."""
    before = {
        "queue": Label(value="top_up", confidence=0.4, abstained=True),
        "priority": Label(value="high", confidence=0.4, abstained=True),
    }
    answer = Answer({"queue": "card", "priority": "low"}, decidable=True, summary="", rationale="")
    combined = combine(before, answer, deciding=["queue"])
    assert combined.labels["priority"].value == "high"
    said = LlmOpinion(PAID, combined.labels, combined.needs_person, combined.reasons)
    (outcome,) = await enrich(
        [record(unsure(labels=before))],
        consultant=FixedConsultant(said),  # type: ignore[arg-type]
        memory=FakeAnswered(),
        kept=RowsKept(),
    )
    assert row_in(outcome).labels == {"queue": "card"}


async def test_an_answer_that_does_not_stand_alone_is_no_row() -> None:
    """The small model would learn from labels that a person has yet to look at."""
    asked = FixedConsultant(opinion(needs_person=True, queue=CARD))
    for consultant in (asked, None):
        (outcome,) = await enrich(
            [record(unsure())],
            consultant=consultant,  # type: ignore[arg-type]
            memory=FakeAnswered(),
            kept=RowsKept(),
        )
        assert not isinstance(outcome, Triaged)
    case = unsure()
    for other in (
        case.triaged,
        replace(case.triaged, status="final", decided_by="llm"),
        replace(case.triaged, status="final", decided_by="slm", enrichment=PAID),
    ):
        assert row_of_llm(case, other) is None


async def test_a_case_that_is_delivered_again_gives_the_same_row() -> None:
    """A redelivery would write another row, which is learned from in place of the first one."""
    memory = FakeAnswered()
    first = row_in(await answered(unsure(), RowsKept(), memory))
    again = row_in(await answered(unsure(), RowsKept(), memory))
    assert encode(again) == encode(first)


async def decided(verdict: Verdict, kept: RowsKept = RowsKept()) -> Outcome:  # noqa: B008
    """What becomes of a verdict."""
    (outcome,) = await apply_feedback(
        [record(verdict)], checks=CHECKS, cases=KnownCases(), decided=Decided(), kept=kept
    )
    return outcome


async def test_a_verdict_is_a_row_and_the_same_one_when_it_is_delivered_again() -> None:
    """What people decide could teach nobody, or a redelivery would change when it was decided."""
    verdict = Verdict(
        triaged=provisional(), labels={"queue": "card"}, by="ana", comment="see the text"
    )
    row = row_in(await decided(verdict))
    assert row.labels == {"queue": "card"}, "only what the person has said"
    assert (row.decided_by, row.by, row.decided_at) == ("human", "ana", RECEIVED_AT)
    assert (row.chosen, row.accepted, row.comment) == ("escalated", False, "see the text")
    assert row.proposed == provisional().labels
    assert encode(row_in(await decided(verdict))) == encode(row)


async def test_a_short_verdict_is_a_row_with_the_text_of_its_case() -> None:
    """Whoever sends an id and a label would teach nothing, or a label without a text."""
    first = replace(unsure().triaged, status="final")
    case = replace(unsure(), triaged=first, escalation="spot_check", probability=0.02)
    cases = KnownCases(Known(first, case, [first]))
    short = Verdict(id="t-1", labels={"queue": "card"}, by="ana")
    correction = Verdict(id="t-1", labels={"queue": "top_up"}, by="bo", about=1)
    mine, theirs = record(short, offset=1), record(correction, offset=2)
    outcomes = await apply_feedback(
        [mine, theirs, mine], checks=CHECKS, cases=cases, decided=Decided(), kept=RowsKept()
    )
    row = row_in(outcomes[0])
    assert (row.chosen, row.probability, row.accepted) == ("spot_check", 0.02, True)
    assert (row.event, row.proposed) == (case.event, first.labels)
    corrected = row_in(outcomes[1])
    assert corrected.corrects == EarlierDecision(by="ana", labels={"queue": "card"})
    again = outcomes[2]
    assert isinstance(again, Triaged)
    assert (again.triaged.revision, again.row) == (1, None), "the row of the correction stays"


async def test_a_verdict_that_confirms_is_a_row_with_every_label() -> None:
    """Only what people change would be counted, and the small model would look worse than it is."""
    row = row_in(await decided(Verdict(triaged=provisional(), labels={}, by="ana")))
    assert row.labels == {"queue": "top_up", "priority": "low"}
    assert row.corrects is None
    asked: dict[str, Any] = {"labels": {}, "by": "ana", "decided_at_s": 0.0, "revisions": []}
    limited = label_record_of(revised(), **asked, axes=["queue"])
    assert limited is not None
    assert limited.labels == {"queue": "top_up"}, "a reviewer of queues has not looked at others"
    assert label_record_of(revised(), **asked, axes=["tactic"]) is None


@pytest.mark.parametrize("excluded", ["acme", "ACME", "ac\u200bme "])
async def test_nothing_is_kept_where_the_configuration_says_so(excluded: str) -> None:
    """The texts of a tenant that forbids it would be kept, or a spelling would get around it."""
    verdict = Verdict(triaged=provisional(), labels={"queue": "card"}, by="ana")
    section_keeps_nothing = RowsKept("text", frozenset({"acme"}))
    of_other = Verdict(triaged=provisional(tenant="b"), labels={"queue": "card"}, by="ana")
    for kept in (NOTHING_KEPT, section_keeps_nothing):
        changed = replace(verdict, triaged=provisional(tenant=excluded))
        outcome = await decided(changed, kept)
        assert isinstance(outcome, Triaged), "the verdict itself counts"
        assert outcome.row is None
        llm = await answered(unsure(tenant=excluded), kept)
        assert isinstance(llm, Triaged)
        assert llm.row is None
    assert row_in(await decided(of_other, section_keeps_nothing)).tenant == "b"


async def test_labels_can_be_kept_without_any_text() -> None:
    """The text of an event, or what a person quotes of it, would be kept although it must not."""
    labels_only = RowsKept("labels")
    row = row_in(await answered(unsure(), labels_only))
    assert row.event is None
    assert row.labels == {"queue": "card", "priority": "low"}
    said = Verdict(triaged=provisional(), labels={"queue": "card"}, by="ana", comment="my top-up")
    assert b"top-up" not in encode(row_in(await decided(said, labels_only)))


def revised(**changes: Any) -> TriagedEvent:
    """The revision of a person about the event of `unsure`."""
    fields: dict[str, Any] = {
        "revision": 2,
        "status": "final",
        "decided_by": "human",
        "input_digest": unsure().triaged.input_digest,
        "reasons": ["unsure", "decided by ana"],
    }
    return provisional(**fields | changes)


def row_of(case: Case | None = None, *revisions: TriagedEvent, **changes: Any) -> LabelRecord:
    """The row of a verdict about the event of `unsure`."""
    row = label_record_of(
        changes.pop("revised", revised()),
        labels={"queue": "card"},
        by=changes.pop("by", "ana"),
        decided_at_s=RECEIVED_AT_S,
        revisions=revisions,
        case=case,
    )
    assert row is not None
    return row


def test_a_spot_check_says_with_what_chance_it_was_drawn() -> None:
    """The watch would take checks of accepted events for escalated ones, or weigh them wrongly."""
    first = replace(unsure().triaged, status="final")
    case = replace(unsure(), triaged=first, escalation="spot_check", probability=0.02, risk=0.01)
    row = row_of(case)
    assert (row.chosen, row.probability, row.accepted) == ("spot_check", 0.02, True)
    assert (row.risk, row.event, row.proposed) == (0.01, case.event, first.labels)


def test_an_accepted_event_that_nobody_asked_about_is_corrected() -> None:
    """People look for errors. Their finds would be taken for a random sample of accepted events."""
    first = replace(unsure().triaged, status="final")
    row = row_of(None, first)
    assert (row.chosen, row.probability, row.accepted) == ("corrected", 1.0, True)
    assert row.event is None


def test_what_the_small_model_said_is_that_of_the_first_revision() -> None:
    """The answer of the LLM would be taken for the small model's, which would look right."""
    first = unsure().triaged
    by_llm = replace(
        first,
        revision=1,
        status="needs_review",
        decided_by="llm",
        labels={"queue": CARD},
        enrichment=Enrichment(status="answered"),
    )
    case = replace(unsure(), triaged=by_llm, risk=0.4)
    assert row_of(case, by_llm, first).proposed == first.labels
    assert row_of(case, by_llm, first).risk == 0.4
    unknown = row_of(case, by_llm)
    assert (unknown.proposed, unknown.model, unknown.accepted) == ({}, None, False)
    by_rule = replace(first, status="needs_review", decided_by="rule")
    assert row_of(None, by_rule).proposed == {}, "a rule may have set the labels"


def test_a_case_of_another_event_of_the_same_id_gives_no_text() -> None:
    """A sender who uses an id again would have its old text taught with the new label."""
    other = replace(unsure(), event=Event(id="t-1", kind="ticket", text="something else"))
    other = replace(
        other, triaged=replace(unsure().triaged, input_digest=input_digest(other.event))
    )
    row = row_of(other, unsure().triaged)
    assert row.event is None
    assert row.proposed == unsure().triaged.labels
    without_digest = replace(
        unsure().triaged,
        input_digest=None,
        origin=Origin(topic="triage.tickets.v1", partition=1),
    )
    assert row_of(None, without_digest).proposed == {}


def test_a_correction_names_whom_it_corrects() -> None:
    """Two people who disagree would not be seen: the later row replaces the earlier one."""
    ana = replace(
        revised(),
        labels={"queue": Label(value="top_up", confidence=1.0)},
        reasons=["decided by ana, signed by desk: sure"],
    )
    later = revised(revision=3, reasons=["decided by bo"])
    row = row_of(None, unsure().triaged, ana, revised=later, by="bo")
    assert row.corrects == EarlierDecision(by="ana", labels={"queue": "top_up"})
    own = row_of(None, unsure().triaged, ana, revised=later, by="Ana")
    assert own.corrects is None, "nobody disagrees with themselves"
    redelivered = row_of(None, unsure().triaged, ana, later, revised=later, by="bo")
    assert redelivered == row, "the revision of the verdict itself is not what was before"


def test_a_verdict_that_is_read_again_does_not_replace_a_correction() -> None:
    """After a crash the error that somebody has corrected would be learned from."""
    later = revised(revision=3, reasons=["decided by bo"])
    again = label_record_of(
        revised(), labels={"queue": "card"}, by="ana", decided_at_s=0.0, revisions=[later]
    )
    assert again is None
    by_llm = replace(later, decided_by="llm")
    assert row_of(None, by_llm).labels == {"queue": "card"}


def test_a_message_that_was_sent_twice_is_one_event() -> None:
    """The text would be lost if the decision is about the second copy and the case the first."""
    other_place = Origin(topic="triage.tickets.v1", partition=1, offset=99)
    row = row_of(unsure(), unsure().triaged, revised=revised(origin=other_place))
    assert row.event == unsure().event
    assert row.proposed == unsure().triaged.labels


def test_only_a_person_is_a_person() -> None:
    """A model that writes a reason like that of a person would be shown as one."""
    assert person_of(triaged(reasons=["decided by ana"])) is None
    assert person_of(triaged(decided_by="human", reasons=["sure"])) is None
    said = ["decided by old", "decided by ana: it is decided by me"]
    assert person_of(triaged(decided_by="human", reasons=said)) == "ana"


IDS = ["t-1", "é", '["t-1","tickets","acme","llm"]', "[", '"', "a\x00b", "", '[]"']


@pytest.mark.parametrize("id_", IDS)
def test_a_key_says_whose_row_it_is(id_: str) -> None:
    """Rows that cannot be read could not be erased by their tenant and id."""
    plain = label_key(id_, "tickets", "default", "human")
    assert (plain == id_.encode()) is not id_.startswith("[")
    for tenant in ("default", "acme", "llm"):
        for author in ("human", "llm"):
            named = read_key(label_key(id_, "tickets", tenant, author))
            assert named is not None
            assert named.id == id_
            assert named.tenant in (None, tenant)


def test_no_two_rows_that_must_be_kept_have_one_key() -> None:
    """The row of an LLM or of another tenant would replace the row of a person."""
    keys = [
        label_key(id_, "tickets", tenant, author)
        for id_ in IDS
        for tenant in ("default", "acme")
        for author in ("human", "llm")
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("key", [b"\xff", b"[", b'["a"]', b'["a","b","c",4]', b"[1,2,3,4]"])
def test_a_key_of_somebody_else_is_none_of_ours(key: bytes) -> None:
    """A record that anybody may write would end the command that reads the topic."""
    assert read_key(key) is None


def test_the_key_of_a_row_is_made_of_its_fields() -> None:
    """A row would be written under the key of another one."""
    row = row_of(unsure())
    assert key_of(row) == b'["t-1","tickets","acme","human"]'
    assert key_of(replace(row, tenant="default")) == b"t-1"
