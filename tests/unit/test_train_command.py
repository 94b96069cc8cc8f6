"""`triage train`: what it refuses before it reads a row."""

import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

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
