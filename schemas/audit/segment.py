"""The state of this worker's segments: what the next audit record of each tenant must contain."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from schemas.audit.record import MAX_HEADS

MAX_TENANTS = 100_000
"""How many segments are kept in memory.

Each takes about 500 bytes, and 200 bytes more for each of up to 32 other workers that write
records of the same tenant.
"""


@dataclass(slots=True)
class Segment:
    """One writer's part of a tenant's chain.

    `sequence` is the number of the next record, and `previous` the digest that it names as its
    predecessor. While `sequence` is 0, `previous` is the anchor of the segment.
    """

    writer: str
    sequence: int = 0
    previous: str = ""
    _other_heads: dict[str, str] = field(default_factory=dict)
    _named_at: int = 0

    def saw(self, writer: str, digest: str) -> None:
        """Note that another writer's segment of this tenant now ends with this record.

        At most `MAX_HEADS` ends are kept. The one that has not grown for the longest time is
        forgotten first.
        """
        if not self.sequence:
            self.previous = digest
        self._other_heads.pop(writer, None)
        self._other_heads[writer] = digest
        if len(self._other_heads) > MAX_HEADS:
            del self._other_heads[next(iter(self._other_heads))]

    def name(self) -> tuple[str, ...]:
        """The ends of other segments that the next record names: all known ends, or none.

        Each end is named once. A segment never names more ends than it has records. Otherwise the
        names would take more space than the decisions if many workers write for one tenant.
        """
        if self.sequence and self.sequence - self._named_at < len(self._other_heads):
            return ()
        heads = sorted({*self._other_heads.values()} - {self.previous})
        self._other_heads.clear()
        self._named_at = self.sequence
        return tuple(heads)

    def extend(self, digest: str) -> None:
        """Note that this segment now ends with a new record of this digest."""
        self.sequence += 1
        self.previous = digest


class Segments:
    """One segment per tenant.

    If there are more than `max_tenants`, the tenant that was not used for the longest time is
    forgotten. It later begins another segment.
    """

    def __init__(self, writer: str | None = None, max_tenants: int = MAX_TENANTS) -> None:
        self._writer = writer or secrets.token_hex(8)
        self._max_tenants = max_tenants
        self._segments: OrderedDict[str, Segment] = OrderedDict()
        self._forgotten = 0

    def of(self, tenant: str) -> Segment:
        """The segment of the tenant, which begins here if there is none."""
        if tenant in self._segments:
            self._segments.move_to_end(tenant)
            return self._segments[tenant]
        segment = self._segments[tenant] = Segment(self._new_writer())
        if len(self._segments) > self._max_tenants:
            self._segments.popitem(last=False)
            self._forgotten += 1
        return segment

    def wrote(self, writer: str) -> bool:
        """Whether the segment of this name is one of these."""
        return writer.partition(".")[0] == self._writer

    def _new_writer(self) -> str:
        # A forgotten segment may have used the old name, and its sequence numbers are taken.
        if self._forgotten:
            return f"{self._writer}.{self._forgotten}"
        return self._writer
