"""The self-test of the instruction set: it never fails a start, and gives the same result again."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.classifier import Classifier
from inference.labels.file import NO_LABELS
from inference.model import instruction_set as module
from inference.model.artifact import Artifact, load_artifact
from inference.model.instruction_set import LIBRARY, VARIABLE, Trial, choose_instructions, main
from streams.config import ModelSection, Settings
from streams.wiring.model import open_model

FLAGS = "fpu " + " ".join(sorted(module.NEEDED_FLAGS))
SLOW, QUICK = Trial(2.0, (1, 2)), Trial(1.0, (1, 2))
Trials = Callable[[Path], tuple[Trial, Trial]]


@pytest.fixture
def artifact(tiny_model: Path) -> Artifact:
    """A model."""
    return load_artifact(tiny_model)


@pytest.fixture(autouse=True)
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The start of a process: the library is not loaded, nothing is chosen, the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # Set and removed, so that what a test chooses is undone.
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(module, "_processor", lambda: {"flags": FLAGS, "model name": "A processor"})
    monkeypatch.delitem(sys.modules, LIBRARY, raising=False)


def trials(monkeypatch: pytest.MonkeyPatch, result: tuple[Trial, Trial] | Exception) -> list[Path]:
    """Let self-tests end like this; the list gets the directory of each."""
    made: list[Path] = []

    def end(directory: Path) -> tuple[Trial, Trial]:
        made.append(directory)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(module, "trials", end)
    return made


@pytest.mark.parametrize(
    ("result", "chosen"),
    [
        ((SLOW, QUICK), "AVX512"),
        ((QUICK, SLOW), "AVX2"),
        ((Trial(1.04, ()), Trial(1.0, ())), "AVX2"),
        ((SLOW, Trial(1.0, (1, 3))), "AVX2"),
    ],
    ids=["quicker", "slower", "hardly quicker", "other labels"],
)
def test_only_what_is_quicker_and_gives_the_same_labels_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    artifact: Artifact,
    result: tuple[Trial, Trial],
    chosen: str,
) -> None:
    """A start would make the worker slower, or answer otherwise than it was calibrated."""
    trials(monkeypatch, result)
    choose_instructions(artifact)
    assert os.environ[VARIABLE] == chosen


def test_the_next_start_comes_to_the_same_result_without_a_test(
    monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    """Two starts with noise between them would give one event two confidences."""
    trials(monkeypatch, (SLOW, QUICK))
    choose_instructions(artifact)
    monkeypatch.delenv(VARIABLE)
    made = trials(monkeypatch, (QUICK, SLOW))
    choose_instructions(artifact)
    assert os.environ[VARIABLE] == "AVX512"
    assert made == []


def test_another_processor_is_tested_anew(
    monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    """A home directory that many machines share would give all of them the result of one."""
    trials(monkeypatch, (SLOW, QUICK))
    choose_instructions(artifact)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(module, "_processor", lambda: {"flags": FLAGS, "model name": "Another"})
    trials(monkeypatch, (QUICK, SLOW))
    choose_instructions(artifact)
    assert os.environ[VARIABLE] == "AVX2"


@pytest.mark.parametrize(
    "error",
    [subprocess.TimeoutExpired("python", 2.0), OSError("no process"), ValueError("no output")],
)
def test_a_self_test_that_fails_leaves_the_choice_to_the_library(
    monkeypatch: pytest.MonkeyPatch, artifact: Artifact, error: Exception, tmp_path: Path
) -> None:
    """A busy or locked down machine could not start a worker, or would never be tested again."""
    trials(monkeypatch, error)
    choose_instructions(artifact)
    assert VARIABLE not in os.environ
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("content", ["no JSON", "[1]", '{"key": 1}', "null"])
def test_a_damaged_file_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, artifact: Artifact, content: str, tmp_path: Path
) -> None:
    """A file that was cut by a full disk would stop every start."""
    (tmp_path / "triage").mkdir()
    (tmp_path / "triage" / "instruction-set.json").write_text(content)
    trials(monkeypatch, (SLOW, QUICK))
    choose_instructions(artifact)
    assert os.environ[VARIABLE] == "AVX512"


def test_a_directory_that_cannot_be_written_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, artifact: Artifact, tmp_path: Path
) -> None:
    """A container with a read-only root could not start."""
    (tmp_path / "triage").write_text("a file where the directory should be")
    trials(monkeypatch, (SLOW, QUICK))
    choose_instructions(artifact)
    assert os.environ[VARIABLE] == "AVX512"


def test_nothing_is_tried_where_nothing_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    """A start would take two seconds for nothing, or overrule what a person has set."""
    made = trials(monkeypatch, (SLOW, QUICK))
    with monkeypatch.context() as context:
        context.setenv(VARIABLE, "GENERIC")
        choose_instructions(artifact)
        assert os.environ[VARIABLE] == "GENERIC"
    with monkeypatch.context() as context:
        context.setitem(sys.modules, LIBRARY, module)
        choose_instructions(artifact)
    with monkeypatch.context() as context:
        context.setattr(module, "_processor", lambda: {"flags": "fpu avx2"})
        choose_instructions(artifact)
    assert made == []
    assert VARIABLE not in os.environ


def test_a_trial_prints_its_time_and_a_label_of_each_head_for_each_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], artifact: Artifact
) -> None:
    """Instructions that change the answers would not be noticed."""
    monkeypatch.setattr(sys, "argv", ["", str(artifact.directory)])
    main()
    trial = Trial.parse(capsys.readouterr().out.encode())
    heads = sum(len(spec.axes) for spec in artifact.manifest.domains.values())
    assert trial.seconds > 0
    assert len(trial.labels) == heads * len(module.TEXTS)


@pytest.mark.parametrize("output", [b"", b"[1]", b"null", json.dumps([1, ["a"]]).encode()])
def test_output_of_a_trial_that_is_something_else_is_a_failure(output: bytes) -> None:
    """A process that was killed would be taken for an instant one."""
    with pytest.raises((ValueError, TypeError)):
        Trial.parse(output)


def test_the_configuration_says_whether_it_is_made(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    """The key that switches it off, or the size of the cache, would change nothing."""
    asked: list[tuple[object, object]] = []

    def note(*_: object, **options: object) -> None:
        asked.append((options["try_instructions"], options["max_cached"]))

    monkeypatch.setattr(Classifier, "open", note)
    for section in (ModelSection(), ModelSection(instruction_set="default", cached_texts=3)):
        open_model(Settings(model=section), tiny_model, NO_LABELS)
    assert asked == [(True, 8_192), (False, 3)]
