"""The whole pipeline, in a process of its own, on a real broker."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.escalation import HIGH_IMPACT
from inference.acceptance.options import Terms
from inference.record_file import read_lines
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Domain, Origin
from schemas.formats import read_events
from schemas.triaged import Case, Verdict
from streams.config import Settings, StormsSection
from streams.kafka.admin import admin_client, create_topics
from streams.kafka.connection import connection
from streams.kafka.producer import Producer
from streams.kafka.record import Record
from streams.local.demo import SAMPLES
from streams.source import produce
from streams.topics import Topics
from tests.figures import tell
from tests.outputs import Outputs
from tests.processes import WorkerProcess
from tests.property.strategies import fuzz

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

FUZZ_INPUTS = 20_000


@contextmanager
def working(settings: Settings, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker that is ready. At the end of the block it is drained and stopped."""
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    worker.start()
    try:
        worker.wait_until_ready()
        yield worker
        assert worker.end() == 0, worker.log()
    finally:
        if worker.alive:
            worker.kill()


async def send(settings: Settings, records: list[Record]) -> None:
    """Produce records and wait until the broker has acknowledged them."""
    producer = Producer(settings.kafka)
    await producer.start()
    for start in range(0, len(records), 500):
        await producer.confirm(
            [await producer.send(record) for record in records[start : start + 500]]
        )
    await producer.stop()


def without_storms(settings: Settings) -> Settings:
    """Settings with which no partition is paused, however many of its events are invalid."""
    return msgspec.structs.replace(settings, storms=StormsSection(max_run=0, max_share=1.0))


@pytest.fixture
async def prepared(settings: Settings) -> Settings:
    """Settings whose topics exist."""
    await create_topics(settings)
    return settings


async def test_every_sample_ends_once(prepared: Settings, tmp_path: Path) -> None:
    """An event would be lost or end in two ways, or an escalated event would never end."""
    lines = {domain: list(read_lines(str(SAMPLES / f"{domain}.ndjson"))) for domain in DOMAINS}
    sent = sum(map(len, lines.values()))
    events = sum(
        _events_in(line, domain) for domain, of_domain in lines.items() for line in of_domain
    )
    outputs = Outputs(prepared)
    with working(prepared, tmp_path) as worker:
        for domain, domain_lines in lines.items():
            await produce(prepared, domain_lines, domain)
        await outputs.read_until(
            lambda: _firsts(outputs) + len(outputs.dead_letters) == events and not _unended(outputs)
        )
        page = worker.get("/metrics")[1]

    names = Topics(prepared.topics.prefix)
    by_revision = Counter((event.revision, event.status) for event in outputs.triaged)
    provisional = by_revision[0, "provisional"]
    assert by_revision[0, "final"] + provisional + len(outputs.dead_letters) == events
    assert len(outputs.origins()) == sent
    assert by_revision[1, "needs_review"] == provisional == len(outputs.on(names.review))
    assert by_revision[0, "final"] > sent / 4, "the tiny model must accept many samples"
    cases = [decode(record.value or b"", Case) for record in outputs.on(names.review)]
    ended_by = Counter(
        (case.escalation == HIGH_IMPACT, case.triaged.enrichment.status)
        for case in cases
        if case.triaged.enrichment
    )
    of_impact = ended_by[True, HIGH_IMPACT]
    assert ended_by == {(True, HIGH_IMPACT): of_impact, (False, "llm_off"): provisional - of_impact}
    assert len(outputs.on(names.enrichment)) == provisional - of_impact > 0
    assert 'triage_events_total{domain="tickets",outcome="accepted"}' in page


async def test_hostile_input_is_accounted_for(prepared: Settings, tmp_path: Path) -> None:
    """Some bytes would crash or stop the worker, or would be lost."""
    names = Topics(prepared.topics.prefix)
    hostile = [
        Record(names.input(domain), record.key, record.value, list(record.headers))
        for domain, record in zip(
            itertools.cycle(reversed(DOMAINS)), fuzz(20_261, FUZZ_INPUTS), strict=False
        )
    ]
    outputs = Outputs(prepared)
    with working(without_storms(prepared), tmp_path):
        await send(prepared, hostile)
        await outputs.read_until(
            lambda: len(outputs.records) >= len(hostile) and len(outputs.origins()) >= len(hostile)
        )
    origins = outputs.origins()
    dead = len(outputs.dead_letters)
    tell(
        f"{FUZZ_INPUTS} hostile inputs: {len(origins) - dead} triaged, {dead} dead letters, "
        "0 missing"
    )
    assert len(origins) == len(hostile)


async def test_dead_letters_keep_the_original(prepared: Settings, tmp_path: Path) -> None:
    """A person could not examine a dead letter, or replay it unchanged."""
    topic = Topics(prepared.topics.prefix).input("alerts")
    original = Record(
        topic, b"\xff\x00key", b'{"id": "broken', [("trace", b"\x80\x81"), ("none", None)]
    )
    outputs = Outputs(prepared)
    with working(prepared, tmp_path):
        await send(prepared, [original])
        await outputs.read_until(lambda: bool(outputs.dead_letters))
    letter = outputs.dead_letters[0]
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (original.key, original.value)
    assert headers["trace"] == b"\x80\x81"
    assert headers["__connect.errors.topic"] == topic.encode()
    assert headers["__connect.errors.offset"] == b"0"
    assert headers["__connect.errors.stage"] == b"decode"
    assert headers["__connect.errors.exception.class.name"] == b"InvalidEvent"
    assert headers["triage.disposition"] == b"poison"
    assert headers["triage.attempt"] == b"1"


