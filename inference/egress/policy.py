"""Whether an event may leave for an LLM, and as what: by tenant, domain, source and label, the strictest rule first."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from inference.egress.kinds import GUARDED, VALUE_KINDS, ValueKind
from inference.egress.options import EgressOptions, EgressRule, PolicyName
from schemas.triaged import Label, TriagedEvent

_STRICTNESS: dict[str, int] = {"never": 0, "redacted": 1, "full": 2}


@dataclass(frozen=True, slots=True)
class EgressDecision:
    """What may be done with one event; `keep` holds the kinds that redaction leaves alone."""

    policy: PolicyName
    keep: frozenset[ValueKind] = frozenset()


NEVER = EgressDecision("never")


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
                    raise ValueError(
                        f"an egress rule names the axis {axis!r}; use one of {', '.join(sorted(labels))}"
                    )
                unknown = sorted(set(values) - set(labels[axis]))
                if unknown:
                    raise ValueError(
                        f"an egress rule names {unknown[0]!r}, which is no value of {axis}; correct it"
                    )

    def decision(self, triaged: TriagedEvent) -> EgressDecision:
        """The strictest of the rules that match, the default where none does, ``never`` where anything is odd."""
        try:
            return self._decide(triaged)
        except Exception:  # noqa: BLE001 - whatever it is, the event stays inside
            return NEVER

    def _decide(self, triaged: TriagedEvent) -> EgressDecision:
        matching = [rule for rule in self._options.rules if self._matches(rule, triaged)]
        if not matching:
            return _decision(self._options.default, [self._options.keep])
        policy = min((rule.policy for rule in matching), key=_STRICTNESS.__getitem__)
        return _decision(policy, [rule.keep for rule in matching if rule.policy == policy])

    def _matches(self, rule: EgressRule, triaged: TriagedEvent) -> bool:
        return (
            (not rule.tenants or triaged.tenant in rule.tenants)
            and (not rule.domains or triaged.domain in rule.domains)
            and (not rule.sources or triaged.source in rule.sources)
            and all(
                self._is_labelled(rule, triaged.labels.get(axis), values)
                for axis, values in rule.labels.items()
            )
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


def _decision(policy: PolicyName, keeps: Sequence[Collection[ValueKind]]) -> EgressDecision:
    if policy not in _STRICTNESS:
        return NEVER
    return EgressDecision(
        policy,
        frozenset(VALUE_KINDS).intersection(*keeps) - GUARDED
        if policy == "redacted"
        else frozenset(),
    )
