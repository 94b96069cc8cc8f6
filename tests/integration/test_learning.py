"""Learning on a real broker, with kills: nothing is lost, and no half model is ever served."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import orjson
import pytest

from inference.errors import InferenceError
from inference.model.artifact import load_artifact
from schemas.label_record import key_of
from streams.config import LearningSection, Settings
from streams.kafka.admin import create_topics
from streams.kafka.record import Record
from streams.models.registry import NEW, Registry
from streams.topics import Topics
from tests.figures import tell
from tests.integration.test_pipeline import send
from tests.learned import rows, text
from tests.outputs import Outputs
from tests.processes import WorkerProcess
from tests.tiny_model import build_tiny_model

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

TICKETS = 3_000
LOT = 500
KILLED_PROMOTIONS = 12
PATIENCE_S = 240.0
ALL = ("--agents", "classify,enrich,feedback,learn")


@pytest.fixture
async def learning(settings: Settings, tiny_model: Path, tmp_path: Path) -> Settings:
    """Settings with a registry, whose topics exist."""
    section = LearningSection(
        models=str(tmp_path / "models"),
        encoder=str(tiny_model),
        min_new_rows=60,
        interval_s=0.5,
        shadow_share=0.5,
    )
    settings = msgspec.structs.replace(settings, learning=section)
    await create_topics(settings)
    return settings


async def tickets(settings: Settings, start: int, count: int = LOT) -> None:
    """Send so many tickets."""
    topic = Topics(settings.topics.prefix).input("tickets")
    events = (
        {"id": f"e{n}", "kind": "ticket", "text": text(n)} for n in range(start, start + count)
    )
    await send(
        settings, [Record(topic, event["id"].encode(), orjson.dumps(event)) for event in events]
    )


async def decisions(settings: Settings, count: int, start: int = 0) -> None:
    """Write the rows of so many decisions by people."""
    topic = Topics(settings.topics.prefix).labels
    await send(
        settings,
        [Record(topic, key_of(row), msgspec.json.encode(row)) for row in rows(count, start)],
    )


async def until(condition: Callable[[], object], worker: WorkerProcess) -> None:
    """Wait for something; if it never happens, the test fails and shows the log."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, worker.log()
        assert "tickets: failed" not in worker.log()
        await asyncio.sleep(0.02)


def unfinished(registry: Registry) -> bool:
    """Whether a model is being written now."""
    return any(registry.directory.glob(f"{NEW}*/*"))


PROMOTING = """
import sys
from pathlib import Path
from streams.models.registry import Registry
registry, names = Registry(Path(sys.argv[1])), sys.argv[2:]
print("on", flush=True)
while True:
    for name in names:
        registry.promote(name, by="test")
"""


def kill_promotions(registry: Registry, names: list[str], *, seed: int) -> None:
    """Promote one model after the other as fast as possible, and kill that at some moment."""
    rng = random.Random(seed)
    command = [sys.executable, "-c", PROMOTING, str(registry.directory), *names]
    for _ in range(KILLED_PROMOTIONS):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"on\n"
            time.sleep(rng.uniform(0.0, 0.5))
            process.kill()


def candidate_of(registry: Registry) -> str | None:
    """The name of the candidate for tickets."""
    return registry.state().roles("tickets").candidate


