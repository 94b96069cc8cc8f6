"""From an outcome to the records it puts on the topics."""

from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from schemas.codec import encode
from schemas.deadletter import Failure, build_headers
from schemas.triaged import SCHEMA_NAME, Case, TriagedEvent
from streams.kafka.record import Record
from streams.topics import Topics

SCHEMA_HEADER = ("triage.schema", SCHEMA_NAME.encode())


def records(outcome: Outcome, incoming: Incoming, topics: Topics) -> list[Record]:
    """Everything that must be acknowledged before the event behind `incoming` counts as done."""
    match outcome:
        case Triaged(triaged):
            return [_triaged(triaged, topics)]
        case Escalated(case):
            return [_triaged(case.triaged, topics), _case(case, topics.enrichment)]
        case Reviewed(case):
            return [_triaged(case.triaged, topics), _case(case, topics.review)]
        case DeadLettered():
            return [dead_letter(outcome, incoming, topics)]


def _triaged(triaged: TriagedEvent, topics: Topics) -> Record:
    return Record(
        topics.triaged(triaged.domain), triaged.id.encode(), encode(triaged), [SCHEMA_HEADER]
    )


def _case(case: Case, topic: str) -> Record:
    return Record(
        topic, case.event.id.encode(), encode(case), [("triage.schema", b"triage.case.v1")]
    )


def dead_letter(letter: DeadLettered, incoming: Incoming, topics: Topics) -> Record:
    """The original bytes, key and headers, and why they could not be processed."""
    failure = Failure(
        stage=letter.stage,
        error=letter.error,
        message=letter.message,
        disposition=letter.disposition,
    )
    headers = build_headers(incoming.headers, incoming.origin, failure)
    return Record(topics.deadletter, incoming.key, incoming.value, headers)
