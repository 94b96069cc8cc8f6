"""From decisions to figures, bars and a page, on decisions made by hand."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from inference.acceptance.policy import Decision
from inference.errors import EvaluationError, GateError
from inference.evaluation import scoring as measurement
from inference.evaluation.figures import (
    CostFigures,
    DomainFigures,
    Evaluation,
    LatencyFigures,
    ModelFacts,
    PromiseTerms,
)
from inference.evaluation.gate import fallen, metrics_of, read_gate
from inference.evaluation.plots import wilson
from inference.evaluation.predictions import (
    SEVERITY_LEVELS,
    AxisPredictions,
    answers_of,
    has_levels,
    judge,
    levels_of,
    scope_confidence,
    union_risk,
    with_levels,
)
from inference.evaluation.report import render
from inference.evaluation.run import choose_rows
from inference.labelled import LabelledRow, Part
from schemas.event import Event
from schemas.triaged import Alternative, Label

HOSTILE = "<script>alert(1)</script>\"'&"


def row(
    gold: dict[str, tuple[str, ...]], *, source: str = "a", part: Part = "test", text: str = "text"
) -> LabelledRow:
    """A labelled ticket."""
    event = Event(id=text, kind="ticket", text=text)
    return LabelledRow(event=event, domain="tickets", gold=gold, part=part, source=source)


def label(value: str, confidence: float, *others: tuple[str, float]) -> Label:
    """One axis' answer."""
    alternatives = [Alternative(value=other, confidence=each) for other, each in others]
    return Label(value=value, confidence=confidence, alternatives=alternatives)


def decision(labels: dict[str, Label], *, escalation: str = "", ood_score: float = 0.0) -> Decision:
    """What the model says; its risk is the doubt about the first axis."""
    risk = 1.0 - next(iter(labels.values())).confidence
    return Decision(
        labels=labels, risk=risk, accepted=not escalation, reason="", escalation=escalation, inference_s=0.001,
        ood_score=ood_score,
    )  # fmt: skip


def figures_of(rows: Sequence[LabelledRow], decisions: Sequence[Decision]) -> DomainFigures:
    """A domain whose only axis is `queue`."""
    judged = judge(rows, "queue", answers_of(decisions)["queue"])
    accepted = np.array([each.accepted for each in decisions], dtype=np.bool_)
    certainty = -np.array([each.risk for each in decisions])
    return DomainFigures(
        part="test",
        rows=len(rows),
        unlabelled=0,
        deciding=["queue"],
        promise=PromiseTerms(
            alpha=0.02, delta=0.1, n=100, unseen_alpha=0.05, n_unseen=0, threshold=0.2, coverage=0.5
        ),
        accepted=measurement.describe_accepted(accepted, judged.correct),
        escalated=float((~accepted).mean()),
        escalations=measurement.describe_escalations(decisions),
        selective=measurement.rank(certainty, judged.correct),
        curve=measurement.curve(certainty, judged.correct),
        out_of_scope=measurement.describe_scope(rows, decisions),
        cost=CostFigures(llm_usd_per_event=0.002, all_llm_usd=1.0, escalated_usd=0.5, share=0.5),
        latency=LatencyFigures(measured=1, p50_ms=1.0, batched_events_per_s=10.0),
        axes={"queue": measurement.describe_axis("queue", judged, ["a", "b"], decides=True)},
        notes=[],
    )


ROWS = [
    row({"queue": ("a",)}),
    row({"queue": ("b",)}),
    row({"queue": ("c",)}, source="z"),
    row({"queue": ("a",)}),
]
DECISIONS = [
    decision({"queue": label("a", 0.9)}),
    decision({"queue": label("a", 0.8)}),
    decision({"queue": label("b", 0.4)}, escalation="risk"),
    decision({"queue": label("a", 0.3)}, escalation="unfamiliar"),
]


@pytest.fixture
def evaluation() -> Evaluation:
    """Four tickets, of which two are accepted and one of those is wrong."""
    model = ModelFacts(name="made up", digest="0" * 64, compute_type="int8")
    figures = figures_of(ROWS, DECISIONS)
    return Evaluation(
        evaluated_at="2026-01-01T00:00:00+00:00",
        model=model,
        files=["f"],
        domains={"tickets": figures},
    )


def test_what_is_accepted_is_counted(evaluation: Evaluation) -> None:
    """Coverage, accuracy among the accepted and the reasons of the others would not add up."""
    one = evaluation.domains["tickets"]
    assert (
        one.accepted.rows,
        one.accepted.coverage,
        one.accepted.errors,
        one.accepted.accuracy,
    ) == (2, 0.5, 1, 0.5)
    assert one.escalations == {"risk": 0.25, "unfamiliar": 0.25}
    assert one.escalated == 0.5
    assert [(point.coverage, point.risk) for point in one.curve] == [
        (0.25, 0.0), (0.5, 0.5), (0.75, pytest.approx(2 / 3)), (1.0, 0.5)
    ]  # fmt: skip


