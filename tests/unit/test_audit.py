"""The chain of audit records: every change to a record is found, and at the right place."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from schemas.audit import verification
from schemas.audit.continuity import MAX_OPEN_HOLES
from schemas.audit.record import (
    MAX_CHARS,
    MAX_HEADS,
    AuditRecord,
    Entry,
    WrittenTo,
    bounded_labels,
    bounded_text,
    seal,
    unseal,
)
from schemas.audit.verification import COPY_WINDOW, Place
from tests.chains import Appended, check, decide, renumbered, sixty_records, topic, trail
from tests.records import record as read

SIXTY = sixty_records()
UNSEALED_ONCE = lru_cache(maxsize=1000)(unseal)
"""The records that stay as they are are read once, not a million times."""


def sealed(record: Appended, key: bytes | None = None, **changes: object) -> Appended:
    """The record with other content, and a digest that fits it."""
    fields = {name: getattr(record.decoded(), name) for name in Entry.__struct_fields__}
    return replace(record, value=seal(Entry(**fields | changes), key)[0])


def segment_of(record: Appended) -> tuple[str, str]:
    """The tenant and the writer of a record."""
    entry = record.decoded()
    return entry.tenant, entry.writer


def anchors(record: Appended) -> tuple[str, ...]:
    """The digests of records on other segments that this record names."""
    entry = record.decoded()
    if entry.sequence:
        return entry.heads
    return (entry.previous, *entry.heads)


def without(records: Sequence[Appended], index: int) -> list[Appended]:
    """The topic after one record was removed."""
    return renumbered([*records[:index], *records[index + 1 :]])


def test_an_intact_topic_has_no_fault() -> None:
    """`audit verify` would always report faults: two writers, a restart and tenants are normal."""
    faults, verified = check(SIXTY)
    assert faults == []
    assert {
        tenant: (chain.records, len(chain.heads)) for tenant, chain in verified.chains.items()
    } == {
        "acme": (20, 3),
        "globex": (20, 3),
        "é": (20, 3),
    }
    records_of_w3 = [record for record in SIXTY if segment_of(record) == ("é", "w3")]
    assert verified.chains["é"].heads["w3"] == records_of_w3[-1].decoded().digest


@pytest.mark.parametrize("index", range(60))
def test_every_flipped_byte_is_found_and_located(
    index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte could change without a trace, or another record would be reported as changed."""
    monkeypatch.setattr(verification, "unseal", UNSEALED_ONCE)
    record = SIXTY[index]
    assert record.size_bytes > 700
    rows_of_tenant = [other for other in SIXTY if other.key == record.key]
    for position in range(record.size_bytes):
        # One byte in ten is checked among all sixty records. The rest is checked among the
        # twenty records of the tenant, which is faster.
        others = SIXTY if position % 10 == 0 else rows_of_tenant
        flipped = record.flipped(position, position % 8)
        faults, _ = check([flipped if other is record else other for other in others])
        assert [fault.place for fault in faults] == [record.place], (position, faults)


@pytest.mark.parametrize("index", range(60))
def test_every_dropped_record_is_missed(index: int) -> None:
    """A decision that is not the last of its segment could be removed without a trace."""
    dropped = SIXTY[index]
    entry = dropped.decoded()
    faults, _ = check(without(SIXTY, index))
    segment = [record for record in SIXTY if segment_of(record) == segment_of(dropped)]
    has_successor = dropped != segment[-1]
    anchored = any(entry.digest in anchors(record) for record in SIXTY)
    expected = ["missing"] * has_successor + ["unknown anchor"] * anchored
    assert sorted(fault.what for fault in faults) == expected
    for fault in faults[:has_successor]:
        assert (fault.tenant, fault.writer, fault.sequence, fault.count) == (
            *segment_of(dropped),
            entry.sequence,
            1,
        )


def test_every_pair_of_neighbours_swapped_is_found() -> None:
    """Two decisions about the same event could be swapped, so that the wrong one is the latest."""
    writer = trail()
    records = topic(decide(writer, "acme", number) for number in range(12))
    for index in range(11):
        swapped = [*records[:index], records[index + 1], records[index], *records[index + 2 :]]
        faults, _ = check(renumbered(swapped))
        assert [(fault.what, fault.place.offset) for fault in faults] == [("reordered", index + 1)]


