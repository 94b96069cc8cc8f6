"""The audit trail of one worker, the command that verifies it, and the topic that holds it."""

import asyncio
import dataclasses
import time
from collections.abc import Iterable
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import TopicPartition

from agents.outcomes import DeadLettered, Escalated, Reviewed
from inference.errors import ConfigError
from schemas.audit.record import (
    HEADERS,
    MAX_HEADS,
    AuditRecord,
    ErasedRows,
    ErasureRecord,
    UnreadOffsets,
    UnreadRecord,
    bounded_text,
    sha256,
)
from schemas.audit.segment import MAX_TENANTS, Segment, Segments
from schemas.audit.verification import Chain, Fault, Place
from schemas.codec import decode, encode
from schemas.triaged import DecidedBy, TriagedEvent
from streams.audit import trail as audit_trail_module
from streams.audit.acknowledged import read_acknowledgements
from streams.audit.entry import PublishedDecision
from streams.audit.spending import SpendingLimits
from streams.audit.trail import AuditTrail
from streams.audit.verify import MAX_FAULTS, AuditReport
from streams.cli import audit as command
from streams.cli import main
from streams.config import AuditSection, InputSection, Settings, TopicsSection
from streams.errors import DeliveryFailed
from streams.kafka import admin, reader
from streams.kafka.producer import Receipt
from streams.kafka.record import Record
from streams.pipeline.records import outputs_of
from tests.chains import ASKED, check, decide, topic, trail
from tests.doubles import TOPICS, FakeProducer
from tests.kafka_log import START_MS, KafkaLog
from tests.patience import until
from tests.records import case, triaged
from tests.records import record as read


def published(event: TriagedEvent) -> PublishedDecision:
    """A decision as the pipeline publishes it."""
    return PublishedDecision(event, encode(event))


def test_the_record_says_what_was_decided_about_what() -> None:
    """An auditor could not see which input led to which output, by which model."""
    event = triaged(tenant="acme", enrichment=ASKED, decided_by="llm", revision=1)
    incoming = read({"id": "e-1"}, offset=9)
    record = trail().record(incoming, published(event))
    assert (record.topic, record.key, record.headers) == ("triage.audit.v1", b"acme", HEADERS)
    audited = decode(record.value or b"", AuditRecord)
    assert (audited.id, audited.revision, audited.decided_by, audited.labels) == (
        "e-1",
        1,
        "llm",
        {"queue": "cloud"},
    )
    assert (audited.origin, audited.model_digest) == (incoming.origin, "d" * 64)
    assert audited.enrichment is not None
    assert (audited.enrichment.tier, audited.enrichment.cost_usd) == ("small", 0.0002)
    assert audited.input_digest == sha256(incoming.value or b"")
    assert audited.output_digest == sha256(encode(event))


def test_the_digest_is_that_of_the_published_bytes() -> None:
    """An auditor would compare the output on the topic with the digest of other bytes."""
    bytes_on_the_topic = encode(triaged()) + b" "
    record = trail().record(read({}), PublishedDecision(triaged(), bytes_on_the_topic))
    audited = decode(record.value or b"", AuditRecord)
    assert audited.output_digest == sha256(bytes_on_the_topic)


@pytest.mark.parametrize("outcome", [Escalated(case()), Reviewed(case())])
def test_every_kind_of_decision_is_recorded(outcome: Escalated | Reviewed) -> None:
    """Events that the small model was unsure of would be missing from the trail."""
    outputs = outputs_of(outcome, read({}), TOPICS)
    assert len(outputs.decisions) == 1
    assert trail().record(read({}), outputs.decisions[0]).value


def test_a_dead_letter_is_no_decision() -> None:
    """The trail would hold decisions that were never made."""
    outputs = outputs_of(DeadLettered("decode", "InvalidEvent", "no"), read(b"{"), TOPICS)
    assert outputs.decisions == []


def test_the_verdict_of_a_person_costs_nothing() -> None:
    """A verdict carries the answer it is about; the day's budget would be charged twice for it."""
    record = decide(trail(), "acme", enrichment=ASKED, decided_by="human", revision=2)
    assert decode(record.value or b"", AuditRecord).enrichment is None


