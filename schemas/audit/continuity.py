"""Checking that the records of one segment follow one another.

This finds records that are missing, late, repeated or changed. `schemas.audit.verification` uses
it for every segment of a topic.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from schemas.audit.record import ChainRecord, Unsealed

FaultKind = Literal[
    "unreadable",  # the value is not an audit record
    "changed",  # its bytes are not the bytes that were sealed
    "wrong seal",  # sealed without the configured key, or with a key although none is configured
    "wrong key",  # the key of the Kafka record is not its tenant
    "wrong header",
    "wrong topic",  # it was sealed for another topic or another cluster
    "missing",  # records before this one are not on the topic
    "reordered",  # it comes after its successor
    "repeated",  # another record took its place on the segment long before
    "unknown anchor",  # it names a record of another segment that is not on the topic
]

MAX_OPEN_HOLES = 64
MAX_DAMAGED = 100_000


class Place(NamedTuple):
    """Where a record is on the audit topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with one record.

    If the record itself cannot be trusted, `tenant` is the key of the Kafka record, and `writer`
    and `sequence` are None. For ``missing``, `place` is the place of the record after the hole,
    `sequence` is the first missing number, and `count` is how many records are missing.

    `other` is a second tenant that the record may belong to: its key and its content name different
    tenants. `digest` stands for the bytes that are at fault, or for the digest of the record that
    is not there. So the fault can be told from a later one at the same place.
    """

    what: FaultKind
    place: Place
    tenant: str
    writer: str | None = None
    sequence: int | None = None
    count: int = 1
    other: str | None = None
    digest: str = ""

    @classmethod
    def of(
        cls, what: FaultKind, place: Place, record: ChainRecord, digest: str | None = None
    ) -> "Fault":
        """A fault of a record that can be trusted."""
        sealed_digest = record.digest if digest is None else digest
        return cls(what, place, record.tenant, record.writer, record.sequence, digest=sealed_digest)

    def concerns(self, tenant: str | None) -> bool:
        """Whether the fault may be one of this tenant's records; None stands for all tenants."""
        return tenant is None or tenant in (self.tenant, self.other)


@dataclass(slots=True)
class Hole:
    """The sequence numbers `first` to `last` of a segment, which have not been read.

    The record after the hole is at `next_place`. It names `last_digest` as the digest of `last`.
    """

    first: int
    last: int
    last_digest: str
    next_place: Place

    def missing(self, tenant: str, writer: str, first: int) -> Fault:
        """The fault for the numbers from `first` to the end of the hole."""
        count = self.last - first + 1
        return Fault(
            "missing", self.next_place, tenant, writer, first, count, digest=self.last_digest
        )


@dataclass(slots=True)
class _Damaged:
    """A damaged record: what it names as its predecessor, and the fault that was reported."""

    previous: str | None
    fault: Fault


class DamagedRecords:
    """The digests of damaged records, so that the records after them are not reported too.

    At most `MAX_DAMAGED` are kept. The oldest is forgotten first.
    """

    def __init__(self) -> None:
        self._records: dict[str, _Damaged] = {}

    def add(self, unsealed: Unsealed, fault: Fault) -> None:
        """Remember every digest that the next record may name for this damaged one."""
        damaged = _Damaged(unsealed.previous, fault)
        for digest in unsealed.digests:
            self._records[digest] = damaged
        while len(self._records) > MAX_DAMAGED:
            del self._records[next(iter(self._records))]

    def __contains__(self, digest: str) -> bool:
        return digest in self._records

    def row_before(self, digest: str, at_most: int) -> tuple[list[str], str]:
        """The damaged records in a row that ends with `digest`, and what the first of them names.

        The records are named by their digests, the last one first. `at_most` limits how many.
        """
        row: list[str] = []
        while len(row) < min(at_most, len(self._records)) and digest in self._records:
            row.append(digest)
            digest = self._records[digest].previous or ""
        return row, digest

    def claim(self, digests: Iterable[str], tenant: str) -> list[Fault]:
        """The faults of damaged records that a whole record of `tenant` shows to be this tenant's.

        Their own key and content may name another tenant, because whoever has damaged them may have
        changed that too. A fault that names the tenant already is not reported again.
        """
        faults = []
        for digest in digests:
            damaged = self._records[digest]
            if not damaged.fault.concerns(tenant):
                # Its key stays in the fault, so that the record can be found by either.
                damaged.fault = replace(damaged.fault, tenant=tenant, other=damaged.fault.tenant)
                faults.append(damaged.fault)
        return faults


