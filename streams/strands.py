"""Where this worker's next audit record of each tenant goes."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

MAX_TENANTS = 100_000
"""Some 500 bytes each."""


@dataclass(slots=True)
class Strand:
    """One writer's part of a tenant's chain: the next record's `sequence`, and the digest it names as `previous`, an
    anchor while the sequence is 0.
    """  # noqa: D205 - one thought

    writer: str
    sequence: int = 0
    previous: str = ""


class Strands:
    """One strand a tenant; the tenant not heard of for longest is forgotten first, and later begins another."""

    def __init__(self, writer: str | None = None, max_tenants: int = MAX_TENANTS) -> None:
        self._writer = writer or secrets.token_hex(8)
        self._max_tenants = max_tenants
        self._strands: OrderedDict[str, Strand] = OrderedDict()
        self._forgotten = 0

    def of(self, tenant: str) -> Strand:
        """The tenant's strand, begun here if there is none."""
        if tenant in self._strands:
            self._strands.move_to_end(tenant)
            return self._strands[tenant]
        # One that was forgotten must not be begun again under its old name: its numbers are taken.
        name = f"{self._writer}.{self._forgotten}" if self._forgotten else self._writer
        strand = self._strands[tenant] = Strand(name)
        if len(self._strands) > self._max_tenants:
            self._strands.popitem(last=False)
            self._forgotten += 1
        return strand

    def wrote(self, writer: str) -> bool:
        """Whether a strand of that name is one of these."""
        return writer.partition(".")[0] == self._writer