@pytest.mark.parametrize(
    ("value", "decided_by", "by"),
    [
        ({"id": "e-1", "labels": {}, "by": "ana"}, "human", "ana"),
        ({"id": "e-1", "labels": {}, "by": "n" * 600}, "human", bounded_text("n" * 600)),
        ({"id": "e-1", "by": "ana"}, "llm", None),
        ({"id": "e-1"}, "human", None),
    ],
)
def test_the_record_names_the_person_who_has_decided(
    value: dict[str, Any], decided_by: DecidedBy, by: str | None
) -> None:
    """An auditor could not tell which person has decided."""
    event = triaged(decided_by=decided_by, revision=1)
    record = trail().record(read(value), published(event))
    assert decode(record.value or b"", AuditRecord).by == by


async def test_an_erasure_is_a_record_on_the_chain_of_its_tenant() -> None:
    """Whoever erases what people decided would leave no trace, or break the chain."""
    worker, command, producer = trail("w1"), trail("forget"), FakeProducer()
    records = [decide(worker, "acme")]
    command.learn(read(records[0].value))
    erased = ErasedRows(tenant="ACME", decided_by="x" * 600)
    await command.append_erasure(erased, tenant="acme", by="dana", rows=7, producer=producer)
    records += producer.audited
    usd: list[float] = []
    worker.learn(read(records[1].value), lambda _, spent_usd, *__: usd.append(spent_usd))
    records.append(decide(worker, "acme", 1))
    faults, verification = check(topic(records))
    assert (faults, usd) == ([], [])
    assert verification.chains["acme"].records == 3
    written = decode(records[1].value or b"", ErasureRecord)
    assert (written.by, written.rows, written.selection.tenant) == ("dana", 7, "ACME")
    assert (written.selection.decided_by or "").startswith("sha256:")
    assert written.digest in decode(records[2].value or b"", AuditRecord).heads
    value = (records[1].value or b"").replace(b'"rows":7', b'"rows":6')
    changed = dataclasses.replace(topic(records)[1], value=value)
    assert {fault.what for fault in check([topic(records)[0], changed])[0]} == {"changed"}


@pytest.mark.parametrize(
    ("name", "tenant"),
    [("alerts", "acme"), ("tickets", "default"), ("feedback", "default")],
)
async def test_what_nobody_has_read_is_on_the_chain_of_its_tenant(name: str, tenant: str) -> None:
    """A loss would leave no trace, or break the chain, or an auditor look for it in vain."""
    settings = Settings(topics=TopicsSection(inputs={"alerts": InputSection(tenant="acme")}))
    ours, producer = AuditTrail(settings, writer="w1"), FakeProducer()
    records = [decide(ours, tenant)]
    offsets = UnreadOffsets(topic=f"triage.{name}.v1", partition=2, first=7, last=9)
    await ours.record_expired(offsets, producer=producer)
    await ours.append_unread(
        offsets, cause="damaged", by="d" * 600, reason="disk 3", producer=producer
    )
    records += [*producer.audited, decide(ours, tenant, 1)]
    faults, verification = check(topic(records))
    assert (faults, verification.chains[tenant].records) == ([], 4)
    expired, damaged = (decode(each.value or b"", UnreadRecord) for each in producer.audited)
    assert (expired.offsets, expired.cause, expired.by) == (offsets, "expired", None)
    assert (damaged.by, damaged.reason) == (bounded_text("d" * 600), "disk 3")
    value = (producer.audited[1].value or b"").replace(b'"last":9', b'"last":7')
    changed = dataclasses.replace(topic(records)[2], value=value)
    assert {fault.what for fault in check([*topic(records)[:2], changed])[0]} == {"changed"}
    usd: list[float] = []
    trail("w2").learn(read(producer.audited[0].value), lambda _, spent, *__: usd.append(spent))
    assert usd == []


