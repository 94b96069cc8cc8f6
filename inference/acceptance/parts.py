"""What the severity of the parts of an event changes about the decision on the whole.

It only ever raises a severity or gives an event to a person. So it accepts nothing that the promise
does not cover. Only the severity is looked at, because it is what an appended text lowers; the
queue hardly moves. The constants were chosen on labelled alerts: `docs/benchmarks.md`.
"""

from dataclasses import replace

from inference.acceptance.policy import Decision
from inference.arrays import Floats
from schemas.formats.level_words import HIGH, LEVELS

AXIS = "severity"
SCREEN = 0.40
"""A part is given to the encoder if the n-gram head alone finds it severe with this probability."""
RAISE_FROM = 0.55
"""With this probability of a part being severe, the severity of the event is raised."""
CONFIDENT_FROM = 0.75
"""With this probability, a person decides."""
MAX_REPEATED = 0.3
"""Of text of which a larger share is repeated, a low severity is not believed."""


def severe_probabilities(probabilities: Floats, labels: tuple[str, ...]) -> Floats:
    """The probability of a high severity or more, shape (parts,), from (parts, labels)."""
    columns = [labels.index(level) for level in severe_levels(labels)]
    severe: Floats = probabilities[:, columns].sum(axis=1)
    return severe


def severe_levels(labels: tuple[str, ...]) -> list[str]:
    """The labels that are high or above."""
    order = LEVELS[AXIS]
    return [level for level in order[order.index(HIGH[AXIS]) :] if level in labels]


def may_hide_severity(decision: Decision) -> bool:
    """Whether the event has a severity below high, so that a part of it could be more severe."""
    label = decision.labels.get(AXIS)
    order = LEVELS[AXIS]
    return label is not None and label.value in order[: order.index(HIGH[AXIS])]


def with_parts(decision: Decision, severest: float, repeated: float) -> Decision:
    """The decision about an event whose severity is below high.

    Args:
        decision: what was decided about the whole.
        severest: the largest probability that a part is severe; 0.0 if none was looked at.
        repeated: the share of its text that is repeated.
    """
    if severest >= RAISE_FROM:
        label = decision.labels[AXIS]
        decision = replace(
            decision,
            labels={**decision.labels, AXIS: label.changed_to(HIGH[AXIS])},
            note=f"a part of the event alone has severity {HIGH[AXIS]}, the whole {label.value}",
        )
        if severest >= CONFIDENT_FROM:
            return replace(decision, person="a part is surely more severe than the whole")
    if repeated > MAX_REPEATED:
        return replace(
            decision, person=f"{repeated:.0%} of the text is repeated, as if to hide the rest"
        )
    return decision
