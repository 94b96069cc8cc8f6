"""The learner beside a worker: a process of its own, so that training never holds the worker up."""

import asyncio
import logging
import os
import sys

from streams.config import Settings, as_environment

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "streams.cli", "learn", "--watch", "--attached")
RESTART_S = 30.0
STOP_S = 3.0
WRONG_CONFIGURATION = 2


class LearnerProcess:
    """Keeps `triage learn --watch` running.

    The process ends when its standard input does: also if this one is killed.
    """

    def __init__(self, settings: Settings) -> None:
        self._environ = os.environ | as_environment(settings)

    async def run(self) -> None:
        """Start it, and start it again when it has ended. Never returns, unless it cannot start."""
        while True:
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                env=self._environ,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
            )
            try:
                code = await process.wait()
            finally:
                await _end(process)
            if code == WRONG_CONFIGURATION:
                log.error("nothing is learned: the learner could not start with this configuration")
                return
            log.warning(
                "the learner ended with the code %d; it starts again in %.0f s", code, RESTART_S
            )
            await asyncio.sleep(RESTART_S)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process that may still run, and let go of its standard input."""
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None:
        process.terminate()
        ending = asyncio.create_task(process.wait())
        if not (await asyncio.wait((ending,), timeout=STOP_S))[0]:
            process.kill()
            await ending