def test_records_of_different_segments_may_come_in_any_order() -> None:
    """The order in which the broker mixes the segments would be reported as tampering."""
    by_segment = sorted(SIXTY, key=lambda record: record.decoded().writer)
    assert check(renumbered(by_segment))[0] == []


def test_a_whole_partition_may_come_before_another() -> None:
    """`audit verify` reads partition by partition, and would report every chain as broken."""
    assert check(sorted(SIXTY, key=lambda record: -record.place.partition))[0] == []


def test_a_producers_copy_is_counted_and_is_no_fault() -> None:
    """A retry of a producer that is not idempotent would be reported as tampering."""
    faults, verified = check(renumbered([*SIXTY, *SIXTY[-6:]]))
    assert faults == []
    assert sum(chain.copies for chain in verified.chains.values()) == 6
    assert sum(chain.records for chain in verified.chains.values()) == 60


def test_a_record_appended_again_much_later_is_found() -> None:
    """An old decision could be copied to the end of the topic to look like the latest one."""
    writer = trail()
    records = topic(
        (decide(writer, "acme", number) for number in range(COPY_WINDOW + 10)), partitions=1
    )
    faults, _ = check(renumbered([*records, records[0]]))
    assert [(fault.what, fault.place.offset) for fault in faults] == [
        ("repeated", COPY_WINDOW + 10)
    ]


def test_a_record_sealed_again_is_reported_and_not_its_successor() -> None:
    """Anybody who may write to the topic could change a decision together with its digest."""
    for index in (0, 7, 20):
        forged = sealed(SIXTY[index], queue="nowhere")
        faults, _ = check([*SIXTY[:index], forged, *SIXTY[index + 1 :]])
        assert [(fault.what, fault.place) for fault in faults] == [("changed", forged.place)]


def test_damaged_neighbours_are_each_reported_once() -> None:
    """After two damaged records in a row, a third one would be reported as missing."""
    writer = trail()
    records = topic(decide(writer, "acme", number) for number in range(6))
    for first in range(5):
        damaged = list(records)
        for i in (first, first + 1):
            damaged[i] = records[i].flipped(200, 1)
        assert [fault.place.offset for fault in check(damaged)[0]] == [first, first + 1]


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b"\xff" * 300, b"[" * 2000, orjson.dumps({"schema": "x"})]
)
def test_what_is_no_record_is_reported(value: bytes | None) -> None:
    """A tombstone or random bytes would stop the check of all records behind it."""
    stray = Appended(Place(0, 99), b"acme", value, [])
    assert [(fault.what, fault.tenant) for fault in check([*SIXTY, stray])[0]] == [
        ("unreadable", "acme")
    ]


def test_the_end_of_a_chain_is_missed_when_it_was_noted() -> None:
    """The newest decisions could be cut off: a chain alone cannot show that."""
    noted = SIXTY[-1].decoded().digest
    assert noted in check(SIXTY)[1].chains["é"].tips
    assert check(SIXTY, expected=[("é", noted)])[1].lost() == []
    assert check(SIXTY[:-1], expected=[("é", noted)])[1].lost() == [("é", noted)]
    assert check(SIXTY, expected=[("acme", noted)])[1].lost() == [("acme", noted)]


def test_a_removed_segment_is_missed_by_the_one_begun_after_it() -> None:
    """Everything before a restart could be removed together."""
    rest = [record for record in SIXTY if record.decoded().writer == "w3"]
    faults, _ = check(renumbered(rest))
    assert {(fault.what, fault.tenant, fault.sequence) for fault in faults} == {
        ("unknown anchor", tenant, 0) for tenant in ("acme", "globex", "é")
    }


def two_workers() -> list[Appended]:
    """The records of two workers of one tenant that read each other; the first stops earlier."""
    first, second = trail("w1"), trail("w2")
    records = []
    for number in range(20):
        first_writes = number % 2 and number < 15
        writer, reader = (first, second) if first_writes else (second, first)
        records.append(decide(writer, "acme", number))
        reader.learn(read(records[-1].value))
    return topic(records, partitions=1)


