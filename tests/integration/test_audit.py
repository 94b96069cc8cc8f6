"""The audit topic on a real broker: several workers write it, and the command verifies it."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson
import pytest

from agents.outcomes import Incoming
from schemas.codec import encode
from streams.audit.entry import PublishedDecision
from streams.audit.trail import AuditTrail
from streams.audit.verify import verify
from streams.config import Settings, TopicsSection
from streams.errors import DamagedBatch
from streams.kafka.admin import cluster_id, create_topics
from streams.kafka.producer import Producer
from streams.kafka.reader import reading, until_quiet
from streams.kafka.record import Record
from streams.local.brokers import Broker
from streams.local.brokers.kafka import KafkaCluster
from streams.topics import Topics
from tests.chains import ASKED
from tests.processes import run_triage
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
    """Append decisions of all tenants. Every third decision, those of acme, has a cost."""
    producer = Producer(settings.kafka)
    await producer.start()
    decided = [decision(number) for number in range(count)]
    for start in range(0, count, 5):
        some = decided[start : start + 5]
        await producer.confirm([await trail.append(*each, producer) for each in some])
    await producer.stop()


def decision(number: int) -> tuple[Incoming, PublishedDecision]:
    """An input record and the decision about its event."""
    enrichment = None if number % 3 else ASKED
    event = triaged(f"e-{number}", tenant=TENANTS[number % 3], enrichment=enrichment)
    incoming = read({"id": f"e-{number}"}, offset=number)
    return incoming, PublishedDecision(event, encode(event))


async def records(settings: Settings) -> list[Incoming]:
    """All records on the audit topic."""
    topic = Topics(settings.topics.prefix).audit
    async with reading(settings.kafka, [topic], from_beginning=True) as consumer:
        return [record async for record in until_quiet(consumer)]


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `triage audit verify`."""
    return run_triage(settings, "audit", "verify", *arguments)


async def test_several_workers_and_a_restart_leave_whole_chains(prepared: Settings) -> None:
    """A deployment would look like tampering, or a worker would not know what others spent."""
    spent: list[tuple[str, float]] = []
    first, second = AuditTrail(prepared), AuditTrail(prepared)
    for trail in (first, second):
        await trail.start()
    await asyncio.gather(decide(prepared, first), decide(prepared, second))
    await first.stop()
    restarted = AuditTrail(prepared, writer="restarted")
    await restarted.start(lambda tenant, usd, _, __: spent.append((tenant, usd)))
    assert spent == [("acme", 0.0002)] * 20
    await asyncio.gather(decide(prepared, restarted), decide(prepared, second))
    async with asyncio.timeout(20):
        while len(spent) < 30:
            await asyncio.sleep(0.05)
    # The new records name the record of acme that the other worker wrote last.
    await decide(prepared, restarted, 3)
    await restarted.stop()
    assert len(spent) == 30
    report = await verify(prepared)
    assert report.faults == []
    sizes = {tenant: (chain.records, len(chain.heads)) for tenant, chain in report.chains.items()}
    assert sizes == dict.fromkeys(TENANTS, (41, 3))
    chain = report.chains["acme"]
    assert chain.tips == {chain.heads["restarted"]}
    written = [orjson.loads(record.value or b"") for record in await records(prepared)]
    sealed_for = {(entry["cluster"], entry["topic"]) for entry in written}
    assert sealed_for == {(await cluster_id(prepared), Topics(prepared.topics.prefix).audit)}
    assert all(
        entry["previous"]
        for entry in written
        if entry["sequence"] or entry["writer"] == "restarted"
    )


@pytest.mark.kafka
async def test_the_command_locates_a_changed_record(prepared: Settings, tmp_path: Path) -> None:
    """Somebody could copy the topic and change one decision, and nobody could find it."""
    trail = AuditTrail(prepared)
    await trail.start()
    await decide(prepared, trail, 60)
    whole = run(prepared)
    assert (whole.returncode, whole.stderr) == (0, "")
    *lines, warning = whole.stdout.splitlines()[1:]
    heads = {line.split()[0]: line.split()[-1] for line in lines}
    assert set(heads) == set(TENANTS)
    assert warning.startswith("no key is configured")

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
    # Every record is sealed for the topic that it was written to, and this is another one.
    elsewhere = run(forged, "--json")
    kinds = {fault["what"] for fault in orjson.loads(elsewhere.stdout)["faults"]}
    assert kinds == {"wrong topic", "changed"}
    original = ("--topic", Topics(prepared.topics.prefix).audit)
    verified = run(forged, *original)
    topic, origin, tenant = Topics(forged.topics.prefix).audit, victim.origin, victim.key or b""
    expected = f"{topic}[{origin.partition}]@{origin.offset}: changed (tenant {tenant.decode()})"
    assert verified.returncode == 1
    assert [line for line in verified.stdout.splitlines() if "@" in line] == [expected]
    assert "Traceback" not in verified.stderr
    assert verified.stderr.count("\n") == 1
    document = orjson.loads(run(forged, *original, "--json").stdout)
    (fault,) = document["faults"]
    file = tmp_path / "acknowledged.ndjson"
    file.write_bytes(orjson.dumps(fault | {"by": "dana", "reason": "our own test"}))
    accepted = run(forged, *original, "--acknowledge", str(file))
    assert (accepted.returncode, accepted.stderr) == (0, "")
    assert f"{expected}; acknowledged by dana: our own test" in accepted.stdout
    assert run(forged, *original, "--tenant", tenant.decode()).returncode == 1

    expect = f"acme={heads['acme']}"
    assert run(prepared, "--expect", expect).returncode == 0
    await decide(prepared, trail, 3)
    assert run(prepared, "--expect", expect, "--tenant", "acme").returncode == 0
    assert run(prepared, "--expect", f"acme={'0' * 64}").returncode == 1


@contextmanager
def flipped(file: Path, at: int) -> Iterator[None]:
    """Change one bit in a byte of a file, and change it back at the end."""
    with file.open("r+b") as stream:
        stream.seek(at)
        (original,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([original ^ 1]))
        stream.flush()
        try:
            yield
        finally:
            stream.seek(at)
            stream.write(bytes([original]))


@pytest.mark.kafka
async def test_a_byte_flipped_on_the_brokers_disk_is_located(
    prepared: Settings, broker: Broker
) -> None:
    """Somebody with access to the broker's disk could change a decision, and not be noticed."""
    trail = AuditTrail(prepared)
    await trail.start()
    await decide(prepared, trail)
    assert isinstance(broker, KafkaCluster)
    everything = await records(prepared)
    for record in (everything[0], everything[13], everything[-1]):
        place, value = record.origin, record.value or b""
        data = broker._nodes[0].directory / "data"
        log = data / f"{place.topic}-{place.partition}" / f"{0:020}.log"
        start = log.read_bytes().index(value)
        for at in (0, len(value) // 2, len(value) - 1, -len(record.key or b"")):
            with flipped(log, start + at):
                report = await verify(prepared)
                places = [fault.place for fault in report.faults]
                assert places == [(place.partition, place.offset)], at
        # Byte 30 is in the time of the first batch, which no record has. Byte 61 is the length of
        # its first record.
        message = rf"\[{place.partition}\]@0 begins a damaged batch"
        for at in (30, 61):
            with flipped(log, at), pytest.raises(DamagedBatch, match=message):
                await verify(prepared)
    assert (await verify(prepared)).ok