def test_a_restarted_worker_continues_the_chain() -> None:
    """A restart would cut the chain, and the records before it could be removed unnoticed."""
    before, after = trail("w1"), trail("w2")
    records = [decide(before, "acme", number) for number in range(3)]
    spent: list[tuple[str, float, float, str]] = []
    for appended in topic(records):
        after.learn(read(appended.value), lambda *spend: spent.append(spend))
    records.append(decide(after, "acme"))
    last = decode(records[-1].value or b"", AuditRecord)
    assert (last.sequence, last.previous) == (
        0,
        decode(records[2].value or b"", AuditRecord).digest,
    )
    assert check(topic(records))[0] == []
    assert spent == []


def test_only_what_others_spend_is_reported() -> None:
    """Two workers would each spend the day's budget, or a worker count its own cost twice."""
    spent: list[tuple[str, float, float, str]] = []
    ours, others = trail("w1"), trail("w2")
    costly = [decide(writer, "acme", enrichment=ASKED) for writer in (ours, others)]
    damaged = topic(costly)[1].flipped(300, 2)
    for value in (*(record.value for record in costly), damaged.value, None, b"{}"):
        ours.learn(read(value), lambda *spend: spent.append(spend))
    assert [(tenant, usd) for tenant, usd, *_ in spent] == [("acme", 0.0002)]


def learned(
    ours: AuditTrail, values: Iterable[bytes | None], max_usd: float = 1.0
) -> tuple[list[float], list[str]]:
    """The dollars that a trail counts for these records, and why it refused others."""
    usd: list[float] = []
    refused: list[str] = []
    ours._spending = SpendingLimits(max_usd)
    ours._on_refused = lambda _, reason: refused.append(reason)
    for value in values:
        ours.learn(read(value), lambda _, spent_usd, *__: usd.append(spent_usd))
    return usd, refused


@pytest.mark.parametrize(("cost_usd", "counted"), [(1e6, [1.0]), (-5.0, []), (0.5, [0.5])])
def test_a_record_counts_at_most_what_an_event_can_cost(
    cost_usd: float, counted: list[float]
) -> None:
    """One forged record would switch off the LLM for the day, or give money back."""
    enrichment = msgspec.structs.replace(ASKED, cost_usd=cost_usd)
    forged = decide(trail("forger"), "acme", enrichment=enrichment).value
    usd, refused = learned(trail("ours"), [forged])
    assert usd == counted
    assert refused == ([] if cost_usd == 0.5 else ["implausible_cost"])


def test_a_cost_that_is_no_number_does_not_stop_the_worker() -> None:
    """The sum of the day would raise, and the trail no longer follow other workers."""
    limits = SpendingLimits()
    forged = decide(trail("forger"), "acme", enrichment=ASKED).value
    audited = decode(forged or b"", AuditRecord)
    assert audited.enrichment is not None
    for number, usd in enumerate((inf, -inf, nan)):
        enrichment = msgspec.structs.replace(audited.enrichment, cost_usd=usd)
        record = msgspec.structs.replace(audited, enrichment=enrichment, digest=str(number))
        assert limits.counted(record) == 0.0


def test_with_a_key_only_sealed_records_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write to the audit topic would use up the budget of the day."""
    monkeypatch.setenv("KEY", "sealed")
    monkeypatch.setenv("FORGED", "other")
    keys = ("KEY", "FORGED", None)
    sealed, forged, plain = (
        decide(trail(f"w{number}", key_env=key), "acme", enrichment=ASKED).value
        for number, key in enumerate(keys)
    )
    usd, refused = learned(trail("ours", key_env="KEY"), [forged, plain, b"{}", None, sealed])
    assert usd == [ASKED.cost_usd]
    assert refused == ["wrong_signature", "unsigned", "unreadable", "unreadable"]


def test_a_copied_record_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can copy records would use up the budget without the key, as would a retry."""
    monkeypatch.setenv("KEY", "sealed")
    other = trail("other", key_env="KEY")
    first, second = (decide(other, "acme", enrichment=ASKED).value for _ in range(2))
    usd, _ = learned(trail("ours", key_env="KEY"), [first, first, second, first])
    assert usd == [ASKED.cost_usd] * 2


