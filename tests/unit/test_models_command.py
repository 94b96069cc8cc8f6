"""`triage models`: what the model is and what it promises, for people and for programs."""

import shutil
from pathlib import Path

import orjson
import pytest

from inference.model.artifact import CARD
from tests.tiny_model import LABELS
from tests.unit.conftest import Triage


def test_programs_get_every_label_and_promise(triage: Triage, tiny_model: Path) -> None:
    """A program would have to parse the table."""
    code, out, err = triage("models", "--model", tiny_model, "--json")
    facts = orjson.loads(out)
    assert (code, err) == (0, "")
    assert (facts["name"], facts["compute_type"]) == ("tiny-0", "int8")
    assert facts["domains"]["alerts"]["axes"] == {
        axis: list(labels) for axis, labels in LABELS["alerts"].items()
    }
    promise = facts["domains"]["tickets"]["calibration"]
    assert promise["alpha"] == 0.02
    assert promise["threshold"] > 0


def test_a_person_sees_the_promise_of_each_domain(triage: Triage, tiny_model: Path) -> None:
    """A user could not see how many events the model will decide, or with which errors."""
    facts = orjson.loads(triage("models", "--model", tiny_model, "--json")[1])
    code, out, err = triage("models", "--model", tiny_model)
    assert (code, err) == (0, "")
    assert out.startswith("tiny-0  ")
    assert f"digest {facts['digest']}\n" in out
    assert "licences not named" in out
    assert str(tiny_model / CARD) in out
    for domain, axes in LABELS.items():
        promise = facts["domains"][domain]["calibration"]
        (row,) = [line for line in out.splitlines() if f" {domain} " in line]
        assert all(f"{axis} ({len(labels)})" in row for axis, labels in axes.items())
        assert f"{promise['threshold']:.4f}" in row
        assert f"{promise['coverage']:.1%}" in row


def test_a_domain_without_a_threshold_has_a_reason(
    triage: Triage, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user would wonder why each event goes to the LLM or to a person."""
    monkeypatch.setenv("TRIAGE_DOMAINS__ALERTS__ALPHA", "0.0001")
    code, out, _ = triage("models", "--model", tiny_model)
    rows = {line.split()[1]: line for line in out.splitlines() if line.count("│") > 2}
    assert code == 0
    assert "accepts nothing" in rows["alerts"]
    assert "accepts nothing" not in rows["tickets"]
    reason = out.splitlines()[-1]
    assert reason.startswith("alerts: no threshold can promise at most 0.0001 errors")


def test_the_configured_model_is_the_default(
    triage: Triage, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command would describe another model than the one that the worker uses."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    assert orjson.loads(triage("models", "--json")[1])["path"] == str(tiny_model)


def test_a_path_with_brackets_is_printed_whole(
    triage: Triage, tiny_model: Path, tmp_path: Path
) -> None:
    """Rich would take a part of the path for a style, and leave it out."""
    model = tmp_path / "model[red]"
    shutil.copytree(tiny_model, model)
    code, out, _ = triage("models", "--model", model)
    assert code == 0
    assert f"path {model}\n" in out


def test_a_damaged_model_is_one_sentence(triage: Triage, tiny_model: Path, tmp_path: Path) -> None:
    """A user would take a damaged model for a whole one, or see a traceback."""
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    weights = next(model.rglob("*.bin"))
    weights.write_bytes(weights.read_bytes()[:-1])
    code, out, err = triage("models", "--model", model)
    assert (code, out) == (1, "")
    assert err.startswith("triage: ")
    assert err.count("\n") == 1
    assert str(model) in err
