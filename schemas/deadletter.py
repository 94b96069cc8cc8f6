"""The headers of a dead letter: this module writes and reads them.

A dead letter is the original record (bytes, key and headers) with headers that say what went wrong.
If one event of a record with several could not be processed, the bytes are those of that event.
Most of these headers have the names that Kafka Connect uses, so that its tools can read our dead
letters:
https://cwiki.apache.org/confluence/display/KAFKA/KIP-298%3A+Error+Handling+in+Connect
"""

from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

from schemas.event import Headers, Origin

Disposition = Literal["retryable", "poison"]
"""`poison`: the bytes are wrong and no retry can help. `retryable`: a replay may succeed later."""

ERROR_PREFIX: Final = "__connect.errors."
TOPIC: Final = f"{ERROR_PREFIX}topic"
PARTITION: Final = f"{ERROR_PREFIX}partition"
OFFSET: Final = f"{ERROR_PREFIX}offset"
STAGE: Final = f"{ERROR_PREFIX}stage"
ERROR_CLASS: Final = f"{ERROR_PREFIX}exception.class.name"
MESSAGE: Final = f"{ERROR_PREFIX}exception.message"
ATTEMPT: Final = "triage.attempt"
DISPOSITION: Final = "triage.disposition"
VALUE_BYTES: Final = "triage.value.bytes"
"""Set on a dead letter that is too large to carry its value: the size of the value in bytes."""
ELEMENT: Final = "triage.element"
"""Set on the dead letter of one event of a record that holds several: its place in the record,
counted from 0. The value of the letter is then that event alone."""
NEVER_READ = "fetch"
"""The stage of a record whose batch was too large to be read: the dead letter only says where the
record lies."""

MAX_MESSAGE_CHARS = 1000
MAX_ATTEMPT_DIGITS = 9

HEADER_SCHEMAS: dict[str, dict[str, object]] = {
    **{
        name: {"type": "string"}
        for name in (TOPIC, PARTITION, OFFSET, STAGE, ERROR_CLASS, MESSAGE, ATTEMPT)
    },
    DISPOSITION: {"enum": list(get_args(Disposition))},
}
"""The JSON Schema of every header that each dead letter has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a record could not be processed.

    `stage` names the step that failed and `error` the class of its exception. `message` says what
    to do about it.
    """

    stage: str
    error: str
    message: str
    disposition: Disposition


def build_headers(
    original: Headers, origin: Origin, failure: Failure, element: int | None = None
) -> list[tuple[str, bytes | None]]:
    """The headers of a dead letter: the original headers, and the reason for the failure.

    `element` is the place of the event in its record, if the record holds several. The headers of
    an earlier dead letter of the same record are replaced.
    """
    kept = [(name, value) for name, value in original if not _is_ours(name)]
    reason = {
        TOPIC: origin.topic,
        PARTITION: str(origin.partition),
        OFFSET: str(origin.offset),
        STAGE: failure.stage,
        ERROR_CLASS: failure.error,
        MESSAGE: failure.message[:MAX_MESSAGE_CHARS],
        ATTEMPT: str(attempts(original) + 1),
        DISPOSITION: failure.disposition,
    }
    if element is not None:
        reason[ELEMENT] = str(element)
    return kept + [(name, value.encode("utf-8", "replace")) for name, value in reason.items()]


def attempts(headers: Headers) -> int:
    """How many times a record has been dead-lettered. A replayed record carries this number."""
    for name, value in headers:
        # Anybody may write this header, and Python refuses to parse thousands of digits.
        if name == ATTEMPT and value and value.isdigit() and len(value) <= MAX_ATTEMPT_DIGITS:
            return int(value)
    return 0


def original_headers(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The headers of a replayed record: its original headers, and the number of attempts."""
    return [(name, value) for name, value in headers if name == ATTEMPT or not _is_ours(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterHeaders:
    """The values of the headers of a dead letter, as text. A missing header is an empty string."""

    topic: str
    partition: str
    offset: str
    stage: str
    error: str
    message: str
    attempt: str
    disposition: str
    value_bytes: str
    element: str

    @classmethod
    def read(cls, headers: Headers) -> Self:
        """Read headers that anybody may have written. The last header of a name counts."""
        values = {name: (value or b"").decode("utf-8", "replace") for name, value in headers}
        return cls(
            topic=values.get(TOPIC, ""),
            partition=values.get(PARTITION, ""),
            offset=values.get(OFFSET, ""),
            stage=values.get(STAGE, ""),
            error=values.get(ERROR_CLASS, ""),
            message=values.get(MESSAGE, ""),
            attempt=values.get(ATTEMPT, ""),
            disposition=values.get(DISPOSITION, ""),
            value_bytes=values.get(VALUE_BYTES, ""),
            element=values.get(ELEMENT, ""),
        )

    @property
    def poison(self) -> bool:
        """Whether no retry can help."""
        return self.disposition == "poison"

    @property
    def whole(self) -> bool:
        """Whether the dead letter carries the complete original value."""
        return not self.value_bytes and self.stage != NEVER_READ


def _is_ours(name: str) -> bool:
    return name.startswith(ERROR_PREFIX) or name in {
        ATTEMPT,
        DISPOSITION,
        VALUE_BYTES,
        ELEMENT,
    }
