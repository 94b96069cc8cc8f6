"""Cases and decisions as they are on their topics, for tests of the view of cases."""

from typing import Any

import msgspec

from agents.outcomes import Incoming
from schemas.codec import encode
from schemas.event import Origin
from schemas.signing import VERDICT_HEADER
from schemas.triaged import Case, TriagedEvent
from streams.topics import Topics
from tests.records import RECEIVED_AT_S, case

TOPICS = Topics("triage")
REVIEW = TOPICS.review


class Log:
    """Records as they would be on the topics, each with its own offset."""

    def __init__(self) -> None:
        self.next: dict[str, int] = {}

    def on(self, topic: str, value: Case | TriagedEvent | bytes, **headers: str) -> Incoming:
        """One record at the end of a topic."""
        offset = self.next.get(topic, 0)
        self.next[topic] = offset + 1
        data = value if isinstance(value, bytes) else encode(value)
        origin = Origin(topic=topic, partition=0, offset=offset)
        pairs = [(VERDICT_HEADER, value.encode()) for value in headers.values()]
        return Incoming(data, b"key", pairs, origin, RECEIVED_AT_S)

    def decided(self, event: TriagedEvent, **headers: str) -> Incoming:
        """A decision on its triaged topic."""
        return self.on(TOPICS.triaged(event.domain), event, **headers)

    def case(self, waiting: Case) -> Incoming:
        """A case on the review topic."""
        return self.on(REVIEW, waiting)

    def both(self, waiting: Case) -> list[Incoming]:
        """A case as the worker publishes it: on both topics."""
        return [self.decided(waiting.triaged), self.case(waiting)]


def waiting(
    id_: str = "e-1", *, risk: float = 0.5, escalation: str = "risk", **changes: Any
) -> Case:
    """A case that waits for a person."""
    decision: dict[str, Any] = {"status": "needs_review", "title": f"alert {id_}"} | changes
    return msgspec.structs.replace(case(id_, **decision), risk=risk, escalation=escalation)


def by_person(decision: TriagedEvent, *, by: str = "r.okafor", **changes: Any) -> TriagedEvent:
    """A person's revision of a decision."""
    fields: dict[str, Any] = {
        "revision": decision.revision + 1,
        "status": "final",
        "decided_by": "human",
        "reasons": [*decision.reasons, f"decided by {by}"],
    }
    return msgspec.structs.replace(decision, **fields | changes)