def test_a_record_that_was_sealed_for_another_cluster_does_not_count() -> None:
    """The records of a test cluster with the same key would use up the budget."""
    elsewhere, here = (
        decide(trail(f"w-{cluster}", cluster), "acme", enrichment=ASKED).value
        for cluster in ("there", "here")
    )
    usd, refused = learned(trail("ours", "here"), [elsewhere, here])
    assert usd == [ASKED.cost_usd]
    assert refused == ["elsewhere"]


def test_a_forgotten_tenant_begins_a_new_segment() -> None:
    """With more tenants than are kept, sequence numbers would be used twice."""
    segments = Segments("w", max_tenants=2)
    for tenant in ("a", "b", "a", "c", "b", "a"):
        segment = segments.of(tenant)
        segment.sequence += 1
        assert segments.wrote(segment.writer)
    assert (segments.of("a").writer, segments.of("a").sequence) == ("w.2", 1)
    assert not segments.wrote("other.2")
    assert MAX_TENANTS >= 10_000


def test_each_end_of_another_segment_is_named_once() -> None:
    """The last records of a worker could be removed unnoticed, or records would grow for ever."""
    ours, others = trail("ours"), [trail(f"w{number}") for number in range(3)]
    ends = []
    for other in others:
        ours.learn(read(decide(other, "acme").value))
        end = decide(other, "acme")
        ends.append(decode(end.value or b"", AuditRecord).digest)
        ours.learn(read(end.value))
    first, second = (decode(decide(ours, "acme").value or b"", AuditRecord) for _ in range(2))
    assert (first.previous, first.heads) == (ends[2], tuple(sorted(ends[:2])))
    assert second.heads == ()


def test_a_segment_names_no_more_ends_than_it_has_records() -> None:
    """With many workers, most of the topic would be names."""
    segment, named = Segment("w"), []
    for number in range(200):
        for other in range(10):
            segment.saw(f"w{other}", f"{number}-{other}")
        named += [segment.name()]
        segment.extend("d")
    assert {len(heads) for heads in named[1:]} == {0, 10}
    assert sum(map(len, named)) <= 200
    assert named[190] == tuple(f"190-{other}" for other in range(10))
    for other in range(MAX_HEADS + 5):
        segment.saw(f"z{other:03}", f"{other:03}")
    for _ in range(MAX_HEADS):
        segment.extend("d")
    assert segment.name() == tuple(f"{other:03}" for other in range(5, MAX_HEADS + 5))


class Slow(FakeProducer):
    """A producer that takes some records later than others."""

    def __init__(self) -> None:
        super().__init__(prompt=True, awaits_audit=True)
        self.asked = 0

    async def send(self, record: Record) -> Receipt:
        """Take a record; the first of each three takes longest."""
        self.asked += 1
        await asyncio.sleep(0.002 if self.asked % 3 == 1 else 0)
        return await super().send(record)


@pytest.mark.parametrize(
    "tenants",
    [
        ["acme"] * 20,
        ["x" * 5000, bounded_text("x" * 5000)] * 10,
    ],
    ids=["one tenant", "two names that are stored as the same"],
)
async def test_pipelines_that_append_at_the_same_time_keep_the_order(tenants: list[str]) -> None:
    """Records would be sent in another order than that of their sequence numbers."""
    producer, audit_trail = Slow(), trail()
    await asyncio.gather(
        *(
            audit_trail.append(read({}), published(triaged(f"e-{number}", tenant=tenant)), producer)
            for number, tenant in enumerate(tenants)
        )
    )
    audited = [decode(record.value or b"", AuditRecord) for record in producer.sent]
    assert [record.sequence for record in audited] == list(range(20))
    assert check(topic(producer.sent))[0] == []


