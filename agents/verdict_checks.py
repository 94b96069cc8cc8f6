"""What a verdict may say: axes and values of the label set, and by whom."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from agents.reviewers import Reviewer
from inference.labels.renames import NO_RENAMES, Renames
from schemas.errors import InvalidEvent
from schemas.event import Domain
from schemas.signing import WorkerKeys
from schemas.triaged import LabelSets

SHOWN_VALUES = 100
"""How many allowed values an error names; no axis of the shipped model has more."""
SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True)
class VerdictChecks:
    """What a verdict may say, and who may say it.

    `labels` are the label sets of the model. `keys` are those of the workers: with them, a whole
    triaged event in a verdict must be one that a worker has signed. With `reviewers`, one of them
    must have signed the verdict. A verdict may have the old name of a label in `renames`. With
    `people`, one of them must have given it.
    """

    labels: LabelSets
    keys: WorkerKeys = WorkerKeys()  # noqa: RUF009 - never changed
    reviewers: Sequence[Reviewer] = ()
    renames: Renames = NO_RENAMES
    people: Collection[str] = ()


def check_labels(chosen: Mapping[str, str], domain: Domain, labels: LabelSets) -> None:
    """Refuse axes and values that the model does not have.

    Raises:
        InvalidEvent: the message says what is allowed.
    """
    axes = labels.get(domain, {})
    for axis, value in chosen.items():
        if axis not in axes:
            raise _not_among(axis, f"axis of {domain}", axes)
        if value not in axes[axis]:
            raise _not_among(value, f"value of {axis}", axes[axis])


def _not_among(name: str, what: str, allowed: Collection[str]) -> InvalidEvent:
    names = sorted(allowed)[:SHOWN_VALUES]
    return InvalidEvent(
        f"the verdict names {name[:SHOWN_CHARS]!r}, which is no {what}; "
        f"use one of {', '.join(names)}",
        stage="validate",
    )
