"""How different an event is from the training rows, measured on its embedding.

The encoder was trained to put events of one kind close together. An event of another kind lies
between these clusters. The distance to the training data in embedding space is a standard
out-of-distribution score:

- Lee et al., 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples"
- Sun et al., 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors"

A model ships no training rows. The centres of their clusters are used instead.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.arrays import DECIMALS, Floats
from inference.model.manifest import DomainCalibration

LIMIT_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class Centres:
    """Unit vectors, float32 of shape (centres, width)."""

    vectors: npt.NDArray[np.float32]

    def distance(self, vector: Floats) -> float:
        """One minus the cosine to the nearest centre, in [0, 2]. `vector` has length one."""
        cosines = np.einsum("cw,w->c", self.vectors, vector.astype(np.float32))
        return round(1.0 - float(cosines.max()), DECIMALS)


def out_of_distribution_score(
    limits: DomainCalibration, excess_tokens: float, distance: float
) -> float:
    """The score in [0, 1] of the measure that exceeds its limit most; 0.5 is exactly the limit.

    The two measures are the excess tokens and the distance to the nearest centre.
    """
    ratio = max(excess_tokens / limits.max_excess_tokens, distance / limits.max_distance)
    return round(1.0 - 1.0 / (1.0 + ratio), DECIMALS)


def is_out_of_distribution(ood_score: float) -> bool:
    """Whether the event differs too much from the training rows to be accepted.

    Such an event is never accepted, however high the confidence of the heads is.
    """
    return ood_score > LIMIT_SCORE
