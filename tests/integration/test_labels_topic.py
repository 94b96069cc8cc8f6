"""Labelled rows on a real broker: written with each decision, read, erased, compacted."""

import asyncio
import getpass
import time
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.partitioner import murmur2

from agents.outcomes import Incoming, in_our_format
from inference.llm.options import BudgetOptions
from schemas.agreement import input_digest
from schemas.audit.record import ErasureRecord, unseal
from schemas.codec import encode
from schemas.event import Event
from schemas.label_record import LabelRecord
from schemas.triaged import TriagedEvent, Verdict
from streams.audit.verify import verify
from streams.cli import main
from streams.config import LearningSection, SecuritySection, Settings, as_environment
from streams.kafka.admin import admin_client, check_topics, create_topics
from streams.kafka.reader import reading, until_end
from streams.kafka.record import Record
from streams.labels_topic import RowSelection, forget_rows, read_label_records
from streams.pipeline.records import label_row
from streams.topics import Topics
from tests.integration.test_llm_pipeline import serving
from tests.integration.test_pipeline import send, working
from tests.llm_server import ok
from tests.llm_tier import configured, endpoint
from tests.outputs import Outputs
from tests.tiny_model import sample_events
from tests.unit.test_labels_topic import of_llm, row

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

COMPACTED_WITHIN_S = 90.0


async def rows_of(settings: Settings) -> list[LabelRecord]:
    """The rows that are in force, in the order of their ids."""
    return sorted([each async for each in read_label_records(settings)], key=lambda each: each.id)


def ticket(names: Topics, id_: str, tenant: str = "default") -> Record:
    """A ticket that the small model is unsure of."""
    event = Event(id=id_, kind="ticket", text=f"zzqx my top-up {id_} is gone", tenant=tenant)
    return Record(names.input("tickets"), id_.encode(), encode(event))


def verdict(names: Topics, triaged: TriagedEvent, by: str = "ana", **labels: str) -> Record:
    """The verdict of a person."""
    value = Verdict(triaged=triaged, labels=labels or {"queue": "cash_atm"}, by=by)
    return Record(names.feedback, triaged.id.encode(), orjson.dumps(msgspec.to_builtins(value)))


def strict(settings: Settings, **changes: Any) -> Settings:
    """Settings with which every ticket is escalated."""
    tickets = msgspec.structs.replace(settings.domain("tickets"), alpha=0.0001)
    return msgspec.structs.replace(
        settings, domains=msgspec.structs.replace(settings.domains, tickets=tickets), **changes
    )


