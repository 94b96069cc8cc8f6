"""From an outcome to records: the topics, keys and headers of the contract."""

import time
from types import SimpleNamespace

import msgspec
import orjson
import pytest

from agents.outcomes import DeadLettered, Escalated, Outcome, Reviewed, Triaged
from schemas.codec import decode, encode
from schemas.deadletter import MAX_MESSAGE_CHARS, attempts
from schemas.event import Event
from schemas.triaged import Case, TriagedEvent
from streams.kafka.record import from_record
from streams.pipeline.records import dead_letter, outputs_of, shrinking_dead_letters
from tests.doubles import INPUT, TOPICS, header_texts, incoming
from tests.records import case, decision, triaged, unsure

LETTER = DeadLettered("decode", "InvalidEvent", "not JSON; send JSON")


@pytest.mark.parametrize(
    ("outcome", "topics"),
    [
        (Triaged(triaged("é")), ["triage.alerts.triaged.v1"]),
        (Triaged(triaged("é", domain="tickets")), ["triage.tickets.triaged.v1"]),
        (Escalated(case("é")), ["triage.alerts.triaged.v1", "triage.enrichment.v1"]),
        (Reviewed(case("é")), ["triage.alerts.triaged.v1", "triage.review.v1"]),
        (
            Reviewed(unsure(revision=1, id="é"), provisional=triaged("é", domain="tickets")),
            ["triage.tickets.triaged.v1", "triage.tickets.triaged.v1", "triage.review.v1"],
        ),
        (
            Triaged(case("é").triaged, spot_check=case("é")),
            ["triage.alerts.triaged.v1", "triage.review.v1"],
        ),
    ],
)
def test_an_outcome_goes_to_its_topics_under_the_events_id(
    outcome: Outcome, topics: list[str]
) -> None:
    """Consumers would look for it elsewhere, or a revision would not replace the one before it."""
    records = outputs_of(outcome, incoming(), TOPICS).records
    assert [record.topic for record in records] == topics
    assert {record.key for record in records} == {"é".encode()}
    for record in records:
        type_ = Case if record.topic in (TOPICS.enrichment, TOPICS.review) else TriagedEvent
        assert decode(record.value or b"", type_)
        assert header_texts(record.headers)["triage.schema"] == orjson.loads(
            '"triage.case.v1"' if type_ is Case else '"triage.event.v1"'
        )


def hostile_case() -> Case:
    """A case whose text needs escapes, with fields at their defaults and without."""
    event = Event(
        id='é"\\\x00\u2028',
        kind="ticket",
        event={"deep": [{"a": [1, 2.5, None, True, 10**18]}], "": "\x7f\U0001f600"},
        attributes={"n": -0.0, "s": "</script>"},
    )
    reasons = ["\x1f\t\n", "ü" * 50]
    return msgspec.structs.replace(
        unsure(id=event.id, reasons=reasons), event=event, risk=0.1 + 0.2, escalation="unfamiliar"
    )


@pytest.mark.parametrize("published_case", [case("é"), unsure(), hostile_case()])
@pytest.mark.parametrize("kind", [Escalated, Reviewed])
def test_each_thing_is_encoded_once_and_as_before(
    published_case: Case, kind: type[Escalated | Reviewed]
) -> None:
    """The case would have other bytes than `encode` gives, or the decision than the topic has."""
    outputs = outputs_of(kind(published_case), incoming(), TOPICS)
    triaged_record, case_record = outputs.records
    assert triaged_record.value == encode(published_case.triaged)
    assert case_record.value == encode(published_case)
    assert len(outputs.decisions) == 1
    assert outputs.decisions[0].triaged is published_case.triaged
    assert outputs.decisions[0].value is triaged_record.value


def test_the_revisions_of_an_event_that_ends_at_once_are_in_order() -> None:
    """A consumer would take the provisional decision for the last one, or not be audited."""
    first, ended = unsure().triaged, unsure(revision=1, status="needs_review")
    outputs = outputs_of(Reviewed(ended, provisional=first), incoming(), TOPICS)
    assert [record.value for record in outputs.records] == [
        encode(first),
        encode(ended.triaged),
        encode(ended),
    ]
    assert [each.triaged for each in outputs.decisions] == [first, ended.triaged]
    assert [each.value for each in outputs.decisions] == [encode(first), encode(ended.triaged)]


def test_the_decision_is_what_was_published() -> None:
    """The audit trail would record the digest of other bytes than those on the topic."""
    outcome = Triaged(triaged("a"))
    outputs = outputs_of(outcome, incoming(), TOPICS)
    assert len(outputs.decisions) == 1
    assert outputs.decisions[0].triaged == decision(outcome)
    assert outputs.decisions[0].value is outputs.records[0].value
    assert outputs_of(LETTER, incoming(), TOPICS).decisions == []


