"""The rules tier: what people have written down comes before any model, except where it would spare a person a look.

The first rule whose condition holds decides. A rule may lower a severity, because a person wrote it; but an event of
high impact, by the model's labels or by the rule's, always ends with a person whatever the rule says.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, Self

from inference.rules.condition import Expression, Facts
from inference.rules.options import ImpactOptions, Rule
from schemas.event import Domain, Event
from schemas.triaged import Label, LabelSets

SUPPRESSED = "suppressed"

Action = Literal["label", "route", "suppress", "review"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a rule makes of an event.

    ``route`` and ``suppress`` end it, ``review`` gives it to a person, ``label`` settles the axes in `labels` and
    leaves the rest as it was. `queue` is where it goes; None: where its labels say. A label set by a rule has
    confidence 1.0: it holds by definition.
    """

    rule: str
    action: Action
    reason: str
    labels: dict[str, Label] = field(default_factory=dict)
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class _Tier:
    """What applies to one domain; `reads` is what the conditions of its rules read, together."""

    rules: Sequence[tuple[Rule, Expression]]
    reads: frozenset[str]
    impact: Expression | None


class Rules:
    """Every rule, compiled and checked; `errors` counts, by rule or ``impact.DOMAIN``, the events it failed on."""

    def __init__(self, rules: Sequence[Rule], tiers: Mapping[Domain, _Tier]) -> None:
        self.errors: Counter[str] = Counter()
        self._rules, self._tiers = rules, tiers

    @classmethod
    def of(cls, rules: Sequence[Rule], impact: ImpactOptions, labels: LabelSets) -> Self:
        """Compile rules for a model with these label sets, by domain and axis.

        Raises:
            ValueError: one sentence naming the rule that cannot work, and why.
        """
        for name, count in Counter(rule.name for rule in rules).items():
            if count > 1:
                raise ValueError(f"rule {name!r} exists twice; rename one of them")
        compiled = [(rule, _compiled(rule, labels)) for rule in rules]
        tiers = {}
        for domain, axes in labels.items():
            mine = [(rule, condition) for rule, condition in compiled if domain in rule.domains]
            reads = frozenset[str]().union(*(condition.reads for _, condition in mine))
            tiers[domain] = _Tier(mine, reads, _compiled_impact(impact, domain, axes))
        return cls(rules, tiers)

    def expired(self, *, now: datetime) -> list[str]:
        """The rules that no longer apply, by name; `now` is aware."""
        return [rule.name for rule in self._rules if _expired(rule, now)]

    def apply(self, event: Event, labels: Mapping[str, Label], *, now: datetime) -> Ruling | None:
        """What the first rule that holds makes of an event with these labels; None where none does.

        A rule that fails on the event is counted and does not hold. One that asks for a review does: a sender who
        could make it fail could slip past it. A field the event does not have is no such failure, only a condition
        that is not met. `now` is aware.
        """
        tier = self._tiers[event.domain]
        facts = Facts(event, labels, now, tier.reads)
        for rule, condition in tier.rules:
            if not _expired(rule, now) and (reason := self._reason(rule, condition, facts)):
                return self._guarded(_ruling(rule, reason), rule, event, labels, now)
        return None

    def high_impact(self, event: Event, labels: Mapping[str, Label], *, now: datetime) -> bool:
        """Whether an event with these labels must end with a person; so must one the condition fails on."""
        condition = self._tiers[event.domain].impact
        if condition is None:
            return False
        try:
            return condition.holds(Facts(event, labels, now, condition.reads))
        except Exception:  # noqa: BLE001 - whatever an event makes of the condition, it must be decided
            self.errors[f"impact.{event.domain}"] += 1
            return True

    def _reason(self, rule: Rule, condition: Expression, facts: Facts) -> str:
        try:
            return _intention(rule) if condition.holds(facts) else ""
        except Exception as error:  # noqa: BLE001 - whatever an event makes of the condition, it must be decided
            self.errors[rule.name] += 1
            evaded = rule.review and not isinstance(error, LookupError)
            return (
                f"rule {rule.name!r} could not be evaluated on this event, so a person decides"
                if evaded
                else ""
            )

    def _guarded(
        self, ruling: Ruling, rule: Rule, event: Event, labels: Mapping[str, Label], now: datetime
    ) -> Ruling:
        ends = [labels, {**labels, **ruling.labels}] if ruling.labels else [labels]
        if ruling.action == "review" or not any(
            self.high_impact(event, end, now=now) for end in ends
        ):
            return ruling
        reason = f"{ruling.reason}, but high impact always ends with a person"
        return replace(ruling, action="review", reason=reason, queue=rule.queue)


