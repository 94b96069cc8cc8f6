"""Which decisions teach a candidate, and which of them calibrate."""

import pytest
from msgspec.structs import replace

from inference.acceptance.live_checks import LiveReport, PromiseKey
from inference.acceptance.watch import Check, Watch
from inference.errors import DataError
from inference.labelled import lessons
from inference.labels.file import LabelEntry, LabelsFile
from inference.labels.renames import Renames
from inference.learning.rows import RowOptions, choose_rows, fingerprint, labels_for
from schemas.instants import seconds_of
from schemas.triaged import CalibrationInfo
from tests.learned import decided, instant, rows

OPTIONS = RowOptions()


def test_only_decisions_of_people_calibrate() -> None:
    """The promise would be about agreement with an LLM, and not about being right."""
    records = [
        *rows(6),
        decided(6, decided_by="llm", by="gpt"),
        decided(7, chosen="corrected"),
        decided(8, chosen="spot_check", probability=0.02),
        decided(9, chosen="import"),
    ]
    chosen = choose_rows(records, "tickets", ["queue"], OPTIONS)
    parts = {row.event.id: row.part for row in chosen.rows}
    assert parts["t-6"] == "train", "the LLM only teaches"
    assert parts["t-7"] == "train", "nobody knows the chance that it was looked at"
    assert {parts[f"t-{n}"] for n in (0, 1, 2, 3, 4, 5, 8, 9)} == {"both"}
    assert (chosen.people, chosen.llm) == (9, 1)
    weights = {row.event.id: row.teaching_weight for row in chosen.rows}
    assert (weights["t-0"], weights["t-6"]) == (1.0, 0.5)
    assert next(row.chance for row in chosen.rows if row.event.id == "t-8") == 0.02


def test_after_a_breach_only_later_events_calibrate() -> None:
    """Rows from before the events changed would promise what they no longer show."""
    info = CalibrationInfo(alpha=0.02, delta=0.1, n=9, threshold=0.5, digest="c")
    watch = Watch(0.02, 0.1, 0.5)
    while not watch.breaches:
        watch.add(Check(0.01, True, decided_at_s=seconds_of(instant(3), 0.0)))
    live = LiveReport(PromiseKey("tickets", "c"), info, watch.report())
    drawn = {"chosen": "spot_check", "accepted": True, "probability": 0.02}
    records = [
        *rows(6),
        decided(6, calibration=info, **drawn),
        decided(7, calibration=replace(info, digest="d"), **drawn),
        decided(8, calibration=replace(info, threshold=0.0)),
    ]
    chosen = choose_rows(records, "tickets", ["queue"], RowOptions(breach=live))
    parts = {row.event.id: row.part for row in chosen.rows}
    calibrating = {id_ for id_, part in parts.items() if part == "both"}
    assert calibrating == {"t-4", "t-5", "t-7", "t-8"}, "t-6 was drawn before the breach"
    assert len(parts) == 9, "the earlier ones still teach"


def test_people_who_decide_a_quarter_of_the_escalated_events_stand_for_all() -> None:
    """The easy events, of which few are checked, would count too much: the promise would be lax."""
    check = decided(8, chosen="spot_check", probability=0.02)
    records = [*rows(2), *rows(6, start=20, decided_by="llm"), check]
    chosen = choose_rows(records, "tickets", ["queue"], OPTIONS)
    chances = {row.event.id: row.chance for row in chosen.rows}
    assert (chances["t-0"], chances["t-8"]) == (0.25, 0.02)


def test_a_row_of_the_llm_teaches_less() -> None:
    """An LLM that is wrong would outweigh the people who correct it."""
    records = [*rows(6), decided(6, decided_by="llm")]
    chosen = choose_rows(records, "tickets", ["queue"], OPTIONS).rows
    index, _, weights = lessons(chosen, "queue", ["top_up", "refunds_disputes", "cash_atm"])
    of_row = {chosen[i].event.id: weight for i, weight in zip(index, weights, strict=True)}
    assert of_row["t-6"] == pytest.approx(of_row["t-0"] / 2)


