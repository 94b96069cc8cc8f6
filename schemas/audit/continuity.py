"""Checking that the records of one segment follow one another.

This finds records that are missing, late, repeated or changed. `schemas.audit.verification` uses
it for every segment of a topic.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from schemas.audit.record import AuditRecord, Unsealed

FaultKind = Literal[
    "unreadable",  # the value is not an audit record
    "changed",  # its bytes are not the bytes that were sealed
    "wrong seal",  # sealed without the configured key, or with a key although none is configured
    "wrong key",  # the key of the Kafka record is not its tenant
    "wrong header",
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
    """

    what: FaultKind
    place: Place
    tenant: str
    writer: str | None = None
    sequence: int | None = None
    count: int = 1

    @classmethod
    def of(cls, what: FaultKind, place: Place, record: AuditRecord) -> "Fault":
        """A fault of a record that can be trusted."""
        return cls(what, place, record.tenant, record.writer, record.sequence)


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
        return Fault("missing", self.next_place, tenant, writer, first, self.last - first + 1)


class DamagedRecords:
    """The digests of damaged records, so that the records after them are not reported too.

    At most `MAX_DAMAGED` are kept. The oldest is forgotten first.
    """

    def __init__(self) -> None:
        self._previous: dict[str, str | None] = {}

    def add(self, unsealed: Unsealed) -> None:
        """Remember every digest that the next record may name for this damaged one."""
        for digest in unsealed.digests:
            self._previous[digest] = unsealed.previous
        while len(self._previous) > MAX_DAMAGED:
            del self._previous[next(iter(self._previous))]

    def __contains__(self, digest: str) -> bool:
        return digest in self._previous

    def count_before(self, digest: str, at_most: int) -> tuple[int, str]:
        """How many damaged records in a row end with `digest`, and what the first of them names.

        `at_most` limits the number.
        """
        count = 0
        while count < min(at_most, len(self._previous)) and digest in self._previous:
            digest = self._previous[digest] or ""
            count += 1
        return count, digest


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

    def advance(self, record: AuditRecord, place: Place, damaged: DamagedRecords) -> list[Fault]:
        """Take a record that is not before `next_sequence`, and report what it shows."""
        faults = []
        if record.sequence > self.next_sequence:
            faults = self._skip(record, place, damaged)
        elif record.sequence and record.previous != self.last_digest:
            # The record before this one has a seal that fits, but it is not the record that its
            # writer sealed.
            number = record.sequence - 1
            faults = [Fault("changed", self.last_place, record.tenant, record.writer, number)]
        self.next_sequence = record.sequence + 1
        self.last_digest = record.digest
        self.last_place = place
        return faults

    def take_late(self, record: AuditRecord, place: Place) -> list[Fault]:
        """Take a record that is before `next_sequence`, and fill the hole that it belongs to."""
        hole = self.hole_at(record.sequence)
        if hole is None:
            return [Fault.of("repeated", place, record)]
        before = Hole(hole.first, record.sequence - 1, record.previous, place)
        after = Hole(record.sequence + 1, hole.last, hole.last_digest, hole.next_place)
        self.holes.remove(hole)
        self.holes += [part for part in (before, after) if part.first <= part.last]
        return [Fault.of("reordered", place, record)]

    def _skip(self, record: AuditRecord, place: Place, damaged: DamagedRecords) -> list[Fault]:
        """Open a hole for the numbers that were skipped, except those of damaged records.

        If there are too many open holes, the oldest is reported now.
        """
        skipped = record.sequence - self.next_sequence
        damaged_count, last_digest = damaged.count_before(record.previous, skipped)
        last = record.sequence - 1 - damaged_count
        if last >= self.next_sequence:
            self.holes.append(Hole(self.next_sequence, last, last_digest, place))
        if len(self.holes) <= MAX_OPEN_HOLES:
            return []
        oldest = self.holes.pop(0)
        return [oldest.missing(record.tenant, record.writer, oldest.first)]


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
        return Fault("changed", longest.last_place, tenant, writer, hole.last)
    return None
