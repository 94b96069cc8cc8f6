"""Whether a verdict may still be given: of two people, the first one stands."""

from dataclasses import dataclass

from agents.cases import Known
from schemas.triaged import TriagedEvent
from streams.console.journal import GivenVerdict

DECIDED_BY = "decided by "


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a verdict is not taken; `by` and `at` say who has decided before, and when."""

    reason: str
    by: str | None = None
    at: str | None = None


def overtaken(known: Known, verdict: GivenVerdict) -> Refusal | None:
    """The refusal of a verdict about an event that another person has decided meanwhile.

    A verdict `about` the decision that a person has made is a correction, and is taken.
    """
    current = known.current
    if current.decided_by != "human" or verdict.about == current.revision:
        return None
    by, at = decider(current), current.timing.triaged_at
    if _agrees(current, verdict):
        return Refusal(f"{by} has decided the same at {at}; nothing is left to do", by, at)
    labels = ", ".join(f"{axis} {current.labels[axis].value}" for axis in _axes(current, verdict))
    return Refusal(
        f"{by} has decided this at {at} ({labels or current.queue}); look at it again, and decide "
        "once more if that is wrong",
        by,
        at,
    )


def decider(triaged: TriagedEvent) -> str:
    """Who made a decision of a person, as its reasons say it."""
    for reason in reversed(triaged.reasons):
        if reason.startswith(DECIDED_BY):
            return reason.removeprefix(DECIDED_BY).partition(": ")[0].partition(", signed by ")[0]
    return "somebody"


def is_done(known: Known, verdict: GivenVerdict) -> bool:
    """Whether this very verdict has become a decision: it may have been sent before a crash."""
    current = known.current
    return (
        current.decided_by == "human"
        and decider(current) == verdict.by
        and verdict.about != current.revision
        and _agrees(current, verdict)
    )


def _agrees(current: TriagedEvent, verdict: GivenVerdict) -> bool:
    return all(
        axis in current.labels and current.labels[axis].value == value
        for axis, value in verdict.labels.items()
    )


def _axes(current: TriagedEvent, verdict: GivenVerdict) -> list[str]:
    return [axis for axis in verdict.labels if axis in current.labels]
