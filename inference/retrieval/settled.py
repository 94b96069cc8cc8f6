"""Which event a verdict is about: cases and final revisions arrive on different topics, in either order."""

from collections import OrderedDict

import msgspec

from inference.retrieval.options import RetrievalOptions
from schemas.event import Domain, Event, Origin
from schemas.triaged import Case, TriagedEvent

_Key = tuple[str, Domain, str, Origin]
"""With the origin: a sender who uses an id again for another text must not have the old verdict quoted with it."""

_Side = OrderedDict[_Key, bytes]


class SettledCases:
    """Joins events with the revisions that settle them, by tenant, domain, id and origin.

    Either side waits for the other, as JSON, and stays for a later verdict on the same event; beyond `max_waiting`
    the one that came first is forgotten, and nothing is lost with it but a quotation. Embed and add to `Precedents`
    what is returned: only that, for most cases are never settled by a person.
    """

    def __init__(self, options: RetrievalOptions) -> None:
        self._options = options
        self._events: _Side = OrderedDict()
        self._verdicts: _Side = OrderedDict()

    def remember(self, case: Case) -> Case | None:
        """A case was seen on the enrichment or review topic.

        Returns:
            Its event with the revision that settles it, if that was seen before.
        """
        event = case.event
        key = (event.tenant, event.domain, event.id, case.triaged.origin)
        known = self._keep(self._events, key, msgspec.json.encode(event))
        verdict = self._verdict(key)
        return Case(event=event, triaged=verdict) if known and verdict else None

    def settle(self, triaged: TriagedEvent) -> Case | None:
        """A revision was seen on a triaged topic; all but final ones by those in `settled_by` are passed over.

        A person's verdict is superseded by a person's later one only.

        Returns:
            The event with this revision, if a case with it was seen before.
        """
        if triaged.status != "final" or triaged.decided_by not in self._options.settled_by:
            return None
        key = (triaged.tenant, triaged.domain, triaged.id, triaged.origin)
        earlier = self._verdict(key)
        if earlier and _authority(earlier) > _authority(triaged):
            return None
        known = self._keep(self._verdicts, key, msgspec.json.encode(triaged))
        event = self._events.get(key)
        return (
            Case(event=msgspec.json.decode(event, type=Event), triaged=triaged)
            if known and event
            else None
        )

    def _verdict(self, key: _Key) -> TriagedEvent | None:
        record = self._verdicts.get(key)
        return msgspec.json.decode(record, type=TriagedEvent) if record else None

    def _keep(self, side: _Side, key: _Key, record: bytes) -> bool:
        if len(record) > self._options.max_record_bytes:
            return False
        side[key] = record
        side.move_to_end(key)
        if len(side) > self._options.max_waiting:
            side.popitem(last=False)
        return True


def _authority(triaged: TriagedEvent) -> tuple[bool, int]:
    return triaged.decided_by == "human", triaged.revision
