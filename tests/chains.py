"""An audit topic in memory that real audit trails have written, and ways to tamper with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from schemas.audit.record import AuditRecord, WrittenTo
from schemas.audit.verification import Fault, Place, Verification
from schemas.codec import decode, encode
from schemas.triaged import Enrichment
from streams.audit.entry import PublishedDecision
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
    """One record as it is stored on a partition."""

    place: Place
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

    def decoded(self) -> AuditRecord:
        """The audit record in the value."""
        return decode(self.value or b"", AuditRecord)

    def flipped(self, position: int, bit: int) -> "Appended":
        """The record with one bit flipped.

        `position` counts the bytes of the value, the key, and the name and value of the header.
        """
        (name, content), key, value = self.headers[0], self.key or b"", self.value or b""
        data = bytearray(value + key + name.encode() + (content or b""))
        data[position] ^= 1 << bit
        ends = [len(value), len(value) + len(key), len(value) + len(key) + len(name)]
        header = (data[ends[1] : ends[2]].decode("latin-1"), bytes(data[ends[2] :]))
        return replace(
            self,
            value=bytes(data[: ends[0]]),
            key=bytes(data[ends[0] : ends[1]]),
            headers=[header],
        )

    @property
    def size_bytes(self) -> int:
        """How many bytes can be flipped."""
        name, content = self.headers[0]
        return len(self.value or b"") + len(self.key or b"") + len(name) + len(content or b"")


def trail(writer: str = "w1", cluster: str = "", **audit: Any) -> AuditTrail:
    """An audit trail without a connection to a broker; `cluster` is what it seals records for."""
    settings = msgspec.structs.replace(Settings(), audit=AuditSection(**audit))
    audit_trail = AuditTrail(settings, writer=writer)
    audit_trail._cluster = cluster
    return audit_trail


def decide(trail_: AuditTrail, tenant: str, number: int = 0, **changes: Any) -> Record:
    """The record of the next decision of this trail."""
    event = triaged(f"e-{number}", tenant=tenant, **changes)
    incoming = read({"id": f"e-{number}"}, offset=number)
    return trail_.record(incoming, PublishedDecision(event, encode(event)))


def topic(records: Iterable[Record], partitions: int = 2) -> list[Appended]:
    """The records on their partitions, in the order in which they were sent."""
    lengths = [0] * partitions
    appended = []
    for record in records:
        partition = sum(record.key or b"") % partitions
        place = Place(partition, lengths[partition])
        appended.append(Appended(place, record.key, record.value, record.headers))
        lengths[partition] += 1
    return appended


def sixty_records(**audit: Any) -> list[Appended]:
    """Sixty decisions for three tenants; every third one called the LLM.

    Two writers work at the same time, and one of them is restarted half way.
    """
    writers = [trail("w1", **audit), trail("w2", **audit)]
    tenants = ("acme", "globex", "é")
    records: list[Record] = []
    for number in range(60):
        if number == 30:
            writers[0] = trail("w3", **audit)
            for appended in topic(records):
                writers[0].learn(read(appended.value))
        enrichment = ASKED if number % 3 == 0 else None
        records.append(
            decide(writers[number // 3 % 2], tenants[number % 3], number, enrichment=enrichment)
        )
    return topic(records)


def renumbered(records: Iterable[Appended]) -> list[Appended]:
    """The records with the offsets that a broker would give them."""
    lengths: dict[int, int] = {}
    appended = []
    for record in records:
        partition = record.place.partition
        appended.append(replace(record, place=Place(partition, lengths.get(partition, 0))))
        lengths[partition] = lengths.get(partition, 0) + 1
    return appended


def check(
    records: Iterable[Appended],
    key: bytes | None = None,
    expected: Sequence[tuple[str, str]] = (),
    written_to: WrittenTo | None = None,
) -> tuple[list[Fault], Verification]:
    """All faults of a topic, and the verification that found them."""
    records = list(records)
    verification = Verification(key, expected, written_to)
    faults = []
    for record in records:
        faults += verification.add(
            record.value, place=record.place, key=record.key, headers=record.headers
        )
    if verification.unresolved:
        for record in records:
            verification.look_again(record.value)
    return faults + verification.end(), verification
