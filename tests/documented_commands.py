"""Runs the commands in the console blocks of a page, in order, as a reader would.

A line that starts with `$ ` is a command. One that ends in ` &` runs in the background until the
end, and one that begins with `export ` holds for those after it. The exit codes are checked; the
output that the page shows is not.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SETTLE_TIMEOUT_S = 120.0
COMMAND_TIMEOUT_S = 240.0


def commands_in(page: str) -> list[str]:
    """All commands of a page in Markdown, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line[2:].strip() for line in lines if line.startswith("$ ")]


def run_commands(
    commands: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    logs: Path,
    settled: Mapping[str, str],
) -> dict[str, str]:
    """Run the commands, and return what each has printed until it ended or was ready.

    A background command is ready for the next one when its output has the text in `settled`.
    """
    environ = {**environ, "COLUMNS": "100"}
    printed = {}
    with _background() as background:
        for number, command in enumerate(commands):
            log = logs / f"{number}.log"
            if command.startswith("export "):
                environ |= _exported(command, cwd, environ)
                continue
            with log.open("wb") as output:
                if command.endswith(" &"):
                    process = subprocess.Popen(
                        command[:-2],
                        shell=True,
                        cwd=cwd,
                        env=environ,
                        stdout=output,
                        stderr=output,
                        process_group=0,
                    )
                    background.append(process)
                    _wait_until_settled(command, process, log, settled[command])
                    continue
                done = subprocess.run(
                    command,
                    shell=True,
                    cwd=cwd,
                    env=environ,
                    stdout=output,
                    stderr=output,
                    check=False,
                    timeout=COMMAND_TIMEOUT_S,
                )
            printed[command] = log.read_text(errors="replace")
            assert done.returncode == 0, (
                f"{command} exited {done.returncode}:\n{printed[command][-3000:]}"
            )
    return printed


def _exported(command: str, cwd: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What a command such as `export NAME="$PWD/x"` sets, as the shell expands it."""
    name = command.removeprefix("export ").partition("=")[0]
    shown = subprocess.run(
        f'{command} && printf %s "${name}"',
        shell=True,
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: shown.stdout}


def _wait_until_settled(
    command: str, process: subprocess.Popen[bytes], log: Path, text: str
) -> None:
    deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
    while text not in log.read_text(errors="replace"):
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