@dataclass(slots=True)
class SegmentState:
    """How much of one segment has been read from one partition.

    `last_place` and `last_digest` belong to the record with the highest sequence number so far.
    `next_sequence` is the number after it.
    """

    last_place: Place
    next_sequence: int = 0
    last_digest: str = ""
    holes: list[Hole] = field(default_factory=list)

    def hole_at(self, sequence: int) -> Hole | None:
        """The hole that this sequence number is in, if there is one."""
        return next((hole for hole in self.holes if hole.first <= sequence <= hole.last), None)

    def advance(self, record: ChainRecord, place: Place, damaged: DamagedRecords) -> list[Fault]:
        """Take a record that is not before `next_sequence`, and report what it shows."""
        faults = []
        if record.sequence > self.next_sequence:
            faults = self._skip(record, place, damaged)
        elif record.sequence and record.previous != self.last_digest:
            # The record before this one has a seal that fits, but it is not the record that its
            # writer sealed.
            number = record.sequence - 1
            faults = [
                Fault(
                    "changed",
                    self.last_place,
                    record.tenant,
                    record.writer,
                    number,
                    digest=self.last_digest,
                )
            ]
        self.next_sequence = record.sequence + 1
        self.last_digest = record.digest
        self.last_place = place
        return faults

    def take_late(self, record: ChainRecord, place: Place) -> list[Fault]:
        """Take a record that is before `next_sequence`, and fill the hole that it belongs to."""
        hole = self.hole_at(record.sequence)
        if hole is None:
            return [Fault.of("repeated", place, record)]
        before = Hole(hole.first, record.sequence - 1, record.previous, place)
        after = Hole(record.sequence + 1, hole.last, hole.last_digest, hole.next_place)
        self.holes.remove(hole)
        self.holes += [part for part in (before, after) if part.first <= part.last]
        return [Fault.of("reordered", place, record)]

    def _skip(self, record: ChainRecord, place: Place, damaged: DamagedRecords) -> list[Fault]:
        """Open a hole for the numbers that were skipped, except those of damaged records.

        If there are too many open holes, the oldest is reported now.
        """
        skipped = record.sequence - self.next_sequence
        row, last_digest = damaged.row_before(record.previous, skipped)
        faults = damaged.claim(row, record.tenant)
        last = record.sequence - 1 - len(row)
        if last >= self.next_sequence:
            self.holes.append(Hole(self.next_sequence, last, last_digest, place))
        if len(self.holes) <= MAX_OPEN_HOLES:
            return faults
        oldest = self.holes.pop(0)
        return [*faults, oldest.missing(record.tenant, record.writer, oldest.first)]


def open_hole_faults(tenant: str, writer: str, states: Collection[SegmentState]) -> Iterator[Fault]:
    """The faults of all holes of a segment that are open at the end of the topic.

    `states` are the states of this segment on all partitions.
    """
    for state in states:
        for hole in state.holes:
            fault = _open_hole_fault(hole, tenant, writer, states)
            if fault is not None:
                yield fault


def _open_hole_fault(
    hole: Hole, tenant: str, writer: str, states: Collection[SegmentState]
) -> Fault | None:
    # After the topic was given more partitions, the first records of a segment may be on another
    # partition than the rest. Then the state of that partition fills the hole or a part of it.
    beginnings = [
        state for state in states if not hole.first and 0 < state.next_sequence <= hole.last + 1
    ]
    longest = max(beginnings, key=lambda state: state.next_sequence, default=None)
    if longest is None:
        return hole.missing(tenant, writer, hole.first)
    if longest.next_sequence <= hole.last:
        return hole.missing(tenant, writer, longest.next_sequence)
    if longest.last_digest != hole.last_digest:
        return Fault(
            "changed",
            longest.last_place,
            tenant,
            writer,
            hole.last,
            digest=longest.last_digest,
        )
    return None
