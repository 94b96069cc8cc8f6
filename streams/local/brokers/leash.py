"""Runs one command and ends it when whoever started us is gone; a script for `process.Server`, not to be imported.

Standard input is the leash: a pipe whose only writing end is held by the starter. The kernel closes it however
the starter ends, SIGKILL included. This is chosen over PR_SET_PDEATHSIG, which exists on Linux only, wants a
`preexec_fn` (unsafe beside threads) and fires when the starting *thread* ends, not the process.

    python leash.py SCRATCH COMMAND [ARGUMENT...]

A byte on the leash kills the command. A cut leash kills it too and deletes the directory SCRATCH, unless that is an
empty string. Either way we end after the command has, so that its ports and locks are free once we are gone.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading


def guard(child: subprocess.Popen[bytes], cut: threading.Event) -> None:
    """Kill the child once the leash is pulled (a byte) or cut (its end)."""
    if not os.read(0, 1):
        cut.set()
    child.kill()


def main() -> int:
    """Run the command and return its exit status; 128 plus the signal number when a signal ended it."""
    _, scratch, *command = sys.argv
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the command line is our caller's own
    # SIGTERM goes to the whole process group: the child drains, we stay to report how it ended.
    signal.signal(signal.SIGTERM, lambda *_: None)
    cut = threading.Event()
    threading.Thread(target=guard, args=(child, cut), daemon=True).start()
    status = child.wait()
    if scratch and cut.is_set():
        shutil.rmtree(scratch, ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
