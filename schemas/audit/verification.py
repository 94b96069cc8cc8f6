"""Checking the whole audit topic: the seal of every record, and every segment of every chain.

The records of a partition must be given in their order. The partitions may come in any order.
Memory holds a small state for each segment, the digests of about a thousand records of each
partition, the anchors that name older records, and the faults. It does not hold the records.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from schemas.audit.continuity import (
    DamagedRecords,
    Fault,
    FaultKind,
    Place,
    SegmentState,
    open_hole_faults,
)
from schemas.audit.record import (
    ChainRecord,
    Unsealed,
    WrittenTo,
    fingerprint,
    headers_of,
    unseal,
)

__all__ = ["COPY_WINDOW", "Chain", "Fault", "Place", "Verification"]

COPY_WINDOW = 1024
"""How many records of a partition are searched for a copy of a record.

A producer that is not idempotent may write its last batch twice. Such a copy hides nothing, so it
is counted and is not a fault. The producer has one open request per partition, which holds 128 KB
of records of about 900 bytes.
"""


@dataclass(slots=True)
class Chain:
    """What the topic has of one tenant.

    `records` does not count `copies`. `heads` maps each writer to the digest of the last record of
    its segment. `tips` are those heads that no record names. If a tip is removed, nothing on the
    topic shows that. `unbound` counts the records of version 1, which name no topic.
    """

    records: int = 0
    copies: int = 0
    unbound: int = 0
    heads: dict[str, str] = field(default_factory=dict)
    tips: set[str] = field(default_factory=set)

    def extend(self, writer: str, digest: str) -> None:
        """Note that this writer's segment now ends with this record."""
        self.tips.discard(self.heads.get(writer, ""))
        self.tips.add(digest)
        self.heads[writer] = digest


class Verification:
    """The check of one topic: call `add` for every record, and then `end`.

    `expected` are pairs of a tenant and a digest that were noted earlier and must still be on the
    topic. They are needed because a chain alone cannot show that its end is missing.

    `written_to` is the topic that the records must be sealed for. Without it, that is not checked.
    If its cluster is empty, only the name of the topic is checked.
    """

    def __init__(
        self,
        key: bytes | None = None,
        expected: Sequence[tuple[str, str]] = (),
        written_to: WrittenTo | None = None,
    ) -> None:
        self._key = key
        self._written_to = written_to
        self._expected = set(expected)
        self._segments: dict[tuple[str, str], dict[int, SegmentState]] = {}
        self._recent: dict[int, OrderedDict[str, None]] = {}
        self._heads: set[str] = set()
        self._damaged = DamagedRecords()
        self._unresolved_anchors: dict[tuple[str, str], list[Fault]] = {}
        self.chains: dict[str, Chain] = {}

    def add(
        self,
        value: bytes | None,
        *,
        place: Place,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> list[Fault]:
        """Check the next record of its partition.

        Returns:
            The faults of this record, and the faults of earlier records that it shows.
        """
        unsealed = unseal(value or b"", self._key)
        record = unsealed.record
        if record is None or unsealed.fault in ("unreadable", "changed"):
            fault = Fault(
                unsealed.fault or "unreadable",
                place,
                _text(key),
                other=None if record is None else _unless(record.tenant, _text(key)),
                digest=fingerprint(value, key, headers),
            )
            self._damaged.add(unsealed, fault)
            return [fault]
        kinds = self._fault_kinds(unsealed, record, key, headers)
        digest = fingerprint(value, key, headers) if kinds else ""
        other = _unless(_text(key), record.tenant)
        faults = [replace(Fault.of(kind, place, record, digest), other=other) for kind in kinds]
        return faults + self._follow(record, place)

    @property
    def unresolved(self) -> bool:
        """Whether the whole topic must be read again, to find anchors that name old records."""
        return bool(self._unresolved_anchors)

    def look_again(self, value: bytes | None) -> None:
        """Take one record of the second reading. The order of the records does not matter."""
        record = unseal(value or b"", self._key).record
        if record is not None:
            self._unresolved_anchors.pop((record.tenant, record.digest), None)

    def end(self) -> list[Fault]:
        """The faults that only the end of the topic shows: open holes and unknown anchors."""
        faults = [
            fault
            for (tenant, writer), partitions in self._segments.items()
            for fault in open_hole_faults(tenant, writer, partitions.values())
        ]
        return faults + [fault for group in self._unresolved_anchors.values() for fault in group]

    def lost(self) -> list[tuple[str, str]]:
        """The pairs of `expected` that were not found."""
        return sorted(self._expected)

    def _follow(self, record: ChainRecord, place: Place) -> list[Fault]:
        """Check the place of a record on its segment, and update what is known of its chain."""
        chain = self.chains.setdefault(record.tenant, Chain())
        partitions = self._segments.setdefault((record.tenant, record.writer), {})
        state = partitions.setdefault(place.partition, SegmentState(place))
        recent = self._recent.setdefault(place.partition, OrderedDict())
        late = record.sequence < state.next_sequence
        if late and record.digest in recent and not state.hole_at(record.sequence):
            chain.copies += 1
            return []
        if late:
            faults = state.take_late(record, place)
        else:
            self._heads.discard(state.last_digest)
            self._heads.add(record.digest)
            faults = state.advance(record, place, self._damaged)
            if state.next_sequence == max(other.next_sequence for other in partitions.values()):
                chain.extend(record.writer, record.digest)
        for digest in _anchors(record):
            faults += self._resolve(digest, record, place)
        chain.records += 1
        chain.unbound += record.written_to is None
        self._remember(record, recent)
        return faults

    def _resolve(self, anchor: str, record: ChainRecord, place: Place) -> list[Fault]:
        """Look for the record that an anchor names, and keep the anchor if it is not known."""
        self.chains[record.tenant].tips.discard(anchor)
        if anchor in self._heads or anchor in self._recent[place.partition]:
            return []
        if anchor in self._damaged:
            return self._damaged.claim([anchor], record.tenant)
        fault = Fault.of("unknown anchor", place, record, anchor)
        self._unresolved_anchors.setdefault((record.tenant, anchor), []).append(fault)
        return []

    def _fault_kinds(
        self,
        unsealed: Unsealed,
        record: ChainRecord,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> list[FaultKind]:
        kinds: dict[FaultKind, bool] = {
            "wrong seal": unsealed.fault is not None,
            "wrong key": key != record.tenant.encode(),
            "wrong header": list(headers) != headers_of(record),
            "wrong topic": self._is_elsewhere(record.written_to),
        }
        return [kind for kind, present in kinds.items() if present]

    def _is_elsewhere(self, sealed_for: WrittenTo | None) -> bool:
        """Whether a record was sealed for another topic; one of version 1 names none."""
        here = self._written_to
        if here is None or sealed_for is None:
            return False
        other_cluster = here.cluster and sealed_for.cluster not in ("", here.cluster)
        return sealed_for.topic != here.topic or bool(other_cluster)

    def _remember(self, record: ChainRecord, recent: OrderedDict[str, None]) -> None:
        recent[record.digest] = None
        if len(recent) > COPY_WINDOW:
            recent.popitem(last=False)
        self._expected.discard((record.tenant, record.digest))


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")


def _unless(tenant: str, known: str) -> str | None:
    return None if tenant == known else tenant


def _anchors(record: ChainRecord) -> tuple[str, ...]:
    """The digests of records on other segments that this record names."""
    if record.sequence or not record.previous:
        return record.heads
    return (record.previous, *record.heads)
