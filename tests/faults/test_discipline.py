"""Who acks decides what is lost: our discipline against Faust's default acking, killed at the same moments."""

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


def test_our_discipline_loses_nothing(broker: Broker, tiny_model: Path, tmp_path: Path) -> None:
    """If it failed: offsets are committed for events whose outputs are not yet acknowledged."""
    account, ids = asyncio.run(
        _kill_while_events_are_in_hand(broker, tiny_model, tmp_path, acking="ours")
    )
    _tell("our discipline", account, ids)
    assert not account.missing(ids)
    assert not account.overruns


def test_faust_acking_is_seen_to_lose_events(
    broker: Broker, tiny_model: Path, tmp_path: Path
) -> None:
    """If it failed: these tests could not tell our discipline from one that loses events, and prove nothing."""
    account, ids = asyncio.run(
        _kill_while_events_are_in_hand(broker, tiny_model, tmp_path, acking="faust")
    )
    _tell("Faust's default acking", account, ids)
    assert account.missing(ids)
    assert account.overruns


async def _kill_while_events_are_in_hand(
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
        while (
            account.missing(ids)
            and asyncio.get_running_loop().time() < deadline_s
            and not following.done()
        ):
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


def _tell(what: str, account: Account, ids: list[str]) -> None:
    tell(
        f"{what}, {KILLS} kill -9 with a second of events in hand: {len(ids)} in, "
        f"{len(ids) - len(account.missing(ids))} out, {len(account.missing(ids))} lost; "
        f"{len(account.overruns)} commits ahead of their outputs in {account.audits} audits"
    )
