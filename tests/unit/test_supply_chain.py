"""What is installed: every package by its hash, every image by its digest, all of it listed."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LISTS = ("constraints", "requirements", "build-requirements", "supply-requirements")
DIGEST = "sha256:" + "0123456789abcdef" * 4

Pins = dict[str, tuple[str, frozenset[str]]]
"""The version and the hashes of each package."""


def pins(name: str) -> Pins:
    """The pins of one list."""
    text = (DOCKER / f"{name}.txt").read_text("utf-8").replace("\\\n", " ")
    pinned: Pins = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(re.sub(r"--hash=\S+", "", line))
            [specifier] = requirement.specifier
            assert specifier.operator == "=="
            hashes = frozenset(re.findall(r"--hash=(\S+)", line))
            pinned[canonicalize_name(requirement.name)] = (specifier.version, hashes)
    return pinned


@pytest.mark.parametrize("name", LISTS)
def test_every_pin_has_hashes_and_no_address(name: str) -> None:
    """A package could be replaced on its way, or the list would name somebody's index."""
    for package, (_, hashes) in pins(name).items():
        assert hashes, package
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes)
    assert "://" not in (DOCKER / f"{name}.txt").read_text("utf-8")


EXTRAS = ("broker", "traces", "train", "dev")


def wanted() -> Iterator[tuple[str, str]]:
    """Each list, and what pyproject.toml asks of it."""
    project = PYPROJECT["project"]
    extras = [project["optional-dependencies"][extra] for extra in EXTRAS]
    for requirements in (project["dependencies"], *extras):
        yield from (("constraints", requirement) for requirement in requirements)
    yield from (("requirements", requirement) for requirement in project["dependencies"])
    groups = PYPROJECT["dependency-groups"]
    yield from (("build-requirements", requirement) for requirement in groups["build"])
    yield from (("supply-requirements", requirement) for requirement in groups["supply"])
    yield from (("build-requirements", name) for name in PYPROJECT["build-system"]["requires"])


@pytest.mark.parametrize(("name", "requirement"), list(wanted()))
def test_every_dependency_is_pinned_as_pyproject_asks(name: str, requirement: str) -> None:
    """`make install` would fail, or install a version without a hash; run `make lock`."""
    parsed = Requirement(requirement)
    version, _ = pins(name)[canonicalize_name(parsed.name)]
    assert parsed.specifier.contains(version)


def test_the_image_has_the_versions_that_are_tested() -> None:
    """The image would have other versions than the test suite ran with."""
    tested = pins("constraints")
    assert pins("requirements").items() <= tested.items()
    # Both are installed into one environment.
    for package, pinned in pins("build-requirements").items():
        assert tested.get(package, pinned) == pinned


def installs() -> list[str]:
    """Every call of pip that installs or builds packages, in one line each."""
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    dockerfile = (DOCKER / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in makefile.splitlines() if "$(PIP_INSTALL)" in line]
    return lines + re.findall(r"tools/bin/pip [^&]*", dockerfile)


@pytest.mark.parametrize("line", installs())
def test_pip_installs_nothing_without_a_hash(line: str) -> None:
    """A package whose hash nobody looked at would be installed, or be used to build one."""
    assert "--require-hashes" in line or "--no-deps" in line
    builds = "-e ." in line or "pip wheel" in line or "constraints.txt" in line
    assert not builds or "--no-build-isolation" in line


def test_calls_of_pip_are_found() -> None:
    """The test above would look at nothing."""
    assert len(installs()) == 9


# --------------------------------------------------------------------------- images by digest


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the folder docker, which a test may change."""
    return Path(shutil.copytree(DOCKER, tmp_path / "docker"))


def pin_images(checkout: Path, *options: str, skopeo: str = "") -> subprocess.CompletedProcess[str]:
    """Run docker/pin-images with a stand-in for skopeo; without one, no registry answers."""
    commands = checkout.parent / "bin"
    commands.mkdir(exist_ok=True)
    (commands / "skopeo").write_text(f"#!/bin/sh\n{skopeo or 'exit 1'}\n", "utf-8")
    (commands / "skopeo").chmod(0o755)
    return subprocess.run(
        [checkout / "pin-images", *options],
        env={"PATH": f"{commands}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_images_are_pinned_by_the_digests_of_their_registry(checkout: Path) -> None:
    """An image could be replaced under its tag, and nobody would notice."""
    assert pin_images(checkout, "--check").returncode == 1
    done = pin_images(checkout, skopeo=f"echo {DIGEST}")
    assert done.returncode == 0, done.stderr
    text = (checkout / "Dockerfile").read_text() + (checkout / "compose.yaml").read_text()
    assert text.count(f"@{DIGEST}\n") == 4
    assert f"ARG BASE=docker.io/library/python:3.11-slim-bookworm@{DIGEST}\n" in text
    assert pin_images(checkout, "--check").returncode == 0
    other = DIGEST.replace("0", "f")
    assert pin_images(checkout, skopeo=f"echo {other}").returncode == 0
    assert f"prom/prometheus:v3.5.0@{other}\n" in (checkout / "compose.yaml").read_text()


@pytest.mark.parametrize("skopeo", ["exit 1", "echo", "echo sha256:1", "echo '<html>'"])
def test_no_digest_is_made_up(checkout: Path, skopeo: str) -> None:
    """A page of a proxy, or nothing, would be written as a digest."""
    before = (checkout / "Dockerfile").read_bytes()
    done = pin_images(checkout, skopeo=skopeo)
    assert done.returncode == 1
    assert done.stderr.startswith("The registry gave no digest for ")
    assert (checkout / "Dockerfile").read_bytes() == before


# --------------------------------------------------------------------------- audit and SBOM


def script(name: str) -> ModuleType:
    """A script of the folder docker, which is no package."""
    spec = spec_from_file_location(name, DOCKER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "version": "1", "skip_reason": "not found"}
BAD = {"name": "c", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}


@pytest.mark.parametrize(
    ("dependencies", "code", "words"),
    [
        ([CLEAN], 0, "No vulnerability is known in the 1 pinned packages."),
        ([CLEAN, BAD, UNKNOWN], 1, "1 of 3 packages have known vulnerabilities"),
        ([CLEAN, UNKNOWN], 3, "knows nothing of b, so they were not checked"),
        ([], 3, "nothing was checked"),
    ],
)
def test_an_audit_never_passes_what_was_not_checked(
    dependencies: list[dict[str, Any]], code: int, words: str
) -> None:
    """An audit that could not ask a database would look like one that found nothing."""
    returned, sentence = script("audit").verdict(dependencies)
    assert returned == code
    assert words in sentence


def test_a_database_that_knows_no_package_is_not_asked_for_a_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An index without a database would be taken for one in which nothing is known."""
    audit = script("audit")
    answers = {"pypi": [UNKNOWN], "osv": [BAD]}
    monkeypatch.setattr(audit, "ask_service", answers.get)
    assert audit.ask() == [BAD]
    assert audit.known([BAD]) == ["c 1: CVE-1 (mended in 2)"]


def test_the_sbom_names_the_model() -> None:
    """The list of what the product is made of would lack what decides."""
    document: dict[str, Any] = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [],
        "dependencies": [{"ref": "root", "dependsOn": ["z"]}],
    }
    sbom = script("sbom")
    sbom.add_model(document, sbom.MODEL)
    [model] = document["components"]
    assert model["type"] == "machine-learning-model"
    assert document["dependencies"][0]["dependsOn"] == sorted([model["bom-ref"], "z"])
