"""Training one domain: its heads, its centres and its calibration."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inference.acceptance.learning import AxisLearning
from inference.acceptance.samples import CALIBRATION_SPLITS, CalibrationSample
from inference.arrays import Vectors
from inference.labelled import LabelledRow
from inference.model.heads import Head, Heads, unit_rows
from inference.model.input_text import INPUT_TEXT_FORMAT, read_content
from inference.model.manifest import AxisSpec, DomainCalibration, DomainSpec, EncoderSpec
from inference.model.ngrams import NgramHead
from inference.model.out_of_distribution import OUT_OF_SCOPE, SCOPE_AXIS, Centres
from inference.progress import Progress
from inference.training.calibration_fit import NGRAM_SHARES, calibrate_domain, is_in_scope
from inference.training.centre_fit import fit_centres
from inference.training.crossfit import crossfit
from inference.training.head_fit import blend_heads, fit_heads, fit_heads_of_axis
from inference.training.learning_curve import learning_of
from inference.training.ngram_fit import fit_ngram_head, fit_other_columns, kept
from inference.training.row_features import RowFeatures, embed_rows

MIN_NGRAM_SHARE = NGRAM_SHARES[1]
"""The n-gram columns of an axis are left out if their share is smaller.

They would cost memory and time and change nothing, because the only smaller share is 0.
"""


@dataclass(frozen=True, slots=True)
class TrainedDomain:
    """What the model directory stores of one domain.

    `tuned` are the heads that were relearned as they were before, so that another training can
    start from them again. `learning` says how each axis got better with its rows; it is empty if
    the calibration is not cross-fitted.
    """

    heads: Heads
    tuned: Mapping[str, Head]
    spec: DomainSpec
    calibration: DomainCalibration
    sample: CalibrationSample
    learning: Mapping[str, AxisLearning] = field(default_factory=dict)


def train_cross_fitted(
    domain: str,
    rows: Sequence[LabelledRow],
    labels: Mapping[str, tuple[str, ...]],
    out: Path,
    spec: EncoderSpec,
    progress: Progress,
    *,
    seed: int,
) -> TrainedDomain:
    """Fit one domain to all of its rows; its calibration is cross-fitted.

    Rows of the part ``train`` only teach, and those of the part ``test`` are ignored. All others
    teach and calibrate.

    Raises:
        ModelError: the encoder in `out` cannot be loaded.
        DataError: the rows are too few to fit or to calibrate an axis.
    """
    rows = [row for row in rows if row.part != "test"]
    vectors, inputs = embed_rows(rows, out, spec, progress, f"reading {domain}")
    fitted = crossfit(domain, rows, vectors, inputs, labels, progress, seed=seed)
    units = unit_rows(vectors)
    heads = {
        axis: fit_heads_of_axis(rows, units, axis, names, [fitted.strengths[axis]], seed=seed)[0]
        for axis, names in labels.items()
    }
    by_ngrams = {
        axis: names
        for axis, names in labels.items()
        if fitted.calibration.axes[axis].ngram_share >= MIN_NGRAM_SHARE
    }
    ngram_head = fit_ngram_head(rows, by_ngrams, seed=seed)
    ngram_axes = _ngram_axes(ngram_head, fitted.calibration)
    return TrainedDomain(
        Heads(
            heads,
            kept(ngram_head, ngram_axes),
            fit_centres(vectors, seed=seed),
            _scope_centres(rows, vectors, labels, seed),
        ),
        {},
        domain_spec(labels, ngram_axes),
        fitted.calibration,
        fitted.sample,
        learning_of(domain, rows, vectors, inputs, labels, fitted, progress, seed=seed),
    )


def train_domain(
    domain: str,
    rows: Sequence[LabelledRow],
    labels: Mapping[str, tuple[str, ...]],
    heads: Mapping[str, Head] | None,
    out: Path,
    spec: EncoderSpec,
    progress: Progress,
    *,
    seed: int,
    relearned: Collection[str] = (),
    unchanged_ngrams: NgramHead | None = None,
) -> TrainedDomain:
    """Fit the n-gram head, the centres and the calibration of one domain.

    `heads` are the heads of a fine-tuned encoder. If they are None, heads are fitted on the
    encoder in `out`. Those of the axes that are `relearned` learn from the rows, too. The
    columns of `unchanged_ngrams` stay as they are, and so do the n-gram features. Rows of the
    split ``test`` are ignored. If heads are fitted and there are rows of the part ``both``, the
    calibration is cross-fitted.

    Raises:
        ModelError: the encoder in `out` cannot be loaded.
        DataError: the rows are too few to fit or to calibrate an axis.
    """
    if heads is None and any(row.part == "both" for row in rows):
        return train_cross_fitted(domain, rows, labels, out, spec, progress, seed=seed)
    rows = [row for row in rows if row.part != "test"]
    training = [i for i, row in enumerate(rows) if row.part == "train"]
    training_rows = [rows[i] for i in training]
    stage = f"n-grams of {domain}"
    progress(stage, 0, 1)
    if unchanged_ngrams is None:
        ngram_head = fit_ngram_head(training_rows, labels, seed=seed)
    else:
        ngram_head = fit_other_columns(unchanged_ngrams, training_rows, labels, seed=seed)
    progress(stage, 1, 1)
    vectors, inputs = embed_rows(rows, out, spec, progress, f"reading {domain}")
    heads = dict(heads or fit_heads(rows, vectors, labels, progress, seed=seed))
    tuned = {axis: heads[axis] for axis in relearned}
    for axis in relearned:
        heads[axis] = blend_heads(rows, vectors, axis, heads[axis], seed=seed)
    centres = fit_centres(vectors[training], seed=seed)
    scope_centres = _scope_centres(training_rows, vectors[training], labels, seed)
    held_out = [i for i, row in enumerate(rows) if row.part in CALIBRATION_SPLITS]
    held_out_rows = [rows[i] for i in held_out]
    ngram_features = [ngram_head.features(read_content(row.event)) for row in held_out_rows]
    calibration, sample = calibrate_domain(
        domain,
        held_out_rows,
        RowFeatures(vectors[held_out], ngram_features, [inputs[i] for i in held_out]),
        Heads(heads, ngram_head, centres, scope_centres),
        {row.source for row in training_rows},
    )
    ngram_axes = _ngram_axes(ngram_head, calibration)
    return TrainedDomain(
        Heads(heads, kept(ngram_head, ngram_axes), centres, scope_centres),
        tuned,
        domain_spec(labels, ngram_axes),
        calibration,
        sample,
    )


def _ngram_axes(ngram_head: NgramHead, calibration: DomainCalibration) -> list[str]:
    """The axes whose n-gram columns are kept."""
    return [
        axis for axis in ngram_head.columns if calibration.axes[axis].ngram_share >= MIN_NGRAM_SHARE
    ]


def _scope_centres(
    rows: Sequence[LabelledRow],
    vectors: Vectors,
    labels: Mapping[str, Sequence[str]],
    seed: int,
) -> Centres | None:
    """The centres of the rows in scope; None if no label means that a row is out of scope."""
    if OUT_OF_SCOPE not in labels.get(SCOPE_AXIS, ()):
        return None
    in_scope = [i for i, row in enumerate(rows) if is_in_scope(row)]
    return fit_centres(vectors[in_scope], seed=seed)


def domain_spec(labels: Mapping[str, Sequence[str]], ngram_axes: Collection[str]) -> DomainSpec:
    """The axes of a domain, of which some have n-gram columns."""
    axes = {
        axis: AxisSpec(labels=list(names), ngrams=axis in ngram_axes)
        for axis, names in labels.items()
    }
    return DomainSpec(input_text=INPUT_TEXT_FORMAT, axes=axes)
