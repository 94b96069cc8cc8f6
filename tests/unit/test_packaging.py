"""What is imported is ours, and what is packaged is everything that is needed."""

import importlib
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "inference", "agents", "streams")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_this_trees(name: str) -> None:
    """Names as common as `agents` are other distributions' too: another package would run in place of ours."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve() == ROOT / name / "__init__.py"
    assert (
        Path(importlib.import_module(name).__file__ or "").resolve() == ROOT / name / "__init__.py"
    )


def test_docker_is_no_package() -> None:
    """`import docker` would get our folder instead of Docker's own client."""
    assert not (ROOT / "docker" / "__init__.py").exists()


def test_every_folder_with_modules_is_packaged() -> None:
    """An installed worker would miss a package that the checkout has."""
    for package in PACKAGES:
        folders = {path.parent for path in (ROOT / package).rglob("*.py")}
        assert all((folder / "__init__.py").exists() for folder in folders)
    assert set(PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]) == {
        f"{name}*" for name in PACKAGES
    }


def test_every_file_that_is_not_python_is_packaged() -> None:
    """The model, the samples or the typing marker would be missing from the wheel, and only there."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for package in PACKAGES:
        matched = {
            path for pattern in patterns.get(package, ()) for path in (ROOT / package).glob(pattern)
        }
        # setuptools takes py.typed along by itself.
        wanted = {
            path
            for path in (ROOT / package).rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != "py.typed"
        }
        assert wanted <= matched, (
            f"[tool.setuptools.package-data] {package} misses {sorted(wanted - matched)}"
        )


@pytest.mark.parametrize("name", PACKAGES)
def test_types_are_shipped(name: str) -> None:
    """Whoever imports the package could not check against its annotations."""
    assert (ROOT / name / "py.typed").exists()


def test_what_must_move_together_is_pinned() -> None:
    """A new aiokafka under Faust's feet, or a new CTranslate2 under the model's, would be installed one morning."""
    pinned = {
        requirement.split("==")[0]
        for requirement in PROJECT["project"]["dependencies"]
        if "==" in requirement
    }
    assert pinned >= {
        "aiokafka",
        "ctranslate2",
        "faust-streaming",
        "mode-streaming",
        "sentencepiece",
    }
