"""What keeps a worker from its events, for people (`/ready`, the log) and for a metric."""

from typing import Literal, NamedTuple

from streams.kafka.offsets import Partition

ProblemKind = Literal[
    "broker", "commit", "damaged", "group", "leaderless", "paused", "silent", "topics"
]


class Problem(NamedTuple):
    """One problem; `sentence` says what to do. Most problems are those of one partition."""

    kind: ProblemKind
    partition: Partition | None
    sentence: str
