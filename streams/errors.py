"""Every error this package raises.

StreamError
├── BrokerUnreachable no broker answers at the configured address
│   └── AccessRefused a broker answers, but TLS, the login or a right is missing
├── TopicsMissing     topics are absent or not as they must be
├── DeliveryFailed    the broker did not acknowledge an output; nothing was acked, the worker stops
├── RecordTooLarge    a topic does not take a record of this size; the event becomes a dead letter
├── OffsetGap         records between two offsets were skipped although they exist; the worker stops
├── DamagedBatch      the broker's bytes at an offset cannot be read
├── CorruptBatch      which offsets these bytes hold; becomes a DamagedBatch
├── BatchTooLarge     a batch grows too large when it is decompressed; its events are dead letters
├── TooManyBytes      data grows too large when it is decompressed; becomes a BatchTooLarge
├── OutOfRange        a log does not have the offset to read next; it is read again or counted
├── RequestRefused    the console does not do what a request asks, and says why
├── NoPosition        it is not known where to read a partition; the reader says it
├── TopicReplaced     a topic was deleted and made again; what was made from it is made again
└── BrokerError       a broker on this machine could not be started
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})


class StreamError(Exception):
    """Base of everything `streams` raises; the message is one sentence a person can act on."""


class BrokerUnreachable(StreamError):  # noqa: N818 - a state of the world
    """No broker answers at the configured address."""


class AccessRefused(BrokerUnreachable):
    """A broker answers, but TLS or the login fails, or we lack a right; the sentence says which."""


class TopicsMissing(StreamError):  # noqa: N818 - a state of the world
    """Topics are absent or not as they must be."""


class DeliveryFailed(StreamError):  # noqa: N818 - what happened
    """The broker did not acknowledge an output in time; its input will be read again.

    If it is `retriable`, the record was not taken at all, and may be sent again.
    """

    def __init__(self, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.retriable = retriable


class RecordTooLarge(StreamError):  # noqa: N818 - a fact about the record
    """A topic does not take a record of this size, neither now nor on a retry.

    `reason` names the topic, or holds what the broker answered.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a record is larger than its topic takes ({reason}); "
            "shrink the event or raise max.message.bytes"
        )
        self.reason = reason


class OffsetGap(StreamError):  # noqa: N818 - what was seen
    """The consumer jumped over records that exist: going on would lose them."""


class DamagedBatch(StreamError):  # noqa: N818 - what was found
    """The broker's bytes at a place fail their CRC, or cannot be taken apart."""


class BatchTooLarge(StreamError):  # noqa: N818 - a fact about the batch
    """A batch of records is larger, decompressed, than a worker may hold.

    `first` and `last` are the offsets of its first and its last record.
    """

    def __init__(self, topic: str, partition: int, first: int, last: int) -> None:
        super().__init__(
            f"the batch of offsets {first} to {last} of {topic}[{partition}] is too large when it "
            "is decompressed; have its producer send smaller batches"
        )
        self.first = first
        self.last = last


class TooManyBytes(StreamError):  # noqa: N818 - a fact about the data
    """A batch is larger than it may be. Who knows its offsets makes a `BatchTooLarge` of it."""


class OutOfRange(StreamError):  # noqa: N818 - what was found
    """The log of a partition begins after, or ends before, the offset to read next."""


class NoPosition(StreamError):  # noqa: N818 - what was found
    """The group has no commit for a partition, and nobody has said where to begin."""


class RequestRefused(StreamError):  # noqa: N818 - what the console answers
    """The console does not do what a request asks; `status` is the status of HTTP.

    `code` is for the page, which tells two reasons of one status apart by it. `more` has further
    fields of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        more: Mapping[str, Any] = NOTHING,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.more = more


class BrokerError(StreamError):
    """A local broker could not be started; the message says what to do."""


class TopicReplaced(StreamError):  # noqa: N818 - what happened
    """A topic was deleted and made again, so the view is about records that are gone."""
