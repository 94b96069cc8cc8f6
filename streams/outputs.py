"""From an outcome to the records it puts on the topics."""

from dataclasses import dataclass, field

from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from schemas.codec import encode
from schemas.triaged import SCHEMA_NAME, Case, TriagedEvent
from streams.topics import Topics

Headers = list[tuple[str, bytes | None]]

ATTEMPT_HEADER = "triage.attempt"
DISPOSITION_HEADER = "triage.disposition"
VALUE_BYTES_HEADER = "triage.value.bytes"
"""On a dead letter that had to go without its value: how many bytes that has where the headers point."""
ERROR_PREFIX = "__connect.errors."
MAX_MESSAGE_CHARS = 1000
MAX_ATTEMPT_DIGITS = 9
SCHEMA_HEADER = ("triage.schema", SCHEMA_NAME.encode())


@dataclass(frozen=True, slots=True)
class Record:
    """One record to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)


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
    return Record(topics.triaged(triaged.domain), triaged.id.encode(), encode(triaged), [SCHEMA_HEADER])


def _case(case: Case, topic: str) -> Record:
    return Record(topic, case.event.id.encode(), encode(case), [("triage.schema", b"triage.case.v1")])


def dead_letter(letter: DeadLettered, incoming: Incoming, topics: Topics) -> Record:
    """The original bytes, key and headers, plus Kafka Connect's error headers."""
    origin = incoming.origin
    headers: Headers = [(name, value) for name, value in incoming.headers if not _is_ours(name)]
    why = {
        f"{ERROR_PREFIX}topic": origin.topic,
        f"{ERROR_PREFIX}partition": str(origin.partition),
        f"{ERROR_PREFIX}offset": str(origin.offset),
        f"{ERROR_PREFIX}stage": letter.stage,
        f"{ERROR_PREFIX}exception.class.name": letter.error,
        f"{ERROR_PREFIX}exception.message": letter.message[:MAX_MESSAGE_CHARS],
        ATTEMPT_HEADER: str(attempt(incoming) + 1),
        DISPOSITION_HEADER: letter.disposition,
    }
    headers += [(name, value.encode("utf-8", "replace")) for name, value in why.items()]
    return Record(topics.deadletter, incoming.key, incoming.value, headers)


def attempt(incoming: Incoming) -> int:
    """How often this record has been dead-lettered before; a replayed one carries the count."""
    for name, value in incoming.headers:
        # A header is anybody's to write: Python refuses to read a number of some thousand digits.
        if name == ATTEMPT_HEADER and value and value.isdigit() and len(value) <= MAX_ATTEMPT_DIGITS:
            return int(value)
    return 0


def _is_ours(name: str) -> bool:
    return name.startswith(ERROR_PREFIX) or name in (ATTEMPT_HEADER, DISPOSITION_HEADER, VALUE_BYTES_HEADER)
