"""Two sets of logits per axis, and how they become calibrated probabilities. NumPy only.

The encoder's head reads the meaning of an event, the n-gram head its exact tokens. Calibration
finds the share of each and the temperature that the mixed logits are divided by. Two models that
work differently make different mistakes, so their mixture helps most on unseen events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from inference.arrays import DECIMALS, Floats, Vectors
from inference.errors import ModelError
from inference.model.artifact import HEADS_FILE, Artifact
from inference.model.files import read_tensors
from inference.model.manifest import AxisCalibration, DomainSpec, Manifest
from inference.model.ngrams import Features, NgramHead
from inference.model.out_of_distribution import OUT_OF_SCOPE, SCOPE_AXIS, Centres
from inference.model.temperature import softmax


@dataclass(frozen=True, slots=True)
class Head:
    """The encoder's head of one axis, for a vector of length one.

    `weight` (labels, width) and `bias` (labels,) are float64.
    """

    labels: tuple[str, ...]
    weight: Floats
    bias: Floats

    def logits(self, vectors: Floats) -> Floats:
        """The logits of n vectors (n, width), shape (n, labels).

        The sums are not done by BLAS, because its last bits depend on shapes and threads. Those of
        `einsum` are the same for a vector alone and among others.
        """
        return np.asarray(np.einsum("lw,nw->nl", self.weight, vectors) + self.bias)


@dataclass(frozen=True, slots=True)
class AxisLogits:
    """The logits of n events, before calibration.

    `encoder` and `ngrams` map an axis to an array of shape (n, labels). `ngrams` lacks the axes
    that only the encoder decides. `distance` (n,) is the distance to the nearest centre, and
    `scope_distance` (n,) that to the nearest centre of the rows in scope; it is empty in a domain
    without the label ``out_of_scope``.
    """

    encoder: dict[str, Floats]
    ngrams: dict[str, Floats]
    distance: Floats
    scope_distance: Floats = field(default_factory=lambda: np.zeros(0))


class Heads:
    """The heads of one domain.

    The logits of an event depend on that event alone. So an event has the same confidence alone and
    in any batch.
    """

    def __init__(
        self,
        heads: Mapping[str, Head],
        ngram_head: NgramHead,
        centres: Centres,
        scope_centres: Centres | None = None,
    ) -> None:
        self._heads = dict(heads)
        self.ngram_head = ngram_head
        self.centres = centres
        self.scope_centres = scope_centres
        # The column of the label, which stays when the label gets another name.
        self._outside: int | None = None
        if SCOPE_AXIS in heads and OUT_OF_SCOPE in heads[SCOPE_AXIS].labels:
            self._outside = heads[SCOPE_AXIS].labels.index(OUT_OF_SCOPE)

    @classmethod
    def load(cls, artifact: Artifact, domain: str) -> Self:
        """Read the heads of a domain from a model directory.

        Raises:
            ModelError: An array is missing or does not have the shape that the manifest gives.
        """
        return cls.of(artifact.directory, artifact.manifest, domain)

    @classmethod
    def of(cls, directory: Path, manifest: Manifest, domain: str) -> Self:
        """Like `load`, but the directory need not be calibrated.

        Raises:
            ModelError: An array is missing or does not have the shape that the manifest gives.
        """
        tensors = read_tensors(directory / HEADS_FILE)
        spec, width = manifest.domains[domain], manifest.encoder.width
        try:
            heads = {
                axis: _head(tensors, f"{domain}.{axis}", axis_spec.labels, width)
                for axis, axis_spec in spec.axes.items()
            }
            ngram_head = NgramHead.load(tensors, domain, ngram_labels(spec))
            centres = Centres(tensors[f"{domain}.centres"])
            scope_centres = None
            if f"{domain}.scope_centres" in tensors:
                scope_centres = Centres(tensors[f"{domain}.scope_centres"])
        except KeyError as error:
            raise ModelError(
                f"{directory / HEADS_FILE} lacks {error}; train the model again"
            ) from None
        if any(each.vectors.shape[1:] != (width,) for each in (centres, scope_centres or centres)):
            raise ModelError(
                f"the centres of {domain} do not have the encoder's width; train the model again"
            )
        return cls(heads, ngram_head, centres, scope_centres)

    @property
    def heads(self) -> dict[str, Head]:
        """The encoder's head of each axis."""
        return dict(self._heads)

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The labels of each axis, in the order of the probabilities."""
        return {axis: head.labels for axis, head in self._heads.items()}

    def renamed(self, names: Mapping[str, Sequence[str]]) -> "Heads":
        """The same heads, whose labels have the `names` of each axis, in the same order."""
        heads = {
            axis: replace(head, labels=tuple(names[axis])) for axis, head in self._heads.items()
        }
        renamed = Heads(heads, self.ngram_head, self.centres, self.scope_centres)
        renamed._outside = self._outside
        return renamed

    def arrays(self) -> dict[str, tuple[Vectors, Vectors]]:
        """Weight and bias of each axis in float32, as a model directory has them."""
        return {
            axis: (head.weight.astype(np.float32), head.bias.astype(np.float32))
            for axis, head in self._heads.items()
        }

    def logits(self, vectors: Vectors, features: Sequence[Features]) -> AxisLogits:
        """The logits of n events from their embeddings (n, width) and their n-gram features."""
        units = unit_rows(vectors)
        rows = [self.ngram_head.logits(features_of_event) for features_of_event in features]
        ngrams = _stacked(rows, len(self.ngram_head.bias))
        scope_distances = np.zeros(0)
        if self.scope_centres is not None:
            scope_distances = self.scope_centres.distances(units)
        return AxisLogits(
            encoder={axis: head.logits(units) for axis, head in self._heads.items()},
            ngrams={axis: ngrams[:, columns] for axis, columns in self.ngram_head.columns.items()},
            distance=self.centres.distances(units),
            scope_distance=scope_distances,
        )

    def scope_distances(
        self, axis_logits: AxisLogits, probabilities: Mapping[str, Floats]
    ) -> list[float | None]:
        """The distance to the rows in scope of each event whose answer is in scope, else None."""
        if self._outside is None or not len(axis_logits.scope_distance):
            return [None] * len(axis_logits.distance)
        answers = probabilities[SCOPE_AXIS].argmax(axis=1).tolist()
        return [
            None if answer == self._outside else distance
            for answer, distance in zip(answers, axis_logits.scope_distance.tolist(), strict=True)
        ]


def calibrated(axis_logits: AxisLogits, axes: Mapping[str, AxisCalibration]) -> dict[str, Floats]:
    """The probabilities (n, labels) of each axis, rounded to `DECIMALS`.

    Because of the rounding, a row sums to one only approximately.
    """
    return {
        axis: np.round(
            softmax(mixed(axis_logits, axis, calibration.ngram_share), calibration.temperature),
            DECIMALS,
        )
        for axis, calibration in axes.items()
    }


def mixed(axis_logits: AxisLogits, axis: str, ngram_share: float) -> Floats:
    """The mixture of the encoder's and the n-gram logits of an axis."""
    if axis not in axis_logits.ngrams:
        return axis_logits.encoder[axis]
    return (1 - ngram_share) * axis_logits.encoder[axis] + ngram_share * axis_logits.ngrams[axis]


