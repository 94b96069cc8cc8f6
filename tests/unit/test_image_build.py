"""docker/build: the builder it chooses, the arguments it passes, and the error without one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "docker" / "build"
NEEDED = ("sh", "dirname", "sed", "git", "printenv", "cat")
WORKS = '#!/bin/sh\nif [ "$1" != info ]; then printf "%s\\n" "$0" "$@"; fi\n'
NO_ENGINE = '#!/bin/sh\n[ "$1" != info ]\n'


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A PATH with the commands that the script needs, and no builder."""
    for name in NEEDED:
        path = shutil.which(name)
        assert path is not None
        (tmp_path / name).symlink_to(path)
    return tmp_path


def add(commands: Path, name: str, script: str) -> None:
    """Add a builder to the PATH; `script` is its text."""
    (commands / name).write_text(script)
    (commands / name).chmod(0o755)


def build(commands: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script with this PATH and these variables only."""
    variables = {"PATH": str(commands), "HOME": os.environ.get("HOME", "/"), **environment}
    return subprocess.run(
        [BUILD], env=variables, capture_output=True, text=True, timeout=30, check=False
    )


def test_no_builder_is_one_sentence(commands: Path) -> None:
    """A user without a builder would see an error of the shell."""
    done = build(commands)
    assert done.returncode == 1
    assert done.stderr.startswith("No image builder works here: install docker")
    assert len(done.stderr.splitlines()) == 1


def test_buildah_is_used_if_docker_has_no_engine(commands: Path) -> None:
    """The build would fail with docker, although buildah is there and works."""
    add(commands, "docker", NO_ENGINE)
    add(commands, "buildah", WORKS)
    done = build(commands)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:5] == [str(commands / "buildah"), "bud", "--format", "docker"]


@pytest.mark.parametrize("builder", ["docker", "podman", "buildah"])
def test_builder_name_and_arguments_can_be_chosen(commands: Path, builder: str) -> None:
    """IMAGE, BUILDER or BUILD_ARGS would be ignored."""
    for name in ("docker", "podman", "buildah"):
        add(commands, name, WORKS)
    done = build(commands, BUILDER=builder, IMAGE="a/b:1", BUILD_ARGS="--build-arg BASE=other")
    lines = done.stdout.splitlines()
    assert lines[1] == str(commands / builder)
    assert lines[lines.index("--tag") + 1] == "a/b:1"
    assert lines[-3:] == ["--build-arg", "BASE=other", str(BUILD.parents[1])]


def test_pip_settings_are_passed_by_name(commands: Path) -> None:
    """The password of an index would be in the process list, or another index be used."""
    add(commands, "buildah", WORKS)
    done = build(commands, PIP_INDEX_URL="https://user:secret@index.invalid/simple")
    assert "PIP_INDEX_URL" in done.stdout.splitlines()
    assert "secret" not in done.stdout
    assert "PIP_EXTRA_INDEX_URL" not in done.stdout


PINNED = "BASE=python:3.11@sha256:" + "0" * 64


@pytest.mark.parametrize("arguments", [f"--build-arg {PINNED}", f"--build-arg={PINNED}"])
def test_a_base_without_a_digest_can_be_refused(commands: Path, arguments: str) -> None:
    """A release would be built on whatever image the tag names on that day."""
    add(commands, "buildah", WORKS)
    refused = build(commands, REQUIRE_DIGEST="1", BUILD_ARGS="--build-arg BASE=other:1")
    assert refused.returncode == 1
    assert refused.stderr.startswith("The base image other:1 has no digest")
    assert "building" not in refused.stdout
    pinned = build(commands, REQUIRE_DIGEST="1", BUILD_ARGS=arguments)
    assert (pinned.returncode, pinned.stderr) == (0, "")
