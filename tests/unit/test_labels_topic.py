"""The labelled rows that are in force, read from the records of their topic."""

from collections.abc import Sequence
from dataclasses import replace as changed
from typing import Any

import pytest
from msgspec.structs import replace

from agents.outcomes import Incoming, Triaged
from inference.believed_rows import BeliefOptions
from schemas.codec import encode
from schemas.event import Event, Origin
from schemas.label_record import LabelRecord, key_of
from schemas.signing import WorkerKeys
from streams.config import LearningSection, SecuritySection, Settings
from streams.labels_topic import LabelledRows, RowSelection, belief_of
from streams.pipeline.records import label_row, outputs_of
from streams.trust import Trust
from tests.doubles import TOPICS, header_texts, incoming
from tests.records import RECEIVED_AT_S, triaged

KEYS = WorkerKeys(b"k" * 32)
EVENT = Event(id="t-1", kind="ticket", text="my top-up is gone")


def row(id_: str = "t-1", **changes: Any) -> LabelRecord:
    """The row of a person about a ticket."""
    plain = LabelRecord(
        id=id_,
        domain="tickets",
        tenant="default",
        source=None,
        labels={"queue": "card"},
        decided_by="human",
        by="ana",
        decided_at="2026-01-01T00:00:00.000Z",
        chosen="escalated",
        input_digest="d",
        event=EVENT,
    )
    return replace(plain, **changes)


def of_llm(id_: str = "t-1", **changes: Any) -> LabelRecord:
    """The row of an LLM about the same ticket."""
    return row(id_, decided_by="llm", by="m", labels={"queue": "top_up"}, **changes)


def written(
    value: LabelRecord | bytes | None,
    *,
    key: bytes | None = None,
    partition: int = 0,
    at_s: float = 0.0,
    keys: WorkerKeys = WorkerKeys(),  # noqa: B008 - never changed
) -> Incoming:
    """A record of the topic: a row, or what is no row."""
    headers: Sequence[tuple[str, bytes | None]] = ()
    if isinstance(value, LabelRecord):
        record = label_row(value, TOPICS, keys)
        key, value, headers = key or record.key, record.value, record.headers
    origin = Origin(topic=TOPICS.labels, partition=partition, offset=0)
    return Incoming(value, key, headers, origin, RECEIVED_AT_S + at_s)


def in_force(*records: Incoming, trust: Trust | None = None) -> list[LabelRecord]:
    """The rows that are in force after these records."""
    rows = LabelledRows(trust)
    for record in records:
        rows.see(record)
    return list(rows)


@pytest.mark.parametrize("later_first", [False, True])
def test_the_row_of_an_llm_never_stands_before_that_of_a_person(*, later_first: bool) -> None:
    """A worker that reads a case again writes the LLM's row after the person's verdict."""
    records = [written(row()), written(of_llm(), at_s=5)]
    assert records[0].key != records[1].key, "compaction would keep the later one alone"
    if later_first:
        records.reverse()
    assert in_force(*records) == [row()]
    assert in_force(records[0]) + in_force(records[1]) in (
        [row(), of_llm()],
        [of_llm(), row()],
    )


def test_a_later_verdict_replaces_the_earlier_one() -> None:
    """A correction would stand beside the error, and both would be learned from."""
    corrected = row(labels={"queue": "fees_fx"}, by="bo")
    assert in_force(written(row()), written(corrected)) == [corrected]


def test_a_row_that_was_erased_is_gone_and_may_come_again() -> None:
    """What was erased would still be learned from."""
    erased = written(None, key=b"t-1")
    assert in_force(written(row()), erased) == []
    assert in_force(written(row()), erased, written(row(by="bo"))) == [row(by="bo")]
    assert in_force(written(of_llm()), written(row()), erased) == [of_llm()]


def test_rows_of_other_tenants_and_domains_are_other_rows() -> None:
    """A ticket number that two tenants use would be one row, and erased for both."""
    rows = [row(), row(tenant="acme"), row(tenant="bank"), row("t-2")]
    assert in_force(*map(written, rows)) == rows
    assert in_force(*map(written, rows), written(None, key=b"t-1")) == rows[1:]
    alert = of_llm(domain="alerts")
    assert in_force(written(row()), written(alert)) == [row(), alert]


def test_the_later_record_counts_after_partitions_were_added() -> None:
    """The key is then on another partition, and an old row would come back."""
    old, new = row(), row(labels={"queue": "fees_fx"})
    moved = written(new, partition=0, at_s=9)
    assert in_force(moved, written(old, partition=3)) == [new]
    assert in_force(written(old, partition=3), moved) == [new]
    gone = written(None, key=b"t-1", partition=0, at_s=9)
    assert in_force(gone, written(old, partition=3)) == []


def test_a_person_whose_row_has_no_text_is_given_that_of_the_llms_row() -> None:
    """What people correct of the LLM's answers could not be learned from: it was never a case."""
    blank = row(event=None)
    assert in_force(written(blank), written(of_llm(risk=0.3))) == [row(risk=0.3)]
    for other in (of_llm(input_digest="e"), of_llm(input_digest=None)):
        assert in_force(written(blank), written(other)) == [blank], "another event of the same id"
    unknown = row(event=None, input_digest=None)
    assert in_force(written(unknown), written(of_llm(input_digest=None))) == [unknown]


