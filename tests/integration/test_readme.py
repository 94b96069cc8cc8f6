"""Runs all commands in the console blocks of the README, in order, as a new user would.

A line that starts with `$ ` is a command. A command that ends in ` &` runs in the background until
the end of the test. The exit code is checked; the output that the README shows is not.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import CI, WITHOUT_KAFKA

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTLE_TIMEOUT_S = 120.0
# A background command is ready for the next command when its output has this text.
SETTLED = {"make kafka &": "Ctrl-C ends it", "triage worker &": "working: agents"}
# These commands run this test suite, or the same jobs as CI around it. Here they would never end.
RUN_ELSEWHERE = {"make test", "make check", "make bench", "make image", ".ci/run"}


def commands() -> list[str]:
    """All commands of the README, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line[2:].strip() for line in lines if line.startswith("$ ")]


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
    environ = os.environ | {"PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}", "COLUMNS": "100"}
    with _background() as background:
        for number, command in enumerate(commands()):
            if command in RUN_ELSEWHERE:
                continue
            log = tmp_path / f"{number}.log"
            with log.open("wb") as output:
                if command.endswith(" &"):
                    process = subprocess.Popen(
                        command[:-2],
                        shell=True,
                        cwd=ROOT,
                        env=environ,
                        stdout=output,
                        stderr=output,
                        process_group=0,
                    )
                    background.append(process)
                    _wait_until_settled(command, process, log)
                    continue
                done = subprocess.run(
                    command,
                    shell=True,
                    cwd=ROOT,
                    env=environ,
                    stdout=output,
                    stderr=output,
                    check=False,
                    timeout=240,
                )
            assert done.returncode == 0, (
                f"{command} exited {done.returncode}:\n{log.read_text()[-3000:]}"
            )


def _wait_until_settled(command: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
    while SETTLED[command] not in log.read_text(errors="replace"):
        assert process.poll() is None, f"{command} ended:\n{log.read_text()}"
        assert time.monotonic() < deadline_s, f"{command} is not ready:\n{log.read_text()}"
        time.sleep(0.2)


@contextmanager
def _background() -> Iterator[list[subprocess.Popen[bytes]]]:
    """A list for processes. At the end they are ended in reverse order, with their children."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        yield processes
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
