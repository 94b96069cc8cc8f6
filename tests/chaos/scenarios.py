"""The table of the scenarios, and their faults."""

import asyncio
import signal

from tests.chaos.run import Run, Scenario

BEYOND_SESSION_S = 15.0
"""Longer than the session of the tests' workers, which is 6 s."""


async def kill_worker(run: Run) -> None:
    """Kill a worker, and start it again after the group has done without it."""
    await asyncio.to_thread(run.workers[0].kill)
    await asyncio.sleep(BEYOND_SESSION_S)
    run.workers[0].start()
    await run.ready(run.workers[0])


async def freeze_worker(run: Run) -> None:
    """Stop a worker for longer than its session, and let it go on."""
    process = run.workers[0].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(BEYOND_SESSION_S)
    process.send_signal(signal.SIGCONT)
    await run.ready(run.workers[0])


async def scale(run: Run) -> None:
    """From one worker to three, and back to one."""
    added = [run.add_worker(), run.add_worker()]
    for worker in added:
        await run.ready(worker)
    await asyncio.sleep(5)
    for worker in added:
        code = await asyncio.to_thread(worker.end)
        if code:
            run.problems.append(f"{worker.log_file.stem} ended with {code} after SIGTERM")
    await asyncio.sleep(3)


async def kill_broker(run: Run) -> None:
    """Kill a broker, and start it again."""
    await asyncio.to_thread(run.cluster.kill_node, 1)
    await asyncio.sleep(BEYOND_SESSION_S)
    await asyncio.to_thread(run.cluster.start_node, 1)


SCENARIOS = (
    Scenario("worker-killed", "kill -9 of one of two workers, back after 15 s", kill_worker,
             short=True),
    Scenario("worker-frozen", "SIGSTOP of a worker for 15 s, then SIGCONT", freeze_worker,
             short=True),
    Scenario("workers-1-3-1", "from one worker to three and back", scale, workers=1, short=True),
    Scenario("broker-killed", "kill -9 of one broker, back after 15 s", kill_broker, short=True),
)  # fmt: skip
