"""An audit topic in memory, written by real trails, and what a person with access to it might do to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from agents.outcomes import Triaged
from schemas.audit.record import AuditRecord
from schemas.audit.verification import Fault, Place, Verification
from schemas.codec import decode
from schemas.triaged import Enrichment
from streams.audit.trail import AuditTrail
from streams.config import AuditSection, Settings
from streams.kafka.record import Record
from tests.records import record as read
from tests.records import triaged

ASKED = Enrichment(
    status="answered",
    model="m",
    tier="small",
    calls=1,
    prompt_tokens=700,
    completion_tokens=90,
    cost_usd=0.0002,
    redactions={"email": 2},
)


@dataclass(frozen=True)
class Appended:
    """One record as it lies on a partition."""

    place: Place
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

    def decoded(self) -> AuditRecord:
        """What it says."""
        return decode(self.value or b"", AuditRecord)

    def flipped(self, at: int, bit: int) -> "Appended":
        """One bit of it turned over, counting through value, key, and the headers' names and values."""
        (name, content), key, value = self.headers[0], self.key or b"", self.value or b""
        whole = bytearray(value + key + name.encode() + (content or b""))
        whole[at] ^= 1 << bit
        ends = [len(value), len(value) + len(key), len(value) + len(key) + len(name)]
        header = (whole[ends[1] : ends[2]].decode("latin-1"), bytes(whole[ends[2] :]))
        return replace(
            self,
            value=bytes(whole[: ends[0]]),
            key=bytes(whole[ends[0] : ends[1]]),
            headers=[header],
        )

    @property
    def bytes_in_all(self) -> int:
        """How many bytes can be flipped."""
        name, content = self.headers[0]
        return len(self.value or b"") + len(self.key or b"") + len(name) + len(content or b"")


def trail(writer: str = "w1", **audit: Any) -> AuditTrail:
    """A trail that is connected to nothing."""
    return AuditTrail(
        msgspec.structs.replace(Settings(), audit=AuditSection(**audit)), writer=writer
    )


def decide(trail_: AuditTrail, tenant: str, number: int = 0, **changes: Any) -> Record:
    """The record of one more decision."""
    event = triaged(f"e-{number}", tenant=tenant, **changes)
    made = trail_.record(Triaged(event), read({"id": f"e-{number}"}, offset=number))
    assert made is not None
    return made


def topic(records: Iterable[Record], partitions: int = 2) -> list[Appended]:
    """The records on their partitions, in the order they were sent."""
    lengths = [0] * partitions
    found = []
    for each in records:
        partition = sum(each.key or b"") % partitions
        found.append(
            Appended(Place(partition, lengths[partition]), each.key, each.value, each.headers)
        )
        lengths[partition] += 1
    return found


def sixty(**audit: Any) -> list[Appended]:
    """Two writers at once, one of them restarted half way, and three tenants; every third decision asked the LLM."""
    writers = [trail("w1", **audit), trail("w2", **audit)]
    tenants = ("acme", "globex", "é")
    records = []
    for number in range(60):
        if number == 30:
            writers[0] = trail("w3", **audit)
            for each in topic(records):
                writers[0].learn(read(each.value))
        enrichment = ASKED if number % 3 == 0 else None
        records.append(
            decide(writers[number // 3 % 2], tenants[number % 3], number, enrichment=enrichment)
        )
    return topic(records)


def renumbered(records: Iterable[Appended]) -> list[Appended]:
    """The records with the offsets a broker would give them."""
    lengths: dict[int, int] = {}
    found = []
    for each in records:
        partition = each.place.partition
        found.append(replace(each, place=Place(partition, lengths.get(partition, 0))))
        lengths[partition] = lengths.get(partition, 0) + 1
    return found


def check(
    records: Iterable[Appended], key: bytes | None = None, expected: Sequence[tuple[str, str]] = ()
) -> tuple[list[Fault], Verification]:
    """Everything found on a topic."""
    records = list(records)
    verification = Verification(key, expected)
    faults = []
    for each in records:
        faults += verification.add(each.value, place=each.place, key=each.key, headers=each.headers)
    if verification.unresolved:
        for each in records:
            verification.look_again(each.value)
    return faults + verification.end(), verification
