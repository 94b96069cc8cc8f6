"""Which labelled rows are learned from, and how much one author may teach."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.believed_rows import (
    BeliefOptions,
    allowed_counts,
    believed_rows,
    disagreements,
    reviewer_figures,
)
from schemas.label_record import EarlierDecision, LabelRecord
from schemas.triaged import Label
from tests.unit.test_labels_topic import of_llm, row


def rows_of(**counts: int) -> list[LabelRecord]:
    """So many rows of each person."""
    return [row(f"{by}-{n}", by=by) for by, count in counts.items() for n in range(count)]


def believed(records: list[LabelRecord], **options: Any) -> Counter[str]:
    """How many rows of each author are learned from."""
    return Counter(each.by for each in believed_rows(records, BeliefOptions(**options)).rows)


def reasons(records: list[LabelRecord], **options: Any) -> Counter[str]:
    """Why the others are not."""
    return Counter(each.reason for each in believed_rows(records, BeliefOptions(**options)).dropped)


def test_without_limits_everything_is_learned_from() -> None:
    """A desk would lose labels that people have worked for."""
    records = [*rows_of(ana=3, bo=1), of_llm("a"), of_llm("b")]
    assert believed_rows(records, BeliefOptions()) == (records, [])


def test_one_person_has_no_more_than_their_share() -> None:
    """One account, stolen or careless, could teach the small model alone."""
    records = rows_of(eve=900, ana=60, bo=40)
    assert believed(records, max_share_of_reviewer=0.5) == {"eve": 100, "ana": 60, "bo": 40}
    assert reasons(records, max_share_of_reviewer=0.5) == {"share_of_reviewer": 800}
    assert believed(records, max_share_of_reviewer=0.2) == {"eve": 40, "ana": 40, "bo": 40}
    assert believed(rows_of(ana=500), max_share_of_reviewer=0.2) == {"ana": 500}, (
        "there is no other"
    )


def test_another_spelling_is_not_another_person() -> None:
    """A person would get around the limit by a capital letter."""
    records = [row(f"{n}", by=("eve", "Eve", "E\u200bve ")[n % 3]) for n in range(90)]
    records += rows_of(ana=10)
    kept = believed(records, max_share_of_reviewer=0.5)
    assert kept.pop("ana") == 10
    assert sum(kept.values()) == 10


def test_the_llm_has_no_more_than_its_share() -> None:
    """An LLM that obeys the texts of events could teach the small model alone."""
    records = [*rows_of(ana=20), *(of_llm(f"l-{n}") for n in range(100))]
    assert believed(records, max_share_of_llm=0.5) == {"ana": 20, "m": 20}
    assert believed(records, max_share_of_llm=0.75) == {"ana": 20, "m": 60}
    assert reasons(records, max_share_of_llm=0.5) == {"share_of_llm": 80}
    assert believed(records[20:], max_share_of_llm=0.9) == {}, "a share of nothing"
    assert believed(records[20:]) == {"m": 100}


def test_what_is_left_out_is_chosen_by_nobody() -> None:
    """An author who knows which rows are taken could put the wrong ones there."""
    records = [*rows_of(eve=200), *rows_of(ana=50)]
    once = believed_rows(records, BeliefOptions(max_share_of_reviewer=0.5)).rows
    again = believed_rows(records[::-1], BeliefOptions(max_share_of_reviewer=0.5)).rows
    assert sorted(each.id for each in once) == sorted(each.id for each in again)
    numbers = [int(each.id.split("-")[1]) for each in once if each.by == "eve"]
    assert len(numbers) == 50
    assert 60 < sum(numbers) / len(numbers) < 140, "neither the oldest nor the newest"


def test_people_who_may_not_decide_teach_nothing() -> None:
    """The rows of somebody who was taken off the list would still be learned from."""
    records = [*rows_of(ana=2, eve=3), row("s", by="bo", signed_by="Eve"), of_llm("l")]
    assert believed(records, people=["Ana"]) == {"ana": 2, "m": 1}
    assert reasons(records, people=["Ana"]) == {"reviewer_not_allowed": 4}
    assert believed(records, excluded_reviewers=["EVE"]) == {"ana": 2, "m": 1}
    assert reasons(records, excluded_reviewers=["EVE"]) == {"reviewer_excluded": 4}
    of_bank = [row("b", tenant="Bank"), of_llm("c", tenant="bank ")]
    assert reasons(of_bank, excluded_tenants=["bank"]) == {"tenant_excluded": 2}


@given(st.dictionaries(st.text(max_size=2), st.integers(0, 300), max_size=8), st.floats(0.01, 1.0))
def test_no_share_is_above_the_limit_and_no_more_is_left_out_than_must_be(
    sizes: dict[str, int], max_share: float
) -> None:
    """A limit would not hold for some counts, or labels would be wasted."""
    sizes = {name: size for name, size in sizes.items() if size}
    kept = allowed_counts(sizes, max_share)
    total, share = sum(kept.values()), max(max_share, 1 / max(1, len(sizes)))
    assert all(0 < kept[name] <= sizes[name] for name in sizes)
    assert all(count <= share * total + 1e-6 for count in kept.values())
    if kept != sizes:
        most = max(kept.values()) + 1
        more = {name: min(size, most) for name, size in sizes.items()}
        assert max(more.values()) > share * sum(more.values()) - 1e-6


def corrected(id_: str, by: str, earlier_by: str, **earlier: str) -> LabelRecord:
    """A row by which one person has corrected another one."""
    return row(id_, by=by, corrects=EarlierDecision(by=earlier_by, labels=earlier))


def test_where_two_people_disagree_is_shown() -> None:
    """The first of them would never be heard of again: the later row replaces theirs."""
    records = [
        corrected("a", "bo", "eve", queue="top_up"),
        corrected("b", "bo", "eve", queue="card"),
        corrected("c", "ana", "bo", priority="low"),
        row("d"),
    ]
    (found,) = disagreements(records)
    assert found._asdict() == {
        "id": "a",
        "domain": "tickets",
        "tenant": "default",
        "axis": "queue",
        "earlier_by": "eve",
        "earlier": "top_up",
        "later_by": "bo",
        "later": "card",
    }


def test_what_each_person_decides_is_counted() -> None:
    """Nobody would see that one person changes everything, or is corrected by everybody."""
    proposed = {"queue": Label(value="card", confidence=0.6)}
    records = [
        *(row(f"e{n}", by="eve", proposed=proposed, labels={"queue": "top_up"}) for n in range(4)),
        *(row(f"a{n}", by="ana", proposed=proposed) for n in range(3)),
        corrected("b1", "bo", "Eve", queue="top_up"),
        of_llm("l", proposed=proposed),
    ]
    figures = {each.name: each for each in reviewer_figures(records)}
    assert list(figures) == ["eve", "ana", "bo"]
    eve, ana, bo = figures.values()
    assert (eve.rows, eve.share, eve.proposed, eve.changed) == (4, 0.5, 4, 4)
    assert (eve.corrected, eve.was_corrected) == (0, 1)
    assert (ana.changed, ana.was_corrected) == (0, 0)
    assert (bo.proposed, bo.corrected, bo.was_corrected) == (0, 1, 0)
    assert reviewer_figures([of_llm("l")]) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_no_rows_are_no_rows(share: float) -> None:
    """A desk without decisions would get an error in place of a report."""
    options = BeliefOptions(max_share_of_reviewer=share, max_share_of_llm=share)
    assert believed_rows([], options) == ([], [])