def test_nothing_accepted_has_no_accuracy() -> None:
    """A model that accepts nothing would pass for one that is never right, or always."""
    accepted = measurement.describe_accepted(
        np.zeros(3, dtype=np.bool_), np.ones(3, dtype=np.bool_)
    )
    assert (accepted.accuracy, accepted.coverage) == (None, 0.0)


def test_an_axis_is_told_by_source_and_by_what_it_cannot_answer(evaluation: Evaluation) -> None:
    """A source that fails would hide in the whole, and labels the model never saw among its mistakes."""
    axis = evaluation.domains["tickets"].axes["queue"]
    assert {source: (one.n, one.accuracy) for source, one in axis.sources.items()} == {
        "a": (3, pytest.approx(2 / 3)), "z": (1, 0.0)
    }  # fmt: skip
    assert axis.unknown == 1
    assert {(pair.gold, pair.value, pair.rows) for pair in axis.confusion.pairs} == {
        ("b", "a", 1),
        ("c", "b", 1),
    }


def test_any_of_several_gold_labels_is_right() -> None:
    """Alerts of several tactics would count as wrong, or one row as several."""
    rows = [row({"tactic": ("x", "y")}), row({"tactic": ("x", "y")}), row({})]
    judged = judge(rows, "tactic", AxisPredictions(["y", "z", "x"], np.array([0.9, 0.8, 0.7])))
    assert judged.gold == ["y", "x"]
    assert judged.correct.tolist() == [True, False]


def test_many_labels_leave_the_matrix_out() -> None:
    """A thousand labels would make a document of a million numbers."""
    names = [f"label {number}" for number in range(30)]
    rows = [row({"intent": (name,)}) for name in names]
    judged = judge(rows, "intent", AxisPredictions(names[1:] + names[:1], np.full(30, 0.5)))
    found = measurement.describe_axis("intent", judged, names, decides=False).confusion
    assert (found.labels, found.counts, len(found.pairs)) == ([], [], measurement.MAX_PAIRS)


def test_severity_is_read_in_three_levels_too() -> None:
    """Vendors that differ between neighbouring levels would look wrong, or unknown levels would crash."""
    rows = [row({"severity": ("informational",)}), row({"severity": ("high",)})]
    decisions = [
        decision({"severity": label("low", 0.5, ("informational", 0.3), ("high", 0.1))}),
        decision({"severity": label("medium", 0.6, ("high", 0.2))}),
    ]
    assert has_levels(rows, {"severity": ["low", "critical"]})
    assert not has_levels(rows, {"severity": ["low", "sev1"]})
    assert not has_levels(rows, {"severity": ["low"], SEVERITY_LEVELS: ["low", "high"]})
    judged = judge(with_levels(rows), SEVERITY_LEVELS, levels_of(decisions))
    assert judged.correct.tolist() == [True, False]
    assert judged.confidence.tolist() == pytest.approx([0.8, 0.6])
    torn = decision({"severity": label("medium", 0.4, ("high", 0.35), ("critical", 0.2))})
    assert levels_of([torn]).values == ["high"], (
        "most of the confidence is in two neighbouring labels"
    )


def test_out_of_scope_is_found_in_value_alternatives_and_novelty() -> None:
    """Events that belong nowhere would seem to be told apart better or worse than they are."""
    assert scope_confidence(decision({"queue": label("out_of_scope", 0.7)})) == 0.7
    assert scope_confidence(decision({"queue": label("a", 0.7, ("out_of_scope", 0.2))})) == 0.2
    assert scope_confidence(decision({"queue": label("a", 0.7)})) == 0.0
    rows = [row({"queue": (gold,)}) for gold in ("out_of_scope", "out_of_scope", "a", "b")]
    decisions = [
        decision({"queue": label("out_of_scope", 0.9)}, ood_score=0.1),
        decision({"queue": label("a", 0.9)}, ood_score=0.8),
        decision({"queue": label("a", 0.9)}, ood_score=0.2),
        decision({"queue": label("b", 0.9)}, ood_score=0.3),
    ]
    found = measurement.describe_scope(rows, decisions)
    assert found is not None
    assert (found.rows, found.auroc, found.auroc_ood) == (2, 1.0, 0.5)
    assert measurement.describe_scope(rows[2:], decisions[2:]) is None


