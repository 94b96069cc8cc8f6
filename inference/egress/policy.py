"""Decides whether an event may be sent to an LLM, and in which form.

Rules can name tenants, domains, sources and labels. The strictest matching rule wins. Tenants and
sources are compared folded: the sender chooses how it spells them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from inference.egress.kinds import NEVER_SENT, VALUE_KINDS, ValueKind
from inference.egress.options import EgressOptions, EgressRule, PolicyName
from inference.errors import ConfigError
from schemas.event import Event
from schemas.folding import fold
from schemas.triaged import Label, TriagedEvent

_STRICTNESS: dict[str, int] = {"never": 0, "redacted": 1, "full": 2}


@dataclass(frozen=True, slots=True)
class EgressDecision:
    """What may be done with one event.

    `keep` holds the kinds of value that redaction does not replace.
    """

    policy: PolicyName
    keep: frozenset[ValueKind] = frozenset()


NEVER = EgressDecision("never")


@dataclass(frozen=True, slots=True)
class _FoldedRule:
    """A rule with its tenants and sources as they are compared."""

    rule: EgressRule
    tenants: frozenset[str]
    sources: frozenset[str]


class Policy:
    """The egress policy of a configuration."""

    def __init__(self, options: EgressOptions) -> None:
        self._options = options
        self._rules = [
            _FoldedRule(
                rule, frozenset(map(fold, rule.tenants)), frozenset(map(fold, rule.sources))
            )
            for rule in options.rules
        ]

    def check(self, labels: Mapping[str, Collection[str]]) -> None:
        """Refuse rules about labels that the model does not have: they would never match.

        Args:
            labels: the values of each axis of the model.

        Raises:
            ConfigError: an axis or a value is not in `labels`.
        """
        for rule in self._options.rules:
            for axis, values in rule.labels.items():
                _check_values(axis, values, labels)

    def decision(self, triaged: TriagedEvent) -> EgressDecision:
        """Decide about one event.

        Returns:
            The strictest of the matching rules, or the default if no rule matches. After any error
            ``never``: then the event is not sent.
        """
        try:
            return self._decide(triaged)
        except Exception:  # noqa: BLE001 - after any error the event must not be sent
            return NEVER

    def strictest(self, event: Event, *decisions: TriagedEvent) -> EgressDecision:
        """Decide about an event by everything that is known of it.

        Each half of a case names a tenant, a source and a domain. Whoever can write to an internal
        topic chooses both, so the strictest answer counts.

        Args:
            event: the event whose text may be sent.
            decisions: what was decided about it, each of which is asked about.
        """
        known = [*decisions, *(_as_event_says(each, event) for each in decisions)]
        answers = {self.decision(each) for each in known}
        policy = min((answer.policy for answer in answers), key=_STRICTNESS.__getitem__)
        keeps = [answer.keep for answer in answers if answer.policy == policy]
        return EgressDecision(policy, frozenset.intersection(*keeps))

    def _decide(self, triaged: TriagedEvent) -> EgressDecision:
        matching = [each.rule for each in self._rules if self._matches(each, triaged)]
        if not matching:
            return _decision(self._options.default, [self._options.keep])
        policy = min((rule.policy for rule in matching), key=_STRICTNESS.__getitem__)
        return _decision(policy, [rule.keep for rule in matching if rule.policy == policy])

    def _matches(self, folded: _FoldedRule, triaged: TriagedEvent) -> bool:
        rule = folded.rule
        return (
            (not folded.tenants or fold(triaged.tenant) in folded.tenants)
            and (not rule.domains or triaged.domain in rule.domains)
            and (not folded.sources or fold(triaged.source or "") in folded.sources)
            and all(
                self._matches_label(rule, triaged.labels.get(axis), values)
                for axis, values in rule.labels.items()
            )
        )

    def _matches_label(
        self, rule: EgressRule, label: Label | None, values: Collection[str]
    ) -> bool:
        """Whether a label meets the condition of a rule.

        A rule that lets out more than the default needs a certain label. For every other rule it is
        enough that one of the alternatives matches.
        """
        if label is None:
            return False
        if self._loosens(rule):
            return not label.abstained and label.value in values
        possible = {label.value, *(alternative.value for alternative in label.alternatives)}
        return not possible.isdisjoint(values)

    def _loosens(self, rule: EgressRule) -> bool:
        """Whether the rule lets out more than the default: by its policy or by what it keeps."""
        default = self._options.default
        if rule.policy == default == "redacted":
            return not set(rule.keep) <= set(self._options.keep)
        return _STRICTNESS[rule.policy] > _STRICTNESS[default]


def _as_event_says(triaged: TriagedEvent, event: Event) -> TriagedEvent:
    return replace(triaged, tenant=event.tenant, source=event.source, domain=event.domain)


def _check_values(
    axis: str, values: Collection[str], labels: Mapping[str, Collection[str]]
) -> None:
    if axis not in labels:
        raise ConfigError(
            f"an egress rule names the axis {axis!r}; use one of {', '.join(sorted(labels))}",
            key="egress.rules",
        )
    unknown = sorted(set(values) - set(labels[axis]))
    if unknown:
        raise ConfigError(
            f"an egress rule names {unknown[0]!r}, which is no value of {axis}; correct it",
            key="egress.rules",
        )


def _decision(policy: PolicyName, keeps: Sequence[Collection[ValueKind]]) -> EgressDecision:
    if policy not in _STRICTNESS:
        return NEVER
    if policy != "redacted":
        return EgressDecision(policy)
    return EgressDecision(policy, frozenset(VALUE_KINDS).intersection(*keeps) - NEVER_SENT)
