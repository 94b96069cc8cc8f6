"""Training a domain of which no rows can calibrate: it proposes labels and accepts nothing.

What calibration would find is fixed here. It was chosen on two desks of twelve queues that were
made of public rows (`python -m benchmarks.own_labels`), where it makes the confidences about as
large as the share of right answers.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from inference.acceptance.samples import CalibrationSample, CalibrationSplit
from inference.labelled import LabelledRow
from inference.model.heads import Heads, unit_rows
from inference.model.manifest import AxisCalibration, DomainCalibration, EncoderSpec
from inference.progress import Progress
from inference.training.calibration_fit import MIN_EXCESS_TOKENS
from inference.training.centre_fit import fit_centres
from inference.training.domain_fit import TrainedDomain, domain_spec
from inference.training.head_fit import fit_heads_of_axis
from inference.training.ngram_fit import MAX_FOLD_WORK, fit_ngram_head
from inference.training.row_features import embed_rows

STRENGTH = 0.3
"""The inverse regularisation of the heads; see `head_fit`."""
NGRAM_SHARE = 0.3
TEMPERATURE = 0.6
MAX_DISTANCE = 1.0
"""The centres are those of few texts. A text at a right angle to all of them is unlike them."""


def train_uncalibrated(
    domain: str,
    rows: Sequence[LabelledRow],
    labels: Mapping[str, tuple[str, ...]],
    out: Path,
    spec: EncoderSpec,
    progress: Progress,
    *,
    seed: int,
) -> TrainedDomain:
    """Fit the heads of a domain to all of its rows that are not of the part ``test``.

    Raises:
        ModelError: the encoder in `out` cannot be loaded.
    """
    rows = [row for row in rows if row.part != "test"]
    vectors, _ = embed_rows(rows, out, spec, progress, f"reading {domain}")
    units = unit_rows(vectors)
    heads = {
        axis: fit_heads_of_axis(rows, units, axis, names, [STRENGTH], seed=seed)[0]
        for axis, names in labels.items()
    }
    ngram_head = fit_ngram_head(rows, labels, seed=seed, max_work=MAX_FOLD_WORK)
    centres = fit_centres(vectors, seed=seed)
    return TrainedDomain(
        Heads(heads, ngram_head, centres),
        {},
        domain_spec(labels, ngram_head.columns),
        _fixed_calibration(labels, ngram_head.columns),
        _no_rows(tuple(labels)),
    )


def _fixed_calibration(
    labels: Mapping[str, Sequence[str]], ngram_axes: Collection[str]
) -> DomainCalibration:
    axes = {}
    for axis, names in labels.items():
        share = NGRAM_SHARE if axis in ngram_axes else 0.0
        shares = [round(1 / len(names), 6)] * len(names)
        axes[axis] = AxisCalibration(ngram_share=share, temperature=TEMPERATURE, shares=shares)
    return DomainCalibration(
        axes=axes,
        max_excess_tokens=MIN_EXCESS_TOKENS,
        max_distance=MAX_DISTANCE,
        tenants=[],
    )


def _no_rows(axes: tuple[str, ...]) -> CalibrationSample:
    nothing = CalibrationSplit(
        np.zeros((0, len(axes))),
        np.zeros((0, len(axes)), np.int8),
        np.zeros(0, np.int32),
        np.zeros(0, np.bool_),
    )
    return CalibrationSample(axes, nothing, nothing)
