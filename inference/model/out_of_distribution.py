"""How different an event is from the training rows, measured on its embedding.

The encoder was trained to put events of one kind close together. An event of another kind lies
between these clusters. The distance to the training data in embedding space is a standard
out-of-distribution score:

- Lee et al., 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples"
- Sun et al., 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors"

A model ships no training rows. The centres of their clusters are used instead.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.arrays import DECIMALS, Floats
from inference.model.language import ENGLISH, NO_LANGUAGE
from inference.model.manifest import DomainCalibration

LIMIT_SCORE = 0.5
OUT_OF_SCOPE, SCOPE_AXIS = "out_of_scope", "queue"
"""The label of events that are not the business of any queue, and its axis."""
GIBBERISH = "the text has few known words: gibberish?"


@dataclass(frozen=True, slots=True)
class Centres:
    """Unit vectors, float32 of shape (centres, width)."""

    vectors: npt.NDArray[np.float32]

    def distances(self, vectors: Floats) -> Floats:
        """For n vectors of length one (n, width): one minus the cosine to the nearest centre.

        Returns:
            float64 of shape (n,), in [0, 2].
        """
        cosines = np.einsum("cw,nw->nc", self.vectors, vectors.astype(np.float32))
        nearest = cosines.max(axis=1).tolist()
        return np.array([round(1.0 - cosine, DECIMALS) for cosine in nearest], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Unfamiliarity:
    """How unlike the training rows an event is.

    `score`, in [0, 1], is 0.5 exactly at a limit. `finding` is a sentence about what was found. It
    is empty if nothing is beyond its limit.
    """

    score: float
    finding: str


def unfamiliarity(
    limits: DomainCalibration,
    excess_tokens: float,
    language: str,
    distance: float,
    scope_distance: float | None = None,
) -> Unfamiliarity:
    """How unlike the training rows an event is, by the measure that exceeds its limit most.

    Text in another language is as unlike as can be. Otherwise the measures are the excess tokens
    and the distance to the nearest centre. English with many names has many excess tokens, too:
    they do not count if the text reads like English, or like a language of the calibration rows.

    `scope_distance` is the distance to the nearest centre of the rows in scope, for an event whose
    answer is in scope. Other businesses use the words of this one: an order that did not arrive is
    no bank card that did not arrive, and lies between the two.
    """
    if excess_tokens == math.inf:
        return Unfamiliarity(1.0, "there is nothing to read")
    if language == NO_LANGUAGE:
        return Unfamiliarity(1.0, GIBBERISH)
    if language not in ("", ENGLISH, *limits.languages):
        return Unfamiliarity(1.0, f"the text reads like {language}")
    excess_ratio = 0.0
    if language not in (ENGLISH, *limits.languages):
        excess_ratio = excess_tokens / limits.max_excess_tokens
    distance_ratio = distance / limits.max_distance
    scope_ratio = 0.0
    if scope_distance is not None and limits.max_scope_distance is not None:
        scope_ratio = scope_distance / limits.max_scope_distance
    ratio, finding = max(
        (distance_ratio, "the text is unlike the training rows"),
        (excess_ratio, GIBBERISH),
        (scope_ratio, "the text is unlike the training rows of every queue"),
    )
    score = round(1.0 - 1.0 / (1.0 + max(0.0, ratio)), DECIMALS)
    if not is_out_of_distribution(score):
        finding = ""
    return Unfamiliarity(score, finding)


def is_out_of_distribution(ood_score: float) -> bool:
    """Whether the event differs too much from the training rows to be accepted.

    Such an event is never accepted, however high the confidence of the heads is.
    """
    return ood_score > LIMIT_SCORE
