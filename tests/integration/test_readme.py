"""The README is run: every command in its console blocks, in order, as a newcomer would type them.

Lines that start with `$ ` are commands; one that ends in ` &` stays in the background until the test ends. What the
README shows below a command is not compared, its exit code is.
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
# What a command that stays in the background has said once the next one may be typed.
SETTLED = {"make kafka &": "Ctrl-C ends it", "triage worker &": "working: agents"}
# Run by this very suite, or by the job around it: running them from here would never end, or start it anew.
RUN_ELSEWHERE = {"make test", "make check", "make bench", "make image", ".ci/run"}


def commands() -> list[str]:
    """Every command of the README, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    return [
        line[2:].strip() for block in blocks for line in block.splitlines() if line.startswith("$ ")
    ]


def test_the_readme_names_the_two_commands_first() -> None:
    """If it failed: a newcomer would not find how to begin."""
    assert commands()[0] == "make demo"
    assert {"make demo", "make test", "make kafka &"} <= set(commands())


def test_targets_the_readme_leaves_to_others_exist() -> None:
    """If it failed: the README would name a make target that is not there."""
    targets = {line.split()[1] for line in RUN_ELSEWHERE if line.startswith("make ")}
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.skipif(
    WITHOUT_KAFKA is not None and not CI, reason="the README's commands start a real Kafka"
)
def test_every_command_works(tmp_path: Path) -> None:
    """If it failed: a command in the README does not do what it says."""
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
    """Processes ended in reverse order, each with everything it started."""
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