def test_a_baselines_risk_is_the_union_of_its_doubts() -> None:
    """A baseline on two deciding axes would be ordered by one of them."""
    answers = {
        "x": AxisPredictions(["a", "a"], np.array([0.9, 0.2])),
        "y": AxisPredictions(["a", "a"], np.array([0.8, 0.1])),
    }
    assert union_risk(answers, ["x", "y"]).tolist() == pytest.approx([0.3, 1.0])


def test_the_test_rows_are_the_default() -> None:
    """A model would be praised for the rows it was taught."""
    taught, tuned, held = (
        row({"queue": ("a",)}, part=part) for part in ("train", "tuning", "test")
    )
    assert choose_rows([taught, tuned, held], None) == ("test", [held])
    assert choose_rows([taught, tuned], None) == ("val", [tuned])
    assert choose_rows([taught], None) == ("all", [taught])
    assert choose_rows([taught, tuned, held], "all") == ("all", [taught, tuned, held])
    with pytest.raises(EvaluationError, match="--split all"):
        choose_rows([taught], "test")


def gate(tmp_path: Path, text: str) -> Path:
    """A file of bars."""
    (tmp_path / "bars.toml").write_text(text, "utf-8")
    return tmp_path / "bars.toml"


def test_a_gate_names_what_has_fallen(evaluation: Evaluation, tmp_path: Path) -> None:
    """CI would let a worse model through, or stop a good one without saying why."""
    bars = """
[tickets]
"coverage" = 0.5
"accepted.accuracy" = 0.98
queue.accuracy = 0.4
"queue.accuracy@z" = 0.1
"queue.ece" = { at_most = 0.0001 }
selective.aurc = { at_most = 0.9, at_least = 0.0001 }
"out_of_scope.auroc" = 0.9
"""
    found = evaluation.domains["tickets"]
    with pytest.raises(GateError, match="lower"):
        fallen(evaluation, read_gate(gate(tmp_path, bars)))
    sentences = fallen(
        evaluation, read_gate(gate(tmp_path, bars.replace(", at_least = 0.0001", "")))
    )
    assert sentences == [
        "tickets accepted.accuracy is 0.5, below its bar of 0.98",
        "tickets queue.accuracy@z is 0, below its bar of 0.1",
        f"tickets queue.ece is {found.axes['queue'].overall.ece:.6g}, above its bar of 0.0001",
        "tickets out_of_scope.auroc has no value on these rows, so it cannot meet its bar",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tickets", "TOML"),
        ("", "no bar"),
        ("queue = 1", "table"),
        ('[tickets]\nqueue.accuracy = "high"', "number"),
        ("[tickets]\nqueue.accuracy = true", "number"),
        ("[tickets]\nqueue.accuracy = nan", "number"),
        ("[alerts]\nqueue.accuracy = 1", "tickets"),
        ("[tickets]\nqueue.acuracy = 1", "did you mean queue.accuracy"),
        ("[tickets]\nqueue.ece = 0.03", "at_most"),
    ],
)
def test_a_wrong_gate_is_one_sentence(
    evaluation: Evaluation, tmp_path: Path, text: str, said: str
) -> None:
    """A mistyped bar would never fall, and nobody would notice."""
    with pytest.raises(GateError, match=said) as caught:
        fallen(evaluation, read_gate(gate(tmp_path, text)))
    assert "\n" not in str(caught.value)


def test_every_metric_of_the_issue_can_have_a_bar(evaluation: Evaluation) -> None:
    """A figure one wants to keep could not be kept."""
    names = set(metrics_of(evaluation.domains["tickets"]))
    axis = {
        f"queue.{name}"
        for name in ("accuracy", "macro_f1", "ece", "aurc", "coverage_at_98", "accuracy@a")
    }
    assert names >= axis | {
        "coverage",
        "accepted.accuracy",
        "escalated",
        "cost.share",
        "selective.coverage_at_95",
    }


def test_the_report_escapes_and_asks_for_nothing() -> None:
    """A label or a source could run in the reader's browser, or the page would tell somebody it was opened."""
    rows = [row({"queue": (HOSTILE,)}, source=HOSTILE)] * 3
    decisions = [
        decision({"queue": label(value, 0.9)}, escalation=HOSTILE) for value in (HOSTILE, "a", "b")
    ]
    model = ModelFacts(name=HOSTILE, digest=HOSTILE, compute_type=HOSTILE)
    figures = msgspec.structs.replace(
        figures_of(rows, decisions), notes=[HOSTILE], deciding=[HOSTILE]
    )
    page = render(
        Evaluation(evaluated_at=HOSTILE, model=model, files=[HOSTILE], domains={HOSTILE: figures})
    )
    assert "<script" not in page
    assert not re.search(r"(src|href)\s*=|url\(|@import|https?:", page)
    assert "&lt;script&gt;" in page


