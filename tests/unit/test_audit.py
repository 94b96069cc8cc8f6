"""The chain of audit records: whatever is done to one of them is found, and found there."""

from dataclasses import replace
from functools import cache

import msgspec
import orjson
import pytest

from schemas.audit import verification
from schemas.audit.record import (
    MAX_CHARS,
    MAX_HEADS,
    AuditRecord,
    Entry,
    labels_or_digest,
    or_digest,
    seal,
    unseal,
)
from schemas.audit.verification import COPY_WINDOW, MAX_OPEN_HOLES, Place
from tests.chains import Appended, check, decide, renumbered, sixty, topic, trail
from tests.records import record as read

WHOLE = sixty()


def sealed(each: Appended, key: bytes | None = None, **changes: object) -> Appended:
    """The record with something else in it, and a digest that fits."""
    fields = {name: getattr(each.decoded(), name) for name in Entry.__struct_fields__}
    return replace(each, value=seal(Entry(**fields | changes), key)[0])


def test_a_whole_topic_has_no_fault() -> None:
    """Every `audit verify` would cry wolf: two writers at once, a restart, and tenants on one partition are normal."""
    faults, found = check(WHOLE)
    assert faults == []
    assert {
        tenant: (chain.records, len(chain.heads)) for tenant, chain in found.chains.items()
    } == {
        "acme": (20, 3),
        "globex": (20, 3),
        "é": (20, 3),
    }
    assert (
        found.chains["é"].heads["w3"]
        == [e for e in WHOLE if _strand(e.decoded()) == ("é", "w3")][-1].decoded().digest
    )