async def test_a_verdict_is_the_next_revision(prepared: Settings, tmp_path: Path) -> None:
    """The decision of a person would not reach the subscribers."""
    names = Topics(prepared.topics.prefix)
    event = orjson.dumps(
        {"id": "v1", "kind": "ticket", "text": "my card was swallowed by the machine"}
    )
    outputs = Outputs(prepared)
    with working(prepared, tmp_path):
        await send(prepared, [Record(names.input("tickets"), b"v1", event)])
        await outputs.read_until(lambda: bool(outputs.triaged))
        seen = outputs.triaged[-1]
        verdict = Verdict(triaged=seen, labels={"queue": "cash_atm"}, by="ana")
        await send(
            prepared, [Record(names.feedback, b"v1", orjson.dumps(msgspec.to_builtins(verdict)))]
        )
        await outputs.read_until(lambda: any(t.decided_by == "human" for t in outputs.triaged))
    final = next(t for t in outputs.triaged if t.decided_by == "human")
    assert (final.revision, final.status, final.queue) == (seen.revision + 1, "final", "cash_atm")


@pytest.mark.kafka
async def test_an_output_too_large_becomes_a_dead_letter(
    prepared: Settings, tmp_path: Path
) -> None:
    """An event that is too large for its topic would stop the pipeline, or would be lost."""
    names = Topics(prepared.topics.prefix)
    events = [
        {"id": f"big-{n}", "text": "zzqx " * n, "event": {"pad": "x" * 5000}} for n in range(20)
    ]
    outputs = Outputs(prepared)
    # The calibration rows cannot support such a promise, so all events are escalated. Their cases
    # are larger than the enrichment topic allows.
    domains = msgspec.structs.replace(prepared.domains, tickets=Terms(alpha=0.0001))
    with working(msgspec.structs.replace(prepared, domains=domains), tmp_path):
        async with admin_client(prepared) as client:
            small = {"max.message.bytes": "3000"}
            await client.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, names.enrichment, small)]
            )
        await send(
            prepared,
            [Record(names.input("tickets"), None, orjson.dumps(event)) for event in events],
        )
        await outputs.read_until(
            lambda: (
                len(outputs.origins()) == len(events)
                and len(outputs.dead_letters) >= len(_unended(outputs)) > 0
            )
        )
    provisional = {t.id for t in outputs.triaged if t.status == "provisional"}
    stages = Counter(
        dict(letter.headers)["__connect.errors.stage"] for letter in outputs.dead_letters
    )
    assert provisional
    assert stages == {b"deliver": len(provisional)}


@pytest.mark.kafka
async def test_gaps_of_transactions_are_no_loss(prepared: Settings, tmp_path: Path) -> None:
    """The gaps that transactions leave in the offsets would stop the worker or its commits."""
    topic = Topics(prepared.topics.prefix).input("tickets")
    producer = AIOKafkaProducer(
        **connection(prepared.kafka), transactional_id=f"{prepared.topics.prefix}-tx"
    )
    await producer.start()
    for number in range(20):
        async with producer.transaction():
            await producer.send_and_wait(
                topic, orjson.dumps({"id": f"tx-{number}", "text": "a refund"}), partition=0
            )
    await producer.stop()
    outputs = Outputs(prepared)
    with working(prepared, tmp_path) as worker:
        await outputs.read_until(lambda: len({t.id for t in outputs.triaged}) == 20)
        assert worker.alive


async def test_sigterm_under_load_drains_in_ten_seconds(prepared: Settings, tmp_path: Path) -> None:
    """A deployment would kill the worker before it ends, or events would be lost."""
    topic = Topics(prepared.topics.prefix).input("tickets")
    events = [orjson.dumps({"id": f"e{n}", "text": f"my card {n}"}) for n in range(3000)]
    worker = WorkerProcess(prepared, tmp_path / "worker.log")
    worker.start()
    try:
        worker.wait_until_ready()
        sending = asyncio.create_task(
            send(prepared, [Record(topic, None, event) for event in events])
        )
        await asyncio.sleep(1.0)
        started_s = time.monotonic()
        code = await asyncio.to_thread(worker.end)
        took_s = time.monotonic() - started_s
        await sending
    finally:
        if worker.alive:
            worker.kill()
    assert (code, took_s < 10) == (0, True), f"exit {code} after {took_s:.1f} s\n{worker.log()}"
    outputs = Outputs(prepared)
    with working(prepared, tmp_path):
        await outputs.read_until(lambda: len({t.id for t in outputs.triaged}) == len(events))


def _events_in(line: bytes, domain: Domain) -> int:
    """How many events end because of a line; one that cannot be read is one dead letter."""
    origin, kind = Origin(topic="t", partition=0, offset=0), KIND_OF_DOMAIN[domain]
    try:
        return len(read_events(line, origin=origin, kind=kind))
    except InvalidEvent:
        return 1


def _firsts(outputs: Outputs) -> int:
    return sum(not triaged.revision for triaged in outputs.triaged)


def _unended(outputs: Outputs) -> set[str]:
    ended = {t.id for t in outputs.triaged if t.revision > 0}
    return {t.id for t in outputs.triaged if t.status == "provisional"} - ended