@pytest.mark.parametrize(
    "record",
    [
        written(b"{", key=b"t-1"),
        written(b"{}", key=b"t-1"),
        written(b"\xff\x00", key=b"t-1"),
        written(b"[" * 100_000, key=b"t-1"),
        written(encode(row()).replace(b'"human"', b'"nobody"'), key=b"t-1"),
        written(encode(row()).replace(b'"probability":1.0', b'"probability":0'), key=b"t-1"),
        written(row("other"), key=b"t-1"),
        written(row(tenant="acme"), key=b"t-1"),
        written(b"{}", key=None),
    ],
)
def test_what_is_no_row_changes_nothing(record: Incoming) -> None:
    """Anybody who can write to the topic could end the reader, or write in another's place."""
    assert in_force(written(row()), record) == [row()]


def test_with_a_key_only_rows_of_workers_are_learned_from() -> None:
    """Whoever can write to the topic could teach the small model."""
    refused = []
    trust = Trust(KEYS, lambda topic, reason: refused.append((topic, reason)))
    signed, forged = written(row(), keys=KEYS), written(row("t-9", by="ana"))
    stolen = changed(signed, key=b"t-9")
    other_value = changed(signed, value=encode(row(labels={"queue": "fees_fx"})))
    stranger = written(row("t-9"), keys=WorkerKeys(b"s" * 32))
    assert in_force(signed, forged, stolen, other_value, stranger, trust=trust) == [row()]
    assert (TOPICS.labels, "unsigned") in refused
    assert (TOPICS.labels, "wrong_signature") in refused
    erased = written(None, key=b"t-1")
    assert in_force(signed, erased, trust=trust) == [], "the broker obeys it whoever wrote it"


def test_a_decision_and_its_row_are_outputs_of_one_outcome() -> None:
    """The offset could be committed before the row is written, and the row would be lost."""
    outcome = Triaged(triaged("t-1", domain="tickets"), row())
    decision, labels = outputs_of(outcome, incoming(), TOPICS, KEYS).records
    assert (decision.topic, labels.topic) == ("triage.tickets.triaged.v1", "triage.labels.v1")
    assert (labels.key, labels.value) == (b"t-1", encode(row()))
    headers = header_texts(labels.headers)
    assert set(headers) == {"triage.schema", "triage.signature"}
    assert headers["triage.schema"] == "triage.label_record.v1"
    assert len(outputs_of(Triaged(triaged()), incoming(), TOPICS, KEYS).records) == 1


SELECTIONS: list[tuple[dict[str, Any], list[int]]] = [
    ({"id": "t-1"}, [0, 1, 2, 3]),
    ({"id": "t-1", "tenant": "default"}, [0, 1, 3]),
    ({"id": "t-1", "domain": "alerts"}, [3]),
    ({"id": "T-1"}, []),
    ({"tenant": "ACME "}, [2]),
    ({"by": "Ana"}, [0, 2, 4]),
    ({"by": "m"}, [1, 3]),
    ({"by": "desk"}, [4]),
    ({"by": "ana", "tenant": "acme"}, [2]),
    ({"by": ""}, []),
]


@pytest.mark.parametrize(("fields", "expected"), SELECTIONS)
def test_rows_are_chosen_by_all_that_is_given(fields: dict[str, Any], expected: list[int]) -> None:
    """More would be erased than was asked for, or less."""
    rows = [
        row(),
        of_llm(),
        row(tenant="acme"),
        of_llm(domain="alerts"),
        row("t-2", signed_by="desk"),
    ]
    selection = RowSelection(**fields)
    taken = [selection.tenant_of(key_of(each), encode(each)) is not None for each in rows]
    assert [number for number, is_taken in enumerate(taken) if is_taken] == expected


def test_a_row_that_cannot_be_read_is_erased_by_its_key() -> None:
    """A text that is no row of today would stay for ever, although its tenant asked to erase it."""
    chosen: list[tuple[bytes, dict[str, Any]]] = [
        (b"t-1", {"id": "t-1"}),
        (b"t-1", {"tenant": "default"}),
        (b'["t-1","tickets","acme","llm"]', {"tenant": "acme", "domain": "tickets"}),
    ]
    for key, fields in chosen:
        assert RowSelection(**fields).tenant_of(key, b"\xff")
        assert not RowSelection(by="ana", **fields).tenant_of(key, b"\xff")
    assert not RowSelection(id="t-1").tenant_of(b"\xff", b"\xff")
    assert not RowSelection(tenant="acme").tenant_of(b"t-1", b"{}")


def test_the_configuration_says_whom_to_believe() -> None:
    """A person who was taken off the list would go on to teach."""
    settings = Settings(
        security=SecuritySection(people=["ana"]),
        learning=LearningSection(
            exclude_tenants=["bank"],
            exclude_reviewers=["eve"],
            max_share_of_reviewer=0.5,
            max_share_of_llm=0.8,
        ),
    )
    assert belief_of(settings) == BeliefOptions(
        max_share_of_reviewer=0.5,
        max_share_of_llm=0.8,
        people=["ana"],
        excluded_reviewers=["eve"],
        excluded_tenants=["bank"],
    )
    kept = settings.learning.rows_kept()
    assert (kept.keep, kept.excluded) == ("text", {"bank"})
