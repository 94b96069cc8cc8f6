"""The configuration of egress: which events may be sent to an LLM, and in which form."""

from collections.abc import Collection
from typing import Literal

import msgspec
from msgspec import field

from inference.egress.kinds import NEVER_SENT, ValueKind
from inference.options import Options
from schemas.event import Domain

PHONE_REGIONS = ("US", "GB", "BR", "DE", "FR", "ES", "IT", "PT")
"""Countries whose national telephone numbers are recognised by default."""

PolicyName = Literal["never", "redacted", "full"]


class EgressRule(Options, frozen=True):
    """One rule. It matches the events that meet all its conditions; an empty condition is met.

    `labels` lists for an axis the values that match. `keep` lists the kinds of value that may be
    sent under the policy ``redacted``, for instance the addresses that an analyst needs.
    """

    policy: PolicyName
    tenants: list[str] = field(default_factory=list)
    domains: list[Domain] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    keep: list[ValueKind] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check_keep(self.keep)


class EgressOptions(Options, frozen=True):
    """The rules, and the policy of events that match no rule.

    `default` is that policy, and `keep` lists the kinds of value that may be sent under it.
    `phone_regions` lists the ISO 3166 codes of the countries whose national telephone numbers are
    recognised.
    """

    default: PolicyName = "redacted"
    keep: list[ValueKind] = field(default_factory=list)
    rules: list[EgressRule] = field(default_factory=list)
    phone_regions: list[str] = field(default_factory=lambda: list(PHONE_REGIONS))

    def __post_init__(self) -> None:
        _check_keep(self.keep)
        if not set(self.phone_regions) <= set(PHONE_REGIONS):
            _check_regions(self.phone_regions)


def _check_keep(keep: Collection[ValueKind]) -> None:
    forbidden = sorted(NEVER_SENT.intersection(keep))
    if forbidden:
        raise msgspec.ValidationError(
            f"keep names {forbidden[0]!r}, which never leaves; take it out"
        )


def _check_regions(regions: Collection[str]) -> None:
    # Imported only here, because the tables of telephone numbers take longer to load than a
    # configuration.
    from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415

    unknown = sorted(set(regions) - set(SUPPORTED_REGIONS))
    if unknown:
        raise msgspec.ValidationError(
            f"phone_regions names {unknown[0]!r}, which is no country; "
            "write ISO 3166 codes such as 'DE'"
        )