def test_what_a_quiet_worker_wrote_last_is_missed() -> None:
    """The end of a segment, or all of it, could be removed while other workers continue."""
    records = two_workers()
    records_of_w1 = [record for record in records if record.decoded().writer == "w1"]
    assert check(records)[0] == []
    for count in range(1, len(records_of_w1) + 1):
        removed = records_of_w1[-count:]
        faults, _ = check(renumbered(record for record in records if record not in removed))
        assert {fault.what for fault in faults} == {"unknown anchor"}, count
        assert len(faults) == count


def test_a_last_record_sealed_again_is_missed() -> None:
    """Without a key, anybody who may write could change a stopped worker's last decision."""
    records = two_workers()
    index = max(i for i, record in enumerate(records) if record.decoded().writer == "w1")
    forged = sealed(records[index], queue="nowhere")
    faults, _ = check([*records[:index], forged, *records[index + 1 :]])
    assert [(fault.what, fault.place.offset) for fault in faults] == [("unknown anchor", index + 1)]


def test_only_heads_that_no_record_names_have_to_be_noted() -> None:
    """People would not know which heads to note, or would have to note one for every start."""
    records = two_workers()
    chain = check(records)[1].chains["acme"]
    assert set(chain.heads) == {"w1", "w2"}
    assert chain.tips == {records[-1].decoded().digest}


@pytest.mark.parametrize(
    "records",
    [topic([decide(trail("w1"), "acme"), decide(trail("w2"), "acme")]), SIXTY],
    ids=["two segments", "sixty records"],
)
def test_a_noted_tip_that_is_removed_is_reported_as_lost(records: list[Appended]) -> None:
    """A removed tip would not be found, although somebody had noted it."""
    named = {digest for record in records for digest in anchors(record)}
    for tenant, chain in check(records)[1].chains.items():
        assert chain.tips == set(chain.heads.values()) - named
        for head in chain.tips:
            rest = [record for record in records if record.decoded().digest != head]
            faults, verified = check(renumbered(rest), expected=[(tenant, head)])
            assert (faults, verified.lost()) == ([], [(tenant, head)])


def test_a_record_that_names_too_many_heads_is_unreadable() -> None:
    """One forged record could fill the memory of the process that checks the topic."""
    heads = tuple(f"{number:064x}" for number in range(MAX_HEADS + 1))
    assert len(check([sealed(SIXTY[0], heads=heads[1:])])[0]) == MAX_HEADS
    assert [fault.what for fault in check([sealed(SIXTY[0], heads=heads)])[0]] == ["unreadable"]


def test_an_anchor_far_back_is_found_in_the_second_reading() -> None:
    """A worker that knew only an old record of a tenant would be reported as a forger."""
    first, second = trail("w1"), trail("w2")
    records = [decide(first, "acme", number) for number in range(3)]
    second.learn(read(topic(records)[1].value))
    records += [decide(first, "acme", number) for number in range(3, COPY_WINDOW + 10)]
    records.append(decide(second, "acme"))
    assert check(topic(records, partitions=1))[0] == []


def test_a_topic_given_more_partitions_is_intact() -> None:
    """New partitions move tenants, and every segment would be reported without its beginning."""
    writer = trail()
    records = [decide(writer, "acme", number) for number in range(10)]
    before, after = topic(records[:6], partitions=1), topic(records[6:], partitions=1)
    moved = [replace(record, place=Place(1, record.place.offset)) for record in after]
    assert check([*before, *moved])[0] == []
    assert check([*moved, *before])[0] == []
    faults, _ = check([*before[:-1], *moved])
    assert [(fault.what, fault.sequence, fault.count) for fault in faults] == [("missing", 5, 1)]
    faults, _ = check([*before[:-1], sealed(before[-1], queue="nowhere"), *moved])
    assert [(fault.what, fault.place, fault.sequence) for fault in faults] == [
        ("changed", before[-1].place, 5)
    ]