async def test_a_tenant_whose_partition_waits_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One audit partition without a leader would stop everything."""
    producer, audit_trail, leader = FakeProducer(prompt=True), trail(), asyncio.Event()
    send = producer.send

    async def wait_for_leader(record: Record) -> Receipt:
        if record.key == b"stuck" and not leader.is_set():
            await leader.wait()
            raise DeliveryFailed("no leader", retriable=True)
        return await send(record)

    producer.send = wait_for_leader  # type: ignore[method-assign]
    decisions = {tenant: published(triaged(tenant=tenant)) for tenant in ("stuck", "other")}
    stuck = [
        asyncio.create_task(audit_trail.append(read({}), decisions["stuck"], producer))
        for _ in range(2)
    ]
    await asyncio.sleep(0)
    await asyncio.wait_for(audit_trail.append(read({}), decisions["other"], producer), 5)
    leader.set()
    await asyncio.wait_for(asyncio.gather(*stuck), 5)
    assert caplog.messages == ["no leader; trying again"]
    assert [record.key for record in producer.audited] == [b"other", b"stuck", b"stuck"]
    assert check(topic(producer.audited))[0] == []


async def test_nothing_is_appended_after_a_lost_record() -> None:
    """A lost record would leave a hole for ever, which looks like tampering."""
    producer, audit_trail = FakeProducer(awaits_audit=True), trail()
    receipt = await audit_trail.append(read({}), published(triaged()), producer)
    receipt.set_exception(DeliveryFailed("gone"))
    await asyncio.sleep(0)
    with pytest.raises(DeliveryFailed, match="restarted"):
        await audit_trail.append(read({}), published(triaged()), producer)
    assert len(producer.sent) == 1


async def test_nothing_is_appended_after_a_record_that_was_not_taken() -> None:
    """The sequence number of a record that was never sent would be missing for ever."""
    producer, audit_trail = FakeProducer(), trail()
    client, producer._producer = producer._producer, None
    with pytest.raises(DeliveryFailed, match="not running"):
        await audit_trail.append(read({}), published(triaged()), producer)
    producer._producer = client
    with pytest.raises(DeliveryFailed, match="restarted"):
        await audit_trail.append(read({}), published(triaged()), producer)
    assert producer.audited == []


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> KafkaLog:
    """An audit topic with two decisions of another worker, one of which called the LLM today."""
    monkeypatch.setattr(time, "time", lambda: START_MS / 1000)
    other = trail("other")
    records = [decide(other, "acme"), decide(other, "acme", 1, enrichment=ASKED)]
    log = KafkaLog.of(TOPICS.audit, topic(records))
    log.install(monkeypatch, reader)
    return log


class Spending:
    """What the other workers have spent, as the trail reports it."""

    def __init__(self) -> None:
        self.usd: list[float] = []

    def __call__(self, _: str, usd: float, *__: object) -> None:
        """Note it."""
        self.usd.append(usd)


def previous(record: Record | None) -> str:
    """The digest that a record names as the one before it."""
    assert record is not None
    return decode(record.value or b"", AuditRecord).previous or ""


async def test_a_chain_begins_where_the_topic_ends(stored: KafkaLog) -> None:
    """The last records of the worker before could be removed unnoticed."""
    audit_trail = trail("ours")
    await audit_trail.start()
    assert stored.stopped == 1, "nothing more is read"
    (last,) = (appended for appended in stored._appended.values() if appended.place.offset == 1)
    assert previous(decide(audit_trail, "acme")) == last.decoded().digest
    await audit_trail.stop()


async def test_what_is_spent_by_others_is_followed(stored: KafkaLog) -> None:
    """Two workers would each spend the day's budget."""
    audit_trail, spending = trail("ours"), Spending()
    await audit_trail.start(spending)
    assert spending.usd == [ASKED.cost_usd]
    later = topic(decide(trail("third"), "acme", n, enrichment=ASKED) for n in range(3))[-1]
    stored.append(TOPICS.audit, later)
    await until(lambda: len(spending.usd) == 2)
    assert stored.stopped == 0
    await audit_trail.stop()
    assert stored.stopped == 1


