"""What a worker has decided by verdicts and may not have read back from the topics yet."""

import asyncio
from collections import OrderedDict

from agents.cases import Known
from schemas.event import Domain
from schemas.triaged import TriagedEvent

MAX_REMEMBERED = 10_000

Key = tuple[Domain, str, str]
"""Domain, tenant and id of an event."""


class Decided:
    """What this worker has decided in the last while, which may not be on the topics yet.

    Two verdicts about one event may be in one batch, or the second may be read before the first
    one's revision is published. `turn` is held while a batch is decided, so that verdicts are
    decided in the order in which they were read.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._known: OrderedDict[Key, Known] = OrderedDict()
        self._assignment = 0

    @property
    def assignment(self) -> int:
        """A number that changes with each assignment of partitions."""
        return self._assignment

    def forget(self) -> None:
        """Forget everything. Call it when partitions were assigned.

        What was decided under the assignment before and not published never will be.
        """
        self._assignment += 1
        self._known.clear()

    def note(self, known: Known, assignment: int) -> None:
        """Remember what is known of an event since a decision, made under this assignment."""
        if assignment == self._assignment:
            key = _key(known.current)
            self._known[key] = known
            self._known.move_to_end(key)
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)

    def latest(self, published: Known) -> Known:
        """What is known of an event: as it was published, or as it was decided since."""
        own = self._known.get(_key(published.current))
        if own is None or not same_content(own.current, published.current):
            return published
        return own if own.current.revision > published.current.revision else published


def same_content(one: TriagedEvent, other: TriagedEvent) -> bool:
    """Whether two decisions are about the same text: an id may be sent again with another one."""
    if one.input_digest is None or other.input_digest is None:
        return (one.source, one.origin) == (other.source, other.origin)
    return (one.source, one.input_digest) == (other.source, other.input_digest)


def _key(triaged: TriagedEvent) -> Key:
    return triaged.domain, triaged.tenant, triaged.id