def test_rows_without_a_text_teach_nothing() -> None:
    """With `keep = "labels"` a model would be trained on nothing at all."""
    records = [*rows(6), decided(6, event=None), decided(7, labels={})]
    chosen = choose_rows(records, "tickets", ["queue"], OPTIONS)
    assert len(chosen.rows) == 6
    assert chosen.left_out == {"no_text": 1, "no_label": 1}


def test_the_newest_decisions_of_people_are_used_first() -> None:
    """With too many rows, those of the LLM or of last year would push out the others."""
    records = [*rows(5, start=100, decided_by="llm"), *rows(10)]
    chosen = choose_rows(records, "tickets", ["queue"], RowOptions(max_rows=6))
    assert [row.event.id for row in chosen.rows] == ["t-9", "t-8", "t-7", "t-6", "t-5", "t-4"]
    assert chosen.left_out == {"too_many": 9}


def test_an_axis_that_hardly_anybody_decides_is_not_learned() -> None:
    """One verdict about the priority would end the learning of queues."""
    labels = {"queue": "top_up", "priority": "high"}
    records = [*rows(30), decided(30, labels=labels)]
    chosen = choose_rows(records, "tickets", ["queue"], OPTIONS)
    assert {axis for row in chosen.rows for axis in row.gold} == {"queue"}
    often = [
        decided(n, labels={"queue": "top_up", "priority": "high" if n % 2 else "low"})
        for n in range(20)
    ]
    chosen = choose_rows([*rows(30), *often], "tickets", ["queue"], OPTIONS)
    assert {axis for row in chosen.rows for axis in row.gold} == {"queue", "priority"}


def test_a_deciding_axis_needs_two_values() -> None:
    """The training would fail without saying what is missing."""
    with pytest.raises(DataError, match="1 different values of queue"):
        choose_rows([decided(0)], "tickets", ["queue"], OPTIONS)
    with pytest.raises(DataError, match="0 different values of product"):
        choose_rows(rows(6), "tickets", ["product"], OPTIONS)


def test_other_domains_and_old_names() -> None:
    """Rows of alerts would teach tickets, and a renamed label would be two labels."""
    renames = Renames({"tickets": {"queue": {"top_up": "loading"}}})
    records = [*rows(6), decided(7, domain="alerts")]
    chosen = choose_rows(records, "tickets", ["queue"], OPTIONS, renames)
    assert len(chosen.rows) == 6
    assert ("loading",) in [row.gold["queue"] for row in chosen.rows]
    assert not any("top_up" in row.gold["queue"] for row in chosen.rows)


def test_only_what_people_decide_is_taken_from_the_labels_file() -> None:
    """A model that was learned from tickets would take the alerts over, and accept none."""
    entries = {"a": LabelEntry(), "b": LabelEntry()}
    file = LabelsFile(
        {"alerts": {"queue": entries}, "tickets": {"queue": entries, "priority": entries}}
    )
    chosen = choose_rows(rows(6), "tickets", ["queue"], OPTIONS)
    assert labels_for(file, "tickets", chosen.rows).domains == {"tickets": {"queue": entries}}
    assert not labels_for(LabelsFile({"alerts": {}}), "tickets", chosen.rows).domains


def test_another_decision_has_another_fingerprint() -> None:
    """A verdict that was corrected or withdrawn would not count as new."""
    one = decided(0)
    assert fingerprint(one) == fingerprint(decided(0, comment="x", decided_at="2027"))
    others = [
        decided(0, labels={"queue": "transfers"}),
        decided(0, decided_by="llm"),
        decided(0, tenant="acme"),
        decided(1),
    ]
    assert len({fingerprint(each) for each in [one, *others]}) == 5
