"""How unlike the training rows an event is, from its embedding: the distance to the nearest of their centres.

The encoder puts what it was taught to tell apart into clusters; what belongs to none of them lies between. Distance in
the embedding to what was trained on is a standard out-of-distribution score (Lee et al., 2018, "A Simple Unified
Framework for Detecting Out-of-Distribution Samples"; Sun et al., 2022, "Out-of-Distribution Detection with Deep Nearest
Neighbors"); centres stand for the training rows, because a model ships no rows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.arrays import DECIMALS, Floats
from inference.model.artifact import DomainCalibration


@dataclass(frozen=True, slots=True)
class Centres:
    """Unit vectors float32 of shape (centres, width)."""

    vectors: npt.NDArray[np.float32]

    def distance(self, vector: Floats) -> float:
        """One minus the cosine to the nearest centre, in [0, 2], of one vector of length one."""
        return round(
            1.0 - float(np.einsum("cw,w->c", self.vectors, vector.astype(np.float32)).max()),
            DECIMALS,
        )


def out_of_distribution_score(
    limits: DomainCalibration, excess_tokens: float, distance: float
) -> float:
    """The worse of the two guards, in [0, 1]: 0.5 exactly at its limit."""
    ratio = max(excess_tokens / limits.max_excess_tokens, distance / limits.max_distance)
    return round(1.0 - 1.0 / (1.0 + ratio), DECIMALS)


def is_out_of_distribution(ood_score: float) -> bool:
    """Whether an event is too unlike the training rows to be accepted, however sure the heads are."""
    return ood_score > 0.5  # noqa: PLR2004 - where `out_of_distribution_score` puts the limits
