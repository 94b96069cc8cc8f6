"""Our program as a process of its own: a command, and workers that can be stopped and killed."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from streams.config import Settings, as_environment
from streams.local.brokers.loopback import free_ports

READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 20.0
COMMAND_TIMEOUT_S = 120.0


def run_triage(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings as a user would, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        env=os.environ | as_environment(settings),
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )


@dataclass
class WorkerProcess:
    """One worker, run as a user would run it.

    `module` is the program; by default it is our command line. `environ` adds to the environment,
    and `arguments` to the command.
    """

    settings: Settings
    log_file: Path
    module: str = "streams.cli"
    environ: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def start(self) -> None:
        """Start the process, and do not wait until it has joined the group."""
        self.port = free_ports(1)[0]
        environ = (
            os.environ
            | as_environment(self.settings)
            | {"TRIAGE_HTTP__PORT": str(self.port)}
            | self.environ
        )
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "worker", *self.arguments],
                env=environ,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        """Block until the worker is ready. If it never is, the test fails and shows the log."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline_s and self.alive:
            if self.get("/ready")[0] == 200:
                return
            time.sleep(0.1)
        raise AssertionError(f"the worker never became ready:\n{self.log()}")

    def get(self, path: str) -> tuple[int, str]:
        """The status and body of an HTTP request to the worker. Without an answer, status is 0."""
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self.process is not None and self.process.poll() is None

    def children(self) -> list[int]:
        """The process ids of the programs that the running process has started."""
        assert self.process is not None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8")
        return [int(child) for child in children.split()]

    def peak_memory(self) -> int:
        """The most resident memory that the running process has had, in bytes."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def kill(self) -> None:
        """End the process with SIGKILL."""
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end of the process and return its exit code."""
        assert self.process is not None
        if self.alive:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"the worker did not end within {STOP_TIMEOUT_S} s:\n{self.log()}"
            ) from None

    def log(self) -> str:
        """The last 5,000 characters of its log."""
        return self.log_file.read_text(errors="replace")[-5000:]
