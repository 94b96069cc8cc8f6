"""Faults of the workers and of what they run with."""

import asyncio
import shutil
import signal
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from schemas.event import DOMAINS
from streams.config import ModelSection
from streams.kafka.connection import connection
from tests.chaos.run import Run
from tests.processes import WorkerProcess
from tests.tiny_model import build_tiny_model

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
    """From one worker to four, and back to one."""
    added = [run.add_worker() for _ in range(3)]
    for worker in added:
        await run.ready(worker)
    await asyncio.sleep(5)
    for worker in added:
        await run.end(worker)
    await asyncio.sleep(3)


async def restart_workers(run: Run) -> None:
    """Restart all workers, one after the other."""
    for worker in tuple(run.workers):
        await run.restart(worker)


async def own_clock(run: Run) -> None:
    """Give the workers a clock of their own, which a file sets; the time since the boot stays."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        raise AssertionError("install libfaketime for this scenario")
    _set_clock(run, 0)
    run.environ |= {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(run.folder / "clock"),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


async def jump_clock(run: Run) -> None:
    """Set the workers' clocks hours and years ahead, back, and right again."""
    for hours in (2, -2, 24 * 365 * 2, -24 * 365 * 2, 0):
        _set_clock(run, hours)
        await asyncio.sleep(BEYOND_SESSION_S)
        sent = [await run.sender.send_one("alerts") for _ in range(10)]
        await run.out(sent, f"events are triaged while the clock is {hours} hours off")


def _set_clock(run: Run, hours: int) -> None:
    (run.folder / "clock").write_text(f"{3600 * hours:+d}")


async def own_model(run: Run) -> None:
    """Give the workers a model directory that may be replaced."""
    folder = shutil.copytree(run.model, run.folder / "model")
    model = msgspec.structs.replace(run.settings.model, path=str(folder))
    run.settings = msgspec.structs.replace(run.settings, model=model)


async def replace_model(run: Run) -> None:
    """Delete the model directory under the workers, put another there, and restart one worker."""
    section: ModelSection = run.settings.model
    folder = Path(section.path or "")
    await asyncio.to_thread(shutil.rmtree, folder)
    await asyncio.sleep(5)
    await asyncio.to_thread(_build_other_model, folder)
    run.two_models = True
    await run.restart(run.workers[0])
    run.notes.append(
        "an event that is triaged again by the other model may get another answer, and counts as "
        "disagreeing"
    )


def _build_other_model(folder: Path) -> None:
    folder.mkdir()
    build_tiny_model(folder, seed=1)


async def meet_old_version(run: Run) -> None:
    """Start workers into a group whose only member speaks another protocol, and then end it.

    The old member reads, and commits nothing, so that every event is left to the workers.
    """
    names = [run.topics.input(domain) for domain in DOMAINS]
    old = AIOKafkaConsumer(
        *names,
        **connection(run.settings.kafka),
        group_id=run.settings.kafka.group_id,
        enable_auto_commit=False,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    await old.start()
    try:
        workers = [run.add_worker(), run.add_worker()]
        for worker in workers:
            await _waits_for_old_version(run, worker)
        await asyncio.sleep(5)
        reasons = {worker.get("/ready")[1] for worker in workers}
        run.notes.append(f"/ready while the old version runs: {' '.join(sorted(reasons))}")
    finally:
        await old.stop()
    for worker in workers:
        await run.ready(worker)


async def _waits_for_old_version(run: Run, worker: WorkerProcess) -> None:
    name = worker.log_file.stem
    await run.until(
        lambda: "another version" in worker.get("/ready")[1], f"/ready of {name} says why it waits"
    )
