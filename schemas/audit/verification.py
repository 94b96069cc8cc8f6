"""Checking the audit topic: every record against its seal, and every strand of every tenant's chain for holes.

Records are fed in the order of their partition, partitions in any order. What is kept is one small state a strand,
the digests of a thousand records a partition, the anchors that lie further back, and what is found wanting; never the
records.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from schemas.audit.record import HEADERS, AuditRecord, Unsealed, unseal

FaultKind = Literal[
    "unreadable",  # no audit record
    "changed",  # its bytes are not those that were sealed
    "wrong seal",  # sealed without the key that is configured, or with one and none is
    "wrong key",  # it lies under another key than its tenant
    "wrong header",
    "missing",  # records that were there before this one are not
    "reordered",  # it comes after its successor
    "repeated",  # its place on the strand was taken long before
    "unknown anchor",  # a record of another strand that it names is not on the topic
]

COPY_WINDOW = 1024
"""A producer that is not idempotent may write its last batch twice. A copy so soon after hides nothing: it is counted,
and is no fault. One request to a partition is in flight at a time, and holds 128 KB of records of some 900 bytes."""
MAX_OPEN_HOLES = 64
MAX_DAMAGED = 100_000


class Place(NamedTuple):
    """Where a record lies on the audit topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong at one record.

    `tenant` is the record's key where the record itself cannot be believed; `writer` and `sequence` are then None.
    Where records are ``missing``, `place` is that of the record behind the hole, `sequence` the first of `count`.
    """

    what: FaultKind
    place: Place
    tenant: str
    writer: str | None = None
    sequence: int | None = None
    count: int = 1


@dataclass(slots=True)
class Chain:
    """What is on the topic of one tenant; `copies` were counted once.

    `heads` has the digest of each strand's last record by its writer. `tips` are those of them that no record was seen
    to name: nothing on the topic would show that they are gone.
    """

    records: int = 0
    copies: int = 0
    heads: dict[str, str] = field(default_factory=dict)
    tips: set[str] = field(default_factory=set)

    def extend(self, writer: str, digest: str) -> None:
        """That writer's strand now ends there."""
        self.tips.discard(self.heads.get(writer, ""))
        self.tips.add(digest)
        self.heads[writer] = digest


@dataclass(slots=True)
class Hole:
    """Sequence numbers `first` to `last` have not come; the record behind them names `head` as the last one's."""

    first: int
    last: int
    head: str
    behind: Place


@dataclass(slots=True)
class SegmentState:
    """How far one writer's strand has come on one partition: its last record's place and digest, the next sequence."""

    place: Place
    next: int = 0
    head: str = ""
    holes: list[Hole] = field(default_factory=list)


