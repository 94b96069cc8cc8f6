"""The calibration rows that ship with a model, as two splits.

Everything that is tuned (shares, temperatures, limits) sees the tuning split alone. The promise is
tested on the testing split. If the calibration is cross-fitted, all rows are in the testing split
and none is in the tuning split. The rows ship with the model because the deciding axes, alpha and
delta are configuration: the threshold follows from them when the model is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inference.arrays import DECIMALS, Bools, Flags, Floats
from inference.errors import ModelError
from inference.model.artifact import CALIBRATION_ROWS_FILE, Artifact

CALIBRATION_SPLITS = ("tuning", "testing")
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class CalibrationSplit:
    """The n rows of one split.

    `error_probability` (n, axes), in [0, 1], is one minus the confidence that an axis was decided
    with; it is 1.0 for an event that is out of distribution. `correct` (n, axes) is 1 or 0, and -1
    without a label. `tenant` (n,) is an index into the sample's tenants, -1 for none. `unseen` (n,)
    is true for rows of a source that the model was not trained on. `weight` (n,), above 0, is for
    how many events a row stands: one divided by the probability that it was chosen to be labelled.
    Without it, all rows have the weight 1. `malicious` (n,) is about the rows that the model calls
    harmless (`dispositions.py`): 1 if the event was not, 0 if it was, and -1 for all other rows.
    """

    error_probability: Floats
    correct: Flags
    tenant: npt.NDArray[np.int32]
    unseen: Bools
    weight: Floats = field(default_factory=lambda: np.zeros(0))
    malicious: Flags = field(default_factory=lambda: np.zeros(0, np.int8))

    def __post_init__(self) -> None:
        if not len(self.weight):
            object.__setattr__(self, "weight", np.ones(len(self.unseen)))
        if not len(self.malicious):
            unknown = np.full(len(self.unseen), UNLABELLED, np.int8)
            object.__setattr__(self, "malicious", unknown)

    def where(self, rows: Bools | npt.NDArray[np.int64]) -> Self:
        """Only these rows, given as flags or as indexes."""
        return type(self)(
            self.error_probability[rows],
            self.correct[rows],
            self.tenant[rows],
            self.unseen[rows],
            self.weight[rows],
            self.malicious[rows],
        )


@dataclass(frozen=True, slots=True)
class CalibrationSample:
    """The calibration rows of one domain; the columns of both splits are in the order of `axes`."""

    axes: tuple[str, ...]
    tuning: CalibrationSplit
    testing: CalibrationSplit
    tenants: tuple[str, ...] = ()

    def of(self, tenant: str) -> "CalibrationSample":
        """Only the rows of one tenant."""
        index = self.tenants.index(tenant)
        tuning, testing = (
            split.where(split.tenant == index) for split in (self.tuning, self.testing)
        )
        return CalibrationSample(self.axes, tuning, testing, self.tenants)


def load_samples(artifact: Artifact) -> dict[str, CalibrationSample]:
    """The calibration rows of a model directory, by domain.

    Raises:
        ModelError: an array is missing, or does not have one column for each axis.
    """
    tensors = artifact.tensors(CALIBRATION_ROWS_FILE)
    try:
        return {
            domain: _sample(tensors, domain, tuple(spec.axes), tuple(spec.tenants))
            for domain, spec in artifact.calibration.domains.items()
        }
    except KeyError as error:
        raise ModelError(
            f"{artifact.file(CALIBRATION_ROWS_FILE)} lacks {error}; calibrate the model again"
        ) from None


def _sample(
    tensors: Mapping[str, npt.NDArray[Any]],
    domain: str,
    axes: tuple[str, ...],
    tenants: tuple[str, ...],
) -> CalibrationSample:
    tuning, testing = (
        _split(tensors, f"{domain}.{name}", domain, len(axes)) for name in CALIBRATION_SPLITS
    )
    return CalibrationSample(axes, tuning, testing, tenants)


def _split(
    tensors: Mapping[str, npt.NDArray[Any]], prefix: str, domain: str, axes: int
) -> CalibrationSplit:
    # On disk an error probability is still called a doubt: see `inference.model.manifest`.
    error_probability, correct = tensors[f"{prefix}.doubt"], tensors[f"{prefix}.correct"]
    tenant, unseen = tensors[f"{prefix}.tenant"], tensors[f"{prefix}.unseen"]
    # Models in which all rows have the same weight, or without dispositions, do not store these.
    weight = tensors.get(f"{prefix}.weight", np.ones(unseen.shape, np.float32))
    malicious = tensors.get(f"{prefix}.malicious", np.full(unseen.shape, UNLABELLED, np.int8))
    fits = error_probability.shape == correct.shape and error_probability.shape[1:] == (axes,)
    lengths = {array.shape for array in (tenant, unseen, weight, malicious)}
    if not fits or lengths != {error_probability.shape[:1]} or not (weight > 0).all():
        raise ModelError(
            f"the calibration rows of {domain} do not have one column for each axis; "
            "calibrate the model again"
        )
    # They are stored as float32: round back to the decimals they were computed with.
    rounded = np.asarray(error_probability, np.float64).round(DECIMALS)
    return CalibrationSplit(
        rounded,
        correct.astype(np.int8),
        tenant.astype(np.int32),
        unseen.astype(np.bool_),
        weight.astype(np.float64),
        malicious.astype(np.int8),
    )
