"""What is promised about the events that the small model decides alone."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, field

from inference.options import Options

Probability = Annotated[float, Meta(gt=0, lt=1)]

UNSEEN_ALPHA = 0.05


class Terms(Options, frozen=True):
    """The terms of one domain's promise: which axes must be right, and how often.

    With probability at least 1 - `delta` over the calibration rows, at most a share `alpha` of the
    accepted events is wrong on a `deciding` axis. Of events from sources that the model was not
    trained on, at most a share `unseen_alpha` is.

    With `beta`, of the alerts that are accepted as benign or as a false positive, at most a share
    `beta` was malicious, with the same confidence. The axis `disposition` must then be a deciding
    one.
    """

    deciding: Annotated[Sequence[str], Meta(min_length=1)] = field(
        default_factory=lambda: ["queue"]
    )
    alpha: Probability = 0.02
    unseen_alpha: Probability = UNSEEN_ALPHA
    delta: Probability = 0.10
    beta: Probability | None = None
