"""Compares our commits with those of Faust, with workers that are killed at the same times."""

import asyncio
from pathlib import Path

import msgspec
import orjson
import pytest

from streams.kafka.admin import create_topics
from streams.kafka.producer import Producer
from streams.kafka.record import Record
from streams.local.brokers import Broker
from streams.topics import Topics
from tests.conftest import settings_for
from tests.faults.account import Account
from tests.figures import tell
from tests.processes import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]

EVENTS = 600
SECONDS = 20.0
KILLS = 2
SETTLE_TIMEOUT_S = 20.0


def test_our_commits_lose_nothing(broker: Broker, tiny_model: Path, tmp_path: Path) -> None:
    """Offsets would be committed for events whose outputs are not yet acknowledged."""
    account, ids = asyncio.run(
        _kill_while_events_are_in_flight(broker, tiny_model, tmp_path, acking="ours")
    )
    _tell("our commits", account, ids)
    assert not account.missing(ids)
    assert not account.overruns


def test_a_loss_with_faust_acking_is_noticed(
    broker: Broker, tiny_model: Path, tmp_path: Path
) -> None:
    """These tests would prove nothing, because they would not notice a worker that loses events."""
    account, ids = asyncio.run(
        _kill_while_events_are_in_flight(broker, tiny_model, tmp_path, acking="faust")
    )
    _tell("the default commits of Faust", account, ids)
    assert account.missing(ids)
    assert account.overruns


async def _kill_while_events_are_in_flight(
    broker: Broker, model: Path, tmp_path: Path, *, acking: str
) -> tuple[Account, list[str]]:
    settings = settings_for(broker.bootstrap_servers, model)
    kafka = msgspec.structs.replace(settings.kafka, commit_interval_s=0.3)
    settings = msgspec.structs.replace(settings, kafka=kafka)
    await create_topics(settings)
    worker = WorkerProcess(
        settings, tmp_path / "worker.log", "tests.faults.slow_worker", {"ACKING": acking}
    )
    account, stop = Account(settings), asyncio.Event()
    following = asyncio.create_task(account.follow(stop))
    worker.start()
    try:
        await asyncio.to_thread(worker.wait_until_ready)
        sending = asyncio.create_task(_send(settings.topics.prefix, Producer(settings.kafka)))
        for _ in range(KILLS):
            await asyncio.sleep(SECONDS / (KILLS + 1))
            await asyncio.to_thread(worker.kill)
            worker.start()
        ids = await sending
        deadline_s = asyncio.get_running_loop().time() + SETTLE_TIMEOUT_S
        while account.missing(ids) and not following.done():
            if asyncio.get_running_loop().time() >= deadline_s:
                break
            await asyncio.sleep(0.5)
    finally:
        await asyncio.to_thread(worker.kill)
        stop.set()
    await following
    return account, ids


async def _send(prefix: str, producer: Producer) -> list[str]:
    topic = Topics(prefix).input("tickets")
    ids = [f"ticket-{number}" for number in range(EVENTS)]
    await producer.start()
    for id_ in ids:
        await asyncio.sleep(SECONDS / EVENTS)
        await producer.send(
            Record(topic, id_.encode(), orjson.dumps({"id": id_, "text": f"card {id_}"}))
        )
    await producer.stop()
    return ids


def _tell(acking: str, account: Account, ids: list[str]) -> None:
    tell(
        f"{acking}, {KILLS} kill -9 with a second of events in flight: {len(ids)} in, "
        f"{len(ids) - len(account.missing(ids))} out, {len(account.missing(ids))} lost; "
        f"{len(account.overruns)} commits before their outputs in {account.audits} audits"
    )
