"""From an outcome to the records that it puts on the topics."""

from dataclasses import dataclass, replace

import msgspec
import orjson

from agents.cases import place_of
from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from schemas.codec import encode
from schemas.deadletter import VALUE_BYTES, Failure, build_headers
from schemas.label_record import LabelRecord, key_of
from schemas.signing import VERDICT_HEADER, WorkerKeys
from schemas.triaged import SCHEMA_NAME, Case, TriagedEvent
from streams.audit.entry import PublishedDecision
from streams.kafka.record import Record
from streams.topics import Topics

SCHEMA_HEADER = ("triage.schema", SCHEMA_NAME.encode())
CASE_SCHEMA_HEADER = ("triage.schema", b"triage.case.v1")
LABEL_SCHEMA_HEADER = ("triage.schema", b"triage.label_record.v1")
UNSIGNED = WorkerKeys()


@dataclass(frozen=True, slots=True)
class Outputs:
    """The records of one event, and the decisions that they carry, in the order of revisions.

    A dead letter carries no decision.
    """

    records: list[Record]
    decisions: list[PublishedDecision]


def outputs_of(
    outcome: Outcome, incoming: Incoming, topics: Topics, keys: WorkerKeys = UNSIGNED
) -> Outputs:
    """The records that must be acknowledged before the event of `incoming` has ended.

    The triaged event is encoded once: the case, the audit record and the signatures with `keys`
    take the same bytes.
    """
    match outcome:
        case Triaged(spot_check=Case() as case):
            return _case_outputs(case, topics.review, topics, keys)
        case Triaged(triaged, row):
            decision = _decision(triaged)
            signed = keys.sign_decision(triaged)
            records = [_triaged_record(decision, topics, keys, signed)]
            if triaged.decided_by == "human":
                records[0] = _with_verdict(records[0], incoming)
            if row is not None:
                records.append(label_row(row, topics, keys))
            return Outputs(records, [decision])
        case Escalated(case):
            return _case_outputs(case, topics.enrichment, topics, keys)
        case Reviewed(case, provisional):
            ended = _case_outputs(case, topics.review, topics, keys)
            if provisional is None:
                return ended
            first = _decision(provisional)
            signed = keys.sign_decision(provisional)
            earlier = _triaged_record(first, topics, keys, signed)
            return Outputs([earlier, *ended.records], [first, *ended.decisions])
        case DeadLettered():
            return Outputs([dead_letter(outcome, incoming, topics)], [])


def dead_letter(letter: DeadLettered, incoming: Incoming, topics: Topics) -> Record:
    """The original bytes, key and headers, and why they could not be processed.

    Of a record with several events, the bytes are those of this event alone.
    """
    failure = Failure(
        stage=letter.stage,
        error=letter.error,
        message=letter.message,
        disposition=letter.disposition,
    )
    headers = build_headers(incoming.headers, incoming.origin, failure, incoming.position)
    return Record(topics.deadletter, incoming.key, incoming.original(), headers)


def shrinking_dead_letters(
    letter: DeadLettered, incoming: Incoming, topics: Topics
) -> list[Record]:
    """The dead letter, then without its value, then also without its key and headers.

    What is left out is still where the error headers point to. A header gives its size in bytes.
    """
    whole = dead_letter(letter, incoming, topics)
    size = (VALUE_BYTES, str(len(whole.value or b"")).encode())
    nameless = replace(incoming, key=None, headers=())
    bare = dead_letter(letter, nameless, topics)
    return [
        whole,
        Record(whole.topic, whole.key, None, [*whole.headers, size]),
        Record(bare.topic, None, None, [*bare.headers, size]),
    ]


def label_row(row: LabelRecord, topics: Topics, keys: WorkerKeys = UNSIGNED) -> Record:
    """The record of a labelled row. It carries no decision, so only the record is signed."""
    key, value = key_of(row), encode(row)
    headers = keys.record_headers(topics.labels, key, value)
    return Record(topics.labels, key, value, [LABEL_SCHEMA_HEADER, *headers])


def _case_outputs(case: Case, topic: str, topics: Topics, keys: WorkerKeys) -> Outputs:
    decision = _decision(case.triaged)
    signed = keys.sign_decision(case.triaged)
    records = [
        _triaged_record(decision, topics, keys, signed),
        _case_record(case, decision, topic, keys, signed),
    ]
    return Outputs(records, [decision])


def _decision(triaged: TriagedEvent) -> PublishedDecision:
    return PublishedDecision(triaged, encode(triaged))


def _triaged_record(
    decision: PublishedDecision, topics: Topics, keys: WorkerKeys, signed: bytes | None
) -> Record:
    triaged = decision.triaged
    topic, key = topics.triaged(triaged.domain), triaged.id.encode()
    headers = keys.headers(topic, key, decision.value, signed)
    return Record(topic, key, decision.value, [SCHEMA_HEADER, *headers])


def _with_verdict(record: Record, verdict: Incoming) -> Record:
    """The record of a person's decision, with the place of the verdict that it follows from."""
    origin = verdict.origin
    place = place_of(origin.topic, origin.partition, origin.offset)
    return replace(record, headers=[*record.headers, (VERDICT_HEADER, place.encode())])


def _case_record(
    case: Case, decision: PublishedDecision, topic: str, keys: WorkerKeys, signed: bytes | None
) -> Record:
    """The case in the bytes of `encode(case)`, without encoding its triaged event again."""
    fields = msgspec.to_builtins(msgspec.structs.asdict(case) | {"triaged": None})
    value = orjson.dumps(fields | {"triaged": orjson.Fragment(decision.value)})
    key = case.event.id.encode()
    headers = keys.headers(topic, key, value, signed)
    return Record(topic, key, value, [CASE_SCHEMA_HEADER, *headers])