async def test_following_goes_on_after_an_error(
    stored: KafkaLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After one damaged batch, nothing that other workers spend would be counted."""
    monkeypatch.setattr(audit_trail_module, "RETRY_S", 0.001)
    audit_trail, spending = trail("ours"), Spending()
    await audit_trail.start(spending)
    later = topic(decide(trail("third"), "acme", n, enrichment=ASKED) for n in range(3))[-1]
    partition = TopicPartition(TOPICS.audit, later.place.partition)
    stored.damaged, stored.error = {partition: 2}, ValueError("not enough bytes")
    stored.append(TOPICS.audit, later)
    await until(lambda: caplog.messages)
    assert caplog.messages[0] == "the audit topic cannot be followed (ValueError); trying again"
    stored.damaged = {}
    await until(lambda: len(spending.usd) == 2)
    await audit_trail.stop()


async def test_a_damaged_batch_does_not_stop_the_start(
    stored: KafkaLog, caplog: pytest.LogCaptureFixture
) -> None:
    """No event would be triaged until somebody has restored the broker's disk."""
    (partition,) = (place for place, end in stored.ends.items() if end)
    stored.damaged = {partition: 0}
    audit_trail = trail("ours")
    await audit_trail.start()
    assert "begins a damaged batch" in caplog.text
    assert "chains begun now may name no anchor" in caplog.text


async def test_a_long_day_does_not_hold_up_the_start(
    stored: KafkaLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker would be unready for minutes after every restart in the evening."""
    monkeypatch.setattr(audit_trail_module, "START_TIMEOUT_S", 0.02)
    stored.silent = True
    audit_trail, spending = trail("ours"), Spending()
    await audit_trail.start(spending)
    assert "longer than can be read" in caplog.text
    assert spending.usd == []
    stored.silent = False
    await until(lambda: spending.usd)
    await audit_trail.stop()


@pytest.mark.parametrize(
    ("options", "key"),
    [({}, None), ({"key_env": "SEAL"}, b"secret"), ({"key_file": "seal.key"}, b"from a file")],
)
def test_the_key_is_read(options: dict[str, str], key: bytes | None, tmp_path: Path) -> None:
    """Records would be sealed without the key, or with its line end."""
    (tmp_path / "seal.key").write_text("from a file\n")
    if "key_file" in options:
        options = {"key_file": str(tmp_path / options["key_file"])}
    assert AuditSection(**options).read_key({"SEAL": "secret"}) == key


@pytest.mark.parametrize(
    "options", [{"key_env": "SEAL"}, {"key_file": "/nowhere/seal.key"}, {"key_file": "/dev/null"}]
)
def test_a_missing_key_stops_the_worker(options: dict[str, str]) -> None:
    """Decisions would be sealed without the key, and nobody would notice."""
    with pytest.raises(ConfigError, match=r"^audit\.key_"):
        AuditSection(**options).read_key({})


CHAIN = Chain(
    records=3,
    heads={"w1": "cd" * 32, "w2": "ab" * 32, "w3": "ef" * 32},
    tips={"ef" * 32, "ab" * 32},
)


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> AuditReport:
    """The report that the command gets, without a broker."""
    audit_report = AuditReport("triage.audit.v1", None, chains={"acme": CHAIN})

    async def verify(*_: Any, **__: Any) -> AuditReport:
        return audit_report

    monkeypatch.setattr(command, "verify_topic", verify)
    return audit_report


def run(*arguments: str) -> int:
    """The exit code of `triage audit verify`."""
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", *arguments])
    return int(ended.value.code or 0)


def test_an_intact_topic_gives_a_table_and_exit_code_0(
    report: AuditReport, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody would know which heads to note."""
    assert run() == 0
    heading, line, other, warning = capsys.readouterr().out.splitlines()
    assert heading.split() == ["tenant", "records", "segments", "copies", "head"]
    assert line.split() == ["acme", "3", "3", "0", "ab" * 32]
    assert other.index("ef") == line.index("ab")
    assert warning.startswith("no key is configured")
    report.keyed = True
    assert run() == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_fault_gives_one_line_and_exit_code_1(
    report: AuditReport, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed record would not be named, or a tenant's name would control the terminal."""
    report.note(
        [
            Fault("changed", Place(3, 17), "\x1b[2J"),
            Fault("missing", Place(0, 4), "acme", "w", 5, 2),
        ]
    )
    report.lost = [("acme", "cd" * 32)]
    assert run() == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[:3] == [
        "triage.audit.v1[3]@17: changed (tenant \\u001b[2J)",
        "triage.audit.v1[0]@4: 2 missing before it (tenant acme, writer w, sequence 5 and on)",
        f"triage.audit.v1: the head {'cd' * 32} of acme is not there",
    ]
    assert err.count("\n") == 1
    assert "faults: 2, heads not found: 1" in err


def test_one_missing_record_and_the_faults_left_out_are_counted(
    report: AuditReport, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reader would take the faults that are printed for all of them."""
    report.note([Fault("missing", Place(0, 4), "acme", "w", 5, 1)])
    report.note(Fault("changed", Place(1, offset), "acme") for offset in range(MAX_FAULTS + 1))
    assert run() == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert (
        lines[0] == "triage.audit.v1[0]@4: 1 missing before it (tenant acme, writer w, sequence 5)"
    )
    assert lines[MAX_FAULTS] == "... and 2 faults more"
    assert f"faults: {MAX_FAULTS + 2}" in err


def test_an_empty_topic_is_no_fault(
    report: AuditReport, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new deployment would see a table without a line, or an error."""
    report.chains = {}
    assert run() == 0
    assert capsys.readouterr().out == "no decisions are recorded yet\n"


def test_expected_heads_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that was noted in upper case, or of a tenant with `=`, would be reported as lost."""
    asked: list[Any] = []
    places: list[Any] = []

    async def verify(_: Settings, expected: Any, tenant: str | None, **of: Any) -> AuditReport:
        asked.append((expected, tenant))
        places.append((of["cluster"], of["topic"]))
        return AuditReport("triage.audit.v1", tenant)

    monkeypatch.setattr(command, "verify_topic", verify)
    head = "AB" * 32
    assert run("--expect", f"acme={head}", "--expect", f"a=b={head}", "--tenant", "acme") == 0
    assert asked == [((("acme", "ab" * 32), ("a=b", "ab" * 32)), "acme")]
    assert run("--cluster", "c", "--topic", "t") == 0
    assert places == [(None, None), ("c", "t")]


def test_programs_get_json(report: AuditReport, capsys: pytest.CaptureFixture[str]) -> None:
    """A program would have to parse the table."""
    report.note([Fault("missing", Place(0, 4), "acme", "w", 5, 2)])
    assert run("--json") == 1
    document = orjson.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["faults"] == [
        {
            "what": "missing",
            "partition": 0,
            "offset": 4,
            "tenant": "acme",
            "writer": "w",
            "sequence": 5,
            "count": 2,
            "other": None,
            "digest": "",
        }
    ]
    assert document["keyed"] is False
    assert document["tenants"]["acme"] == {
        "records": 3,
        "segments": 3,
        "copies": 0,
        "unbound": 0,
        "heads": {"w1": "cd" * 32, "w2": "ab" * 32, "w3": "ef" * 32},
        "tips": ["ab" * 32, "ef" * 32],
    }


def acknowledgement(fault: Fault, **changes: Any) -> bytes:
    """A line of the file, as a person makes it from the line that `--json` prints."""
    fields = command._fault(fault) | {"by": "dana", "reason": "a test of ours"}
    return orjson.dumps(fields | changes)


GARBAGE = Fault("unreadable", Place(0, 4), "acme", digest="ab" * 32)


def test_an_acknowledged_fault_no_longer_fails_and_is_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One record of garbage would make the check red for ever, or be forgotten."""

    async def verify(*_: Any, acknowledgements: Any, **__: Any) -> AuditReport:
        audit_report = AuditReport("t", None, acknowledgements, chains={"acme": CHAIN}, keyed=True)
        audit_report.note([GARBAGE])
        return audit_report

    monkeypatch.setattr(command, "verify_topic", verify)
    file = tmp_path / "acknowledged.ndjson"
    file.write_bytes(acknowledgement(GARBAGE) + b"\n\n")
    assert run("--acknowledge", str(file)) == 0
    out, err = capsys.readouterr()
    line = "t[0]@4: unreadable (tenant acme); acknowledged by dana: a test of ours"
    assert (out.splitlines()[0], err) == (line, "")
    assert run("--acknowledge", str(file), "--json") == 0
    document = orjson.loads(capsys.readouterr().out)
    assert (document["ok"], document["faults"]) == (True, [])
    assert document["acknowledged"] == [orjson.loads(acknowledgement(GARBAGE))]
    assert run() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"what": "changed"},
        {"offset": 5},
        {"partition": 1},
        {"digest": "cd" * 32},
        {"tenant": "globex"},
        {"writer": "w"},
        {"sequence": 1},
        {"count": 2},
    ],
)
def test_another_fault_is_not_acknowledged(
    report: AuditReport,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
) -> None:
    """Under one acknowledgement, other damage at the same place would stay unseen."""
    file = tmp_path / "acknowledged.ndjson"
    file.write_bytes(acknowledgement(GARBAGE, **changes))
    report.acknowledgements = read_acknowledgements(file)
    report.note([GARBAGE])
    assert run() == 1
    assert "1 acknowledgements are about no fault that is there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "line 2 of"),
        (b"[]", "line 2 of"),
        (acknowledgement(GARBAGE, by=" "), "has no `by` or no `reason`"),
        (acknowledgement(GARBAGE, reason=""), "has no `by` or no `reason`"),
        (acknowledgement(GARBAGE, until="never"), "unknown field `until`"),
    ],
)
def test_a_wrong_acknowledgement_is_an_error(
    report: AuditReport,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: bytes,
    complaint: str,
) -> None:
    """A fault would be waved through without a name and a reason, or a typing error be ignored."""
    file = tmp_path / "acknowledged.ndjson"
    file.write_bytes(acknowledgement(GARBAGE) + b"\n" + line)
    assert run("--acknowledge", str(file)) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("expectation", ["acme", "acme=12", f"={'ab' * 32}"])
