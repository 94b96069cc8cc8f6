"""From an outcome to records: the contract's topics, keys and headers."""

import orjson
import pytest

from agents.outcomes import DeadLettered, Escalated, Outcome, Reviewed, Triaged
from schemas.codec import decode
from schemas.deadletter import MAX_MESSAGE_CHARS, attempts
from schemas.triaged import Case, TriagedEvent
from streams.pipeline.records import dead_letter, records
from streams.topics import Topics
from tests.doubles import INPUT, incoming, text
from tests.records import case, triaged

TOPICS = Topics("triage")
LETTER = DeadLettered("decode", "InvalidEvent", "not JSON; send JSON")


@pytest.mark.parametrize(
    ("outcome", "topics"),
    [
        (Triaged(triaged("é")), ["triage.alerts.triaged.v1"]),
        (Triaged(triaged("é", domain="tickets")), ["triage.tickets.triaged.v1"]),
        (Escalated(case("é")), ["triage.alerts.triaged.v1", "triage.enrichment.v1"]),
        (Reviewed(case("é")), ["triage.alerts.triaged.v1", "triage.review.v1"]),
    ],
)
def test_an_outcome_goes_to_its_topics_under_the_events_id(
    outcome: Outcome, topics: list[str]
) -> None:
    """Consumers would look for it elsewhere, and a revision would not land beside the one it supersedes."""
    sent = records(outcome, incoming(), TOPICS)
    assert [record.topic for record in sent] == topics
    assert {record.key for record in sent} == {"é".encode()}
    for record in sent:
        wanted = Case if record.topic in (TOPICS.enrichment, TOPICS.review) else TriagedEvent
        assert decode(record.value or b"", wanted)
        assert text(record.headers)["triage.schema"] == orjson.loads(
            '"triage.case.v1"' if wanted is Case else '"triage.event.v1"'
        )


def test_a_redelivered_event_gives_the_same_keys() -> None:
    """A duplicate would not supersede the first answer, but stand beside it."""
    outcome = Escalated(case("a"))
    assert records(outcome, incoming(7), TOPICS) == records(outcome, incoming(7), TOPICS)


@pytest.mark.parametrize(
    ("key", "value"), [(None, None), (b"", b""), (b"\xff\x00", b"\xc3\x28"), (b"k", b"{}")]
)
def test_a_dead_letter_keeps_what_it_was(key: bytes | None, value: bytes | None) -> None:
    """A replay would send something else than what had arrived."""
    headers = [("traceparent", b"00-\xff"), ("empty", None), ("traceparent", b"again")]
    letter = dead_letter(LETTER, incoming(7, value, key, headers), TOPICS)
    assert (letter.topic, letter.key, letter.value) == ("triage.deadletter.v1", key, value)
    assert letter.headers[:3] == headers


def test_a_dead_letter_says_where_and_why() -> None:
    """Tools that know Kafka Connect's names would find nothing."""
    assert text(dead_letter(LETTER, incoming(7), TOPICS).headers) == {
        "__connect.errors.topic": INPUT,
        "__connect.errors.partition": "0",
        "__connect.errors.offset": "7",
        "__connect.errors.stage": "decode",
        "__connect.errors.exception.class.name": "InvalidEvent",
        "__connect.errors.exception.message": "not JSON; send JSON",
        "triage.attempt": "1",
        "triage.disposition": "poison",
    }


def test_a_second_dead_letter_counts_and_does_not_repeat() -> None:
    """A replayed record would carry the headers of every attempt, and the count would never rise."""
    again = incoming(9)
    for wanted in ("1", "2", "3"):
        letter = dead_letter(LETTER, again, TOPICS)
        assert text(letter.headers)["triage.attempt"] == wanted
        again = incoming(9, headers=letter.headers)


def test_a_message_of_any_length_and_letters_fits() -> None:
    """An error that quotes its input would make the dead letter larger than the topic takes, or not encodable."""
    headers = text(
        dead_letter(DeadLettered("s", "E", "\ud800" + "x" * 5000), incoming(), TOPICS).headers
    )
    assert len(headers["__connect.errors.exception.message"]) == MAX_MESSAGE_CHARS


@pytest.mark.parametrize("count", [b"", None, b"x", b"-1", b"1.5", b"\xb2", b"9" * 5000])
def test_an_attempt_that_is_no_count_is_none(count: bytes | None) -> None:
    """Anybody may write that header; a hostile one would stop the worker."""
    assert attempts([("triage.attempt", count)]) == 0