class Verification:
    """Feed it every record, then ask for the `end`.

    `expected` holds pairs of tenant and digest, noted earlier, that must still be found: what the chain cannot show
    is that its end is gone.
    """

    def __init__(self, key: bytes | None = None, expected: Sequence[tuple[str, str]] = ()) -> None:
        self._key = key
        self._expected = set(expected)
        self._segments: dict[tuple[str, str], dict[int, SegmentState]] = {}
        self._recent: dict[int, OrderedDict[str, None]] = {}
        self._heads: set[str] = set()
        self._damaged: dict[str, str | None] = {}
        self._anchors: dict[tuple[str, str], list[Fault]] = {}
        self.chains: dict[str, Chain] = {}

    def add(
        self,
        value: bytes | None,
        *,
        place: Place,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> list[Fault]:
        """Check the next record of its partition; what is wrong with it, or shown by it."""
        unsealed = unseal(value or b"", self._key)
        if unsealed.record is None or unsealed.fault in ("unreadable", "changed"):
            self._bypass(unsealed)
            return [
                Fault(unsealed.fault or "unreadable", place, (key or b"").decode(errors="replace"))
            ]
        record = unsealed.record
        wrong: dict[FaultKind, bool] = {
            "wrong seal": unsealed.fault is not None,
            "wrong key": key != record.tenant.encode(),
            "wrong header": list(headers) != HEADERS,
        }
        faults = [_fault(what, place, record) for what, found in wrong.items() if found]
        return faults + self._follow(record, place)

    @property
    def unresolved(self) -> bool:
        """Whether a second look at the whole topic is needed to find anchors that lie far back."""
        return bool(self._anchors)

    def look_again(self, value: bytes | None) -> None:
        """Take one record of the second look, of any partition."""
        unsealed = unseal(value or b"", self._key)
        if unsealed.record is not None:
            self._anchors.pop((unsealed.record.tenant, unsealed.record.digest), None)

    def end(self) -> list[Fault]:
        """What only the end can show: holes nothing has filled, and anchors that are not there."""
        faults = [
            fault for segments in self._segments.items() for fault in self._open_holes(*segments)
        ]
        return faults + [fault for waiting in self._anchors.values() for fault in waiting]

    def lost(self) -> list[tuple[str, str]]:
        """Those of `expected` that were not found."""
        return sorted(self._expected)

    def _bypass(self, unsealed: Unsealed) -> None:
        """Remember what a damaged record's successor may name, so that the successor is not blamed for it."""
        for digest in unsealed.digests:
            self._damaged[digest] = unsealed.previous
        while len(self._damaged) > MAX_DAMAGED:
            del self._damaged[next(iter(self._damaged))]

    def _follow(self, record: AuditRecord, place: Place) -> list[Fault]:
        chain = self.chains.setdefault(record.tenant, Chain())
        partitions = self._segments.setdefault((record.tenant, record.writer), {})
        segment = partitions.setdefault(place.partition, SegmentState(place))
        recent = self._recent.setdefault(place.partition, OrderedDict())
        if (
            record.sequence < segment.next
            and record.digest in recent
            and not _hole_at(segment, record.sequence)
        ):
            chain.copies += 1
            return []
        if record.sequence < segment.next:
            faults = self._late(segment, record, place)
        else:
            faults = self._next(segment, record, place)
            if segment.next == max(part.next for part in partitions.values()):
                chain.extend(record.writer, record.digest)
        for digest in _named(record):
            self._anchor(digest, record, place)
        chain.records += 1
        recent[record.digest] = None
        if len(recent) > COPY_WINDOW:
            recent.popitem(last=False)
        self._expected.discard((record.tenant, record.digest))
        return faults

    def _next(self, segment: SegmentState, record: AuditRecord, place: Place) -> list[Fault]:
        faults = []
        if record.sequence > segment.next:
            faults = self._skipped(segment, record, place)
        elif (
            record.sequence and record.previous != segment.head
        ):  # whole in itself, but not what its successor followed
            faults = [
                Fault("changed", segment.place, record.tenant, record.writer, record.sequence - 1)
            ]
        self._heads.discard(segment.head)
        self._heads.add(record.digest)
        segment.next, segment.head, segment.place = record.sequence + 1, record.digest, place
        return faults

    def _skipped(self, segment: SegmentState, record: AuditRecord, place: Place) -> list[Fault]:
        damaged, head = self._damaged_before(record.previous, record.sequence - segment.next)
        last = record.sequence - 1 - damaged
        if last >= segment.next:
            segment.holes.append(Hole(segment.next, last, head, place))
        if len(segment.holes) <= MAX_OPEN_HOLES:
            return []
        oldest = segment.holes.pop(0)
        return [_missing(record.tenant, record.writer, oldest.first, oldest)]

    def _damaged_before(self, digest: str, at_most: int) -> tuple[int, str]:
        """How many damaged records in a row lead up to the one that names `digest`, and what their first names."""
        count = 0
        while count < min(at_most, len(self._damaged)) and digest in self._damaged:
            digest = self._damaged[digest] or ""
            count += 1
        return count, digest

    def _late(self, segment: SegmentState, record: AuditRecord, place: Place) -> list[Fault]:
        hole = _hole_at(segment, record.sequence)
        if hole is None:
            return [_fault("repeated", place, record)]
        before = Hole(hole.first, record.sequence - 1, record.previous, place)
        behind = Hole(record.sequence + 1, hole.last, hole.head, hole.behind)
        segment.holes.remove(hole)
        segment.holes += [part for part in (before, behind) if part.first <= part.last]
        return [_fault("reordered", place, record)]

    def _anchor(self, digest: str, record: AuditRecord, place: Place) -> None:
        self.chains[record.tenant].tips.discard(digest)
        if not (
            digest in self._heads
            or digest in self._damaged
            or digest in self._recent[place.partition]
        ):
            fault = _fault("unknown anchor", place, record)
            self._anchors.setdefault((record.tenant, digest), []).append(fault)

    def _open_holes(
        self, segment: tuple[str, str], partitions: Mapping[int, SegmentState]
    ) -> Iterator[Fault]:
        parts = partitions.values()
        for hole in (hole for part in parts for hole in part.holes):
            # A topic that was given more partitions has the beginning of a strand on another one than the rest.
            begun = [part for part in parts if not hole.first and 0 < part.next <= hole.last + 1]
            longest = max(begun, key=lambda part: part.next, default=None)
            if longest is None:
                yield _missing(*segment, hole.first, hole)
            elif longest.next <= hole.last:
                yield _missing(*segment, longest.next, hole)
            elif longest.head != hole.head:
                yield Fault("changed", longest.place, *segment, hole.last)


def _named(record: AuditRecord) -> tuple[str, ...]:
    return (
        record.heads if record.sequence or not record.previous else (record.previous, *record.heads)
    )


def _hole_at(segment: SegmentState, sequence: int) -> Hole | None:
    return next((hole for hole in segment.holes if hole.first <= sequence <= hole.last), None)


def _fault(what: FaultKind, place: Place, record: AuditRecord) -> Fault:
    return Fault(what, place, record.tenant, record.writer, record.sequence)


def _missing(tenant: str, writer: str, first: int, hole: Hole) -> Fault:
    return Fault("missing", hole.behind, tenant, writer, first, hole.last - first + 1)
