"""Training one domain: its heads, its centres and its calibration."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.acceptance.samples import CALIBRATION_SPLITS, CalibrationSample
from inference.labelled import LabelledRow
from inference.model.heads import Head, Heads
from inference.model.input_text import INPUT_TEXT_FORMAT, read_content
from inference.model.manifest import AxisSpec, DomainCalibration, DomainSpec, EncoderSpec
from inference.model.out_of_distribution import OUT_OF_SCOPE, SCOPE_AXIS
from inference.progress import Progress
from inference.training.calibration_fit import NGRAM_SHARES, calibrate_domain, is_in_scope
from inference.training.centre_fit import fit_centres
from inference.training.head_fit import blend_heads, fit_heads
from inference.training.ngram_fit import fit_ngram_head, kept
from inference.training.row_features import RowFeatures, embed_rows

MIN_NGRAM_SHARE = NGRAM_SHARES[1]
"""The n-gram columns of an axis are left out if their share is smaller.

They would cost memory and time and change nothing, because the only smaller share is 0.
"""


@dataclass(frozen=True, slots=True)
class TrainedDomain:
    """What the model directory stores of one domain.

    `tuned` are the heads that were relearned as they were before, so that another training can
    start from them again.
    """

    heads: Heads
    tuned: Mapping[str, Head]
    spec: DomainSpec
    calibration: DomainCalibration
    sample: CalibrationSample


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
) -> TrainedDomain:
    """Fit the n-gram head, the centres and the calibration of one domain.

    `heads` are the heads of a fine-tuned encoder. If they are None, heads are fitted on the
    encoder in `out`. Those of the axes that are `relearned` learn from the rows, too. Rows of the
    split ``test`` are ignored.

    Raises:
        ModelError: the encoder in `out` cannot be loaded.
        DataError: the rows are too few to fit or to calibrate an axis.
    """
    rows = [row for row in rows if row.part != "test"]
    training = [i for i, row in enumerate(rows) if row.part == "train"]
    training_rows = [rows[i] for i in training]
    stage = f"n-grams of {domain}"
    progress(stage, 0, 1)
    ngram_head = fit_ngram_head(training_rows, labels, seed=seed)
    progress(stage, 1, 1)
    vectors, inputs = embed_rows(rows, out, spec, progress, f"reading {domain}")
    heads = dict(heads or fit_heads(rows, vectors, labels, progress, seed=seed))
    tuned = {axis: heads[axis] for axis in relearned}
    for axis in relearned:
        heads[axis] = blend_heads(rows, vectors, axis, heads[axis], seed=seed)
    centres = fit_centres(vectors[training], seed=seed)
    scope_centres = None
    if OUT_OF_SCOPE in labels.get(SCOPE_AXIS, ()):
        in_scope = [i for i in training if is_in_scope(rows[i])]
        scope_centres = fit_centres(vectors[in_scope], seed=seed)
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
    ngram_axes = [
        axis for axis in ngram_head.columns if calibration.axes[axis].ngram_share >= MIN_NGRAM_SHARE
    ]
    return TrainedDomain(
        Heads(heads, kept(ngram_head, ngram_axes), centres, scope_centres),
        tuned,
        _domain_spec(labels, ngram_axes),
        calibration,
        sample,
    )


def _domain_spec(labels: Mapping[str, Sequence[str]], ngram_axes: Collection[str]) -> DomainSpec:
    axes = {
        axis: AxisSpec(labels=list(names), ngrams=axis in ngram_axes)
        for axis, names in labels.items()
    }
    return DomainSpec(input_text=INPUT_TEXT_FORMAT, axes=axes)