def test_with_a_key_no_record_sealed_without_it_passes() -> None:
    """Anybody who may write to the topic could write a completely new one."""
    faults, _ = check(SIXTY, key=b"k")
    assert [fault.what for fault in faults] == ["wrong seal"] * 60
    unsigned = topic([decide(trail(), "acme")])
    signed = [sealed(record, b"k", seal="hmac-sha256") for record in unsigned]
    assert check(signed, key=b"k")[0] == []
    assert [fault.what for fault in check(signed, key=b"other")[0]] == ["changed"]
    assert [fault.what for fault in check(signed)[0]] == ["wrong seal"]


def damaged_under_another_key(records: list[Appended], index: int) -> list[Appended]:
    """The records, of which one was changed and moved under the key of another tenant."""
    moved = replace(records[index].flipped(330, 1), key=b"globex")
    return [*records[:index], moved, *records[index + 1 :]]


@pytest.mark.parametrize("index", range(5))
def test_a_damaged_record_under_another_key_is_its_tenants_fault(index: int) -> None:
    """`--tenant acme` would miss a record that was changed together with its key."""
    writer = trail()
    records = topic((decide(writer, "acme", number) for number in range(6)), partitions=1)
    faults, _ = check(damaged_under_another_key(records, index))
    assert {fault.place for fault in faults} == {records[index].place}
    assert any(fault.concerns("acme") for fault in faults)
    assert any(fault.concerns("globex") for fault in faults)


@pytest.mark.parametrize("value", [b"x", b"{}", None])
def test_a_wiped_record_under_another_key_is_missed_by_its_tenant(value: bytes | None) -> None:
    """Nothing in the record says whose it was; its neighbours do."""
    writer = trail()
    records = topic((decide(writer, "acme", number) for number in range(6)), partitions=1)
    records[2] = replace(records[2], value=value, key=b"globex")
    faults, _ = check(records)
    assert {fault.what for fault in faults if fault.concerns("acme")} == {"missing"}
    assert {fault.what for fault in faults if fault.concerns("globex")} == {"unreadable"}


def test_an_unreadable_record_with_its_digest_is_claimed_by_its_neighbour() -> None:
    """A record whose content is gone, but not its digest, would be only another tenant's fault."""
    writer = trail()
    records = topic((decide(writer, "acme", number) for number in range(6)), partitions=1)
    value = records[2].value or b""
    wiped = b"{" + b" " * 300 + b',"digest":"' + value[-66:-2] + b'"}'
    records[2] = replace(records[2], value=wiped, key=b"globex")
    faults, _ = check(records)
    of_acme = [fault for fault in faults if fault.concerns("acme")]
    assert {(fault.what, fault.place) for fault in of_acme} >= {("unreadable", records[2].place)}


def test_an_anchor_claims_a_damaged_record() -> None:
    """The last record of a segment has no neighbour; the segment that names it knows its tenant."""
    first, second = trail("w1"), trail("w2")
    records = [decide(first, "acme", 0)]
    second.learn(read(records[0].value))
    appended = topic([*records, decide(second, "acme", 1)], partitions=1)
    value = appended[0].value or b""
    wiped = b"{" + b" " * 300 + b',"digest":"' + value[-66:-2] + b'"}'
    faults, _ = check([replace(appended[0], value=wiped, key=b"globex"), appended[1]])
    assert [(fault.what, fault.tenant, fault.other) for fault in faults] == [
        ("unreadable", "globex", None),
        ("unreadable", "acme", "globex"),
    ]


def test_a_whole_record_under_another_key_concerns_both_tenants() -> None:
    """The tenant under whose key it was put would not learn of it."""
    (record,) = topic([decide(trail(), "acme")])
    ((fault,), _) = check([replace(record, key=b"globex")])
    assert (fault.what, fault.tenant, fault.other) == ("wrong key", "acme", "globex")


HERE = WrittenTo("here", "triage.audit.v1")


@pytest.mark.parametrize(
    ("written_to", "faulty"),
    [
        (HERE, False),
        (WrittenTo("", "triage.audit.v1"), False),
        (WrittenTo("there", "triage.audit.v1"), True),
        (WrittenTo("here", "other.audit.v1"), True),
        (WrittenTo("", "other.audit.v1"), True),
    ],
)
def test_a_record_is_sealed_for_its_topic(written_to: WrittenTo, faulty: bool) -> None:
    """The chain of another cluster, or of another topic, could be passed off as this one."""
    records = topic([decide(trail(cluster="here"), "acme")])
    faults, _ = check(records, written_to=written_to)
    assert [fault.what for fault in faults] == ["wrong topic"] * faulty