def test_every_flipped_byte_is_found_and_located(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte could change unseen, or another record than the changed one would be blamed."""
    monkeypatch.setattr(
        verification, "unseal", cache(unseal)
    )  # the others are read once, not a million times
    flips = 0
    for index, each in enumerate(WHOLE):
        tenants = [one for one in WHOLE if one.key == each.key]
        for at in range(each.bytes_in_all):
            # Among all sixty for one byte in ten; among its tenant's twenty for the rest, which is quicker.
            others = WHOLE if at % 10 == 0 else tenants
            faults, _ = check([each.flipped(at, at % 8) if one is each else one for one in others])
            assert [fault.place for fault in faults] == [each.place], (index, at, faults)
            flips += 1
    assert flips > 60 * 700


@pytest.mark.parametrize("index", range(60))
def test_every_dropped_record_is_missed(index: int) -> None:
    """A decision could be taken off the topic without a trace, but for the last of a strand."""
    gone = WHOLE[index].decoded()
    faults, _ = check(renumbered([*WHOLE[:index], *WHOLE[index + 1 :]]))
    segment = [
        each.decoded()
        for each in WHOLE
        if (each.decoded().tenant, each.decoded().writer) == _strand(gone)
    ]
    anchored = any(gone.digest in named(each) for each in WHOLE)
    expected = ["missing"] * (gone != segment[-1]) + ["unknown anchor"] * anchored
    assert sorted(fault.what for fault in faults) == expected
    for fault in faults[: gone != segment[-1]]:
        assert (fault.tenant, fault.writer, fault.sequence, fault.count) == (
            *_strand(gone),
            gone.sequence,
            1,
        )


def named(each: Appended) -> tuple[str, ...]:
    """The records of other strands it names."""
    record = each.decoded()
    return record.heads if record.sequence else (record.previous, *record.heads)


def _strand(record: AuditRecord) -> tuple[str, str]:
    return record.tenant, record.writer


def test_every_pair_of_neighbours_swapped_is_found() -> None:
    """Two decisions about the same event could change places, and the later one win."""
    one = trail()
    records = topic(decide(one, "acme", number) for number in range(12))
    for index in range(11):
        swapped = [*records[:index], records[index + 1], records[index], *records[index + 2 :]]
        faults, _ = check(renumbered(swapped))
        assert [(fault.what, fault.place.offset) for fault in faults] == [("reordered", index + 1)]


def test_records_of_different_strands_may_lie_in_any_order() -> None:
    """What the broker interleaves would be taken for tampering."""
    by_strand = sorted(WHOLE, key=lambda each: each.decoded().writer)
    assert check(renumbered(by_strand))[0] == []


def test_a_whole_partition_may_come_before_another() -> None:
    """`audit verify` reads partition by partition, and would find every chain broken."""
    assert check(sorted(WHOLE, key=lambda each: -each.place.partition))[0] == []


def test_a_producers_copy_is_counted_and_is_no_fault() -> None:
    """A retry of a producer that is not idempotent would look like an attack."""
    faults, found = check(renumbered([*WHOLE, *WHOLE[-6:]]))
    assert faults == []
    assert sum(chain.copies for chain in found.chains.values()) == 6
    assert sum(chain.records for chain in found.chains.values()) == 60


def test_a_record_appended_again_much_later_is_found() -> None:
    """An old decision could be put at the end of the topic to pass for the latest."""
    one = trail()
    records = topic(
        (decide(one, "acme", number) for number in range(COPY_WINDOW + 10)), partitions=1
    )
    faults, _ = check(renumbered([*records, records[0]]))
    assert [(fault.what, fault.place.offset) for fault in faults] == [
        ("repeated", COPY_WINDOW + 10)
    ]


def test_a_record_sealed_anew_is_blamed_and_not_its_successor() -> None:
    """Whoever may write the topic could change a decision and its digest with it."""
    for index in (0, 7, 20):
        forged = sealed(WHOLE[index], queue="nowhere")
        faults, _ = check([*WHOLE[:index], forged, *WHOLE[index + 1 :]])
        assert [(fault.what, fault.place) for fault in faults] == [("changed", forged.place)]


def test_damaged_neighbours_are_each_blamed_once() -> None:
    """Two damaged records in a row would have a third called missing."""
    one = trail()
    records = topic(decide(one, "acme", number) for number in range(6))
    for first in range(5):
        damaged = [
            each.flipped(200, 1) if first <= i <= first + 1 else each
            for i, each in enumerate(records)
        ]
        assert [fault.place.offset for fault in check(damaged)[0]] == [first, first + 1]


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b"\xff" * 300, b"[" * 2000, orjson.dumps({"schema": "x"})]
)
def test_what_is_no_record_is_named(value: bytes | None) -> None:
    """A tombstone or garbage would stop the verification of everything behind it."""
    stray = Appended(Place(0, 99), b"acme", value, [])
    assert [(fault.what, fault.tenant) for fault in check([*WHOLE, stray])[0]] == [
        ("unreadable", "acme")
    ]


def test_the_end_of_a_chain_is_missed_when_it_was_noted() -> None:
    """The newest decisions could be cut off: no chain shows that by itself."""
    noted = WHOLE[-1].decoded().digest
    assert noted in check(WHOLE)[1].chains["é"].tips
    assert check(WHOLE, expected=[("é", noted)])[1].lost() == []
    assert check(WHOLE[:-1], expected=[("é", noted)])[1].lost() == [("é", noted)]
    assert check(WHOLE, expected=[("acme", noted)])[1].lost() == [("acme", noted)]


def test_a_strand_that_is_gone_is_missed_by_the_one_begun_after_it() -> None:
    """Everything before a restart could be removed at once."""
    rest = [each for each in WHOLE if each.decoded().writer == "w3"]
    faults, _ = check(renumbered(rest))
    assert {(fault.what, fault.tenant, fault.sequence) for fault in faults} == {
        ("unknown anchor", tenant, 0) for tenant in ("acme", "globex", "é")
    }


def together() -> list[Appended]:
    """Two workers of one tenant that read what the other writes; the first ends before the second."""
    one, two = trail("w1"), trail("w2")
    records = []
    for number in range(20):
        writer, other = (one, two) if number % 2 and number < 15 else (two, one)
        records.append(decide(writer, "acme", number))
        other.learn(read(records[-1].value))
    return topic(records, partitions=1)


def test_what_a_quiet_worker_wrote_last_is_missed() -> None:
    """The end of a strand, or all of it, could be cut out in mid-topic while others write on."""
    whole = together()
    first = [each for each in whole if each.decoded().writer == "w1"]
    assert check(whole)[0] == []
    for gone in range(1, len(first) + 1):
        faults, _ = check(renumbered(each for each in whole if each not in first[-gone:]))
        assert {fault.what for fault in faults} == {"unknown anchor"}, gone
        assert len(faults) == gone


def test_a_last_record_sealed_anew_is_missed() -> None:
    """Without a key, whoever may write the topic could change the last decision of a worker that has stopped."""
    whole = together()
    index = max(at for at, each in enumerate(whole) if each.decoded().writer == "w1")
    faults, _ = check([*whole[:index], sealed(whole[index], queue="nowhere"), *whole[index + 1 :]])
    assert [(fault.what, fault.place.offset) for fault in faults] == [("unknown anchor", index + 1)]


def test_only_what_nothing_names_has_to_be_noted() -> None:
    """Nobody would know which heads to note, or would have to note one for every start of every worker."""
    whole = together()
    heads, tips = check(whole)[1].chains["acme"].heads, check(whole)[1].chains["acme"].tips
    assert set(heads) == {"w1", "w2"}
    assert tips == {whole[-1].decoded().digest}
    for apart in (topic([decide(trail("w1"), "acme"), decide(trail("w2"), "acme")]), WHOLE):
        for tenant, chain in check(apart)[1].chains.items():
            assert chain.tips == set(chain.heads.values()) - {
                one for each in apart for one in named(each)
            }
            for head in chain.tips:
                rest = [each for each in apart if each.decoded().digest != head]
                faults, found = check(renumbered(rest), expected=[(tenant, head)])
                assert (faults, found.lost()) == ([], [(tenant, head)])


def test_a_record_that_names_too_many_is_none() -> None:
    """One forged record could fill the memory of whoever checks the topic."""
    heads = tuple(f"{number:064x}" for number in range(MAX_HEADS + 1))
    assert len(check([sealed(WHOLE[0], heads=heads[1:])])[0]) == MAX_HEADS
    assert [fault.what for fault in check([sealed(WHOLE[0], heads=heads)])[0]] == ["unreadable"]


def test_an_anchor_far_back_is_found_on_a_second_look() -> None:
    """A worker that knew an old record of a tenant would be taken for a forger."""
    one, two = trail("w1"), trail("w2")
    records = [decide(one, "acme", number) for number in range(3)]
    two.learn(read(topic(records)[1].value))
    records += [decide(one, "acme", number) for number in range(3, COPY_WINDOW + 10)]
    records.append(decide(two, "acme"))
    assert check(topic(records, partitions=1))[0] == []


def test_a_topic_given_more_partitions_is_whole() -> None:
    """Adding partitions moves tenants, and every strand would be said to have lost its beginning."""
    one = trail()
    records = [decide(one, "acme", number) for number in range(10)]
    before, after = topic(records[:6], partitions=1), topic(records[6:], partitions=1)
    moved = [replace(each, place=Place(1, each.place.offset)) for each in after]
    assert check([*before, *moved])[0] == []
    assert check([*moved, *before])[0] == []
    faults, _ = check([*before[:-1], *moved])
    assert [(fault.what, fault.sequence, fault.count) for fault in faults] == [("missing", 5, 1)]
    faults, _ = check([*before[:-1], sealed(before[-1], queue="nowhere"), *moved])
    assert [(fault.what, fault.place, fault.sequence) for fault in faults] == [
        ("changed", before[-1].place, 5)
    ]


def test_with_a_key_nothing_sealed_without_it_passes() -> None:
    """Whoever may write the topic could write a whole new one."""
    faults, _ = check(WHOLE, key=b"k")
    assert [fault.what for fault in faults] == ["wrong seal"] * 60
    signed = [sealed(each, b"k", seal="hmac-sha256") for each in topic([decide(trail(), "acme")])]
    assert check(signed, key=b"k")[0] == []
    assert [fault.what for fault in check(signed, key=b"other")[0]] == ["changed"]
    assert [fault.what for fault in check(signed)[0]] == ["wrong seal"]


def test_many_holes_are_told_as_they_come() -> None:
    """A topic full of holes would be held in memory."""
    one = trail()
    records = topic((decide(one, "acme", number) for number in range(400)), partitions=1)
    found = verification.Verification()
    faults = []
    for each in renumbered(records[::2]):
        faults += found.add(each.value, place=each.place, key=each.key, headers=each.headers)
    assert len(faults) == 199 - MAX_OPEN_HOLES
    assert len(faults + found.end()) == 199


def test_what_strangers_choose_cannot_make_a_record_too_large() -> None:
    """An event with a tenant of megabytes would leave a hole in a chain that nobody could close."""
    huge = decide(trail(), "t" * 1_000_000, queue="q" * 1_000_000)
    assert len(huge.value or b"") < 4_000
    assert len(huge.key or b"") < MAX_CHARS
    assert or_digest("x" * MAX_CHARS) == "x" * MAX_CHARS
    assert len(orjson.dumps(labels_or_digest({f"{n}" * 500: "v" * 500 for n in range(500)}))) < 100
    assert (
        len(orjson.dumps(labels_or_digest({f"{n:0>500}": "\0" * 500 for n in range(32)}))) < 10_000
    )


def test_no_content_is_in_a_record() -> None:
    """The trail would keep for ever what may have to be erased."""
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
    assert not {"summary", "rationale", "quoted"} & set(msgspec.structs.asdict(WHOLE[0].decoded()))
