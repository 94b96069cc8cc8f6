"""From decisions to figures, bars and a report, with decisions that the tests make up."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from inference.acceptance.options import Terms
from inference.acceptance.policy import Decision
from inference.errors import EvaluationError, GateError
from inference.evaluation import axis_scoring, scoring
from inference.evaluation.baseline_rows import BaselineRows, choose_baseline_rows
from inference.evaluation.figures import (
    BaselineFigures,
    CostFigures,
    DomainFigures,
    Evaluation,
    LatencyFigures,
    ModelFacts,
    OutOfScopeFigures,
    PromiseFigures,
)
from inference.evaluation.gate import metrics_of, missed_bars, read_gate
from inference.evaluation.predictions import (
    SEVERITY_LEVELS,
    AxisPredictions,
    compare_with_gold,
    out_of_scope_confidence,
    predictions_of,
    severity_level_predictions,
    supports_severity_levels,
    union_bound_risk,
    with_severity_levels,
)
from inference.evaluation.report import render
from inference.evaluation.run import choose_rows, choose_split
from inference.labelled import LabelledRow, Part
from schemas.event import Event
from schemas.triaged import Alternative, Label
from streams.cli.evaluation_text import show

HOSTILE = "<script>alert(1)</script>\"'&"


def row(
    gold: dict[str, tuple[str, ...]], *, source: str = "a", part: Part = "test", text: str = "text"
) -> LabelledRow:
    """A labelled ticket."""
    event = Event(id=text, kind="ticket", text=text)
    return LabelledRow(event=event, domain="tickets", gold=gold, part=part, source=source)


def label(value: str, confidence: float, *alternatives: tuple[str, float]) -> Label:
    """The model's answer on one axis."""
    return Label(
        value=value,
        confidence=confidence,
        alternatives=[Alternative(value=other, confidence=share) for other, share in alternatives],
    )


def decision(labels: dict[str, Label], *, escalation: str = "", ood_score: float = 0.0) -> Decision:
    """The model's decision; its risk is the error probability of the first axis."""
    return Decision(
        labels=labels,
        risk=1.0 - next(iter(labels.values())).confidence,
        accepted=not escalation,
        reason="",
        escalation=escalation,
        inference_s=0.001,
        ood_score=ood_score,
    )


def figures_of(rows: Sequence[LabelledRow], decisions: Sequence[Decision]) -> DomainFigures:
    """The figures of a domain whose only axis is `queue`."""
    compared = compare_with_gold(rows, "queue", predictions_of(decisions)["queue"])
    accepted = np.array([made.accepted for made in decisions], dtype=np.bool_)
    certainty = -np.array([made.risk for made in decisions])
    return DomainFigures(
        part="test",
        rows=len(rows),
        unlabelled=0,
        deciding=["queue"],
        promise=PromiseFigures(
            alpha=0.02, delta=0.1, n=100, unseen_alpha=0.05, n_unseen=0, threshold=0.2, coverage=0.5
        ),
        accepted=scoring.accepted_figures(accepted, compared.correct),
        escalated=float((~accepted).mean()),
        escalations=scoring.escalation_shares(decisions),
        selective=axis_scoring.ranking_scores(certainty, compared.correct),
        curve=axis_scoring.curve_points(certainty, compared.correct),
        out_of_scope=scoring.out_of_scope_figures(rows, decisions),
        cost=CostFigures(llm_usd_per_event=0.002, all_llm_usd=1.0, escalated_usd=0.5, share=0.5),
        latency=LatencyFigures(measured=1, p50_ms=1.0, batched_events_per_s=10.0),
        axes={"queue": axis_scoring.axis_figures("queue", compared, ["a", "b"], decides=True)},
        notes=[],
    )


