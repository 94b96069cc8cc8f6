"""`triage evaluate` as a person or a CI job meets it, on the tiny model."""

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from inference import evaluation
from inference.evaluation.figures import Evaluation
from streams.cli import main
from tests.tiny_model import LABELS

Run = Callable[..., tuple[int, str, str]]
TEXTS = (
    "my card was stolen",
    "the transfer is late",
    "top up failed",
    "what is the exchange rate",
    "weather today",
)


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """`triage evaluate` in this process: exit code, stdout, stderr."""
    for name in [
        name
        for name in os.environ
        if name.startswith("TRIAGE_") and ("__" in name or "CONFIG" in name)
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    monkeypatch.setenv("TRIAGE_MODEL__REPLICAS", "1")

    def main_with(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return int(ended.value.code or 0), out.decode(), err.decode()

    return main_with


def tickets(count: int = 40) -> list[dict[str, Any]]:
    """Labelled tickets: half to teach, half to test, the last without a queue."""
    queues = itertools.cycle(("fraud_lost", "transfers", "top_up", "fees_fx", "out_of_scope"))
    lines = [
        {
            "id": str(n), "kind": "ticket", "text": f"{TEXTS[n % 5]} {n}", "source": f"source {n % 2}",
            "labels": {"queue": next(queues), "priority": ("low", "high")[n % 2]},
            "split": ("train", "test")[n % 4 > 1],
        }
        for n in range(count)
    ]  # fmt: skip
    return [*lines, lines[-1] | {"id": "last", "labels": {"priority": "low"}}]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The tickets as a file."""
    return write(tmp_path / "tickets.jsonl", tickets())


def write(file: Path, lines: list[dict[str, Any]]) -> Path:
    """NDJSON."""
    file.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    return file


def test_everything_is_one_document(run: Run, data: Path) -> None:
    """A program could not read the figures, or would read others than are served."""
    code, out, err = run("--data", data, "--json")
    assert (code, err) == (0, "")
    found = msgspec.json.decode(out.encode(), type=Evaluation)
    one = found.domains["tickets"]
    assert list(found.domains) == ["tickets"]
    assert found.files == ["tickets.jsonl"]
    assert (one.part, one.rows, one.unlabelled) == ("test", 21, 1)
    assert set(one.axes) == {"queue", "priority"}
    assert (one.axes["queue"].overall.n, one.axes["priority"].overall.n) == (20, 21)
    assert set(one.axes["queue"].sources) == {"source 0", "source 1"}
    assert one.accepted.coverage + one.escalated == pytest.approx(1)
    assert sum(one.escalations.values()) == pytest.approx(one.escalated)
    assert one.cost.share == pytest.approx(one.escalated)
    assert one.out_of_scope is not None
    assert one.out_of_scope.rows == 4
    assert one.baseline is None


def test_alerts_have_three_levels_of_severity(run: Run, tmp_path: Path) -> None:
    """Severity could only be scored as finely as no two vendors agree on."""
    labels = LABELS["alerts"]
    lines = [
        {"id": str(n), "kind": "alert", "text": f"alert {n}",
         "labels": {"queue": labels["queue"][n % 8], "tactics": [labels["tactic"][n % 5]], "severity": "critical"}}
        for n in range(20)
    ]  # fmt: skip
    code, out, _ = run("--data", write(tmp_path / "alerts.jsonl", lines), "--json")
    assert code == 0
    axes = msgspec.json.decode(out.encode(), type=Evaluation).domains["alerts"].axes
    assert set(axes) == {"queue", "tactic", "severity", "severity3"}
    assert axes["severity3"].overall.accuracy >= axes["severity"].overall.accuracy


def test_a_person_sees_the_figures(run: Run, data: Path, tmp_path: Path) -> None:
    """The command would work for minutes and say nothing."""
    report = tmp_path / "report.html"
    code, out, err = run("--data", data, "--report", report)
    assert (code, err) == (0, "")
    assert "accepted" in out
    assert "priority" in out
    page = report.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<svg role") == 5  # the curve, and reliability and confusion of two axes


def test_baselines_stand_beside_ours(run: Run, data: Path, tmp_path: Path) -> None:
    """Nobody would know whether the model is worth its trouble."""
    pytest.importorskip("sklearn")
    report = tmp_path / "report.html"
    code, out, err = run("--data", data, "--baselines", "--json", "--report", report)
    assert (code, err) == (0, "")
    one = msgspec.json.decode(out.encode(), type=Evaluation).domains["tickets"]
    assert one.baseline is not None
    base = one.axes["queue"].baseline
    assert base is not None
    assert base.scores.accuracy == 1.0
    assert "TF-IDF" in report.read_text("utf-8")


def test_baselines_without_scikit_learn_are_one_sentence(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A serving installation would show a traceback."""
    for name in [
        name
        for name in sys.modules
        if name.startswith(("sklearn", "inference.evaluation.baselines"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(
        evaluation, "baselines", raising=False
    )  # where an earlier test has imported it
    monkeypatch.setitem(sys.modules, "sklearn", None)
    code, out, err = run("--data", data, "--baselines")
    assert (code, out) == (1, "")
    assert "triage-stream[train]" in err
    assert err.count("\n") == 1


def test_a_fallen_bar_is_1_and_every_one_is_named(run: Run, data: Path, tmp_path: Path) -> None:
    """CI would be green with a model that got worse, or red without a reason."""
    bars = tmp_path / "bars.toml"
    bars.write_text(
        '[tickets]\n"queue.accuracy" = 1.0\ncoverage = 0.0\n"queue.macro_f1" = 0.99\n', "utf-8"
    )
    code, out, err = run("--data", data, "--gate", bars, "--json")
    assert code == 1
    assert orjson.loads(out)["domains"]
    assert [line.split(" is ")[0] for line in err.splitlines()] == [
        "triage: tickets queue.accuracy", "triage: tickets queue.macro_f1"
    ]  # fmt: skip
    bars.write_text("[tickets]\ncoverage = 0.0\n", "utf-8")
    assert run("--data", data, "--gate", bars)[0] == 0


@pytest.mark.parametrize(
    "bars", ["[tickets]\nqueue.acuracy = 1", "[tickets", "[alerts]\ncoverage = 0"]
)
def test_a_wrong_gate_is_2(run: Run, data: Path, tmp_path: Path, bars: str) -> None:
    """A mistyped bar would look like a fallen one, or like none."""
    (tmp_path / "bars.toml").write_text(bars, "utf-8")
    code, _, err = run("--data", data, "--gate", tmp_path / "bars.toml")
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
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
    run: Run, data: Path, arguments: list[str], code: int, said: str
) -> None:
    """A person would see a traceback, or figures of something else."""
    ended, out, err = run(*(str(data) if each == "DATA" else each for each in arguments))
    assert (ended, out) == (code, "")
    assert err.startswith("triage: ")
    assert err.count("\n") == 1
    assert said in err


def test_training_rows_are_never_passed_off_as_unseen(run: Run, data: Path) -> None:
    """Figures on rows the model was taught would be read like any other."""
    _, out, _ = run("--data", data, "--split", "all", "--json")
    (note,) = orjson.loads(out)["domains"]["tickets"]["notes"]
    assert "training rows" in note