def test_a_redelivered_event_gives_the_same_keys() -> None:
    """A duplicate would not replace the first answer, but would be there beside it."""
    outcome = Escalated(case("a"))
    assert outputs_of(outcome, incoming(7), TOPICS) == outputs_of(outcome, incoming(7), TOPICS)


@pytest.mark.parametrize(
    ("key", "value"), [(None, None), (b"", b""), (b"\xff\x00", b"\xc3\x28"), (b"k", b"{}")]
)
def test_a_dead_letter_keeps_the_original(key: bytes | None, value: bytes | None) -> None:
    """A replay would send something else than what had arrived."""
    headers = [("traceparent", b"00-\xff"), ("empty", None), ("traceparent", b"again")]
    letter = dead_letter(LETTER, incoming(7, value, key, headers), TOPICS)
    assert (letter.topic, letter.key, letter.value) == ("triage.deadletter.v1", key, value)
    assert letter.headers[:3] == headers


def test_a_dead_letter_says_where_and_why() -> None:
    """Tools that know Kafka Connect's names would find nothing."""
    assert header_texts(dead_letter(LETTER, incoming(7), TOPICS).headers) == {
        "__connect.errors.topic": INPUT,
        "__connect.errors.partition": "2",
        "__connect.errors.offset": "7",
        "__connect.errors.stage": "decode",
        "__connect.errors.exception.class.name": "InvalidEvent",
        "__connect.errors.exception.message": "not JSON; send JSON",
        "triage.attempt": "1",
        "triage.disposition": "poison",
    }


def test_a_second_dead_letter_counts_its_attempt_and_does_not_repeat_headers() -> None:
    """A replayed record would carry the headers of every attempt, and the count would not rise."""
    replayed = incoming(9)
    for attempt in ("1", "2", "3"):
        letter = dead_letter(LETTER, replayed, TOPICS)
        assert header_texts(letter.headers)["triage.attempt"] == attempt
        replayed = incoming(9, headers=letter.headers)


def test_dead_letters_shrink_and_still_say_where() -> None:
    """An event with a large key or large headers would stop the worker for ever."""
    letters = shrinking_dead_letters(LETTER, incoming(7, b"0123", b"k", [("h", b"1")]), TOPICS)
    assert [(letter.key, letter.value) for letter in letters] == [
        (b"k", b"0123"),
        (b"k", None),
        (None, None),
    ]
    assert [("h", b"1") in letter.headers for letter in letters] == [True, True, False]
    texts = [header_texts(letter.headers) for letter in letters]
    assert [text["__connect.errors.offset"] for text in texts] == ["7", "7", "7"]
    assert [text.get("triage.value.bytes") for text in texts] == [None, "4", "4"]


def test_a_message_of_any_length_and_letters_fits() -> None:
    """An error that quotes its input would make the dead letter too large, or not encodable."""
    letter = DeadLettered("s", "E", "\ud800" + "x" * 5000)
    headers = header_texts(dead_letter(letter, incoming(), TOPICS).headers)
    assert len(headers["__connect.errors.exception.message"]) == MAX_MESSAGE_CHARS


@pytest.mark.parametrize("count", [b"", None, b"x", b"-1", b"1.5", b"\xb2", b"9" * 5000])
def test_an_attempt_that_is_not_a_count_is_zero(count: bytes | None) -> None:
    """Anybody may write that header; a hostile one would stop the worker."""
    assert attempts([("triage.attempt", count)]) == 0


@pytest.mark.parametrize("stamp_ms", [-1, 0, 10**15, 10**18])
def test_an_impossible_timestamp_is_now(stamp_ms: int) -> None:
    """A record of the year 33658 would stop the worker, or spoil every latency figure."""
    record = SimpleNamespace(
        topic=INPUT, partition=0, offset=0, timestamp=stamp_ms, key=b"k", value=b"v", headers=()
    )
    assert abs(from_record(record).received_at_s - time.time()) < 30


def test_a_possible_timestamp_is_kept() -> None:
    """Latency would be measured from the read, and hide the time that the event waited."""
    stamp_ms = int(time.time() * 1000) - 100_000
    record = SimpleNamespace(
        topic=INPUT, partition=0, offset=0, timestamp=stamp_ms, key=b"k", value=b"v", headers=()
    )
    assert from_record(record).received_at_s == stamp_ms / 1000
