"""Two opinions an axis, and what they say together: calibrated probabilities. NumPy only.

The encoder's head reads meaning, the lexical one exact tokens. Their logits are added in the shares, and divided by the
temperature, that calibration found best; unlike experts help most on what neither has seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from inference.arrays import DECIMALS, Floats, Vectors
from inference.errors import ModelError
from inference.model.artifact import (
    HEADS_FILE,
    Artifact,
    AxisCalibration,
    DomainSpec,
    Manifest,
    read_tensors,
)
from inference.model.ngrams import Features, NgramHead
from inference.model.out_of_distribution import Centres
from inference.model.temperature import softmax


@dataclass(frozen=True, slots=True)
class Head:
    """One axis of the encoder: `weight` (labels, width) and `bias` (labels) in float64, for a vector of length one."""

    labels: tuple[str, ...]
    weight: Floats
    bias: Floats

    def logits(self, vector: Floats) -> Floats:
        """Scores of one vector, shape (labels,). No BLAS: its sums depend on shape and threads, these do not."""
        return np.asarray(np.einsum("lw,w->l", self.weight, vector) + self.bias, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class AxisLogits:
    """What is said of n events before calibration: logits (n, labels) an axis, and the distances (n,) to the training.

    `lexical` lacks the axes that only the encoder decides.
    """

    encoder: dict[str, Floats]
    ngrams: dict[str, Floats]
    distance: Floats


class Heads:
    """The heads of one domain.

    What is said of an event depends on that event alone: each is computed by itself and rounded, so it gets the same
    confidence alone and in any batch.
    """

    def __init__(self, heads: Mapping[str, Head], ngram_head: NgramHead, centres: Centres) -> None:
        self._heads = dict(heads)
        self.ngram_head = ngram_head
        self.centres = centres

    @classmethod
    def load(cls, artifact: Artifact, domain: str) -> Self:
        """Read the heads of a domain from a model directory.

        Raises:
            ModelError: an array is missing or does not have the manifest's shape.
        """
        return cls.of(artifact.directory, artifact.manifest, domain)

    @classmethod
    def of(cls, directory: Path, manifest: Manifest, domain: str) -> Self:
        """The same from a directory that is not calibrated yet."""
        tensors = read_tensors(directory / HEADS_FILE)
        spec, width = manifest.domains[domain], manifest.encoder.width
        try:
            heads = {
                axis: _head(tensors, f"{domain}.{axis}", one.labels, width)
                for axis, one in spec.axes.items()
            }
            ngram_head = NgramHead.load(tensors, domain, ngram_labels(spec))
            centres = Centres(tensors[f"{domain}.centres"])
        except KeyError as error:
            raise ModelError(
                f"{directory / HEADS_FILE} lacks {error}; train the model again"
            ) from None
        if centres.vectors.ndim != 2 or centres.vectors.shape[1] != width:  # noqa: PLR2004 - centres times width
            raise ModelError(
                f"the centres of {domain} do not have the encoder's width; train the model again"
            )
        return cls(heads, ngram_head, centres)

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The labels of each axis, in the order of the probabilities."""
        return {axis: head.labels for axis, head in self._heads.items()}

    def arrays(self) -> dict[str, tuple[Vectors, Vectors]]:
        """Weight and bias of each axis as they are shipped, in float32."""
        return {
            axis: (one.weight.astype(np.float32), one.bias.astype(np.float32))
            for axis, one in self._heads.items()
        }

    def logits(self, vectors: Vectors, features: Sequence[Features]) -> AxisLogits:
        """Opinions on n events from their embeddings (n, width) and their lexical features."""
        units = [unit(vector) for vector in vectors]
        ngrams = _stacked(
            [self.ngram_head.logits(one) for one in features], len(self.ngram_head.bias)
        )
        return AxisLogits(
            encoder={
                axis: _stacked([head.logits(vector) for vector in units], len(head.labels))
                for axis, head in self._heads.items()
            },
            ngrams={axis: ngrams[:, columns] for axis, columns in self.ngram_head.columns.items()},
            distance=np.array(
                [self.centres.distance(vector) for vector in units], dtype=np.float64
            ),
        )


def calibrated(axis_logits: AxisLogits, axes: Mapping[str, AxisCalibration]) -> dict[str, Floats]:
    """Probabilities (n, labels) an axis, rows summing to one within rounding to six decimals."""
    return {
        axis: np.round(
            softmax(mixed(axis_logits, axis, one.ngram_share), one.temperature), DECIMALS
        )
        for axis, one in axes.items()
    }


def mixed(axis_logits: AxisLogits, axis: str, ngram_share: float) -> Floats:
    """The logits of both opinions on an axis in their shares."""
    if axis not in axis_logits.ngrams:
        return axis_logits.encoder[axis]
    return (1 - ngram_share) * axis_logits.encoder[axis] + ngram_share * axis_logits.ngrams[axis]


def ngram_labels(spec: DomainSpec) -> dict[str, list[str]]:
    """The labels of the axes that have a lexical head, in the order of its columns."""
    return {axis: one.labels for axis, one in spec.axes.items() if one.ngrams}


def unit(vector: npt.NDArray[np.float32]) -> Floats:
    """The vector in float64, scaled to length one; the zero vector stays."""
    wide = np.array(vector, dtype=np.float64)
    length = float(np.sqrt(np.einsum("w,w->", wide, wide)))
    return wide / length if length else wide


def _stacked(rows: Sequence[Floats], columns: int) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(len(rows), columns)


def _head(tensors: Mapping[str, Vectors], name: str, labels: Sequence[str], width: int) -> Head:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    if weight.shape != (len(labels), width) or bias.shape != (len(labels),):
        raise ModelError(
            f"the head {name} does not have the manifest's shape; train the model again"
        )
    return Head(tuple(labels), weight.astype(np.float64), bias.astype(np.float64))