def _compiled(rule: Rule, labels: LabelSets) -> Expression:
    domains = [domain for domain in rule.domains if domain in labels]
    try:
        _check(rule, domains)
        for domain in domains:
            _check_labels(rule, labels[domain], domain)
        return Expression.compile(
            rule.when, axes={axis for domain in domains for axis in labels[domain]}
        )
    except ValueError as error:
        raise ValueError(f"rule {rule.name!r} {error}") from None


def _compiled_impact(
    impact: ImpactOptions, domain: Domain, axes: Collection[str]
) -> Expression | None:
    source, usual = getattr(impact, domain), getattr(ImpactOptions(), domain)
    if source == usual and not {"severity", "priority"} & set(axes):
        return (
            None  # a model with axes of its own: what is of high impact there, its user has to say
        )
    try:
        return Expression.compile(source, axes=axes) if source else None
    except ValueError as error:
        raise ValueError(f"impact.{domain} {error}") from None


def _check(rule: Rule, domains: Collection[Domain]) -> None:
    if not domains:
        raise ValueError(
            f"is about {' and '.join(rule.domains)}, which the model does not label; remove it"
        )
    if not (rule.labels or rule.queue or rule.suppress or rule.review):
        raise ValueError("does nothing; give it labels, queue, suppress or review")
    if rule.suppress and (rule.review or rule.queue):
        raise ValueError("suppresses an event and sends it somewhere; choose one")
    if rule.suppress and rule.until is None:
        raise ValueError("suppresses without an end; give it the last day as until")
    if rule.queue == SUPPRESSED:
        raise ValueError(f"sends events to {SUPPRESSED!r}; write suppress = true and until instead")


def _check_labels(rule: Rule, axes: Mapping[str, Sequence[str]], domain: Domain) -> None:
    for axis, value in rule.labels.items():
        if axis not in axes:
            raise ValueError(
                f"sets {axis!r}, which is no axis of {domain}; correct it or limit the rule's domains"
            )
        if value not in axes[axis]:
            raise ValueError(
                f"sets {axis} to {value!r}, which is no label of {domain}; correct it or limit its domains"
            )


def _expired(rule: Rule, now: datetime) -> bool:
    return rule.until is not None and now.astimezone(UTC).date() > rule.until


def _ruling(rule: Rule, reason: str) -> Ruling:
    action: Action = "label"
    if rule.suppress:
        action = "suppress"
    elif rule.review:
        action = "review"
    elif rule.queue:
        action = "route"
    labels = {axis: Label(value=value, confidence=1.0) for axis, value in rule.labels.items()}
    return Ruling(rule.name, action, reason, labels, SUPPRESSED if rule.suppress else rule.queue)


def _intention(rule: Rule) -> str:
    if rule.suppress:
        return f"rule {rule.name!r} suppresses it as known to be benign until {rule.until}"
    if rule.review:
        return f"rule {rule.name!r} asks for a person"
    if rule.queue:
        return f"rule {rule.name!r} sends it to {rule.queue}"
    settled = " and ".join(f"{axis} to {value}" for axis, value in rule.labels.items())
    return f"rule {rule.name!r} sets {settled}"
