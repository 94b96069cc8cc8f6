"""`triage evaluate` as a person or a CI job runs it, on the tiny model."""

import itertools
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from inference import evaluation
from inference.evaluation.figures import Evaluation
from tests.tiny_model import LABELS
from tests.unit.conftest import Triage

TEXTS = (
    "my card was stolen",
    "the transfer is late",
    "top up failed",
    "what is the exchange rate",
    "weather today",
)


@pytest.fixture
def run(triage: Triage, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Triage:
    """Run `triage evaluate` on the tiny model."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    monkeypatch.setenv("TRIAGE_MODEL__REPLICAS", "1")
    return partial(triage, "evaluate")


def tickets(count: int = 40) -> list[dict[str, Any]]:
    """Labelled tickets: half for training, half for testing; the last has no queue."""
    queues = itertools.cycle(("fraud_lost", "transfers", "top_up", "fees_fx", "out_of_scope"))
    lines = [
        {
            "id": str(number),
            "kind": "ticket",
            "text": f"{TEXTS[number % 5]} {number}",
            "source": f"source {number % 2}",
            "labels": {"queue": next(queues), "priority": ("low", "high")[number % 2]},
            "split": ("train", "test")[number % 4 > 1],
        }
        for number in range(count)
    ]
    return [*lines, lines[-1] | {"id": "last", "labels": {"priority": "low"}}]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The tickets as a file."""
    return write(tmp_path / "tickets.jsonl", tickets())


def write(file: Path, lines: list[dict[str, Any]]) -> Path:
    """Write NDJSON."""
    file.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    return file


def test_everything_is_one_document(run: Triage, data: Path) -> None:
    """A program could not read the figures, or would read those of another model."""
    code, out, err = run("--data", data, "--json")
    assert (code, err) == (0, "")
    evaluation = msgspec.json.decode(out.encode(), type=Evaluation)
    figures = evaluation.domains["tickets"]
    assert list(evaluation.domains) == ["tickets"]
    assert evaluation.files == ["tickets.jsonl"]
    assert (figures.part, figures.rows, figures.unlabelled) == ("test", 21, 1)
    assert set(figures.axes) == {"queue", "priority"}
    assert (figures.axes["queue"].overall.n, figures.axes["priority"].overall.n) == (20, 21)
    assert set(figures.axes["queue"].sources) == {"source 0", "source 1"}
    assert figures.accepted.coverage + figures.escalated == pytest.approx(1)
    assert sum(figures.escalations.values()) == pytest.approx(figures.escalated)
    assert figures.cost.share == pytest.approx(figures.escalated)
    assert figures.out_of_scope is not None
    assert figures.out_of_scope.rows == 4
    assert figures.baseline is None


def test_alerts_have_three_levels_of_severity(run: Triage, tmp_path: Path) -> None:
    """Severity would only be scored on levels that no two vendors agree on."""
    labels = LABELS["alerts"]
    lines = [
        {
            "id": str(number),
            "kind": "alert",
            "text": f"alert {number}",
            "labels": {
                "queue": labels["queue"][number % 8],
                "tactics": [labels["tactic"][number % 5]],
                "severity": "critical",
            },
        }
        for number in range(20)
    ]
    code, out, _ = run("--data", write(tmp_path / "alerts.jsonl", lines), "--json")
    assert code == 0
    axes = msgspec.json.decode(out.encode(), type=Evaluation).domains["alerts"].axes
    assert set(axes) == {"queue", "tactic", "severity", "severity3"}
    assert axes["severity3"].overall.accuracy >= axes["severity"].overall.accuracy


def test_a_person_sees_the_figures(run: Triage, data: Path, tmp_path: Path) -> None:
    """The command would work for minutes and print nothing."""
    report = tmp_path / "report.html"
    code, out, err = run("--data", data, "--report", report)
    assert (code, err) == (0, "")
    assert "accepted" in out
    assert "priority" in out
    page = report.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    # The curve, and the reliability and the confusion of two axes.
    assert page.count("<svg role") == 5


def test_baselines_stand_beside_the_model(run: Triage, data: Path, tmp_path: Path) -> None:
    """Nobody would know whether the model is better than something simple."""
    pytest.importorskip("sklearn")
    report = tmp_path / "report.html"
    code, out, err = run("--data", data, "--baselines", "--json", "--report", report)
    assert (code, err) == (0, "")
    figures = msgspec.json.decode(out.encode(), type=Evaluation).domains["tickets"]
    assert figures.baseline is not None
    baseline = figures.axes["queue"].baseline
    assert baseline is not None
    assert baseline.scores.accuracy == 1.0
    assert "TF-IDF" in report.read_text("utf-8")


def test_baselines_without_scikit_learn_are_one_sentence(
    run: Triage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that only serves would show a traceback."""
    for name in [
        name
        for name in sys.modules
        if name.startswith(("sklearn", "inference.evaluation.baselines"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    # An earlier test may have imported it.
    monkeypatch.delattr(evaluation, "baselines", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    code, out, err = run("--data", data, "--baselines")
    assert (code, out) == (1, "")
    assert "triage-stream[train]" in err
    assert err.count("\n") == 1


def test_missed_bars_are_1_and_all_are_named(run: Triage, data: Path, tmp_path: Path) -> None:
    """CI would pass with a model that got worse, or fail without a reason."""
    bars = tmp_path / "bars.toml"
    bars.write_text(
        '[tickets]\n"queue.accuracy" = 1.0\ncoverage = 0.0\n"queue.macro_f1" = 0.99\n', "utf-8"
    )
    code, out, err = run("--data", data, "--gate", bars, "--json")
    assert code == 1
    assert orjson.loads(out)["domains"]
    assert [line.split(" is ")[0] for line in err.splitlines()] == [
        "triage: tickets queue.accuracy",
        "triage: tickets queue.macro_f1",
    ]
    bars.write_text("[tickets]\ncoverage = 0.0\n", "utf-8")
    assert run("--data", data, "--gate", bars)[0] == 0


@pytest.mark.parametrize(
    "bars", ["[tickets]\nqueue.acuracy = 1", "[tickets", "[alerts]\ncoverage = 0"]
)
def test_a_wrong_gate_is_2(run: Triage, data: Path, tmp_path: Path, bars: str) -> None:
    """A mistyped bar would look like a missed one, or like none."""
    (tmp_path / "bars.toml").write_text(bars, "utf-8")
    code, _, err = run("--data", data, "--gate", tmp_path / "bars.toml")
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "none.jsonl"], 2, "none.jsonl"),
        (["--data", "DATA", "--split", "val"], 1, "--split all"),
        (["--data", "DATA", "--axis", "priority"], 1, "--axis"),
        (["--data", "DATA", "--axis", "nothing"], 1, "label"),
        (["--data", "DATA", "--train-data", "DATA"], 2, "--baselines"),
        (["--data", "DATA", "--baselines", "--split", "all"], 1, "--train-data"),
        (["--data", "DATA", "--report", "none/report.html"], 2, "directory"),
        (["--data", "DATA", "--model", "none"], 1, "none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_sentence(
    run: Triage, data: Path, arguments: list[str], code: int, message: str
) -> None:
    """A person would see a traceback, or figures of other rows."""
    replaced = [argument.replace("DATA", str(data)) for argument in arguments]
    exit_code, out, err = run(*replaced)
    assert (exit_code, out) == (code, "")
    assert err.startswith("triage: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_note_says_which_rows_are_training_rows(run: Triage, data: Path) -> None:
    """Figures on rows that the model was trained on would be read like any others."""
    _, out, _ = run("--data", data, "--split", "all", "--json")
    (note,) = orjson.loads(out)["domains"]["tickets"]["notes"]
    assert "training rows" in note
