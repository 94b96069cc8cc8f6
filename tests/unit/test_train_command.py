"""`triage train`: what it refuses before it reads a row."""

import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import orjson
import pytest

from tests.labelled import split, tickets, write
from tests.unit.conftest import Triage


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file of labelled tickets."""
    return write(tmp_path / "rows.jsonl", split(tickets(4)))


class Missing(MetaPathFinder):
    """Makes a package one that is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname: str, *_: object) -> None:
        """Refuse the package, and leave every other one to the next finder."""
        if fullname == self.package:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def uninstall(monkeypatch: pytest.MonkeyPatch, package: str, *importers: str) -> None:
    """Make a package one that is not installed, also for modules that have imported it."""
    names = {*importers, package}
    for name in list(sys.modules):
        if name in names or name.startswith(f"{package}."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(package), *sys.meta_path])


def test_a_reference_is_refused_with_quick(triage: Triage, rows: Path, tmp_path: Path) -> None:
    """A user would believe that the model has learnt from the reference."""
    arguments = ("--quick", "--data", rows, "--reference", rows, "--out", tmp_path / "out")
    code, out, err = triage("train", *arguments)
    assert (code, out) == (2, "")
    assert "--reference is read by fine-tuning alone" in err
    assert not (tmp_path / "out").exists()


def test_heads_are_not_kept_by_fine_tuning(triage: Triage, rows: Path, tmp_path: Path) -> None:
    """A user would believe that the heads are those of the old encoder."""
    code, out, err = triage("train", "--keep-heads", "--data", rows, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "--keep-heads goes with --quick" in err


def test_a_missing_extra_is_named(
    triage: Triage, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that only serves would show a traceback."""
    uninstall(
        monkeypatch,
        "sklearn",
        "inference.training.recipe",
        "inference.training.ngram_fit",
        "inference.training.head_fit",
        "inference.training.centre_fit",
    )
    code, out, err = triage("train", "--quick", "--data", rows, "--out", tmp_path / "out")
    assert (code, out) == (1, "")
    assert err == "triage: training needs sklearn; pip install 'triage-stream[train]'\n"


def test_fine_tuning_without_torch_points_to_the_quick_way(
    triage: Triage, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user would download gigabytes, and not know that heads can be fitted without them."""
    uninstall(monkeypatch, "torch", "inference.training.finetune", "inference.training.network")
    code, out, err = triage("train", "--data", rows, "--out", tmp_path / "out")
    assert (code, out) == (1, "")
    assert err == (
        "triage: fine-tuning needs torch; pip install 'triage-stream[finetune]', or add --quick\n"
    )
    assert not (tmp_path / "out").exists()


def test_there_must_be_something_to_learn_from(triage: Triage, tmp_path: Path) -> None:
    """A user would get an empty model, or a traceback."""
    code, out, err = triage("train", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "give rows with --data, or labels with --labels" in err


@pytest.mark.parametrize("value", ["queue", "=Team", "queue="])
def test_a_place_needs_an_axis_and_a_column(
    triage: Triage, rows: Path, tmp_path: Path, value: str
) -> None:
    """A label would be looked for in a column without a name."""
    arguments = ("--quick", "--data", rows, "--label", value, "--out", tmp_path / "out")
    code, _, err = triage("train", *arguments)
    assert code == 2
    assert "write AXIS=COLUMN" in err


def test_a_labels_file_makes_new_heads(triage: Triage, rows: Path, tmp_path: Path) -> None:
    """A user would believe that heads with other labels were kept."""
    labels = tmp_path / "labels.toml"
    labels.write_text("[tickets.queue.a]\n[tickets.queue.b]\n")
    arguments = ("--quick", "--keep-heads", "--data", rows, "--labels", labels)
    code, _, err = triage("train", *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert "leave out --keep-heads" in err


LABELS = """
[tickets.queue.parcels]
description = "Where a parcel is, and a parcel that came late or broken."
examples = ["My parcel has not arrived."]

[tickets.queue.invoices]
description = "Invoices and payments: wrong amounts, reminders."
examples = ["The amount on the bill is wrong."]
"""


def test_from_names_to_rows(
    triage: Triage, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tutorial shows would not work: names alone, then a table, then the export."""
    labels, model = tmp_path / "labels.toml", tmp_path / "model"
    labels.write_text(LABELS)
    train = ("train", "--labels", labels, "--out", model, "--encoder", tiny_model)
    code, out, err = triage(*train)
    assert code == 0, err
    assert "there are no labelled rows, so the model proposes labels and accepts nothing" in out
    code, out, _ = triage("models", "--model", model)
    assert code == 0
    assert "accepts nothing" in out
    assert "without rows that people labelled" in out

    table = tmp_path / "tickets.csv"
    texts = {"parcels": "the courier lost it", "invoices": "the bill is too high"}
    lines = [f'{n},"{texts[q]} {chr(97 + n)}{q}",{q}' for n in range(15) for q in texts]
    table.write_text("\n".join(["id,text,Team", *lines]))
    code, out, err = triage(*train, "--data", table, "--label", "queue=Team")
    assert code == 0, err
    assert "accepts nothing" not in out
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(model))
    code, out, err = triage("evaluate", "--data", table, "--label", "queue=Team", "--json")
    assert code == 0, err
    evaluated = orjson.loads(out)["domains"]["tickets"]
    assert evaluated["rows"] == 30
