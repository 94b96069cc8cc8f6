"""Joins cases with the final revisions that settle them.

Both arrive on different topics, in either order.
"""

from collections import OrderedDict

import msgspec
from msgspec.structs import replace

from inference.retrieval.options import RetrievalOptions
from schemas.agreement import check_case
from schemas.codec import prepared
from schemas.triaged import Alternative, Case, Identity, Label, TriagedEvent

_Records = OrderedDict[Identity, bytes]
"""As JSON, the oldest first."""


class SettledCases:
    """Joins events with the revisions that settle them, by all that tells events apart.

    Cases wait for their verdict and verdicts for their case, both as JSON. Both stay afterwards,
    for a later verdict on the same event. Beyond `max_waiting` the oldest is forgotten: then only a
    quotation is lost.

    Embed only the cases that `remember` and `settle` return, and add them to `Precedents`: most
    cases are never settled by a person.
    """

    def __init__(self, options: RetrievalOptions) -> None:
        self._options = options
        self._cases: _Records = OrderedDict()
        self._verdicts: _Records = OrderedDict()

    def remember(self, case: Case) -> Case | None:
        """Note a case from the enrichment or review topic.

        Returns:
            Its event with the revision that settles it, if that revision came before.

        Raises:
            InvalidEvent: its event and its decision are not about the same event.
        """
        check_case(case)
        key = case.triaged.identity
        is_kept = self._keep(self._cases, key, msgspec.json.encode(case))
        verdict = self._verdict(key)
        if not is_kept or verdict is None:
            return None
        return _join(case, verdict)

    def settle(self, triaged: TriagedEvent) -> Case | None:
        """Note a revision from a triaged topic, if it is final and by somebody in `settled_by`.

        A person's verdict is replaced only by a later verdict of a person.

        Returns:
            The event with this revision, if a case with the event came before.
        """
        if triaged.status != "final" or triaged.decided_by not in self._options.settled_by:
            return None
        key = triaged.identity
        earlier = self._verdict(key)
        if earlier and _authority(earlier) > _authority(triaged):
            return None
        is_kept = self._keep(self._verdicts, key, msgspec.json.encode(triaged))
        case = self._cases.get(key)
        if not is_kept or not case:
            return None
        return _join(msgspec.json.decode(case, type=prepared(Case)), triaged)

    def _verdict(self, key: Identity) -> TriagedEvent | None:
        record = self._verdicts.get(key)
        return msgspec.json.decode(record, type=prepared(TriagedEvent)) if record else None

    def _keep(self, records: _Records, key: Identity, record: bytes) -> bool:
        """Keep the record as the newest one, unless it is too large."""
        if len(record) > self._options.max_record_bytes:
            return False
        records[key] = record
        records.move_to_end(key)
        if len(records) > self._options.max_waiting:
            records.popitem(last=False)
        return True


def _join(case: Case, verdict: TriagedEvent) -> Case:
    """The event of a case with the revision that settles it.

    The values that the axes had before stay as alternatives. An egress policy that keeps such
    events inside still does so: a verdict does not let out what was kept inside.
    """
    labels = {
        axis: _with_earlier(label, case.triaged.labels.get(axis))
        for axis, label in verdict.labels.items()
    }
    return Case(event=case.event, triaged=replace(verdict, labels=labels))


def _with_earlier(label: Label, earlier: Label | None) -> Label:
    if earlier is None:
        return label
    known = {label.value, *(other.value for other in label.alternatives)}
    before = [
        Alternative(value=earlier.value, confidence=earlier.confidence),
        *earlier.alternatives,
    ]
    added = [other for other in before if other.value not in known]
    return replace(label, alternatives=[*label.alternatives, *added])


def _authority(triaged: TriagedEvent) -> tuple[bool, int]:
    return triaged.decided_by == "human", triaged.revision
