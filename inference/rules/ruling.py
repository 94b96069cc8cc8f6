"""What people have written down: rules that decide before the model, and after it.

A rule that reads no label is applied before the model, and an event that it ends costs no
inference. A rule that reads `labels` or `confidence` is applied after the model. The first rule
that holds decides, in the order in which they are written; those that read no label come first.

A rule may lower a severity, because a person wrote it. But an event of high impact ends with a
person whatever a rule says. Before the model, high impact is judged by the event and by the labels
that the rule sets. After it, it is judged by the labels of the model and by those of the rule.

The last day of a rule is judged by the clock of the worker. Conditions read when the event entered
its topic, and in a topic that is stamped by its producers that is what the sender says.

What a sender states is no high impact for a rule, because many senders overstate and a rule is the
way to say so: a rule that ends an event ends it, whatever its sender calls it. It is a floor for
the models alone, see `Rules.needs_person`. A condition of `[impact]` that reads `stated` makes it
one for rules too.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, Self

from inference.errors import ConfigError
from inference.rules.condition import Condition, Facts
from inference.rules.options import ImpactOptions, Rule
from schemas.event import Domain, Event
from schemas.formats.level_words import HIGH, LEVELS
from schemas.formats.stated import stated_level, worst_stated
from schemas.triaged import Label, LabelSets

LEVELS_BELOW = 2
"""One level less than stated is a usual difference of opinion. Two are not."""

SUPPRESSED = "suppressed"

Action = Literal["label", "route", "suppress", "review"]
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a rule makes of an event.

    ``route`` and ``suppress`` end the event, ``review`` gives it to a person, and ``label`` settles
    the axes in `labels` and leaves the others as they are. `queue` is where the event goes; None
    means where its labels send it. A label that a rule sets has confidence 1.0, because it holds by
    definition. `needs_model` is false if nothing is left for the small model to say.
    """

    rule: str
    action: Action
    reason: str
    labels: dict[str, Label] = field(default_factory=dict)
    queue: str | None = None
    needs_model: bool = True


@dataclass(frozen=True, slots=True)
class _Tier:
    """The rules of one domain that are tried together; `reads` is what their conditions read."""

    rules: Sequence[tuple[Rule, Condition]]
    reads: frozenset[str]

    @classmethod
    def of(cls, rules: Sequence[tuple[Rule, Condition]]) -> Self:
        return cls(rules, frozenset[str]().union(*(condition.reads for _, condition in rules)))


@dataclass(frozen=True, slots=True)
class _DomainRules:
    """Everything that applies to one domain."""

    axes: frozenset[str]
    before_model: _Tier
    after_model: _Tier
    impact: Condition | None


