"""The topics of the contract: their names, and the settings each is created with."""

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.event import DOMAINS, Domain

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""How large a record on our own topics may be: more than Kafka's default of one megabyte.

A dead letter is its input plus headers, and a case is an event plus its decision. If the input fits
its topic, neither of them may be too large.
"""

BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}
"""The broker stamps every record of every topic when it appends it.

With the time of the producer, whoever may write to a topic chooses when a record came in. An old
time makes the broker delete the record before anybody reads it, and a time in the future keeps a
segment for ever. The times are also what `received_at` is, the `now` of rules, the day on which
money was spent, and where earlier answers are looked for. These compare records of several topics,
so all topics are stamped by the same clock.
"""

KEPT_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""How the audit topic is configured. A topic that deletes old records, or keeps only the last
record of each tenant, is no evidence of anything."""

DAY_MS = 86_400_000

ERASED_WITHIN = {"max.compaction.lag.ms": str(DAY_MS)}
"""How long the broker may keep a labelled row on disk that was erased or replaced.

Without it Kafka may wait for ever: it compacts no segment that is still written to, and leaves a
topic alone until half of it can go.
"""


@dataclass(frozen=True)
class Topics:
    """Topic names under one prefix."""

    prefix: str

    def input(self, domain: Domain) -> str:
        """The topic on which events of a domain arrive."""
        return f"{self.prefix}.{domain}.v1"

    def triaged(self, domain: Domain) -> str:
        """The topic of the decisions of a domain."""
        return f"{self.prefix}.{domain}.triaged.v1"

    @property
    def enrichment(self) -> str:
        """The cases that go to the LLM."""
        return f"{self.prefix}.enrichment.v1"

    @property
    def review(self) -> str:
        """The cases that wait for a person."""
        return f"{self.prefix}.review.v1"

    @property
    def feedback(self) -> str:
        """Verdicts by people."""
        return f"{self.prefix}.feedback.v1"

    @property
    def labels(self) -> str:
        """What people and the LLM decided, with the texts: what is learned from."""
        return f"{self.prefix}.labels.v1"

    @property
    def audit(self) -> str:
        """The log of all decisions."""
        return f"{self.prefix}.audit.v1"

    @property
    def deadletter(self) -> str:
        """The records that could not be processed."""
        return f"{self.prefix}.deadletter.v1"

    def configs(self, name: str, retention_days: int = 0) -> dict[str, str]:
        """The Kafka settings that a topic is created with.

        Labelled rows are deleted after `retention_days`, or never if it is 0.
        """
        configs = {"max.message.bytes": str(MAX_MESSAGE_BYTES), **BROKER_TIME}
        if name == self.audit:
            return configs | KEPT_FOR_EVER
        if name == self.labels:
            return configs | compacted(retention_days) | ERASED_WITHIN
        return configs

    def __iter__(self) -> Iterator[str]:
        for domain in DOMAINS:
            yield self.input(domain)
            yield self.triaged(domain)
        yield from (self.enrichment, self.review, self.feedback, self.labels, self.audit)
        yield self.deadletter


def compacted(retention_days: int) -> dict[str, str]:
    """How the topic of labelled rows is configured: of each key the last record is kept."""
    if not retention_days:
        return {"cleanup.policy": "compact"}
    return {"cleanup.policy": "compact,delete", "retention.ms": str(retention_days * DAY_MS)}
