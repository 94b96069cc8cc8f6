"""Combines the labels of the small model with the answer of the LLM.

The LLM may raise a label and may fill one in. It may not lower a label, close an event or overrule
a confident small model: the LLM reads what the sender of the event has written, so its answer is
not trusted where it would spare people work.

========== =========== ============================= ============================= ==============
axis       LLM says    small model abstained         small model was confident     event
========== =========== ============================= ============================= ==============
any        the same    kept (closing: to a person)   kept
severity,  higher      the LLM's                     the LLM's                     (1)
priority   lower       the small model's             the small model's             (1) (2)
any        closing     the small model's             the small model's             to a person
other      another     the LLM's                     the small model's             (1)
any        undecidable the small model's             the small model's             to a person
========== =========== ============================= ============================= ==============

(1) It goes to a person if the small model was confident.
(2) It also goes to a person if the axis decides, because neither model has settled the axis.

The table is about one axis. `keep_guarded_queue` is about two: an event of high severity does not
change its queue on the word of the LLM alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from inference.llm.options import LimitOptions
from inference.llm.prompt.prompt import Answer
from schemas.triaged import Label


@dataclass(frozen=True, slots=True)
class Combined:
    """One label for every axis of the small model, and whether a person must see the event.

    `reasons` says why, in one sentence per reason.
    """

    labels: dict[str, Label]
    needs_person: bool
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class _AxisResult:
    label: Label
    reason: str = ""
    needs_person: bool = False


def combine(
    labels: Mapping[str, Label],
    answer: Answer,
    *,
    deciding: Sequence[str],
    limits: LimitOptions | None = None,
) -> Combined:
    """Combine an LLM's answer with the labels of the small model.

    A value that the LLM chose has the calibrated probability that the small model gave it, or 0.0
    if it gave none. It stays `abstained`, because nobody has calibrated the LLM. An axis that is
    not in the answer keeps its label. All axes keep their labels if the answer says that the event
    cannot be decided.

    Args:
        labels: the labels of the small model, by axis.
        answer: the answer of the LLM.
        deciding: the axes that must be right.
        limits: which values close an event, and which axes have an order; by default those of the
            shipped model.
    """
    if not answer.decidable:
        return Combined(
            dict(labels),
            True,
            ["the LLM finds too little in the event to decide; the labels are hints"],
        )
    limits = limits or LimitOptions()
    results = {
        axis: _combine_axis(axis, label, answer.labels.get(axis), axis in deciding, limits)
        for axis, label in labels.items()
    }
    return Combined(
        labels={axis: result.label for axis, result in results.items()},
        needs_person=any(result.needs_person for result in results.values()),
        reasons=[result.reason for result in results.values() if result.reason],
    )


def keep_guarded_queue(
    combined: Combined,
    before: Mapping[str, Label],
    *,
    stated: tuple[str, str] | None,
    deciding: Sequence[str],
    limits: LimitOptions,
) -> Combined:
    """Undo a change of the queue if the event is as severe as `limits.guarded` says.

    The event then goes to a person, with the queue of the small model. A sender who makes the LLM
    obey could otherwise move a serious event to a queue where nobody is looking for it. What counts
    is the most severe of what the small model says, what the LLM has raised, and what the sender
    states.

    Args:
        combined: what `combine` made of the LLM's answer.
        before: the labels of the small model, by axis.
        stated: the axis and the level that the sender states, if any.
        deciding: the axes that must be right. They are kept like the axis `queue`, unless they
            have an order.
        limits: what the LLM may not do alone.
    """
    level = _guarded_level([before, combined.labels], stated, limits)
    if not level:
        return combined
    axes = {"queue", *deciding} - limits.orders.keys()
    changed = [
        axis
        for axis, label in before.items()
        if axis in axes and combined.labels[axis].value != label.value
    ]
    if not changed:
        return combined
    return Combined(
        labels={**combined.labels, **{axis: before[axis] for axis in changed}},
        needs_person=True,
        reasons=[
            *combined.reasons,
            *(
                f"the LLM may not change {axis} of an event of {level} alone: "
                f"it stays {before[axis].value}"
                for axis in changed
            ),
        ],
    )


def overruled_axes(axes: Iterable[str], reasons: Sequence[str]) -> set[str]:
    """The axes on which the event kept its label although the LLM said a lower one.

    Nobody has decided them: the small model was unsure, and the LLM may not lower a label.
    """
    return {
        axis for axis in axes if any(reason.startswith(_not_lowered(axis)) for reason in reasons)
    }


def _not_lowered(axis: str) -> str:
    return f"the LLM may not lower {axis}:"


def _guarded_level(
    label_sets: Sequence[Mapping[str, Label]],
    stated: tuple[str, str] | None,
    limits: LimitOptions,
) -> str:
    """The axis and level that guard the queue of an event, or an empty string."""
    levels = [(axis, label.value) for labels in label_sets for axis, label in labels.items()]
    if stated is not None:
        levels.append(stated)
    for axis, value in levels:
        order = limits.orders.get(axis, [])
        lowest = limits.guarded.get(axis, "")
        if lowest in order and value in order[order.index(lowest) :]:
            return f"{axis} {value}"
    return ""


def _combine_axis(
    axis: str, label: Label, value: str | None, decides: bool, limits: LimitOptions
) -> _AxisResult:
    """Combine one label of the small model with the value of the LLM, None if it gave none."""
    if value is None:
        return _without_value(axis, label, decides)
    if value == label.value:
        return _with_same_value(axis, label, limits)
    if axis in limits.orders:
        return _with_ordered_value(axis, label, value, decides, limits.orders[axis])
    if value in limits.closing:
        reason = f"the LLM may not close an event: {axis} stays {label.value}"
        return _AxisResult(label, reason, needs_person=True)
    if label.abstained:
        reason = f"the LLM decides {axis}: {value} instead of {label.value}"
        return _AxisResult(label.changed_to(value), reason)
    reason = f"the LLM says {value} for {axis}, where the small model is confident of {label.value}"
    return _AxisResult(label, reason, needs_person=True)


def _without_value(axis: str, label: Label, decides: bool) -> _AxisResult:
    if decides and label.abstained:
        return _AxisResult(label, f"the LLM says nothing about {axis}", needs_person=True)
    return _AxisResult(label)


def _with_same_value(axis: str, label: Label, limits: LimitOptions) -> _AxisResult:
    if label.abstained and label.value in limits.closing:
        reason = f"neither model may close an event unsure: {axis} is {label.value}"
        return _AxisResult(label, reason, needs_person=True)
    return _AxisResult(label)


def _with_ordered_value(
    axis: str, label: Label, value: str, decides: bool, order: Sequence[str]
) -> _AxisResult:
    confident = not label.abstained
    ranks = {known: rank for rank, known in enumerate(order)}
    # A value that the order does not contain never counts as higher.
    if ranks.get(value, -1) > ranks.get(label.value, len(ranks)):
        reason = f"the LLM raises {axis} from {label.value} to {value}"
        return _AxisResult(label.changed_to(value), reason, confident)
    reason = f"{_not_lowered(axis)} it stays {label.value}, not {value}"
    return _AxisResult(label, reason, confident or decides)