async def test_decisions_become_rows_that_can_be_erased(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What people and the LLM decide could teach nobody, or could not be taken back."""
    monkeypatch.setenv("WORKER_KEY", "w" * 32)
    names = Topics(settings.topics.prefix)
    with serving(ok(queue="transfers", priority="low")) as server:
        settings = strict(
            configured(
                endpoint(server.base_url), settings=settings, budget=BudgetOptions(usd_per_day=1.0)
            ),
            security=SecuritySection(worker_key_env="WORKER_KEY", people=["ana"]),
            learning=LearningSection(exclude_tenants=["bank"]),
        )
        await create_topics(settings)
        assert await check_topics(settings) == []
        outputs = Outputs(settings)
        tenants = {"t-1": "default", "t-2": "default", "t-3": "bank", "t-4": "acme"}
        with working(settings, tmp_path):
            await send(settings, [ticket(names, id_, of) for id_, of in tenants.items()])
            await outputs.read_until(lambda: sum(t.revision == 1 for t in outputs.triaged) == 4)
            seen = {t.id: t for t in outputs.triaged if t.revision == 1}
            assert {(t.status, t.decided_by) for t in seen.values()} == {("final", "llm")}
            by_llm = await rows_of(settings)
            assert [(each.id, each.decided_by) for each in by_llm] == [
                ("t-1", "llm"),
                ("t-2", "llm"),
                ("t-4", "llm"),
            ], "nothing is kept of the tenant that forbids it"
            signatures = decision_headers(outputs, names)
            verdicts = [verdict(names, seen[id_]) for id_ in ("t-1", "t-3", "t-4")]
            verdicts.append(verdict(names, seen["t-2"], by="eve"))
            await send(
                settings,
                [with_header(each, signatures[(each.key or b"").decode()]) for each in verdicts],
            )
            await outputs.read_until(
                lambda: (
                    sum(t.decided_by == "human" for t in outputs.triaged) == 3
                    and len(outputs.dead_letters) == 1
                )
            )
    await forged(settings, names)
    rows = await rows_of(settings)
    assert [(each.id, each.by, each.decided_by) for each in rows] == [
        ("t-1", "ana", "human"),
        ("t-2", by_llm[1].by, "llm"),
        ("t-4", "ana", "human"),
    ]
    first = rows[0]
    assert first.labels == {"queue": "cash_atm"}
    assert first.event is not None, "the text comes from the LLM's row"
    assert first.event.text == "zzqx my top-up t-1 is gone"
    await forgotten(settings, monkeypatch)


async def test_a_person_who_corrects_an_accepted_event_teaches_its_text(
    settings: Settings, tmp_path: Path
) -> None:
    """The errors of the small model that people find are what it could learn most from."""
    names = Topics(settings.topics.prefix)
    await create_topics(settings)
    samples = [in_our_format(event) for event in sample_events("tickets")[:60]]
    nameless = [
        {"kind": "ticket", "text": event.text or event.body or event.title}
        for event in sample_events("tickets")[:40]
    ]
    outputs = Outputs(settings)
    with working(settings, tmp_path):
        await send(settings, [Record(names.input("tickets"), None, line) for line in samples])
        await send(settings, [Record(names.input("tickets"), None, orjson.dumps(nameless))])
        await outputs.read_until(
            lambda: len({t.id for t in outputs.triaged}) == len({*samples}) + len(nameless)
        )
        accepted = [t for t in outputs.triaged if (t.revision, t.status) == (0, "final")]
        alone = next(t for t in accepted if "#" not in t.id)
        of_many = [t for t in accepted if "#" in t.id][:2]
        gone = msgspec.structs.replace(
            of_many[0],
            id="gone",
            origin=msgspec.structs.replace(of_many[0].origin, offset=10**9),
        )
        decided = [alone, *of_many, gone]
        assert len(decided) == 4
        await send(settings, [verdict(names, triaged) for triaged in decided])
        await outputs.read_until(
            lambda: sum(t.decided_by == "human" for t in outputs.triaged) == len(decided)
        )
    rows = {each.id: each for each in await rows_of(settings)}
    assert {each.chosen for each in rows.values()} == {"corrected"}
    assert rows["gone"].event is None
    for triaged in decided[:3]:
        event = rows[triaged.id].event
        assert event is not None
        assert event.id == triaged.id
        assert input_digest(event) == triaged.input_digest
        assert rows[triaged.id].accepted


def decision_headers(outputs: Outputs, names: Topics) -> dict[str, Any]:
    """The signature of the latest decision about each ticket."""
    records = outputs.on(names.triaged("tickets"))
    return {
        (record.key or b"").decode(): header
        for record in records
        for header in record.headers
        if header[0] == "triage.decision" and b'"revision":1,' in (record.value or b"")
    }


def with_header(record: Record, header: Any) -> Record:
    """The record with one header."""
    return Record(record.topic, record.key, record.value, [header])


async def forged(settings: Settings, names: Topics) -> None:
    """Write a row that no worker has signed."""
    await send(settings, [label_row(row("forged"), names)])


async def forgotten(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Erase rows at the command line and by the function."""
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    command = ["labels", "forget", "--id", "t-1"]
    for options in (["--dry-run"], []):
        code = await asyncio.to_thread(run, [*command, *options])
        assert code == 0
        left = [each.id for each in await rows_of(settings)]
        assert left == (["t-1", "t-2", "t-4"] if options else ["t-2", "t-4"])
    done = await forget_rows(settings, RowSelection(tenant="ACME"), erased_by="dana")
    assert (done.erased, done.left) == (2, 2), "the forged row and that of t-2 are left"
    assert [each.id for each in await rows_of(settings)] == ["t-2"]
    again = await forget_rows(settings, RowSelection(tenant="acme"), erased_by="dana")
    assert (again.erased, again.left) == (0, 2)
    assert (await verify(settings)).ok
    records = await records_on(settings, Topics(settings.topics.prefix).audit)
    erasures = [record for each in records if (record := erasure_in(each)) is not None]
    # The chains of two tenants may be on two partitions, which have no order.
    asked = {(each.tenant, each.by, each.rows, each.selection.id) for each in erasures}
    assert asked == {("default", getpass.getuser(), 2, "t-1"), ("acme", "dana", 2, None)}
    assert len(erasures) == 2


def erasure_in(record: Incoming) -> ErasureRecord | None:
    """The erasure that a record of the audit topic is, if it is one."""
    found = unseal(record.value or b"").record
    return found if isinstance(found, ErasureRecord) else None


def run(arguments: list[str]) -> int:
    """The exit code of a command."""
    try:
        main(arguments)
    except SystemExit as error:
        return int(error.code or 0)
    return 0


@pytest.mark.kafka
async def test_what_is_erased_leaves_the_disk_and_what_is_signed_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erased text would stay in the log, or compaction would lose a signature or a row."""
    monkeypatch.setenv("WORKER_KEY", "w" * 32)
    settings = msgspec.structs.replace(
        settings, security=SecuritySection(worker_key_env="WORKER_KEY")
    )
    names, keys = Topics(settings.topics.prefix), settings.security.read_keys()
    await create_topics(settings)
    async with admin_client(settings) as client:
        await quick_compaction(client, names.labels)
    rows = [row(f"t-{n}", by="ana") for n in range(20)]
    await send(settings, [label_row(each, names, keys) for each in rows])
    await send(settings, [label_row(of_llm(each.id), names, keys) for each in rows])
    async with admin_client(settings) as client:
        await client.create_partitions({names.labels: NewPartitions(6)})
    moved = next(each.id for each in rows if partition(each.id, 4) != partition(each.id, 6))
    done = await forget_rows(settings, RowSelection(id=moved), erased_by="dana")
    assert (done.erased, done.left) == (2, 38)
    deadline_s = time.monotonic() + COMPACTED_WITHIN_S
    while True:
        # A segment is compacted once another one was begun.
        await send(settings, [label_row(row("later"), names, keys)] * 8)
        value = encode(row("later"))
        await send(
            settings,
            [Record(names.labels, b"later", value, partition=number) for number in range(4)],
        )
        on_disk = {each.key for each in await records_on(settings, names.labels) if each.value}
        assert b"later" in on_disk
        if moved.encode() not in on_disk:
            break
        assert time.monotonic() < deadline_s, "the erased row is still on the disk"
        await asyncio.sleep(2)
    kept = [each for each in await rows_of(settings) if each.id != "later"]
    assert sorted(each.id for each in kept) == sorted({each.id for each in rows} - {moved})
    assert {each.decided_by for each in kept} == {"human"}


async def records_on(settings: Settings, topic: str) -> list[Incoming]:
    """Every record that is on a topic now."""
    async with reading(settings.kafka, [topic], from_beginning=True) as consumer:
        return [record async for record in until_end(consumer)]


def partition(key: str, partitions: int) -> int:
    """The partition that a key chooses."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions


async def quick_compaction(client: Any, topic: str) -> None:
    """Let the broker compact the topic within seconds."""
    quick = {
        "cleanup.policy": "compact",
        "segment.ms": "1000",
        "max.compaction.lag.ms": "1000",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "60000",
    }
    await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, quick)])
