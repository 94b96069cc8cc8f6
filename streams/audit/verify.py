"""Reading the whole audit topic and checking every chain on it (`schemas/audit/verification.py`)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from schemas.audit.verification import Chain, Fault, Place, Verification
from streams.audit.trail import read_key
from streams.config import Settings
from streams.errors import DamagedBatch
from streams.kafka.reader import reading, until_end
from streams.topics import Topics

MAX_FAULTS = 10_000


@dataclass(slots=True)
class AuditReport:
    """What was found, of one `tenant` where one is named: the first faults, how `many` there are in all, the pairs of
    tenant and digest that were `lost`, and every chain.
    """  # noqa: D205 - one thought

    topic: str
    tenant: str | None
    faults: list[Fault] = field(default_factory=list)
    many: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)
    chains: dict[str, Chain] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.many or self.lost)

    def note(self, faults: Iterable[Fault]) -> None:
        """Count these too."""
        for fault in faults:
            if self.tenant in (None, fault.tenant):
                self.many += 1
                self.faults += [fault] if len(self.faults) < MAX_FAULTS else []

    def conclude(self, verification: Verification) -> None:
        """Note what only the end of the topic shows."""
        self.note(verification.end())
        self.lost = [pair for pair in verification.lost() if self.tenant in (None, pair[0])]
        self.chains = {
            name: chain
            for name, chain in verification.chains.items()
            if self.tenant in (None, name)
        }


async def verify(
    settings: Settings, expected: Sequence[tuple[str, str]] = (), tenant: str | None = None
) -> AuditReport:
    """Check every record kept, up to where the topic ends now; twice where an anchor lies far back.

    Bytes that changed on the broker's disk fail their batch's CRC before anybody sees a record. Then the topic is read
    without it, so that the seals can say which record it is.

    Raises:
        BrokerUnreachable: nothing answers there.
        ConfigError: the key of the seal cannot be read.
        DamagedBatch: the batch it names cannot be taken apart, or is damaged in what no seal covers.
    """
    topic = Topics(settings.topics.prefix).audit
    try:
        return await _verify(settings, AuditReport(topic, tenant), expected, check_crcs=True)
    except DamagedBatch as error:
        damage = error
    report = await _verify(settings, AuditReport(topic, tenant), expected, check_crcs=False)
    if (
        report.ok and tenant is None
    ):  # every record is whole: the damage is in what Kafka wrote around them
        raise damage
    return report


async def _verify(
    settings: Settings,
    report: AuditReport,
    expected: Sequence[tuple[str, str]],
    *,
    check_crcs: bool,
) -> AuditReport:
    verification = Verification(read_key(settings.audit), expected)
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
    return report
