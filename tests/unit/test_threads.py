"""How the number of replicas and threads is chosen when the model is loaded."""

import os
from pathlib import Path

import pytest

from inference.model import threads
from inference.model.artifact import load_artifact
from inference.model.threads import Threads, candidates, choose_threads, usable_cores


@pytest.mark.parametrize("cores", range(1, 65))
def test_every_candidate_uses_all_cores(cores: int) -> None:
    """Idle cores lose throughput, and more threads than cores slow each other down."""
    options = candidates(cores)
    assert options[0] == Threads(cores, 1)
    assert all(option.replicas > 0 for option in options)
    assert all(option.replicas * option.per_replica == cores for option in options)


def test_the_fastest_is_chosen(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the self-test would be useless."""
    artifact = load_artifact(tiny_model)
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    rates = {Threads(4, 1): 10.0, Threads(2, 2): 30.0, Threads(1, 4): 20.0}
    monkeypatch.setattr(threads, "_texts_per_second", lambda _, option: rates[option])
    assert choose_threads(artifact) == Threads(2, 2)


def test_the_self_test_runs_on_a_real_model(tiny_model: Path) -> None:
    """A self-test with bad ids would crash every start."""
    chosen = choose_threads(load_artifact(tiny_model))
    assert chosen.replicas * chosen.per_replica == usable_cores()


def test_one_core_needs_no_self_test(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is only one candidate, so a measurement would only delay the start."""
    monkeypatch.setattr(threads, "usable_cores", lambda: 1)
    monkeypatch.setattr(threads, "_texts_per_second", lambda *_: pytest.fail("measured"))
    assert choose_threads(load_artifact(tiny_model)) == Threads(1, 1)


def test_systems_without_affinity_count_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Linux has `sched_getaffinity`; other systems would end in an AttributeError."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == (os.cpu_count() or 1)


def test_the_log_names_both_counts() -> None:
    """Otherwise the operator could not read the chosen setting from the log."""
    assert str(Threads(2, 1)) == "2 replicas of 1 threads"