class Rules:
    """Every rule, compiled and checked.

    `errors` counts, by the name of the rule or by ``impact.DOMAIN``, on how many events it failed.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        domains: Mapping[Domain, _DomainRules],
        *,
        stated: bool = False,
        below_stated: bool = False,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self.errors: Counter[str] = Counter()
        self._clock = clock
        self._rules, self._domains = rules, domains
        self._stated, self._below_stated = stated, below_stated

    @classmethod
    def of(
        cls,
        rules: Sequence[Rule],
        impact: ImpactOptions,
        labels: LabelSets,
        *,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> Self:
        """Compile rules for a model with these label sets.

        `clock` returns an aware instant; rules end by it.

        Raises:
            ConfigError: names the rule that cannot work, and says why.
        """
        for name, count in Counter(rule.name for rule in rules).items():
            if count > 1:
                raise ConfigError(f"rule {name!r} exists twice; rename one of them", key="rules")
        compiled = [(rule, _compile(rule, labels)) for rule in rules]
        domains = {}
        for domain, axes in labels.items():
            of_domain = [pair for pair in compiled if domain in pair[0].domains]
            domains[domain] = _DomainRules(
                frozenset(axes),
                _Tier.of([pair for pair in of_domain if not pair[1].reads_labels]),
                _Tier.of([pair for pair in of_domain if pair[1].reads_labels]),
                _compile_impact(impact, domain, axes),
            )
        return cls(
            rules,
            domains,
            stated=impact.stated,
            below_stated=impact.below_stated,
            clock=clock,
        )

    def expired(self, *, now: datetime) -> list[str]:
        """The names of the rules that no longer apply; `now` is aware."""
        return [rule.name for rule in self._rules if _expired(rule, now)]

    def before_model(self, event: Event, *, now: datetime) -> Ruling | None:
        """What the first rule that holds makes of an event that the model has not seen.

        Only rules that read no label are tried. `now`, aware, is when the event came in.
        """
        domain = self._domains[event.domain]
        ruling = self._first(domain.before_model, event, {}, now)
        if ruling is None or ruling.action == "review":
            return ruling
        if self._is_known_high_impact(event, ruling.labels, now):
            return _for_a_person(ruling)
        ends = ruling.action in {"route", "suppress"} or ruling.labels.keys() >= domain.axes
        return replace(ruling, needs_model=not ends)

    def after_model(
        self, event: Event, labels: Mapping[str, Label], earlier: Ruling | None, *, now: datetime
    ) -> Ruling | None:
        """What a rule makes of an event with the labels that the model gave it.

        This is the `earlier` ruling, from before the model, if there is one. Otherwise it is what
        the first rule that holds says, of those that read labels. `now` is aware.
        """
        tier = self._domains[event.domain].after_model
        ruling = earlier or self._first(tier, event, labels, now)
        if ruling is None or ruling.action == "review":
            return ruling
        label_sets = [labels]
        if ruling.labels:
            label_sets.append({**labels, **ruling.labels})
        if any(self.high_impact(event, each, now=now) for each in label_sets):
            return _for_a_person(ruling)
        return ruling

    def high_impact(self, event: Event, labels: Mapping[str, Label], *, now: datetime) -> bool:
        """Whether an event with these labels must end with a person.

        It must if the condition fails on it, too. `now` is aware.
        """
        condition = self._domains[event.domain].impact
        if condition is None:
            return False
        try:
            return condition.holds(Facts(event, labels, now, condition.reads))
        except Exception:  # noqa: BLE001 - whatever the event does to the condition, it must be decided
            self.errors[f"impact.{event.domain}"] += 1
            return True

    def needs_person(self, event: Event, labels: Mapping[str, Label], *, now: datetime) -> str:
        """Why an event that a model labelled so must end with a person; empty if it need not.

        It must if its sender calls it critical or urgent, if it is of high impact, or if it is far
        less severe than its sender states. `now` is aware.
        """
        if self._stated and (word := worst_stated(event)):
            return f"high impact: the sender calls it {word}"
        if self.high_impact(event, labels, now=now):
            return "high impact"
        if self._below_stated and (axis_levels := _below_stated(event, labels)):
            axis, stated, value = axis_levels
            return f"high impact: the sender states {axis} {stated}, and the models say {value}"
        return ""

    def _is_known_high_impact(
        self, event: Event, labels: Mapping[str, Label], now: datetime
    ) -> bool:
        """Whether high impact is sure before the model has labelled the event."""
        condition = self._domains[event.domain].impact
        if condition is None:
            return False
        if not condition.reads_labels:
            return self.high_impact(event, labels, now=now)
        try:
            return condition.holds(Facts(event, labels, now, condition.reads))
        except LookupError:  # it depends on a label that only the model could give
            return False
        except Exception:  # noqa: BLE001 - whatever the event does to the condition, it must be decided
            self.errors[f"impact.{event.domain}"] += 1
            return True

    def _first(
        self, tier: _Tier, event: Event, labels: Mapping[str, Label], now: datetime
    ) -> Ruling | None:
        facts = Facts(event, labels, now, tier.reads)
        today = self._clock()
        for rule, condition in tier.rules:
            if not _expired(rule, today) and (reason := self._reason(rule, condition, facts)):
                return _ruling(rule, reason)
        return None

    def _reason(self, rule: Rule, condition: Condition, facts: Facts) -> str:
        """Why a rule holds; empty if it does not.

        A rule that fails on the event is counted and does not hold. A rule that asks for a review
        does hold then, because otherwise a sender could avoid it by making it fail. A field that
        the event does not have is no failure, only a condition that is not met.
        """
        try:
            return _intention(rule) if condition.holds(facts) else ""
        except LookupError:
            self.errors[rule.name] += 1
            return ""
        except Exception:  # noqa: BLE001 - whatever the event does to the condition, it must be decided
            self.errors[rule.name] += 1
            if not rule.review:
                return ""
            return f"rule {rule.name!r} could not be evaluated on this event, so a person decides"


def _below_stated(event: Event, labels: Mapping[str, Label]) -> tuple[str, str, str] | None:
    """The axis, what the sender states and what the label says, if that is far below it."""
    stated = stated_level(event)
    if stated is None or stated[0] not in labels:
        return None
    axis, level = stated
    order, value = LEVELS[axis], labels[axis].value
    rank = order.index(level)
    if rank < order.index(HIGH[axis]) or value not in order[: rank - LEVELS_BELOW + 1]:
        return None
    return axis, level, value


def _for_a_person(ruling: Ruling) -> Ruling:
    """The same ruling for an event of high impact."""
    return replace(
        ruling,
        action="review",
        reason=f"{ruling.reason}, but high impact always ends with a person",
        queue=None if ruling.action == "suppress" else ruling.queue,
    )


def _compile(rule: Rule, labels: LabelSets) -> Condition:
    domains = [domain for domain in rule.domains if domain in labels]
    _check(rule, domains)
    for domain in domains:
        _check_labels(rule, labels[domain], domain)
    axes = {axis for domain in domains for axis in labels[domain]}
    return Condition.compile(rule.when, axes=axes, subject=f"rule {rule.name!r}")


def _compile_impact(
    impact: ImpactOptions, domain: Domain, axes: Collection[str]
) -> Condition | None:
    source, default = getattr(impact, domain), getattr(ImpactOptions(), domain)
    if source == default and not {"severity", "priority"} & set(axes):
        # A model with axes of its own: its user has to say what is of high impact there.
        return None
    if not source:
        return None
    return Condition.compile(source, axes=axes, subject=f"impact.{domain}")


def _check(rule: Rule, domains: Collection[Domain]) -> None:
    if not domains:
        about = " and ".join(rule.domains)
        raise _fault(rule, f"is about {about}, which the model does not label; remove it")
    if not (rule.labels or rule.queue or rule.suppress or rule.review):
        raise _fault(rule, "does nothing; give it labels, queue, suppress or review")
    if rule.suppress and (rule.review or rule.queue):
        raise _fault(rule, "suppresses an event and sends it somewhere; choose one")
    if rule.suppress and rule.until is None:
        raise _fault(rule, "suppresses without an end; give it the last day as until")
    if rule.queue == SUPPRESSED:
        raise _fault(
            rule, f"sends events to {SUPPRESSED!r}; write suppress = true and until instead"
        )


def _check_labels(rule: Rule, axes: Mapping[str, Sequence[str]], domain: Domain) -> None:
    for axis, value in rule.labels.items():
        if axis not in axes:
            raise _fault(
                rule,
                f"sets {axis!r}, which is no axis of {domain}; "
                "correct it or limit the rule's domains",
            )
        if value not in axes[axis]:
            raise _fault(
                rule,
                f"sets {axis} to {value!r}, which is no label of {domain}; "
                "correct it or limit its domains",
            )


def _fault(rule: Rule, what: str) -> ConfigError:
    return ConfigError(f"rule {rule.name!r} {what}", key="rules")


def _expired(rule: Rule, now: datetime) -> bool:
    return rule.until is not None and now.astimezone(UTC).date() > rule.until


def _ruling(rule: Rule, reason: str) -> Ruling:
    labels = {axis: Label(value=value, confidence=1.0) for axis, value in rule.labels.items()}
    if rule.suppress:
        return Ruling(rule.name, "suppress", reason, labels, SUPPRESSED)
    return Ruling(rule.name, _action(rule), reason, labels, rule.queue)


def _action(rule: Rule) -> Action:
    if rule.review:
        return "review"
    return "route" if rule.queue else "label"


def _intention(rule: Rule) -> str:
    if rule.suppress:
        return f"rule {rule.name!r} suppresses it as known to be benign until {rule.until}"
    if rule.review:
        return f"rule {rule.name!r} asks for a person"
    if rule.queue:
        return f"rule {rule.name!r} sends it to {rule.queue}"
    assignments = " and ".join(f"{axis} to {value}" for axis, value in rule.labels.items())
    return f"rule {rule.name!r} sets {assignments}"
