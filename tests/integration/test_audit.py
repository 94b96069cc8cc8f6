"""The audit topic on a real broker: written by several workers, tampered with, and verified by the command."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson
import pytest

from agents.outcomes import Incoming, Triaged
from streams.audit.trail import AuditTrail
from streams.audit.verify import verify
from streams.config import Settings, TopicsSection, as_environment
from streams.errors import DamagedBatch
from streams.kafka.admin import create_topics
from streams.kafka.producer import Producer
from streams.kafka.reader import reading, until_quiet
from streams.kafka.record import Record
from streams.local.brokers import Broker
from streams.local.brokers.kafka import KafkaCluster
from streams.topics import Topics
from tests.chains import ASKED
from tests.records import record as read
from tests.records import triaged

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

TENANTS = ("acme", "globex", "initech")


@pytest.fixture
async def prepared(settings: Settings) -> Settings:
    """Settings whose topics exist."""
    await create_topics(settings)
    return settings


async def decide(settings: Settings, trail: AuditTrail, count: int = 30) -> None:
    """Append some decisions of every tenant; each third one cost something."""
    producer = Producer(settings.kafka)
    await producer.start()
    decided = [
        (
            Triaged(triaged(f"e-{n}", tenant=TENANTS[n % 3], enrichment=None if n % 3 else ASKED)),
            read({"id": f"e-{n}"}, offset=n),
        )
        for n in range(count)
    ]
    for start in range(0, count, 5):
        await producer.confirm(await trail.append(decided[start : start + 5], producer))
    await producer.stop()


async def records(settings: Settings) -> list[Incoming]:
    """Everything on the audit topic."""
    topic = Topics(settings.topics.prefix).audit
    async with reading(settings.kafka, [topic], from_beginning=True) as consumer:
        return [record async for record in until_quiet(consumer)]


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`triage audit verify`, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", "audit", "verify", *arguments],
        env=os.environ | as_environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_several_workers_and_a_restart_leave_whole_chains(prepared: Settings) -> None:
    """If it failed: what every deployment does looks like tampering, or a worker spends a budget others have spent."""
    spent: list[tuple[str, float]] = []
    first, second = AuditTrail(prepared), AuditTrail(prepared)
    for trail in (first, second):
        await trail.start()
    await asyncio.gather(decide(prepared, first), decide(prepared, second))
    await first.stop()
    restarted = AuditTrail(prepared, writer="restarted")
    await restarted.start(lambda tenant, usd, _: spent.append((tenant, usd)))
    assert spent == [("acme", 0.0002)] * 20
    await asyncio.gather(decide(prepared, restarted), decide(prepared, second))
    async with asyncio.timeout(20):
        while len(spent) < 30:
            await asyncio.sleep(0.05)
    await decide(
        prepared, restarted, 3
    )  # it has read what the other wrote last of acme, and names it
    await restarted.stop()
    assert len(spent) == 30
    report = await verify(prepared)
    assert report.faults == []
    assert {
        tenant: (chain.records, len(chain.heads)) for tenant, chain in report.chains.items()
    } == dict.fromkeys(TENANTS, (41, 3))
    chain = report.chains["acme"]
    assert chain.tips == {chain.heads["restarted"]}
    written = [orjson.loads(record.value or b"") for record in await records(prepared)]
    assert all(
        each["previous"] for each in written if each["sequence"] or each["writer"] == "restarted"
    )


@pytest.mark.kafka
async def test_the_command_locates_a_changed_record(prepared: Settings) -> None:
    """If it failed: the topic could be written anew with one decision changed, and the command would not say where."""
    trail = AuditTrail(prepared)
    await trail.start()
    await decide(prepared, trail, 60)
    whole = run(prepared)
    assert (whole.returncode, whole.stderr) == (0, "")
    heads = {line.split()[0]: line.split()[-1] for line in whole.stdout.splitlines()[1:]}
    assert set(heads) == set(TENANTS)

    forged = msgspec.structs.replace(
        prepared, topics=TopicsSection(prefix=f"{prepared.topics.prefix}-forged", partitions=4)
    )
    await create_topics(forged)
    victim, producer = None, Producer(forged.kafka)
    await producer.start()
    for record in await records(prepared):
        value = record.value or b""
        if victim is None and b'"sequence":7,' in value:
            victim, value = record, value.replace(b'"queue":"cloud"', b'"queue":"claud"')
        sent = Record(Topics(forged.topics.prefix).audit, record.key, value, list(record.headers))
        await producer.confirm([await producer.send(sent)])
    await producer.stop()
    assert victim is not None
    found = run(forged)
    where = f"{Topics(forged.topics.prefix).audit}[{victim.origin.partition}]@{victim.origin.offset}: changed"
    assert found.returncode == 1
    assert [line for line in found.stdout.splitlines() if "@" in line] == [
        f"{where} (tenant {victim.key.decode()})"
    ]  # type: ignore[union-attr]
    assert "Traceback" not in found.stderr
    assert found.stderr.count("\n") == 1

    expect = f"acme={heads['acme']}"
    assert run(prepared, "--expect", expect).returncode == 0
    await decide(prepared, trail, 3)
    assert run(prepared, "--expect", expect, "--tenant", "acme").returncode == 0
    assert run(prepared, "--expect", f"acme={'0' * 64}").returncode == 1


@contextmanager
def flipped(file: Path, at: int) -> Iterator[None]:
    """One byte of a file turned over, and back again."""
    with file.open("r+b") as stream:
        stream.seek(at)
        (was,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([was ^ 1]))
        stream.flush()
        try:
            yield
        finally:
            stream.seek(at)
            stream.write(bytes([was]))


@pytest.mark.kafka
async def test_a_byte_flipped_on_the_brokers_disk_is_located(
    prepared: Settings, broker: Broker
) -> None:
    """If it failed: whoever can write to the broker's disk can change a decision, or only a batch could be named."""
    trail = AuditTrail(prepared)
    await trail.start()
    await decide(prepared, trail)
    assert isinstance(broker, KafkaCluster)
    everything = await records(prepared)
    for record in (everything[0], everything[13], everything[-1]):
        place, value = record.origin, record.value or b""
        log = (
            broker._nodes[0].directory
            / "data"
            / f"{place.topic}-{place.partition}"
            / f"{0:020}.log"
        )
        start = log.read_bytes().index(value)
        for at in (0, len(value) // 2, len(value) - 1, -len(record.key or b"")):
            with flipped(log, start + at):
                found = await verify(prepared)
                assert [fault.place for fault in found.faults] == [
                    (place.partition, place.offset)
                ], at
        # The first batch's time, which no record holds, and the length of its first record.
        for at in (30, 61):
            with (
                flipped(log, at),
                pytest.raises(
                    DamagedBatch, match=rf"\[{place.partition}\]@0 begins a damaged batch"
                ),
            ):
                await verify(prepared)
    assert (await verify(prepared)).ok
