"""The calibration rows that ship with a model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.arrays import DECIMALS, Bools, Flags, Floats
from inference.errors import ModelError
from inference.model.artifact import CALIBRATION_ROWS_FILE, Artifact

CALIBRATION_SPLITS = ("tuning", "testing")
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class CalibrationSplit:
    """Rows of one half.

    `doubt` (n, axes) in [0, 1] is one minus the confidence an axis was decided with, 1.0 where a guard refused the
    event; `correct` (n, axes) is 1, 0 or -1 where there is no label; `tenant` (n,) indexes the sample's tenants, -1
    where there is none; `unseen` (n,) says whether a row is of a source the model was not taught with.
    """

    error_probability: Floats
    correct: Flags
    tenant: npt.NDArray[np.int32]
    unseen: Bools

    def where(self, rows: Bools | npt.NDArray[np.int64]) -> "CalibrationSplit":
        """These rows alone, named by flags or indexes."""
        return CalibrationSplit(
            self.error_probability[rows], self.correct[rows], self.tenant[rows], self.unseen[rows]
        )


@dataclass(frozen=True, slots=True)
class CalibrationSample:
    """A domain's calibration rows, the columns of both halves in the order of `axes`."""

    axes: tuple[str, ...]
    tuning: CalibrationSplit
    testing: CalibrationSplit
    tenants: tuple[str, ...] = ()

    def of(self, tenant: str) -> "CalibrationSample":
        """The rows of one tenant."""
        wanted = self.tenants.index(tenant)
        tuning, testing = (
            half.where(half.tenant == wanted) for half in (self.tuning, self.testing)
        )
        return CalibrationSample(self.axes, tuning, testing, self.tenants)


def load_samples(artifact: Artifact) -> dict[str, CalibrationSample]:
    """The calibration rows a model directory ships, by domain.

    Raises:
        ModelError: an array is missing or does not have one column per axis.
    """
    tensors = artifact.tensors(CALIBRATION_ROWS_FILE)
    try:
        return {
            domain: _sample(tensors, domain, tuple(one.axes), tuple(one.tenants))
            for domain, one in artifact.calibration.domains.items()
        }
    except KeyError as error:
        raise ModelError(
            f"{artifact.file(CALIBRATION_ROWS_FILE)} lacks {error}; calibrate the model again"
        ) from None


def _sample(
    tensors: Mapping[str, npt.NDArray[np.float32]],
    domain: str,
    axes: tuple[str, ...],
    tenants: tuple[str, ...],
) -> CalibrationSample:
    halves = []
    for name in CALIBRATION_SPLITS:
        error_probability, correct = (
            tensors[f"{domain}.{name}.doubt"],
            tensors[f"{domain}.{name}.correct"],
        )
        tenant, unseen = tensors[f"{domain}.{name}.tenant"], tensors[f"{domain}.{name}.unseen"]
        fits = error_probability.shape == correct.shape and error_probability.shape[1:] == (
            len(axes),
        )
        if not fits or not tenant.shape == unseen.shape == error_probability.shape[:1]:
            raise ModelError(
                f"the calibration rows of {domain} do not have one column an axis; calibrate again"
            )
        flags: Flags = correct.astype(np.int8)
        # Doubts are shipped in float32: round back to the decimals they were computed with.
        rounded = np.asarray(error_probability, np.float64).round(DECIMALS)
        halves.append(
            CalibrationSplit(rounded, flags, tenant.astype(np.int32), unseen.astype(np.bool_))
        )
    tuning, testing = halves
    return CalibrationSample(axes, tuning, testing, tenants)
