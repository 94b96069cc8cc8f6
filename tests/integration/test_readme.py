"""Runs all commands in the console blocks of the README, in order, as a new user would."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CI, WITHOUT_KAFKA
from tests.documented_commands import commands_in, run_commands

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# A background command is ready for the next command when its output has this text.
SETTLED = {"make kafka &": "Ctrl-C ends it", "triage worker &": "working: agents"}
# These commands run this test suite, or the same jobs as CI around it. Here they would never end.
RUN_ELSEWHERE = {"make test", "make check", "make bench", "make image", ".ci/run"}


def commands() -> list[str]:
    """All commands of the README, in order."""
    return commands_in(README)


def test_the_readme_names_the_two_commands_first() -> None:
    """A new user would not find how to begin."""
    assert commands()[0] == "make demo"
    assert {"make demo", "make test", "make kafka &"} <= set(commands())


def test_make_targets_that_are_not_run_here_exist() -> None:
    """The README would name a make target that does not exist."""
    targets = {line.split()[1] for line in RUN_ELSEWHERE if line.startswith("make ")}
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.skipif(
    WITHOUT_KAFKA is not None and not CI, reason="the README's commands start a real Kafka"
)
def test_every_command_works(tmp_path: Path) -> None:
    """A command in the README would fail."""
    environ = os.environ | {"PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"}
    wanted = [command for command in commands() if command not in RUN_ELSEWHERE]
    run_commands(wanted, cwd=ROOT, environ=environ, logs=tmp_path, settled=SETTLED)
