"""What becomes of two opinions: the LLM may raise and may fill in, it may not lower, close or overrule.

Whoever writes the event writes to the LLM as well, so its answer is a stranger's as far as it spares anybody work.

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

(1) to a person where the small model was confident; (2) and where the axis decides, for then nobody has settled it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.llm.options import LimitOptions
from inference.llm.prompt.prompt import Answer
from schemas.triaged import Alternative, Label


@dataclass(frozen=True, slots=True)
class Combined:
    """Labels of every axis the small model had, whether a person must see the event, and why, a sentence each."""

    labels: dict[str, Label]
    needs_person: bool
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class _Settled:
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
    """Lay an LLM's answer beside the small model's `labels`, by axis; `deciding` names the axes that must be right.

    `limits` says which values close an event and which axes have an order; by default those of the shipped model.

    A value the LLM chose keeps the small model's calibrated probability of it, 0.0 where it gave none, and stays
    `abstained`: nobody has calibrated the LLM. Axes the answer leaves out keep their labels; so do all of them where
    it says the event cannot be decided.
    """
    if not answer.decidable:
        return Combined(
            dict(labels),
            True,
            ["the LLM finds too little in the event to decide; the labels are hints"],
        )
    bounds = limits or LimitOptions()
    settled = {
        axis: _settle(axis, label, answer.labels.get(axis), axis in deciding, bounds)
        for axis, label in labels.items()
    }
    return Combined(
        labels={axis: one.label for axis, one in settled.items()},
        needs_person=any(one.needs_person for one in settled.values()),
        reasons=[one.reason for one in settled.values() if one.reason],
    )


def _settle(
    axis: str, label: Label, said: str | None, decides: bool, limits: LimitOptions
) -> _Settled:
    if said == label.value:
        closes = label.abstained and said in limits.closing
        return _Settled(
            label,
            f"neither model may close an event unsure: {axis} is {said}" if closes else "",
            closes,
        )
    if said is None:
        unsettled = decides and label.abstained
        return _Settled(label, f"the LLM says nothing about {axis}" if unsettled else "", unsettled)
    if axis in limits.orders:
        return _settle_ordered(axis, label, said, decides, limits.orders[axis])
    if said in limits.closing:
        return _Settled(
            label, f"the LLM may not close an event: {axis} stays {label.value}", needs_person=True
        )
    if label.abstained:
        return _Settled(
            _chosen(label, said), f"the LLM decides {axis}: {said} instead of {label.value}"
        )
    reason = f"the LLM says {said} for {axis}, where the small model is confident of {label.value}"
    return _Settled(label, reason, needs_person=True)


def _settle_ordered(
    axis: str, label: Label, said: str, decides: bool, order: Sequence[str]
) -> _Settled:
    confident = not label.abstained
    rank = {value: place for place, value in enumerate(order)}
    # A value outside the known order is never taken for higher.
    if rank.get(said, -1) > rank.get(label.value, len(rank)):
        return _Settled(
            _chosen(label, said), f"the LLM raises {axis} from {label.value} to {said}", confident
        )
    reason = f"the LLM may not lower {axis}: it stays {label.value}, not {said}"
    return _Settled(label, reason, confident or decides)


def _chosen(label: Label, value: str) -> Label:
    """The same probabilities with another value chosen."""
    given = [Alternative(value=label.value, confidence=label.confidence), *label.alternatives]
    confidence = next((one.confidence for one in given if one.value == value), 0.0)
    return Label(
        value=value,
        confidence=confidence,
        alternatives=[one for one in given if one.value != value],
        abstained=True,
    )