def test_a_chain_of_version_1_is_still_intact() -> None:
    """After an update, everything that was decided before would be reported as forged."""
    lines = Path(__file__).parent.parent.joinpath("data", "audit_v1.ndjson").read_bytes()
    old = [
        Appended(
            Place(line["partition"], line["offset"]),
            line["key"].encode(),
            line["value"].encode(),
            [(name, value.encode()) for name, value in line["headers"]],
        )
        for line in map(orjson.loads, lines.splitlines())
    ]
    faults, verified = check(old, written_to=HERE)
    assert faults == []
    assert {tenant: chain.unbound for tenant, chain in verified.chains.items()} == {
        "acme": 5,
        "é": 1,
    }
    writer = trail("w3", cluster="here")
    for record in old:
        writer.learn(read(record.value))
    new = replace(topic([decide(writer, "acme", 9)], partitions=1)[0], place=Place(1, 99))
    faults, verified = check([*old, new], written_to=HERE)
    assert (faults, verified.chains["acme"].unbound) == ([], 5)
    for index, record in enumerate(old):
        flipped = record.flipped(400, 1)
        assert check([*old[:index], flipped, *old[index + 1 :]])[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "triage.audit.v1"},
        {"cluster": None},
        {"topic": None},
        {"cluster": None, "topic": None},
        {"schema": "triage.audit.v1", "topic": None},
    ],
)
def test_a_version_has_its_own_fields(changes: dict[str, Any]) -> None:
    """A record could name a topic that is not checked, or leave out the one that is."""
    (record,) = topic([decide(trail(), "acme")])
    assert [fault.what for fault in check([sealed(record, **changes)])[0]] == ["unreadable"]


def test_what_a_key_buys() -> None:
    """The documentation would promise more, or less, than the chain shows."""
    forger = trail("invented")
    invented = topic([decide(forger, "acme", number) for number in range(3)])
    assert check(renumbered([*SIXTY, *invented]))[0] == [], "without a key, nothing shows it"
    plain = topic([decide(trail(), "b")])
    with_key = [sealed(record, b"k", seal="hmac-sha256") for record in plain]
    faults, _ = check(renumbered([*with_key, *invented]), key=b"k")
    assert {fault.what for fault in faults} == {"wrong seal"}
    assert len(faults) == 3


def test_many_holes_are_reported_as_they_come() -> None:
    """A topic with very many holes would fill the memory."""
    writer = trail()
    records = topic((decide(writer, "acme", number) for number in range(400)), partitions=1)
    verified = verification.Verification()
    faults = []
    for record in renumbered(records[::2]):
        faults += verified.add(
            record.value, place=record.place, key=record.key, headers=record.headers
        )
    assert len(faults) == 199 - MAX_OPEN_HOLES
    assert len(faults + verified.end()) == 199


def test_long_texts_cannot_make_a_record_too_large() -> None:
    """An event with a tenant of megabytes would leave a hole that could never be closed."""
    huge = decide(trail(), "t" * 1_000_000, queue="q" * 1_000_000)
    assert len(huge.value or b"") < 4_000
    assert len(huge.key or b"") < MAX_CHARS
    assert bounded_text("x" * MAX_CHARS) == "x" * MAX_CHARS
    many_axes = {f"{n}" * 500: "v" * 500 for n in range(500)}
    assert len(orjson.dumps(bounded_labels(many_axes))) < 100
    long_axes = {f"{n:0>500}": "\0" * 500 for n in range(32)}
    assert len(orjson.dumps(bounded_labels(long_axes))) < 10_000


def test_no_content_is_in_a_record() -> None:
    """The audit topic is kept for ever, and would hold content that may have to be erased."""
    fields = set(AuditRecord.__struct_fields__)
    assert not fields & {
        "text",
        "title",
        "body",
        "event",
        "reasons",
        "summary",
        "rationale",
        "comment",
        "source",
    }
    assert not {"summary", "rationale", "quoted"} & set(msgspec.structs.asdict(SIXTY[0].decoded()))