def test_the_document_can_be_read_back_and_drawn_again(evaluation: Evaluation) -> None:
    """A report could not be made from the figures somebody kept."""
    again = msgspec.json.decode(msgspec.json.encode(evaluation), type=Evaluation)
    assert render(again) == render(evaluation)


def test_a_domain_where_nothing_is_right_can_be_drawn() -> None:
    """The worst model would end in a division by zero instead of a report."""
    rows = [row({"queue": ("a",)})]
    figures = figures_of(rows, [decision({"queue": label("b", 0.0)}, escalation="risk")])
    model = ModelFacts(name="m", digest="0", compute_type="int8")
    assert "<svg" in render(
        Evaluation(evaluated_at="now", model=model, files=[], domains={"tickets": figures})
    )


@pytest.mark.parametrize(("right", "rows"), [(0.0, 1), (1.0, 1), (0.5, 40), (1.0, 10_000)])
def test_intervals_hold_what_was_seen(right: float, rows: int) -> None:
    """A whisker beside its point would say that the point is impossible."""
    low, high = wilson(right, rows)
    assert 0.0 <= low <= right + 1e-9
    assert right - 1e-9 <= high <= 1.0


WORDS = {"a": "card stolen lost", "b": "transfer pending late", "c": "top up failed again"}


def lines(part: Part, count: int) -> list[LabelledRow]:
    """Tickets whose queue is in their words."""
    names = list(WORDS)
    return [
        row({"queue": (names[n % 3],)}, part=part, text=f"{WORDS[names[n % 3]]} {part} {n}") for n in range(count)
    ]  # fmt: skip


def test_baselines_learn_from_rows_that_are_not_evaluated() -> None:
    """The bar would stand too high, because it had seen the answers, or too low, because nothing was learnt."""
    pytest.importorskip("sklearn")
    from inference.evaluation import baselines

    evaluated, taught = lines("test", 30), lines("train", 60)
    lesson = baselines.lesson_of([*taught, *lines("tuning", 9), *evaluated], evaluated)
    assert (len(lesson.taught), len(lesson.choosing)) == (60, 9)
    alone = baselines.lesson_of(taught, evaluated)
    assert (len(alone.taught), len(alone.choosing)) == (54, 6)
    with pytest.raises(EvaluationError, match="--train-data"):
        baselines.lesson_of(taught, taught)

    decisions = [decision({"queue": label("a", 0.5)})] * len(evaluated)
    told: list[str] = []
    found = baselines.add_baselines(
        figures_of(evaluated, decisions), evaluated, lesson, lambda stage, *_: told.append(stage)
    )
    base = found.axes["queue"].baseline
    assert base is not None
    assert found.baseline is not None
    assert (base.reads, base.taught, base.majority_label) == ("text", 60, "a")
    assert base.majority_accuracy == pytest.approx(1 / 3)
    assert (base.scores.accuracy, found.baseline.accuracy) == (1.0, 1.0)
    assert metrics_of(found)["queue.over_baseline"] == pytest.approx(-2 / 3)
    assert told
    only = [each for each in taught if each.gold["queue"] == ("a",)]
    with pytest.raises(EvaluationError, match="two at least"):
        baselines.add_baselines(found, evaluated, baselines.Lesson(only, only), lambda *_: None)


def test_baselines_read_the_vendors_document_where_it_helps() -> None:
    """A baseline blind to the fields would be beaten too easily."""
    pytest.importorskip("sklearn")
    from inference.evaluation import baselines

    def alert(part: Part, number: int) -> LabelledRow:
        product = "waf" if number % 2 else "mailgate"
        event = Event(
            id=f"{part}{number}",
            kind="alert",
            text="something happened",
            event={"product": product},
        )
        return LabelledRow(
            event=event, domain="alerts", gold={"queue": (product,)}, part=part, source="a"
        )

    lesson = baselines.Lesson(
        [alert("train", n) for n in range(20)], [alert("tuning", n) for n in range(20)]
    )
    evaluated = [alert("test", n) for n in range(10)]
    decisions = [decision({"queue": label("waf", 0.5)})] * 10
    found = baselines.add_baselines(
        figures_of(evaluated, decisions), evaluated, lesson, lambda *_: None
    )
    base = found.axes["queue"].baseline
    assert base is not None
    assert (base.reads, base.scores.accuracy) == ("text+event", 1.0)
    assert base.validation["text"] < base.validation["text+event"]


def test_evaluating_needs_no_training_library() -> None:
    """An installation that only serves could not evaluate what it serves."""
    heavy = ("sklearn", "torch", "transformers", "faust")
    parts = "inference.evaluation.run, inference.evaluation.report, inference.evaluation.gate"
    code = f"import sys, {parts}; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
