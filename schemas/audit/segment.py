"""Where this worker's next audit record of each tenant goes, and what it names."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from schemas.audit.record import MAX_HEADS

MAX_TENANTS = 100_000
"""Some 500 bytes each, and 200 for each other worker that writes of it, 32 at most."""


@dataclass(slots=True)
class Segment:
    """One writer's part of a tenant's chain: the next record's `sequence`, and the digest it names as `previous`, an
    anchor while the sequence is 0.
    """  # noqa: D205 - one thought

    writer: str
    sequence: int = 0
    previous: str = ""
    _others: dict[str, str] = field(default_factory=dict)
    _named_at: int = 0

    def saw(self, writer: str, digest: str) -> None:
        """Another writer's strand of this tenant now ends there. With too many, the one still for longest is let go."""
        if not self.sequence:
            self.previous = digest
        self._others.pop(writer, None)
        self._others[writer] = digest
        if len(self._others) > MAX_HEADS:
            del self._others[next(iter(self._others))]

    def name(self) -> tuple[str, ...]:
        """The ends of other strands that the next record names: all of them or none.

        Each end is named once, and no more of them than this strand has records, or the names would outgrow the
        decisions where many workers write of one tenant.
        """
        if self.sequence and self.sequence - self._named_at < len(self._others):
            return ()
        heads = sorted({*self._others.values()} - {self.previous})
        self._others.clear()
        self._named_at = self.sequence
        return tuple(heads)

    def extend(self, digest: str) -> None:
        """This strand's next record has that digest."""
        self.sequence, self.previous = self.sequence + 1, digest


class Segments:
    """One strand a tenant; the tenant not heard of for longest is forgotten first, and later begins another."""

    def __init__(self, writer: str | None = None, max_tenants: int = MAX_TENANTS) -> None:
        self._writer = writer or secrets.token_hex(8)
        self._max_tenants = max_tenants
        self._segments: OrderedDict[str, Segment] = OrderedDict()
        self._forgotten = 0

    def of(self, tenant: str) -> Segment:
        """The tenant's strand, begun here if there is none."""
        if tenant in self._segments:
            self._segments.move_to_end(tenant)
            return self._segments[tenant]
        # One that was forgotten must not be begun again under its old name: its numbers are taken.
        name = f"{self._writer}.{self._forgotten}" if self._forgotten else self._writer
        segment = self._segments[tenant] = Segment(name)
        if len(self._segments) > self._max_tenants:
            self._segments.popitem(last=False)
            self._forgotten += 1
        return segment

    def wrote(self, writer: str) -> bool:
        """Whether a strand of that name is one of these."""
        return writer.partition(".")[0] == self._writer