@pytest.mark.kafka
async def test_learning_survives_kills(learning: Settings, tmp_path: Path) -> None:
    """An event would be lost, or decided by half a model, if a worker or learner is killed."""
    registry = Registry(Path(learning.learning.models or ""))
    first = WorkerProcess(learning, tmp_path / "first.log", arguments=ALL)
    second = WorkerProcess(learning, tmp_path / "second.log")
    try:
        for worker in (first, second):
            worker.start()
            worker.wait_until_ready()
        await _kill_trainings(learning, registry, first)
        names = [each.name for each in registry.models()]
        sent = await _kill_promotions(learning, registry, names)
        registry.promote(names[0], by="test")
        await until(
            lambda: all("from now on" in worker.log() for worker in (first, second)), second
        )
        await tickets(learning, sent, TICKETS - sent)
        outputs = Outputs(learning)
        await outputs.read_until(
            lambda: len({t.id for t in outputs.triaged}) == TICKETS, timeout_s=PATIENCE_S
        )
        for worker in (first, second):
            assert worker.end() == 0, worker.log()
    finally:
        for worker in (first, second):
            if worker.alive:
                worker.kill()
    decided = [t for t in outputs.triaged if t.revision == 0]
    assert {t.id for t in decided} == {f"e{n}" for n in range(TICKETS)}
    assert not outputs.dead_letters
    whole = {load_artifact(registry.path(name)).digest for name in names}
    whole.add(load_artifact(Path(learning.model.path or "")).digest)
    by_model = Counter(t.model.digest for t in decided)
    assert by_model.keys() <= whole, "an event was decided by something that is no model"
    last = load_artifact(registry.path(names[0])).digest
    assert by_model[last] > 0, "the promoted model was not taken over"
    tell(
        f"learning with kills: {TICKETS} tickets, {len(decided) - TICKETS} decided twice, 0 lost; "
        f"{len(by_model)} models served, {KILLED_PROMOTIONS} kills during promotions"
    )


async def _kill_trainings(learning: Settings, registry: Registry, worker: WorkerProcess) -> None:
    """Kill the learner and its worker during trainings, until there are two models."""
    await tickets(learning, 0)
    await decisions(learning, 90)
    await until(lambda: unfinished(registry), worker)
    (learner,) = worker.children()
    os.kill(learner, signal.SIGKILL)
    assert registry.models() == [], "a model has a name before it is whole"
    await tickets(learning, LOT)
    worker.kill()
    assert registry.models() == []
    worker.start()

    # The next learner finishes, and its candidate answers live events.
    await until(lambda: candidate_of(registry), worker)
    await tickets(learning, 2 * LOT)
    await until(lambda: "triage_candidate_events{" in worker.get("/metrics")[1], worker)

    # This time the worker alone is killed; its learner ends with it.
    before = candidate_of(registry)
    await decisions(learning, 200, start=500)
    await until(lambda: unfinished(registry), worker)
    worker.kill()
    worker.start()
    await until(lambda: candidate_of(registry) != before, worker)


async def _kill_promotions(learning: Settings, registry: Registry, names: list[str]) -> int:
    """Kill promotions while tickets come in, and return how many were sent so far."""
    promoting = asyncio.create_task(asyncio.to_thread(kill_promotions, registry, names, seed=1))
    sent = 3 * LOT
    while not promoting.done() and sent < TICKETS - LOT:
        await tickets(learning, sent, 100)
        sent += 100
        _check_registry(registry)
        await asyncio.sleep(0.5)
    await promoting
    log = (registry.directory / "log.ndjson").read_bytes()
    assert log.count(b'"promoted"') > KILLED_PROMOTIONS
    return sent


def _check_registry(registry: Registry) -> None:
    """Whatever is named as served is whole."""
    for roles in registry.state().domains.values():
        if roles.current is not None:
            try:
                load_artifact(registry.path(roles.current))
            except InferenceError as error:
                pytest.fail(f"half a model is served: {error}")


async def test_two_workers_of_different_models_share_a_group(
    learning: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    """During a rollout, events or verdicts of one of the models would be lost."""
    other = build_tiny_model(tmp_path / "other", seed=1)
    with_other = msgspec.structs.replace(
        learning, model=msgspec.structs.replace(learning.model, path=str(other))
    )
    workers = [
        WorkerProcess(settings, tmp_path / f"{number}.log")
        for number, settings in enumerate((learning, with_other))
    ]
    try:
        for worker in workers:
            worker.start()
            worker.wait_until_ready()
        await until(lambda: all(worker.get("/ready")[0] == 200 for worker in workers), workers[0])
        await tickets(learning, 0, 400)
        outputs = Outputs(learning)
        await outputs.read_until(lambda: len({t.id for t in outputs.triaged}) == 400)
    finally:
        for worker in workers:
            worker.kill()
    digests = {load_artifact(path).digest for path in (tiny_model, other)}
    decided = [t for t in outputs.triaged if t.revision == 0]
    assert {t.model.digest for t in decided} == digests
    for event in decided:
        assert event.calibration.digest, "every event says which calibration decided it"
