"""A server process that ends with this process, and its log."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from streams.errors import BrokerError

LEASH = Path(__file__).with_name("leash.py")
LAST_LINES = 3
# If the leash takes longer to kill the command, its whole process group is killed.
KILL_TIMEOUT_S = 10.0


class Server:
    """One command in a process group of its own, with its output in `log`.

    It can be started again after it has ended. Because of its own group, Ctrl-C in a terminal does
    not reach it: its owner decides when it ends. The directory `scratch` is deleted even if this
    process is killed.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, scratch: Path | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, "-I", "-S", str(LEASH), str(scratch or ""), *command]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the command, in the log's directory, unless it runs already."""
        if self.running:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a command line built by this package
                self._command,
                cwd=self.log.parent,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def process_group(self) -> int | None:
        """Id of its process group while it was started and not stopped, else None."""
        return self._process.pid if self._process else None

    def require_running(self) -> None:
        """Raise `BrokerError` with its exit status and the end of its log if it ended by itself."""
        if self._process is not None and not self.running:
            status = self._process.returncode
            raise BrokerError(
                f"{self.name} ended with status {status}; see {self.log}: {self.last_words()}"
            )

    def last_words(self) -> str:
        """The last lines of its log, on one line."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return (
            " / ".join([line.strip() for line in lines if line.strip()][-LAST_LINES:])
            or "it printed nothing"
        )

    def terminate(self) -> None:
        """Ask it to end; returns at once."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, and wait until it has ended and its ports and locks are free."""
        if self._process is not None and self._process.stdin is not None and self.running:
            with suppress(BrokenPipeError):
                self._process.stdin.write(b"k")
        if not self._reap(KILL_TIMEOUT_S):
            self._signal(signal.SIGKILL)
            self._reap(None)

    def stop(self, timeout_s: float) -> None:
        """SIGTERM, wait at most `timeout_s`, SIGKILL."""
        self.terminate()
        if not self._reap(timeout_s):
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            os.killpg(self._process.pid, number)

    def _reap(self, timeout_s: float | None) -> bool:
        """Whether it is gone, after waiting at most `timeout_s`."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        return True
