"""Workers are killed, restarted and cut off from the broker, and no event may be lost."""

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.event import Domain
from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.kafka.producer import Producer
from streams.kafka.record import Record
from streams.local.brokers.kafka import KafkaCluster
from streams.topics import Topics
from tests.conftest import settings_for
from tests.faults.account import Account
from tests.figures import tell
from tests.processes import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(420)]

EVENTS = 2000
SECONDS = 60.0
KILLS = 10
SETTLE_TIMEOUT_S = 60.0
WORDS = (
    "card",
    "payment",
    "transfer",
    "refund",
    "login",
    "alert",
    "malware",
    "bucket",
    "phishing",
    "token",
    "fee",
)


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaCluster]:
    """A broker only for these tests, because they stop it."""
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture
def workers(kafka: KafkaCluster, tiny_model: Path, tmp_path: Path) -> Iterator[list[WorkerProcess]]:
    """Two running workers of one group."""
    settings = settings_for(kafka.bootstrap_servers, tiny_model)
    asyncio.run(create_topics(settings))
    pair = [WorkerProcess(settings, tmp_path / f"worker{number}.log") for number in range(2)]
    for worker in pair:
        worker.start()
    try:
        for worker in pair:
            worker.wait_until_ready()
        yield pair
    finally:
        for worker in pair:
            if worker.alive:
                worker.kill()


def test_no_event_is_lost_when_workers_are_killed(workers: list[WorkerProcess]) -> None:
    """A worker that is killed, or that leaves the group, would lose events."""

    async def faults() -> None:
        rng = random.Random(7)
        graceful = {3, 7}
        for number in range(KILLS + len(graceful)):
            await asyncio.sleep(rng.uniform(0.5, 2 * SECONDS / (KILLS + len(graceful)) - 2))
            worker = rng.choice(workers)
            signal_number = signal.SIGKILL
            if number in graceful:
                # Before it has a signal handler, a starting process has nothing to end gracefully.
                await asyncio.to_thread(worker.wait_until_ready)
                signal_number = signal.SIGTERM
            code = await asyncio.to_thread(worker.end, signal_number)
            assert code == 0 or number not in graceful, worker.log()
            await asyncio.sleep(rng.uniform(0.1, 1.0))
            worker.start()

    account, ids = asyncio.run(_run(workers, faults))
    _check(account, ids, f"{KILLS} kill -9 and 2 graceful restarts of 2 workers")


def test_no_event_is_lost_when_the_broker_stops(
    workers: list[WorkerProcess], kafka: KafkaCluster
) -> None:
    """Fifteen seconds without a broker would lose events."""

    async def faults() -> None:
        await asyncio.sleep(SECONDS / 3)
        await asyncio.to_thread(kafka.stop_node, 0)
        await asyncio.sleep(15)
        await asyncio.to_thread(kafka.start_node, 0)

    account, ids = asyncio.run(_run(workers, faults))
    _check(account, ids, "the broker stopped for 15 s")


async def _run(
    workers: list[WorkerProcess], faults: Callable[[], Coroutine[Any, Any, None]]
) -> tuple[Account, list[str]]:
    settings = workers[0].settings
    account, stop = Account(settings), asyncio.Event()
    following = asyncio.create_task(account.follow(stop))
    injecting = asyncio.create_task(faults())
    supervising = asyncio.create_task(_supervise(workers))
    ids = await _send_steadily(settings)
    await injecting
    deadline_s = asyncio.get_running_loop().time() + SETTLE_TIMEOUT_S
    while account.missing(ids) or account.unended():
        if asyncio.get_running_loop().time() > deadline_s or following.done():
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(2.0)  # time for a last commit, which the last audit then checks
    stop.set()
    supervising.cancel()
    await following
    return account, ids


async def _supervise(workers: list[WorkerProcess]) -> None:
    """Start a worker again if it ended with exit code 1, as a service manager would."""
    while True:
        for worker in workers:
            if worker.process is not None and worker.process.poll() == 1:
                worker.start()
        await asyncio.sleep(0.5)


async def _send_steadily(settings: Settings) -> list[str]:
    rng = random.Random(11)
    producer, loop = Producer(settings.kafka), asyncio.get_running_loop()
    await producer.start()
    names = Topics(settings.topics.prefix)
    ids, receipts, started_s = [], [], loop.time()
    for number in range(EVENTS):
        await asyncio.sleep(max(0.0, started_s + number * SECONDS / EVENTS - loop.time()))
        domain: Domain = "alerts" if number % 2 else "tickets"
        id_ = f"{domain}-{number}"
        text = " ".join(rng.choices(WORDS, k=rng.randint(2, 40)))
        value = orjson.dumps({"id": id_, "text": text})
        receipts.append(await producer.send(Record(names.input(domain), id_.encode(), value)))
        ids.append(id_)
    await producer.confirm(receipts)
    await producer.stop()
    return ids


def _check(account: Account, ids: list[str], faults: str) -> None:
    revisions = sum(len(copies) for copies in account.copies.values())
    tell(
        f"{faults}: {len(ids)} events in, {len(account.copies)} ids out in {revisions} records, "
        f"{len(account.missing(ids))} missing, {account.duplicates()} duplicates, "
        f"{len(account.disagreeing())} disagreeing, {len(account.unended())} escalated without an "
        f"end, {len(account.dead_letters)} dead letters; {account.audits} audits of commits (up to "
        f"{account.highest_committed}), {len(account.overruns)} before their outputs"
    )
    assert not account.missing(ids)
    assert not account.unended()
    assert not account.disagreeing()
    assert not account.overruns
    assert not account.dead_letters
    assert account.audits > 10
    assert account.highest_committed >= EVENTS
