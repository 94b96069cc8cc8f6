"""Verifying the audit topic: it is read to its end, also if bytes changed on the broker's disk."""

from dataclasses import asdict, replace

import msgspec
import pytest
from aiokafka import TopicPartition

from schemas.audit import verification
from schemas.audit.record import AuditRecord
from schemas.audit.verification import Place
from schemas.codec import decode
from streams.audit.acknowledged import Acknowledgement, key_of
from streams.audit.verify import AuditReport, verify
from streams.config import Settings
from streams.errors import DamagedBatch
from streams.kafka import reader
from tests.chains import Appended, decide, renumbered, sixty_records, topic, trail
from tests.doubles import TOPICS
from tests.kafka_log import KafkaLog
from tests.records import record as read

RECORDS = sixty_records()


def stored(monkeypatch: pytest.MonkeyPatch, records: list[Appended]) -> KafkaLog:
    """The audit topic with these records."""
    log = KafkaLog.of(TOPICS.audit, records)
    log.install(monkeypatch, reader)
    return log


def faults(report: AuditReport) -> list[tuple[str, int, int]]:
    """What is wrong, and at which partition and offset."""
    return [(fault.what, fault.place.partition, fault.place.offset) for fault in report.faults]


async def test_an_intact_topic_is_read_once_and_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An auditor would trust a topic of which only a part was read."""
    log = stored(monkeypatch, RECORDS)
    report = await verify(Settings())
    assert report.ok
    assert {tenant: chain.records for tenant, chain in report.chains.items()} == {
        "acme": 20,
        "globex": 20,
        "é": 20,
    }
    assert (log.opened, log.stopped, log.rewound) == (1, 1, 0)


async def test_a_missing_record_and_a_lost_head_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody could remove a decision, or the end of a chain, and nobody would notice."""
    lost = RECORDS[20]
    stored(monkeypatch, renumbered(record for record in RECORDS if record != lost))
    tenant, digest = lost.decoded().tenant, lost.decoded().digest
    report = await verify(Settings(), [(tenant, digest)])
    assert not report.ok
    assert {what for what, *_ in faults(report)} == {"missing"}
    assert report.lost == [(tenant, digest)]


async def test_the_report_of_a_tenant_leaves_the_others_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One tenant would be shown what is wrong with another, or its own fault be hidden."""
    changed = RECORDS[20].decoded().tenant
    stored(monkeypatch, [r.flipped(300, 2) if r is RECORDS[20] else r for r in RECORDS])
    others = {"acme", "globex", "é"} - {changed}
    assert not (await verify(Settings(), tenant=changed)).ok
    for tenant in others:
        report = await verify(Settings(), [(changed, "0" * 64)], tenant)
        assert report.ok
        assert set(report.chains) == {tenant}


async def test_records_of_another_cluster_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quiet audit topic of a test cluster could take the place of the real one."""
    log = stored(monkeypatch, sixty_records())
    log.cluster = "here"
    assert (await verify(Settings())).ok, "the trails of this test know no cluster"
    written_there = sixty_records(cluster="there")
    log = stored(monkeypatch, written_there)
    log.cluster = "here"
    report = await verify(Settings())
    in_order = sorted(record.place for record in written_there)
    assert faults(report) == [("wrong topic", *place) for place in in_order]
    assert (await verify(Settings(), cluster="there")).ok, "the topic is a copy, and said to be one"
    log.cluster = "there"
    assert (await verify(Settings())).ok
    assert not (await verify(Settings(), topic="another.audit.v1")).ok


async def test_a_trail_learns_its_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records would be sealed for no cluster, and fit on any."""
    log = stored(monkeypatch, [])
    log.cluster = "here"
    writer = trail()
    await writer.start()
    entry = decode(decide(writer, "acme").value or b"", AuditRecord)
    assert entry.written_to == ("here", TOPICS.audit)


async def test_garbage_is_acknowledged_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One record of garbage would fail every check for ever, or the next one pass unseen."""
    stray = Appended(Place(0, 0), b"acme", b"garbage", [])
    rest = topic([decide(trail(), "globex")], partitions=1)
    records = renumbered([stray, *rest])
    stored(monkeypatch, records)
    (fault,) = (await verify(Settings())).faults
    line = {**asdict(fault), "partition": 0, "offset": 0, "by": "dana", "reason": "a test"}
    del line["place"]
    accepted = msgspec.convert(line, Acknowledgement)
    report = await verify(Settings(), acknowledgements={accepted.key: accepted})
    assert (report.ok, len(report.acknowledged)) == (True, 1)
    for other in (
        replace(stray, value=b"other garbage"),
        replace(stray, headers=[("a", b"b")]),
        replace(stray, value=None),
    ):
        stored(monkeypatch, renumbered([other, *rest]))
        report = await verify(Settings(), acknowledgements={accepted.key: accepted})
        assert (report.ok, report.acknowledged) == (False, [])


async def test_a_hole_that_grows_is_a_new_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has an acknowledged hole could remove the records beside it as well."""
    writer = trail()
    records = topic((decide(writer, "acme", number) for number in range(6)), partitions=1)
    stored(monkeypatch, renumbered([*records[:3], *records[4:]]))
    (fault,) = (await verify(Settings())).faults
    filler = topic([decide(writer, "globex")], partitions=1)
    stored(monkeypatch, renumbered([*filler, *records[:2], *records[4:]]))
    (grown,) = (await verify(Settings())).faults
    assert (grown.place, grown.digest, grown.count) == (fault.place, fault.digest, 2)
    assert key_of(grown) != key_of(fault)


async def test_an_anchor_far_back_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was away for long would be taken for a forger."""
    monkeypatch.setattr(verification, "COPY_WINDOW", 2)
    first, second = trail("w1"), trail("w2")
    records = [decide(first, "acme", number) for number in range(3)]
    second.learn(read(topic(records)[1].value))
    records += [decide(first, "acme", number) for number in range(3, 8)]
    log = stored(monkeypatch, topic([*records, decide(second, "acme")], partitions=1))
    report = await verify(Settings())
    assert faults(report) == []
    assert log.rewound == 1


async def test_a_changed_record_is_named_although_the_batch_is_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An auditor would learn that a batch is damaged, but not which decision was changed."""
    changed = RECORDS[20]
    in_the_id = (changed.value or b"").index(b'"id":"') + len('"id":"')
    log = stored(monkeypatch, [r.flipped(in_the_id, 2) if r is changed else r for r in RECORDS])
    place = changed.place
    log.damaged = {TopicPartition(TOPICS.audit, place.partition): place.offset}
    report = await verify(Settings())
    assert faults(report) == [("changed", place.partition, place.offset)]
    assert log.opened == 2
    assert log.options["check_crcs"] is False


async def test_damage_around_intact_records_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The damage would be hidden, because no seal shows it."""
    log = stored(monkeypatch, RECORDS)
    log.damaged = {TopicPartition(TOPICS.audit, RECORDS[20].place.partition): 3}
    with pytest.raises(DamagedBatch, match="begins a damaged batch"):
        await verify(Settings())
    assert (await verify(Settings(), tenant="acme")).ok, "the tenant's own records are intact"


async def test_a_batch_that_cannot_be_parsed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the topic would be taken for verified."""
    log = stored(monkeypatch, RECORDS)
    log.damaged = {TopicPartition(TOPICS.audit, 0): 3}
    log.error = ValueError("not enough bytes")
    with pytest.raises(DamagedBatch):
        await verify(Settings())
    assert (log.opened, log.stopped) == (2, 2)
