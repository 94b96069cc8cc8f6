"""Calibrating a model again, on rows of the people who use it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.acceptance.guarantee import Promise
from inference.acceptance.options import Terms
from inference.acceptance.policy import promise_of
from inference.acceptance.samples import CalibrationSample
from inference.labelled_lines import PLAIN_ROWS, RowFormat
from inference.labels.renames import NO_RENAMES, Renames
from inference.model.artifact import CALIBRATION
from inference.progress import Progress
from inference.training.calibration_fit import fit_calibration, seal_calibration
from schemas.event import Domain

ALL_TENANTS = "*"


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What the new rows promise, and whether the new calibration was written.

    `promises` has, for each domain, the promise of all rows under `ALL_TENANTS` and the promise of
    each tenant that has rows of its own.
    """

    promises: dict[str, dict[str, Promise]]
    written: bool

    @property
    def refused(self) -> list[str]:
        """The domains in which nothing can be promised over all rows."""
        return _refused(self.promises)


def recalibrate(
    path: Path,
    files: Sequence[Path],
    terms: Mapping[Domain, Terms],
    progress: Progress,
    axes: Mapping[str, str] | None = None,
    renames: Renames = NO_RENAMES,
    row_format: RowFormat = PLAIN_ROWS,
) -> Recalibration:
    """Calibrate the model in `path` on the rows of `files`; see `fit_calibration` for the rows.

    If nothing can be promised in a domain, a model that has a calibration keeps it.

    Raises:
        ConfigError: the terms ask for axes or shares that cannot be.
        ModelError: the model is damaged.
        DataError: the rows cannot be used, or a domain of the model has none.
    """
    fitted, rows = fit_calibration(path, files, progress, axes, renames, row_format)
    promises = {
        str(domain): _promises(domain, fitted[domain][1], terms_of_domain)
        for domain, terms_of_domain in terms.items()
        if domain in fitted
    }
    written = not (_refused(promises) and (path / CALIBRATION).is_file())
    if written:
        seal_calibration(path, fitted, rows)
    return Recalibration(promises, written)


def _promises(domain: str, sample: CalibrationSample, terms: Terms) -> dict[str, Promise]:
    samples = {ALL_TENANTS: sample} | {tenant: sample.of(tenant) for tenant in sample.tenants}
    return {tenant: promise_of(domain, rows, terms) for tenant, rows in samples.items()}


def _refused(promises: Mapping[str, Mapping[str, Promise]]) -> list[str]:
    return [
        domain for domain, by_tenant in promises.items() if not by_tenant[ALL_TENANTS].accepts_any
    ]