def evaluation_of(figures: DomainFigures) -> Evaluation:
    """A document with one domain."""
    return Evaluation(
        evaluated_at="2026-01-01T00:00:00+00:00",
        model=ModelFacts(name="made up", digest="0" * 64, compute_type="int8"),
        files=["f"],
        domains={"tickets": figures},
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
    """Four tickets. Two of them are accepted, and one of those is wrong."""
    return evaluation_of(figures_of(ROWS, DECISIONS))


def test_what_is_accepted_is_counted(evaluation: Evaluation) -> None:
    """Coverage, accuracy of the accepted rows and reasons of the others would not add up."""
    figures = evaluation.domains["tickets"]
    accepted = figures.accepted
    assert (accepted.rows, accepted.coverage, accepted.errors, accepted.accuracy) == (
        2,
        0.5,
        1,
        0.5,
    )
    assert figures.escalations == {"risk": 0.25, "unfamiliar": 0.25}
    assert figures.escalated == 0.5
    assert [(point.coverage, point.risk) for point in figures.curve] == [
        (0.25, 0.0),
        (0.5, 0.5),
        (0.75, pytest.approx(2 / 3)),
        (1.0, 0.5),
    ]


def test_nothing_accepted_has_no_accuracy() -> None:
    """A model that accepts nothing would look as if it were never right, or always."""
    accepted = scoring.accepted_figures(np.zeros(3, dtype=np.bool_), np.ones(3, dtype=np.bool_))
    assert (accepted.accuracy, accepted.coverage) == (None, 0.0)


def test_an_axis_is_scored_by_source_and_counts_unknown_labels(evaluation: Evaluation) -> None:
    """A bad source would be invisible, and labels that the model lacks look like mistakes."""
    axis = evaluation.domains["tickets"].axes["queue"]
    assert {source: (scores.n, scores.accuracy) for source, scores in axis.sources.items()} == {
        "a": (3, pytest.approx(2 / 3)),
        "z": (1, 0.0),
    }
    assert axis.unknown == 1
    assert {(pair.gold, pair.value, pair.rows) for pair in axis.confusion.pairs} == {
        ("b", "a", 1),
        ("c", "b", 1),
    }


def test_any_of_several_gold_labels_is_right() -> None:
    """Alerts with several tactics would count as wrong, or one row as several."""
    rows = [row({"tactic": ("x", "y")}), row({"tactic": ("x", "y")}), row({})]
    predictions = AxisPredictions(["y", "z", "x"], np.array([0.9, 0.8, 0.7]))
    compared = compare_with_gold(rows, "tactic", predictions)
    assert compared.gold == ["y", "x"]
    assert compared.correct.tolist() == [True, False]


def test_many_labels_leave_the_matrix_out() -> None:
    """A thousand labels would make a document of a million numbers."""
    names = [f"label {number}" for number in range(30)]
    rows = [row({"intent": (name,)}) for name in names]
    predictions = AxisPredictions(names[1:] + names[:1], np.full(30, 0.5))
    compared = compare_with_gold(rows, "intent", predictions)
    confusion = axis_scoring.axis_figures("intent", compared, names, decides=False).confusion
    assert (confusion.labels, confusion.counts) == ([], [])
    assert len(confusion.pairs) == axis_scoring.MAX_PAIRS


def test_severity_is_read_in_three_levels_too() -> None:
    """Vendors that differ by one level would look wrong, or unknown levels would crash."""
    rows = [row({"severity": ("informational",)}), row({"severity": ("high",)})]
    decisions = [
        decision({"severity": label("low", 0.5, ("informational", 0.3), ("high", 0.1))}),
        decision({"severity": label("medium", 0.6, ("high", 0.2))}),
    ]
    assert supports_severity_levels(rows, {"severity": ["low", "critical"]})
    assert not supports_severity_levels(rows, {"severity": ["low", "sev1"]})
    assert not supports_severity_levels(
        rows, {"severity": ["low"], SEVERITY_LEVELS: ["low", "high"]}
    )
    compared = compare_with_gold(
        with_severity_levels(rows), SEVERITY_LEVELS, severity_level_predictions(decisions)
    )
    assert compared.correct.tolist() == [True, False]
    assert compared.confidence.tolist() == pytest.approx([0.8, 0.6])
    undecided = decision({"severity": label("medium", 0.4, ("high", 0.35), ("critical", 0.2))})
    assert severity_level_predictions([undecided]).values == ["high"], (
        "most of the confidence is in two neighbouring labels"
    )


def test_out_of_scope_is_read_from_value_alternatives_and_ood_score() -> None:
    """Events of no queue would seem to stand out more or less than they do."""
    assert out_of_scope_confidence(decision({"queue": label("out_of_scope", 0.7)})) == 0.7
    alternative = decision({"queue": label("a", 0.7, ("out_of_scope", 0.2))})
    assert out_of_scope_confidence(alternative) == 0.2
    assert out_of_scope_confidence(decision({"queue": label("a", 0.7)})) == 0.0
    rows = [row({"queue": (gold,)}) for gold in ("out_of_scope", "out_of_scope", "a", "b")]
    decisions = [
        decision({"queue": label("out_of_scope", 0.9)}, ood_score=0.1),
        decision({"queue": label("a", 0.9)}, ood_score=0.8),
        decision({"queue": label("a", 0.9)}, ood_score=0.2),
        decision({"queue": label("b", 0.9)}, ood_score=0.3),
    ]
    figures = scoring.out_of_scope_figures(rows, decisions)
    assert figures is not None
    assert (figures.rows, figures.auroc, figures.auroc_ood) == (2, 1.0, 0.5)
    assert scoring.out_of_scope_figures(rows[2:], decisions[2:]) is None


def test_a_baselines_risk_is_the_union_bound() -> None:
    """A baseline on two deciding axes would be ordered by one of them."""
    predictions = {
        "x": AxisPredictions(["a", "a"], np.array([0.9, 0.2])),
        "y": AxisPredictions(["a", "a"], np.array([0.8, 0.1])),
    }
    assert union_bound_risk(predictions, ["x", "y"]).tolist() == pytest.approx([0.3, 1.0])


def test_the_test_rows_are_the_default() -> None:
    """A model would look good on the rows it was trained on."""
    train, tuning, test = (
        row({"queue": ("a",)}, part=part) for part in ("train", "tuning", "test")
    )
    assert choose_split([train, tuning, test], None) == ("test", [test])
    assert choose_split([train, tuning], None) == ("val", [tuning])
    assert choose_split([train], None) == ("all", [train])
    assert choose_split([train, tuning, test], "all") == ("all", [train, tuning, test])
    with pytest.raises(EvaluationError, match="--split all"):
        choose_split([train], "test")


def test_rows_without_deciding_labels_are_refused_before_the_model_is_opened() -> None:
    """A mistake in the rows would show after minutes."""
    rows = [row({"priority": ("low",)})]
    (chosen,) = choose_rows(rows, None, {"tickets": Terms(deciding=("priority",))})
    assert (chosen.domain, chosen.split, chosen.rows) == ("tickets", "test", rows)
    with pytest.raises(EvaluationError, match="labelled on queue"):
        choose_rows(rows, None, {"tickets": Terms()})


def gate(tmp_path: Path, text: str) -> Path:
    """A file of bars."""
    (tmp_path / "bars.toml").write_text(text, "utf-8")
    return tmp_path / "bars.toml"


def test_a_gate_names_every_missed_bar(evaluation: Evaluation, tmp_path: Path) -> None:
    """CI would accept a worse model, or refuse a good one without a reason."""
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
    with pytest.raises(GateError, match="lower"):
        missed_bars(evaluation, read_gate(gate(tmp_path, bars)))
    bars = bars.replace(", at_least = 0.0001", "")
    ece = evaluation.domains["tickets"].axes["queue"].overall.ece
    assert missed_bars(evaluation, read_gate(gate(tmp_path, bars))) == [
        "tickets accepted.accuracy is 0.5, below its bar of 0.98",
        "tickets queue.accuracy@z is 0, below its bar of 0.1",
        f"tickets queue.ece is {ece:.6g}, above its bar of 0.0001",
        "tickets out_of_scope.auroc has no value on these rows, so it cannot meet its bar",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
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
    evaluation: Evaluation, tmp_path: Path, text: str, message: str
) -> None:
    """A mistyped bar would never be missed, and nobody would notice."""
    with pytest.raises(GateError, match=message) as caught:
        missed_bars(evaluation, read_gate(gate(tmp_path, text)))
    assert "\n" not in str(caught.value)


def test_every_important_metric_can_have_a_bar(evaluation: Evaluation) -> None:
    """A figure that somebody wants to keep could not be kept."""
    names = set(metrics_of(evaluation.domains["tickets"]))
    metrics_of_queue = {
        f"queue.{name}"
        for name in ("accuracy", "macro_f1", "ece", "aurc", "coverage_at_98", "accuracy@a")
    }
    assert names >= metrics_of_queue | {
        "coverage",
        "accepted.accuracy",
        "escalated",
        "cost.share",
        "selective.coverage_at_95",
    }


def test_the_report_escapes_and_loads_nothing() -> None:
    """A label could run in the reader's browser, or the page would report that it was opened."""
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
    assert "Content-Security-Policy\" content=\"default-src 'none'; style-src" in page


def test_long_labels_are_escaped_in_the_table_of_pairs() -> None:
    """The break points inside a label would switch the escaping off."""
    names = [f"{HOSTILE}_{number}" for number in range(30)]
    rows = [row({"queue": (name,)}) for name in names]
    decisions = [decision({"queue": label(name, 0.5)}) for name in names[1:] + names[:1]]
    page = render(evaluation_of(figures_of(rows, decisions)))
    assert "Most confused" in page
    assert "<script" not in page
    assert "&#39;&amp;_<wbr>10" in page


def test_the_document_can_be_read_back_and_drawn_again(evaluation: Evaluation) -> None:
    """A report could not be made from a document that somebody kept."""
    again = msgspec.json.decode(msgspec.json.encode(evaluation), type=Evaluation)
    assert render(again) == render(evaluation)


def test_a_domain_where_nothing_is_right_can_be_drawn() -> None:
    """The report on the worst model would end in a division by zero."""
    rows = [row({"queue": ("a",)})]
    figures = figures_of(rows, [decision({"queue": label("b", 0.0)}, escalation="risk")])
    assert "<svg" in render(evaluation_of(figures))


WORDS = {"a": "card stolen lost", "b": "transfer pending late", "c": "top up failed again"}


def ticket_rows(part: Part, count: int) -> list[LabelledRow]:
    """Tickets whose words tell their queue."""
    queues = list(WORDS)
    return [
        row(
            {"queue": (queues[number % 3],)},
            part=part,
            text=f"{WORDS[queues[number % 3]]} {part} {number}",
        )
        for number in range(count)
    ]


def test_baselines_see_no_evaluated_row() -> None:
    """A baseline would be too good because it saw the answers, or learn from nothing."""
    evaluated, training = ticket_rows("test", 30), ticket_rows("train", 60)
    chosen = choose_rows(evaluated, None, {"tickets": Terms()})
    baseline_rows = choose_baseline_rows(
        chosen, [*training, *ticket_rows("tuning", 9), *evaluated]
    )["tickets"]
    assert (len(baseline_rows.training), len(baseline_rows.validation)) == (60, 9)
    without_validation = BaselineRows.of(training, evaluated)
    assert (len(without_validation.training), len(without_validation.validation)) == (54, 6)
    with pytest.raises(EvaluationError, match="--train-data"):
        BaselineRows.of(training, training)


def test_baselines_learn_and_stand_beside_the_model() -> None:
    """The figures of the baselines would be missing, or would not be those of what they learnt."""
    pytest.importorskip("sklearn")
    from inference.evaluation.baselines import add_baselines

    evaluated, training = ticket_rows("test", 30), ticket_rows("train", 60)
    baseline_rows = BaselineRows(training, ticket_rows("tuning", 9))
    decisions = [decision({"queue": label("a", 0.5)})] * len(evaluated)
    stages: list[str] = []
    figures = add_baselines(
        figures_of(evaluated, decisions),
        evaluated,
        baseline_rows,
        lambda stage, *_: stages.append(stage),
    )
    baseline = figures.axes["queue"].baseline
    assert baseline is not None
    assert figures.baseline is not None
    assert (baseline.reads, baseline.taught, baseline.majority_label) == ("text", 60, "a")
    assert baseline.majority_accuracy == pytest.approx(1 / 3)
    assert (baseline.scores.accuracy, figures.baseline.accuracy) == (1.0, 1.0)
    assert metrics_of(figures)["queue.over_baseline"] == pytest.approx(-2 / 3)
    assert stages
    of_one_label = [ticket for ticket in training if ticket.gold["queue"] == ("a",)]
    with pytest.raises(EvaluationError, match="two at least"):
        add_baselines(figures, evaluated, BaselineRows(of_one_label, of_one_label), lambda *_: None)


def test_baselines_read_the_vendors_document_where_it_helps() -> None:
    """A baseline that cannot read the fields would be beaten too easily."""
    pytest.importorskip("sklearn")
    from inference.evaluation.baselines import add_baselines

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

    baseline_rows = BaselineRows(
        [alert("train", number) for number in range(20)],
        [alert("tuning", number) for number in range(20)],
    )
    evaluated = [alert("test", number) for number in range(10)]
    decisions = [decision({"queue": label("waf", 0.5)})] * 10
    figures = add_baselines(
        figures_of(evaluated, decisions), evaluated, baseline_rows, lambda *_: None
    )
    baseline = figures.axes["queue"].baseline
    assert baseline is not None
    assert (baseline.reads, baseline.scores.accuracy) == ("text+event", 1.0)
    assert baseline.validation["text"] < baseline.validation["text+event"]


def test_a_baseline_reads_all_of_a_document_but_no_verdict() -> None:
    """A baseline would be weaker than a good engineer's, or copy the labels from the sensor."""
    pytest.importorskip("sklearn")
    from inference.evaluation.baselines import flatten

    document = {
        "hosts": [{"name": "a"}, "b"],
        "severity": "high",
        "alert": {"severity": 1, "action": "blocked"},
        "user": None,
    }
    event = Event(id="e", kind="alert", text="x", event=document)
    assert flatten(event).splitlines() == ["x", "hosts b", "alert.action blocked", "hosts.name a"]


def test_baselines_answer_in_severity_levels_too() -> None:
    """The model would be compared in three levels with a baseline that answers in five."""
    pytest.importorskip("sklearn")
    from inference.evaluation.baselines import add_baselines

    def rows(part: Part) -> list[LabelledRow]:
        severities = {"a": "informational", "b": "critical", "c": "high"}
        return [
            msgspec.structs.replace(
                ticket, gold=ticket.gold | {"severity": (severities[ticket.gold["queue"][0]],)}
            )
            for ticket in ticket_rows(part, 30)
        ]

    evaluated = rows("test")
    figures = figures_of(evaluated, [decision({"queue": label("a", 0.5)})] * len(evaluated))
    axes = figures.axes | {SEVERITY_LEVELS: figures.axes["queue"]}
    figures = add_baselines(
        msgspec.structs.replace(figures, axes=axes),
        evaluated,
        BaselineRows(rows("train"), rows("tuning")),
        lambda *_: None,
    )
    baseline = figures.axes[SEVERITY_LEVELS].baseline
    assert baseline is not None
    assert (baseline.majority_label, baseline.scores.accuracy) == ("high", 1.0)
    assert baseline.majority_accuracy == pytest.approx(2 / 3)


def test_without_validation_labels_a_baseline_reads_the_text() -> None:
    """An axis without validation labels would end the evaluation with an error."""
    pytest.importorskip("sklearn")
    from inference.evaluation.baselines import add_baselines

    evaluated, training = ticket_rows("test", 9), ticket_rows("train", 30)
    figures = figures_of(evaluated, [decision({"queue": label("a", 0.5)})] * len(evaluated))
    baseline_rows = BaselineRows(training, [row({"intent": ("x",)}, part="tuning")])
    queue = add_baselines(figures, evaluated, baseline_rows, lambda *_: None).axes["queue"]
    assert queue.baseline is not None
    assert (queue.baseline.reads, queue.baseline.validation) == ("text", {})


def test_too_little_text_for_a_baseline_is_one_sentence() -> None:
    """Rows that share no word would end in a traceback of scikit-learn."""
    pytest.importorskip("sklearn")
    from inference.evaluation.baselines import add_baselines

    texts = ("\u4e00", "\u4e8c")
    training = [row({"queue": (text,)}, part="train", text=text) for text in texts]
    figures = figures_of(ROWS, DECISIONS)
    with pytest.raises(EvaluationError, match="give rows that share words") as caught:
        add_baselines(figures, ROWS, BaselineRows(training, training), lambda *_: None)
    assert "\n" not in str(caught.value)


def test_evaluating_needs_no_training_library() -> None:
    """An installation that only serves could not evaluate, or would wait for libraries to load."""
    heavy = ("sklearn", "torch", "transformers", "faust")
    modules = (
        "inference.evaluation.run, inference.evaluation.report, inference.evaluation.gate, "
        "inference.evaluation.card, streams.cli.evaluate, streams.cli.calibrate"
    )
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def shown(figures: DomainFigures, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that a person sees of a domain."""
    show(evaluation_of(figures))
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_person_sees_what_is_accepted_and_why_the_rest_is_not(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user would have to read the whole report to see whether the model is any good."""
    figures = evaluation.domains["tickets"]
    lines = shown(msgspec.structs.replace(figures, unlabelled=1), capsys)
    assert lines[0] == f"made up  int8  digest {'0' * 12}"
    assert "tickets  3 test rows, 1 more without a label on it; decided by queue" in lines
    assert (
        "accepted 50.0%, 50.00% of them right (1 wrong); "
        "escalated 50.0% (risk 25.0%, unfamiliar 25.0%)"
    ) in lines
    assert "LLM: $0.50 instead of $1.00, at $0.002 an event it is asked about" in lines
    assert "model: 1.0 ms an event alone (median), 10 events/s in batches" in lines
    assert not any(line.startswith("out of scope") for line in lines)
    (row_of_queue,) = [line.split() for line in lines if line.strip().startswith("queue")]
    assert row_of_queue[:3] == ["queue", "4", "0.5000"]


def test_nothing_is_said_about_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """A user would read `None of them right`, or of reasons for nothing."""
    nothing = figures_of(ROWS[:1], [decision({"queue": label("a", 0.9)}, escalation="risk")])
    assert "accepted 0.0%; escalated 100.0% (risk 100.0%)" in shown(nothing, capsys)
    everything = figures_of(ROWS[:1], DECISIONS[:1])
    lines = shown(everything, capsys)
    assert "accepted 100.0%, 100.00% of them right (0 wrong); escalated 0.0%" in lines
    assert "tickets  1 test rows; decided by queue" in lines
    assert not any("TF-IDF" in line or "majority" in line for line in lines)


@pytest.mark.parametrize(("auroc", "text"), [(0.98765, "0.9877"), (None, "-")])
def test_rows_out_of_scope_have_their_line(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str], auroc: float | None, text: str
) -> None:
    """A user could not see whether foreign events are noticed."""
    scope = OutOfScopeFigures(rows=7, auroc=auroc, auroc_ood=0.5)
    figures = msgspec.structs.replace(evaluation.domains["tickets"], out_of_scope=scope)
    assert (
        f"out of scope: AUROC {text} over 7 such rows, "
        "0.5000 by the out-of-distribution score alone"
    ) in shown(figures, capsys)


def test_baselines_are_shown_below_the_model(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user would not notice that something simple is better than the model."""
    figures = evaluation.domains["tickets"]
    axis = figures.axes["queue"]
    baseline = BaselineFigures(
        reads="text",
        validation={},
        taught=60,
        scores=msgspec.structs.replace(axis.overall, accuracy=0.6543),
        majority_label="a",
        majority_accuracy=0.3333,
    )
    lines = shown(
        msgspec.structs.replace(
            figures,
            axes={"queue": msgspec.structs.replace(axis, baseline=baseline)},
            baseline=msgspec.structs.replace(figures.selective, aurc=0.1234, coverage_at_95=0.25),
        ),
        capsys,
    )
    (risk,) = [line for line in lines if line.startswith("risk: ")]
    assert "; TF-IDF 0.1234, 25.0% / " in risk
    model, tf_idf, majority = [line.split() for line in lines[-3:]]
    assert model[0] == "queue"
    assert tf_idf[:4] == ["TF-IDF,", "text", "4", "0.6543"]
    assert majority == ["majority", "4", "0.3333"]


def test_brackets_in_names_and_notes_are_printed(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rich would take them for a style: it would leave them out, or end in a traceback."""
    figures = evaluation.domains["tickets"]
    lines = shown(
        msgspec.structs.replace(
            figures, deciding=["[/queue]"], escalations={"[red]": 0.5}, notes=["read [this]"]
        ),
        capsys,
    )
    assert "tickets  4 test rows; decided by [/queue]" in lines
    assert any(line.endswith("([red] 50.0%)") for line in lines)
    assert lines[-1] == "read [this]"
