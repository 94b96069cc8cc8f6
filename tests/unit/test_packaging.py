"""Packaging: the tests import this tree, and the wheel contains everything that is needed."""

import importlib
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from inference.training.convert.facts import describe, is_converted

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "inference", "agents", "streams")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_imported_from_this_tree(name: str) -> None:
    """The package of another distribution with a name such as `agents` would be imported."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve() == ROOT / name / "__init__.py"
    imported = importlib.import_module(name).__file__
    assert imported is not None
    assert Path(imported).resolve() == ROOT / name / "__init__.py"


def test_docker_is_no_package() -> None:
    """`import docker` would import our folder instead of the client of Docker."""
    assert not (ROOT / "docker" / "__init__.py").exists()


def test_every_folder_with_modules_is_packaged() -> None:
    """The wheel would lack a package that the checkout has."""
    for package in PACKAGES:
        folders = {path.parent for path in (ROOT / package).rglob("*.py")}
        assert all((folder / "__init__.py").exists() for folder in folders)
    assert set(PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]) == {
        f"{name}*" for name in PACKAGES
    }


def test_every_data_file_is_packaged() -> None:
    """The wheel would lack the model, the samples or a template that the checkout has."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for package in PACKAGES:
        matched = {
            path for pattern in patterns.get(package, ()) for path in (ROOT / package).glob(pattern)
        }
        # setuptools packages py.typed without being asked.
        needed = {
            path
            for path in (ROOT / package).rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != "py.typed"
        }
        missing = sorted(needed - matched)
        assert not missing, f"[tool.setuptools.package-data] {package} lacks {missing}"


def test_the_general_encoder_is_small_and_its_licence_is_named() -> None:
    """The wheel would grow beyond what one wants to download, or break the encoder's licence."""
    directory = ROOT / "inference" / "models" / "general"
    assert sum(file.stat().st_size for file in directory.iterdir()) <= 25_000_000
    assert is_converted(directory)
    assert describe(directory).compute_type == "int8"
    notice = (ROOT / "NOTICE").read_text("utf-8")
    _, _, of_encoder = notice.partition("The encoder in inference/models/general\n")
    assert "all-MiniLM-L6-v2 by sentence-transformers" in of_encoder
    assert "Apache License 2.0" in of_encoder


def test_the_image_build_has_every_file_that_the_metadata_names() -> None:
    """The wheel in the image would be built without the license, or not at all."""
    names = {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text("utf-8")
    ignored = (ROOT / "docker" / "Dockerfile.dockerignore").read_text("utf-8")
    copies = re.findall(r"^COPY (.*) \./$", dockerfile, re.MULTILINE)
    copied = {name for names_of_line in copies for name in names_of_line.split()}
    assert names <= copied
    assert {f"!{name}" for name in names} <= set(ignored.splitlines())


@pytest.mark.parametrize("name", PACKAGES)
def test_types_are_shipped(name: str) -> None:
    """Type checkers would ignore the annotations of the installed package."""
    assert (ROOT / name / "py.typed").exists()


def test_dependencies_that_must_fit_together_are_pinned() -> None:
    """A new release of aiokafka would break Faust, or one of CTranslate2 the shipped model."""
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