def test_an_invalid_expectation_is_bad_usage(
    expectation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped head would be reported as lost, or be ignored."""
    assert run("--expect", expectation) == 2
    assert "TENANT=DIGEST" in capsys.readouterr().err


def test_a_report_keeps_the_first_faults_and_counts_all() -> None:
    """A million faults would fill the memory, or one tenant's hide those of another."""
    of_acme = AuditReport("t", "acme")
    of_acme.note(
        Fault("changed", Place(0, offset), tenant)
        for offset in range(MAX_FAULTS + 5)
        for tenant in ("acme", "globex")
    )
    assert (len(of_acme.faults), of_acme.many, of_acme.ok) == (MAX_FAULTS, MAX_FAULTS + 5, False)
    assert AuditReport("t", None).ok


def test_the_audit_topic_keeps_every_record() -> None:
    """With the broker's defaults, records would be deleted after a week."""
    assert TOPICS.configs(TOPICS.audit) == {
        "max.message.bytes": "8388608",
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
    }
    assert admin._new_topic(TOPICS.audit, Settings()).topic_configs == TOPICS.configs(TOPICS.audit)
    assert set(TOPICS.configs(TOPICS.review)) == {"max.message.bytes", "message.timestamp.type"}


@pytest.mark.parametrize(
    ("configs", "problems"),
    [
        ({"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}, 0),
        ({"max.message.bytes": "8388608"}, 0),
        ({"retention.ms": "604800000"}, 1),
        ({"cleanup.policy": "compact", "retention.bytes": "1000"}, 2),
    ],
)
async def test_an_audit_topic_that_deletes_records_is_reported(
    configs: dict[str, str], problems: int
) -> None:
    """`topics check` would accept a topic that loses decisions."""

    async def describe_configs(_: Any) -> Any:
        entries: list[tuple[Any, ...]] = [
            (key, value, False, False, False, []) for key, value in configs.items()
        ]
        return [SimpleNamespace(resources=[(0, "", 2, TOPICS.audit, entries)])]

    client: Any = SimpleNamespace(describe_configs=describe_configs)
    sentences = await admin._misconfigured(client, TOPICS)
    assert len(sentences) == problems
    assert all("triage.audit.v1 does not keep every record" in text for text in sentences)