def ngram_labels(spec: DomainSpec) -> dict[str, list[str]]:
    """The labels of the axes that have n-gram columns, in the order of the columns."""
    return {axis: axis_spec.labels for axis, axis_spec in spec.axes.items() if axis_spec.ngrams}


def unit(vector: npt.NDArray[np.float32]) -> Floats:
    """The vector in float64, scaled to length one. The zero vector stays as it is."""
    wide = np.array(vector, dtype=np.float64)
    length = float(np.sqrt(np.einsum("w,w->", wide, wide)))
    if not length:
        return wide
    return wide / length


def unit_rows(vectors: Vectors) -> Floats:
    """The vectors, of shape (n, width), each scaled by `unit`; n may be 0."""
    wide = np.ascontiguousarray(vectors, dtype=np.float64)
    lengths = np.sqrt(np.einsum("nw,nw->n", wide, wide))
    return wide / np.where(lengths, lengths, 1.0)[:, None]


def _stacked(rows: Sequence[Floats], columns: int) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(len(rows), columns)


def _head(tensors: Mapping[str, Vectors], name: str, labels: Sequence[str], width: int) -> Head:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    if weight.shape != (len(labels), width) or bias.shape != (len(labels),):
        raise ModelError(
            f"the head {name} does not have the manifest's shape; train the model again"
        )
    return Head(tuple(labels), weight.astype(np.float64), bias.astype(np.float64))
