"""Linear heads on the encoder's vectors: calibrated probabilities for every axis of a domain. NumPy only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from inference.artifact import Artifact, AxisSpec
from inference.calibration import DECIMALS, Floats, Half, Sample, softmax
from inference.errors import ModelError

HEADS_FILE = "heads.safetensors"
CALIBRATION_FILE = "calibration.safetensors"
HALVES = ("tuning", "testing")


@dataclass(frozen=True, slots=True)
class Head:
    """One axis: `weight` (labels, width) and `bias` (labels) in float64, applied to a vector of length one."""

    labels: tuple[str, ...]
    weight: Floats
    bias: Floats
    temperature: float

    def logits(self, vector: Floats) -> Floats:
        """Scores of one vector, shape (labels,). No BLAS: its sums depend on shape and threads, these do not."""
        return np.asarray(np.einsum("lw,w->l", self.weight, vector) + self.bias, dtype=np.float64)


class Heads:
    """The heads of every domain of a model.

    A row's probabilities depend on that row alone: each is computed by itself in float64 and rounded to six
    decimals, so an event gets the same confidence alone and in any batch.
    """

    def __init__(self, heads: Mapping[str, Mapping[str, Head]]) -> None:
        self._heads = {domain: dict(axes) for domain, axes in heads.items()}

    @classmethod
    def load(cls, artifact: Artifact) -> Self:
        """Read the heads of a model directory.

        Raises:
            ModelError: an array is missing or does not have the manifest's shape.
        """
        tensors = artifact.tensors(HEADS_FILE)
        width = artifact.manifest.encoder.width
        try:
            return cls(
                {
                    domain: {axis: _head(tensors, f"{domain}.{axis}", spec, width) for axis, spec in one.axes.items()}
                    for domain, one in artifact.manifest.domains.items()
                }
            )
        except KeyError as error:
            raise ModelError(f"{artifact.file(HEADS_FILE)} lacks {error}; train the model again") from None

    def labels(self, domain: str) -> dict[str, tuple[str, ...]]:
        """The labels of each axis, in the order of the probabilities."""
        return {axis: head.labels for axis, head in self._heads[domain].items()}

    def predict(self, domain: str, embeddings: npt.NDArray[np.float32]) -> dict[str, Floats]:
        """Calibrated probabilities.

        `embeddings` has shape (n, width); the answer is an (n, labels) array an axis, rows summing to one within
        rounding.
        """
        vectors = [unit(row) for row in embeddings]
        return {
            axis: np.array([_probabilities(head, vector) for vector in vectors]).reshape(-1, len(head.labels))
            for axis, head in self._heads[domain].items()
        }


def unit(vector: npt.NDArray[np.float32]) -> Floats:
    """The vector in float64, scaled to length one; the zero vector stays."""
    wide = np.array(vector, dtype=np.float64)
    length = float(np.sqrt(np.einsum("w,w->", wide, wide)))
    return wide / length if length else wide


def load_samples(artifact: Artifact) -> dict[str, Sample]:
    """The calibration rows a model directory ships, by domain.

    Raises:
        ModelError: an array is missing or does not have one column per axis.
    """
    tensors = artifact.tensors(CALIBRATION_FILE)
    try:
        return {domain: _sample(tensors, domain, tuple(one.axes)) for domain, one in artifact.manifest.domains.items()}
    except KeyError as error:
        raise ModelError(f"{artifact.file(CALIBRATION_FILE)} lacks {error}; train the model again") from None


def _probabilities(head: Head, vector: Floats) -> Floats:
    return np.round(softmax(head.logits(vector), head.temperature), DECIMALS)


def _head(tensors: dict[str, npt.NDArray[np.float32]], name: str, spec: AxisSpec, width: int) -> Head:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    if weight.shape != (len(spec.labels), width) or bias.shape != (len(spec.labels),):
        raise ModelError(f"the head {name} does not have the manifest's shape; train the model again")
    return Head(tuple(spec.labels), weight.astype(np.float64), bias.astype(np.float64), spec.temperature)


def _sample(tensors: dict[str, npt.NDArray[np.float32]], domain: str, axes: tuple[str, ...]) -> Sample:
    halves = []
    for name in HALVES:
        confidence, correct = tensors[f"{domain}.{name}.confidence"], tensors[f"{domain}.{name}.correct"]
        if confidence.shape != correct.shape or confidence.shape[1:] != (len(axes),):
            raise ModelError(f"the calibration rows of {domain} do not have one column an axis; train the model again")
        # Confidences are shipped in float32: round back to the decimals they were predicted with.
        halves.append(Half(np.asarray(confidence, np.float64).round(DECIMALS), correct.astype(np.int8)))
    return Sample(axes, *halves)
