"""The registry of models: who is killed leaves it as it was, and nothing half of it is served."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from inference.errors import ModelError
from inference.model.artifact import CALIBRATION, MANIFEST, load_artifact
from inference.model.signature import PublicKey
from streams.disk import only_one
from streams.models.registry import CURRENT, NEW, Facts, Registry, State, is_registry
from tests.minisign import Signer
from tests.tiny_model import build_tiny_model

FACTS = Facts(made_at="2026-01-02T03:04:05+00:00", domains=["tickets"], rows={"human": 3})


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry."""
    return Registry(tmp_path / "models")


def add(registry: Registry, model: Path, number: int = 0) -> str:
    """Put a copy of a model into the registry; `number` tells the copies apart."""
    made_at = f"2026-01-02T03:04:{number:02d}+00:00"
    with registry.writing() as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True)
        return registry.add(folder, "m", msgspec.structs.replace(FACTS, made_at=made_at))


def test_a_model_gets_its_name_when_it_is_whole(registry: Registry, tiny_model: Path) -> None:
    """A worker could load a model that is still being written."""
    with registry.writing() as folder:
        shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
        assert registry.models() == []
        name = registry.add(folder, "learned", FACTS)
    assert [each.name for each in registry.models()] == [name]
    assert name.startswith("learned-20260102T030405-")
    assert load_artifact(registry.path(name)).digest.startswith(name[-8:])
    assert registry.facts(name) == FACTS
    assert not list(registry.directory.glob(f"{NEW}*"))


def test_a_model_that_was_learned_twice_has_two_names(registry: Registry, tiny_model: Path) -> None:
    """The second training of the same rows would fail after all of its work."""
    names = [add(registry, tiny_model), add(registry, tiny_model)]
    assert names[1] == f"{names[0]}-2"


def test_a_model_that_is_not_whole_gets_no_name(registry: Registry, tiny_model: Path) -> None:
    """A training that went wrong would leave a model that cannot be served."""
    with registry.writing() as folder:
        shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
        (folder / "heads.safetensors").write_bytes(b"half")
        with pytest.raises(ModelError):
            registry.add(folder, "m", FACTS)
    assert registry.models() == []
    assert not list(registry.directory.glob(f"{NEW}*"))


def test_what_a_killed_writer_left_is_removed(registry: Registry) -> None:
    """Every kill in the middle of a training would leave a model's worth of files."""
    program = (
        "import os, sys; from pathlib import Path; from streams.models.registry import Registry\n"
        "with Registry(Path(sys.argv[1])).writing() as folder:\n"
        "    (folder / 'half').write_bytes(b'x'); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", program, str(registry.directory)]
    assert subprocess.run(command, env=os.environ, check=False).returncode == -9
    left = list(registry.directory.glob(f"{NEW}*"))
    assert len(left) == 1
    with registry.writing() as folder:
        assert not left[0].exists()
        with registry.writing():
            assert folder.exists(), "a writer that is alive keeps its folder"


def test_promotion_and_the_way_back(registry: Registry, tiny_model: Path) -> None:
    """A promoted model would not be served, or one could not go back to what was before."""
    first, second = add(registry, tiny_model, 1), add(registry, tiny_model, 2)
    registry.propose(first, ["tickets"], by="test")
    assert registry.state().roles("tickets").candidate == first
    assert registry.promote(first, by="test") == ["alerts", "tickets"]
    roles = registry.state().roles("tickets")
    assert (roles.current, roles.previous, roles.candidate) == (first, [None], None)
    registry.promote(second, by="test")
    assert registry.state().roles("tickets").previous == [first, None]
    assert registry.roll_back("tickets", by="test") == {"tickets": first}
    assert registry.state().roles("alerts").current == second
    assert registry.roll_back("tickets", by="test") == {"tickets": None}
    with pytest.raises(ModelError, match="nothing to go back to"):
        registry.roll_back("tickets", by="test")
    assert len((registry.directory / "log.ndjson").read_bytes().splitlines()) == 5


def test_a_promotion_is_one_rename(registry: Registry, tiny_model: Path) -> None:
    """A reader could see the current model of one state and the candidate of another."""
    name = add(registry, tiny_model)
    registry.propose(name, ["tickets"], by="test")
    before = (registry.directory / CURRENT).stat().st_ino
    registry.promote(name, by="test")
    assert (registry.directory / CURRENT).stat().st_ino != before
    assert is_registry(registry.directory)


def test_an_unsigned_model_is_not_promoted(tmp_path: Path, tiny_model: Path) -> None:
    """With a key, a model that nobody signed would decide events."""
    signer = Signer()
    registry = Registry(tmp_path / "models", PublicKey.parse(signer.public_key))
    name = add(registry, tiny_model)
    with pytest.raises(ModelError, match="sign"):
        registry.promote(name, by="test")
    assert registry.state() == State()
    for file in (MANIFEST, CALIBRATION):
        signer.sign(registry.path(name) / file)
    registry.promote(name, by="test")
    assert registry.state().roles("tickets").current == name


@pytest.mark.parametrize("name", ["../m", "", ".new-x", "missing", "a/b"])
def test_only_a_model_of_the_registry_has_a_path(registry: Registry, name: str) -> None:
    """A name could lead out of the registry."""
    with pytest.raises(ModelError, match="has no model"):
        registry.path(name)


def test_a_damaged_state_is_refused(registry: Registry) -> None:
    """A traceback would say nothing of what to do."""
    registry.directory.mkdir()
    for data in (b"{", b"\xff", b'{"format": 9}', b'{"domains": {"tickets": {"current": "../x"}}}'):
        (registry.directory / CURRENT).write_bytes(data)
        with pytest.raises(ModelError, match=CURRENT):
            registry.state()


def test_old_models_without_a_role_are_removed(registry: Registry, tiny_model: Path) -> None:
    """Learning for a year would fill the disk."""
    names = [add(registry, tiny_model, number) for number in range(5)]
    registry.promote(names[0], by="test")
    registry.propose(names[1], ["tickets"], by="test")
    registry.prune(keep=1)
    assert {each.name for each in registry.models()} == {names[0], names[1], names[4]}


def test_there_is_one_learner(tmp_path: Path) -> None:
    """Two learners would train the same candidate."""
    with only_one(tmp_path / "lock") as first, only_one(tmp_path / "lock") as second:
        assert (first, second) == (True, False)


def test_models_are_found_whatever_else_lies_there(registry: Registry, tmp_path: Path) -> None:
    """A file of somebody else would end the worker."""
    assert registry.models() == []
    build_tiny_model(registry.directory / "own", seed=3)
    (registry.directory / "notes.txt").write_text("x")
    (registry.directory / "own" / "learned.json").write_text("{")
    assert [(each.name, each.facts) for each in registry.models()] == [("own", None)]
