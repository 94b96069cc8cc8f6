"""Whether an event may leave for an LLM, and as what: by tenant, domain, source and label, the strictest rule first."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import field
from phonenumbers import SUPPORTED_REGIONS

from inference.egress.kinds import GUARDED, KINDS, Kind
from inference.options import Options
from schemas.event import Domain
from schemas.triaged import Label, TriagedEvent

PolicyName = Literal["never", "redacted", "full"]

_STRICTNESS: dict[str, int] = {"never": 0, "redacted": 1, "full": 2}


class EgressRule(Options, frozen=True):
    """One rule; it is about the events that meet every condition it names, an empty condition is met by all.

    `labels` gives for an axis the values it is about. `keep` holds the kinds of value that may leave under
    ``redacted``, for instance the addresses that an analyst needs.
    """

    policy: PolicyName
    tenants: list[str] = field(default_factory=list)
    domains: list[Domain] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    keep: list[Kind] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check_keep(self.keep)


class EgressOptions(Options, frozen=True):
    """The policy where no rule matches, and the rules.

    `phone_regions` are the ISO 3166 codes of the countries whose national telephone numbers are recognised.
    """

    default: PolicyName = "redacted"
    keep: list[Kind] = field(default_factory=list)
    rules: list[EgressRule] = field(default_factory=list)
    phone_regions: list[str] = field(default_factory=lambda: ["US", "GB", "BR", "DE", "FR", "ES", "IT", "PT"])

    def __post_init__(self) -> None:
        _check_keep(self.keep)
        unknown = sorted(set(self.phone_regions) - set(SUPPORTED_REGIONS))
        if unknown:
            raise msgspec.ValidationError(
                f"phone_regions names {unknown[0]!r}, which is no country; write ISO 3166 codes such as 'DE'"
            )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be done with one event; `keep` holds the kinds that redaction leaves alone."""

    policy: PolicyName
    keep: frozenset[Kind] = frozenset()


NEVER = Verdict("never")


class Policy:
    """The egress policy of a configuration."""

    def __init__(self, options: EgressOptions) -> None:
        self._options = options

    @classmethod
    def of(cls, options: EgressOptions) -> "Policy":
        """The policy of `options`."""
        return cls(options)

    def check(self, labels: Mapping[str, Collection[str]]) -> None:
        """Refuse rules about labels that no model gives: such a rule would protect nothing.

        Raises:
            ValueError: an axis or a value is not in `labels`; one sentence.
        """
        for rule in self._options.rules:
            for axis, values in rule.labels.items():
                if axis not in labels:
                    raise ValueError(f"an egress rule names the axis {axis!r}; use one of {', '.join(sorted(labels))}")
                unknown = sorted(set(values) - set(labels[axis]))
                if unknown:
                    raise ValueError(f"an egress rule names {unknown[0]!r}, which is no value of {axis}; correct it")

    def verdict(self, triaged: TriagedEvent) -> Verdict:
        """The strictest of the rules that match, the default where none does, ``never`` where anything is odd."""
        try:
            return self._decide(triaged)
        except Exception:  # noqa: BLE001 - whatever it is, the event stays inside
            return NEVER

    def _decide(self, triaged: TriagedEvent) -> Verdict:
        matching = [rule for rule in self._options.rules if self._matches(rule, triaged)]
        if not matching:
            return _verdict(self._options.default, [self._options.keep])
        policy = min((rule.policy for rule in matching), key=_STRICTNESS.__getitem__)
        return _verdict(policy, [rule.keep for rule in matching if rule.policy == policy])

    def _matches(self, rule: EgressRule, triaged: TriagedEvent) -> bool:
        return (
            (not rule.tenants or triaged.tenant in rule.tenants)
            and (not rule.domains or triaged.domain in rule.domains)
            and (not rule.sources or triaged.source in rule.sources)
            and all(self._is_labelled(rule, triaged.labels.get(axis), values) for axis, values in rule.labels.items())
        )

    def _is_labelled(self, rule: EgressRule, label: Label | None, values: Collection[str]) -> bool:
        """A rule that holds back is met by what the label might be, one that lets out only by what it surely is."""
        if label is None:
            return False
        if self._loosens(rule):
            return not label.abstained and label.value in values
        return not {label.value, *(other.value for other in label.alternatives)}.isdisjoint(values)

    def _loosens(self, rule: EgressRule) -> bool:
        """Whether the rule lets out more than the default does: by its policy, or by what it keeps under the same."""
        default = self._options.default
        return _STRICTNESS[rule.policy] > _STRICTNESS[default] or (
            rule.policy == default == "redacted" and not set(rule.keep) <= set(self._options.keep)
        )


def _verdict(policy: PolicyName, keeps: Sequence[Collection[Kind]]) -> Verdict:
    if policy not in _STRICTNESS:
        return NEVER
    return Verdict(policy, frozenset(KINDS).intersection(*keeps) - GUARDED if policy == "redacted" else frozenset())


def _check_keep(keep: Collection[Kind]) -> None:
    guarded = sorted(GUARDED.intersection(keep))
    if guarded:
        raise msgspec.ValidationError(f"keep names {guarded[0]!r}, which never leaves; take it out")
