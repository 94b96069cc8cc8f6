"""The audit chain under whatever is written to it and whatever is done to it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.audit.record import AuditRecord, Entry, LlmUse, seal, seal_of, unseal
from schemas.event import Origin
from tests.chains import check, decide, renumbered, topic, trail
from tests.records import record as read

words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
keys = st.none() | st.binary(min_size=1, max_size=80)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
uses = st.builds(
    LlmUse,
    status=words,
    model=st.none() | words,
    tier=st.none() | words,
    calls=st.integers(0, 9),
    prompt_tokens=st.integers(0, 10**6),
    completion_tokens=st.integers(0, 10**6),
    cost_usd=st.floats(0, 1e6),
    redactions=st.dictionaries(words, st.integers(0, 99), max_size=4),
)
entries = st.builds(
    Entry,
    seal=st.just("sha256"),
    tenant=words,
    writer=words,
    sequence=st.integers(0, 2**53),
    previous=st.just("") | digests,
    heads=st.lists(digests, max_size=3).map(tuple),
    at=words,
    id=words,
    domain=st.sampled_from(("alerts", "tickets")),
    revision=st.integers(0, 9),
    status=st.sampled_from(("final", "provisional", "needs_review")),
    decided_by=st.sampled_from(("rule", "slm", "llm", "human")),
    labels=st.dictionaries(words, words, max_size=4),
    queue=words,
    input_digest=digests,
    output_digest=digests,
    model_digest=words,
    calibration_digest=words,
    enrichment=st.none() | uses,
    origin=st.builds(
        Origin, topic=words, partition=st.integers(-1, 99), offset=st.integers(-1, 2**53)
    ),
)


@given(entry=entries, key=keys)
def test_what_is_sealed_is_read_back(entry: Entry, key: bytes | None) -> None:
    """A tenant's name or a label could make a record that its own seal does not fit."""
    entry = _with_seal(entry, key)
    value, digest = seal(entry, key)
    found = unseal(value, key)
    assert found.fault is None
    assert isinstance(found.record, AuditRecord)
    assert {name: getattr(found.record, name) for name in Entry.__struct_fields__} == {
        name: getattr(entry, name) for name in Entry.__struct_fields__
    }
    assert found.digests == (digest, digest)
    assert found.previous == entry.previous


@given(entry=entries, key=keys, data=st.data())
def test_no_other_bytes_fit_a_seal(entry: Entry, key: bytes | None, data: st.DataObject) -> None:
    """A record could be changed in a way its digest does not show."""
    value, _ = seal(_with_seal(entry, key), key)
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(len(value), start + 8)))
    other = value[:start] + data.draw(st.binary(max_size=8)) + value[end:]
    assert (unseal(other, key).fault is None) == (other == value)


def _with_seal(entry: Entry, key: bytes | None) -> Entry:
    fields = {name: getattr(entry, name) for name in Entry.__struct_fields__}
    return Entry(**fields | {"seal": seal_of(key)})


@settings(max_examples=60)
@given(
    turns=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from("abc"),
            st.sampled_from(("works", "follows", "restarts")),
        ),
        max_size=60,
    ),
    partitions=st.integers(1, 3),
)
def test_no_way_of_working_together_looks_like_tampering(
    turns: list[tuple[int, str, str]], partitions: int
) -> None:
    """Workers that start, stop and follow one another in some order would break the chain by themselves."""
    writers = {number: trail(f"w{number}") for number in range(4)}
    records = []
    for turn, (number, tenant, way) in enumerate(turns):
        if way == "restarts":
            writers[number] = trail(f"w{number}-{turn}")
        if way != "works":
            for each in records:
                writers[number].learn(read(each.value))
        records.append(decide(writers[number], tenant, turn))
    faults, found = check(topic(records, partitions))
    assert faults == []
    assert sum(chain.records for chain in found.chains.values()) == len(turns)


@settings(max_examples=60)
@given(
    turns=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=60),
    data=st.data(),
)
def test_nothing_that_is_named_can_go(turns: list[tuple[int, bool]], data: st.DataObject) -> None:
    """The end of a strand could be cut off although another has named it, or a tip would hide what it covers."""
    writers = {number: trail(f"w{number}") for number in range(4)}
    records = []
    for turn, (number, follows) in enumerate(turns):
        for each in records if follows else []:
            writers[number].learn(read(each.value))
        records.append(decide(writers[number], "a", turn))
    whole = topic(records, partitions=1)
    tips = check(whole)[1].chains["a"].tips
    gone = data.draw(st.sets(st.sampled_from(range(len(whole))), min_size=1))
    rest = renumbered(each for number, each in enumerate(whole) if number not in gone)
    faults, found = check(rest, expected=[("a", tip) for tip in tips])
    assert faults or found.lost()


@settings(max_examples=60)
@given(removed=st.sets(st.integers(0, 29)), moved=st.none() | st.integers(0, 28))
def test_what_was_removed_is_counted(removed: set[int], moved: int | None) -> None:
    """Holes beside one another, or filled out of order, would hide some of what is missing."""
    one = trail()
    records = topic((decide(one, "a", number) for number in range(31)), partitions=1)
    kept = [each for number, each in enumerate(records) if number not in removed]
    if moved is not None and moved not in removed:
        kept.append(kept.pop(kept.index(records[moved])))
    faults, _ = check(renumbered(kept))
    assert sum(fault.count for fault in faults if fault.what == "missing") == len(removed)
    assert sum(fault.what == "reordered" for fault in faults) == (
        moved is not None and moved not in removed
    )
    assert {fault.what for fault in faults} <= {"missing", "reordered"}
