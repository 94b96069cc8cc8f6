"""Read the whole audit topic and check every chain on it (`schemas/audit/verification.py`)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from schemas.audit.record import WrittenTo
from schemas.audit.verification import Chain, Fault, Place, Verification
from streams.audit.acknowledged import Acknowledgement, Acknowledgements, key_of
from streams.config import Settings
from streams.errors import DamagedBatch
from streams.kafka.admin import cluster_id
from streams.kafka.reader import reading, until_end
from streams.topics import Topics

MAX_FAULTS = 10_000


@dataclass(slots=True)
class AuditReport:
    """The result of checking the audit topic.

    With `tenant` it is about that tenant alone. `faults` are the first `MAX_FAULTS` faults, and
    `many` counts all of them. Those that are among the `acknowledgements` are in `acknowledged`
    instead. `lost` are the expected pairs of tenant and digest that are not on the topic. `keyed`
    says whether the seals were checked with a key.
    """

    topic: str
    tenant: str | None
    acknowledgements: Acknowledgements = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    many: int = 0
    acknowledged: list[tuple[Fault, Acknowledgement]] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)
    chains: dict[str, Chain] = field(default_factory=dict)
    keyed: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.many or self.lost)

    def note(self, faults: Iterable[Fault]) -> None:
        """Add these faults."""
        for fault in faults:
            if not fault.concerns(self.tenant):
                continue
            if acknowledged := self.acknowledgements.get(key_of(fault)):
                self.acknowledged.append((fault, acknowledged))
                continue
            self.many += 1
            if len(self.faults) < MAX_FAULTS:
                self.faults.append(fault)

    def conclude(self, verification: Verification) -> None:
        """Add what is known only at the end of the topic."""
        self.note(verification.end())
        self.lost = [pair for pair in verification.lost() if self._covers(pair[0])]
        self.chains = {
            tenant: chain for tenant, chain in verification.chains.items() if self._covers(tenant)
        }

    def _covers(self, tenant: str) -> bool:
        return self.tenant in (None, tenant)


async def verify(
    settings: Settings,
    expected: Sequence[tuple[str, str]] = (),
    tenant: str | None = None,
    *,
    acknowledgements: Acknowledgements | None = None,
    cluster: str | None = None,
    topic: str | None = None,
) -> AuditReport:
    """Check every record on the topic, up to where it ends now.

    The topic is read a second time if an anchor lies far back. The records must be sealed for this
    topic of this cluster; of a copy, `cluster` and `topic` say what its records were sealed for.

    Bytes that changed on the broker's disk fail the CRC of their batch, before any record is seen.
    The topic is then read without the CRC, so that the seals can show which record has changed.

    Raises:
        BrokerUnreachable: no broker answers.
        ConfigError: the key of the seal cannot be read.
        DamagedBatch: a batch cannot be parsed, or it is damaged outside of what the seals cover.
    """
    name = Topics(settings.topics.prefix).audit
    if cluster is None:
        cluster = await cluster_id(settings)
    written_to = WrittenTo(cluster, topic or name)

    async def verified(*, check_crcs: bool) -> AuditReport:
        key = settings.audit.read_key()
        verification = Verification(key, expected, written_to)
        report = AuditReport(name, tenant, acknowledgements or {}, keyed=key is not None)
        await _read(settings, report, verification, check_crcs=check_crcs)
        return report

    try:
        return await verified(check_crcs=True)
    except DamagedBatch as error:
        damage = error
    report = await verified(check_crcs=False)
    if report.ok and tenant is None:
        # Every record is intact, so the damage is in what Kafka wrote around the records.
        raise damage
    return report


async def _read(
    settings: Settings, report: AuditReport, verification: Verification, *, check_crcs: bool
) -> None:
    async with reading(
        settings.kafka, [report.topic], from_beginning=True, check_crcs=check_crcs
    ) as consumer:
        async for record in until_end(consumer):
            place = Place(record.origin.partition, record.origin.offset)
            report.note(
                verification.add(record.value, place=place, key=record.key, headers=record.headers)
            )
        if verification.unresolved:
            await consumer.seek_to_beginning()
            async for record in until_end(consumer):
                verification.look_again(record.value)
    report.conclude(verification)
