"""A script that runs one command and ends it when its own starter has ended.

`process.Server` starts it; it is not imported. Standard input is the leash: a pipe, of which only
the starter holds the writing end. The kernel closes it however the starter ends, also after
SIGKILL. PR_SET_PDEATHSIG would be the alternative. But it exists on Linux only, needs a
`preexec_fn` (unsafe beside threads), and fires when the starting *thread* ends, not the process.

    python leash.py SCRATCH COMMAND [ARGUMENT...]

A byte on the leash kills the command. A closed leash kills it too, and deletes the directory
SCRATCH unless that is an empty string. In both cases this script ends after the command, so that
the ports and locks of the command are free when the script has ended.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading


def guard(child: subprocess.Popen[bytes], cut: threading.Event) -> None:
    """Kill the child when a byte comes on the leash, or the leash is closed."""
    if not os.read(0, 1):
        cut.set()
    child.kill()


def main() -> int:
    """Run the command and return its exit status, or 128 plus the number of a signal."""
    _, scratch, *command = sys.argv
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the starter's own
    # SIGTERM goes to the whole process group: the child drains, and this process reports its end.
    signal.signal(signal.SIGTERM, lambda *_: None)
    cut = threading.Event()
    threading.Thread(target=guard, args=(child, cut), daemon=True).start()
    status = child.wait()
    if scratch and cut.is_set():
        shutil.rmtree(scratch, ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
