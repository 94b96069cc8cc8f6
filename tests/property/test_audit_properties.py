"""The audit chain with random content, random workers and random tampering."""

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.audit.record import AuditRecord, Entry, LlmUse, seal, seal_of, unseal
from schemas.event import Origin
from streams.kafka.record import Record
from tests.chains import check, decide, renumbered, topic, trail
from tests.records import record as read

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
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
places = st.sampled_from(
    [{"schema": "triage.audit.v1"}, {"cluster": "", "topic": "t"}, {"cluster": "c", "topic": "é"}]
)
entries = st.builds(
    lambda place, **fields: Entry(**fields, **place),
    place=places,
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
    """The name of a tenant or a label could make a record that does not fit its own seal."""
    entry = _with_seal(entry, key)
    value, digest = seal(entry, key)
    unsealed = unseal(value, key)
    assert unsealed.fault is None
    assert isinstance(unsealed.record, AuditRecord)
    assert {name: getattr(unsealed.record, name) for name in Entry.__struct_fields__} == {
        name: getattr(entry, name) for name in Entry.__struct_fields__
    }
    assert unsealed.digests == (digest, digest)
    assert unsealed.previous == entry.previous


@given(entry=entries, key=keys, data=st.data())
def test_no_other_bytes_fit_a_seal(entry: Entry, key: bytes | None, data: st.DataObject) -> None:
    """A record could be changed in a way that its digest does not show."""
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
def test_no_order_of_work_looks_like_tampering(
    turns: list[tuple[int, str, str]], partitions: int
) -> None:
    """Some order of starts, decisions and reading by honest workers would break the chain."""
    writers = {number: trail(f"w{number}") for number in range(4)}
    records: list[Record] = []
    for turn, (number, tenant, action) in enumerate(turns):
        if action == "restarts":
            writers[number] = trail(f"w{number}-{turn}")
        if action != "works":
            for record in records:
                writers[number].learn(read(record.value))
        records.append(decide(writers[number], tenant, turn))
    faults, verified = check(topic(records, partitions))
    assert faults == []
    assert sum(chain.records for chain in verified.chains.values()) == len(turns)


@settings(max_examples=60)
@given(
    turns=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=60),
    data=st.data(),
)
def test_no_record_that_is_named_can_be_removed(
    turns: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """The end of a segment could be cut off although another segment or a noted tip names it."""
    writers = {number: trail(f"w{number}") for number in range(4)}
    records: list[Record] = []
    for turn, (number, follows) in enumerate(turns):
        if follows:
            for record in records:
                writers[number].learn(read(record.value))
        records.append(decide(writers[number], "a", turn))
    appended = topic(records, partitions=1)
    tips = check(appended)[1].chains["a"].tips
    removed = data.draw(st.sets(st.sampled_from(range(len(appended))), min_size=1))
    rest = renumbered(record for number, record in enumerate(appended) if number not in removed)
    faults, verified = check(rest, expected=[("a", tip) for tip in tips])
    assert faults or verified.lost()


@settings(max_examples=60)
@given(removed=st.sets(st.integers(0, 29)), moved=st.none() | st.integers(0, 28))
def test_what_was_removed_is_counted(removed: set[int], moved: int | None) -> None:
    """Neighbouring holes, or holes filled out of order, would hide some missing records."""
    writer = trail()
    records = topic((decide(writer, "a", number) for number in range(31)), partitions=1)
    kept = [record for number, record in enumerate(records) if number not in removed]
    if moved is not None and moved not in removed:
        kept.append(kept.pop(kept.index(records[moved])))
    faults, _ = check(renumbered(kept))
    assert sum(fault.count for fault in faults if fault.what == "missing") == len(removed)
    assert sum(fault.what == "reordered" for fault in faults) == (
        moved is not None and moved not in removed
    )
    assert {fault.what for fault in faults} <= {"missing", "reordered"}
