"""Fitting the calibration of a model to labelled rows that it was not trained on.

The calibration has, for each axis, the share of the n-gram head and a temperature, and for each
domain the limits beyond which an event is out of distribution. The rows are stored beside it,
because serving computes its promise from them.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from inference.acceptance.guarantee import promise_on
from inference.acceptance.learning import LEARNING, AxisLearning
from inference.acceptance.options import Terms
from inference.acceptance.samples import CALIBRATION_SPLITS, CalibrationSample
from inference.arrays import Bools, Floats
from inference.errors import DataError
from inference.labelled import LabelledRow, read_rows, renamed_rows
from inference.labelled_lines import PLAIN_ROWS, RowFormat
from inference.labels.renames import NO_RENAMES, Renames
from inference.model.artifact import (
    CALIBRATION_ROWS_FILE,
    Artifact,
    load_manifest,
    write_calibration,
)
from inference.model.heads import AxisLogits, Heads, calibrated, mixed
from inference.model.manifest import AxisCalibration, DomainCalibration
from inference.model.model_input import ModelInput
from inference.model.out_of_distribution import OUT_OF_SCOPE, SCOPE_AXIS, unfamiliarity
from inference.model.temperature import fit_temperature, softmax
from inference.progress import Progress
from inference.training.calibration_rows import answered_rows, tensors_of
from inference.training.gold_labels import gold_matrix
from inference.training.languages import usual_languages
from inference.training.row_features import RowFeatures, read_features
from schemas.event import DEFAULT_TENANT

LIMIT_QUANTILE = 0.98
"""The limits of the excess tokens and of the distance are this quantile of the tuning rows.

So a limit refuses two percent of the usual events. That is the price of refusing unusual ones.
"""
SCOPE_QUANTILE = 0.97
"""The limit of the distance to the rows in scope is this quantile of the tuning rows in scope.

It is lower than `LIMIT_QUANTILE`: of held-out tickets of other businesses that the model would send
to a queue, it stops more than half.
"""
MIN_LIMIT = 1e-4
"""The smallest limit. A calibration with a limit of zero is refused as damaged."""
MIN_EXCESS_TOKENS = 4.0
"""The smallest limit of the excess tokens, in square roots of words.

It holds even if all calibration rows are plain English. Names of computers, programs and people
cost up to three such steps, random letters five and more. Another language is found by its name
(`inference.model.language`), not by this limit.
"""
NGRAM_SHARES = tuple(round(step / 20, 2) for step in range(21))
"""The shares of the n-gram head that are tried."""
CALIBRATING_PARTS = (*CALIBRATION_SPLITS, "both")
PUBLISHED = Terms()
"""The terms of the promise that is written into the calibration.

It is for information only. Serving computes its own promise from the configuration.
"""

Fitted = dict[str, tuple[DomainCalibration, CalibrationSample]]
"""The calibration of each domain, and the rows that its promise is computed from."""


def calibrate_model(
    path: Path, files: Sequence[Path], progress: Progress, axes: Mapping[str, str] | None = None
) -> Artifact:
    """Calibrate the model in `path`; see `fit_calibration` for the rows that are used.

    Raises:
        ModelError: the model is damaged.
        DataError: the rows cannot be used, or a domain of the model has none.
    """
    return seal_calibration(path, *fit_calibration(path, files, progress, axes))


def fit_calibration(
    path: Path,
    files: Sequence[Path],
    progress: Progress,
    axes: Mapping[str, str] | None = None,
    renames: Renames = NO_RENAMES,
    row_format: RowFormat = PLAIN_ROWS,
) -> tuple[Fitted, list[LabelledRow]]:
    """The calibration of the model in `path`, and the rows it is fitted to.

    It uses the rows of `files` that are in the split ``val`` or name no split. `axes` maps axes to
    the keys of `labels` that they are read from. A row may have the old or the new name of a label
    in `renames`. Nothing is written.

    Raises:
        ModelError: the model is damaged.
        DataError: the rows cannot be used, or a domain of the model has none.
    """
    manifest = load_manifest(path)
    training_sources = manifest.training.get("taught", ())
    model_axes = {domain: tuple(spec.axes) for domain, spec in manifest.domains.items()}
    rows = read_rows(files, axes, known=model_axes, unsplit="val", row_format=row_format)
    rows = [row for row in renamed_rows(rows, renames) if row.part in CALIBRATION_SPLITS]
    fitted: Fitted = {}
    for domain in manifest.domains:
        rows_of_domain = [row for row in rows if row.domain == domain]
        heads = Heads.of(path, manifest, domain)
        heads = heads.renamed(renames.axes(domain, heads.labels))
        stage = f"reading {domain}"
        row_features = read_features(
            rows_of_domain, path, manifest.encoder, heads.ngram_head, progress, stage
        )
        fitted[domain] = calibrate_domain(
            domain, rows_of_domain, row_features, heads, training_sources
        )
    return fitted, rows


def calibrate_domain(
    domain: str,
    rows: Sequence[LabelledRow],
    row_features: RowFeatures,
    heads: Heads,
    training_sources: Collection[str],
) -> tuple[DomainCalibration, CalibrationSample]:
    """The calibration of a domain from its rows of both splits.

    Everything is tuned on the tuning split alone. Rows of sources that are not in
    `training_sources` are marked as unseen: they show how good the model is on new sources.

    Raises:
        DataError: a split has no row, or the tuning split has no row with a label on some axis.
    """
    splits = _indexes_by_split(domain, rows)
    tuning = splits["tuning"]
    axis_logits = heads.logits(row_features.vectors, row_features.ngram_features)
    axes = {
        axis: _fit_axis(axis, labels, rows, axis_logits, tuning)
        for axis, labels in heads.labels.items()
    }
    probabilities = calibrated(axis_logits, axes)
    calibration = DomainCalibration(
        axes={
            axis: msgspec.structs.replace(fitted, shares=label_shares(probabilities[axis]))
            for axis, fitted in axes.items()
        },
        max_excess_tokens=max(
            MIN_EXCESS_TOKENS,
            limit(np.array([row_features.inputs[row].excess_tokens for row in tuning])),
        ),
        max_distance=limit(axis_logits.distance[tuning]),
        max_scope_distance=_scopelimit(rows, tuning, axis_logits, training_sources),
        tenants=sorted({row.event.tenant for row in rows} - {DEFAULT_TENANT}),
        languages=usual_languages([row_features.inputs[row] for row in tuning]),
    )
    scope_distances = heads.scope_distances(axis_logits, probabilities)
    refused = out_of_distribution(
        calibration, row_features.inputs, axis_logits.distance, scope_distances
    )
    all_rows = answered_rows(
        rows, heads.labels, probabilities, refused, calibration.tenants, training_sources
    )
    tuned, tested = (all_rows.where(np.array(splits[name])) for name in CALIBRATION_SPLITS)
    return calibration, CalibrationSample(tuple(axes), tuned, tested, tuple(calibration.tenants))


def seal_calibration(
    path: Path,
    fitted: Fitted,
    rows: Sequence[LabelledRow],
    learning: Mapping[str, Mapping[str, AxisLearning]] | None = None,
) -> Artifact:
    """Write the calibration and its rows into the model directory `path`.

    `learning` says, by domain and axis, how the model got better with its rows, if that is known.
    """
    tensors: dict[str, npt.NDArray[Any]] = {}
    for domain, (_, sample) in fitted.items():
        for name in CALIBRATION_SPLITS:
            tensors |= tensors_of(f"{domain}.{name}", getattr(sample, name))
    file = path / CALIBRATION_ROWS_FILE
    save_file(tensors, file)
    # safetensors lets only the owner read the file, but a service may run as another user.
    file.chmod(0o644)
    made_from: dict[str, Any] = {
        "method": _method(rows),
        "rows": {
            domain: len(sample.tuning.error_probability) + len(sample.testing.error_probability)
            for domain, (_, sample) in fitted.items()
        },
        "sources": sorted({row.source for row in rows if row.part in CALIBRATING_PARTS}),
        "promises": {domain: _published(sample) for domain, (_, sample) in fitted.items()},
    }
    if learning:
        made_from[LEARNING] = msgspec.to_builtins(learning)
    calibrations = {domain: calibration for domain, (calibration, _) in fitted.items()}
    return write_calibration(path, calibrations, made_from)


def _method(rows: Sequence[LabelledRow]) -> str:
    if any(row.part == "both" for row in rows):
        return "cross-fitted"
    return "held out"


def _published(sample: CalibrationSample) -> dict[str, Any]:
    """The promise under the default terms; on the first axis if the default axes are missing."""
    deciding = PUBLISHED.deciding
    if not set(deciding) <= set(sample.axes):
        deciding = sample.axes[:1]
    promise = msgspec.to_builtins(promise_on(sample, PUBLISHED, deciding))
    return {"deciding": list(deciding)} | dict(promise)


def _indexes_by_split(domain: str, rows: Sequence[LabelledRow]) -> dict[str, list[int]]:
    splits = {
        name: [i for i, row in enumerate(rows) if row.part == name] for name in CALIBRATION_SPLITS
    }
    if not all(splits.values()):
        raise DataError(
            f"{domain} has no rows to calibrate on: its tuning split or its testing split is "
            "empty; give rows of several clusters with the split val"
        )
    return splits


def _fit_axis(
    axis: str,
    labels: Sequence[str],
    rows: Sequence[LabelledRow],
    axis_logits: AxisLogits,
    tuning: Sequence[int],
) -> AxisCalibration:
    """The n-gram share with the smallest log loss on the tuning rows, and its temperature."""
    labelled = [i for i in tuning if axis in rows[i].gold]
    if not labelled:
        raise DataError(
            f"no row of the tuning split is labelled on {axis}; give validation rows that are"
        )
    gold = gold_matrix([rows[i] for i in labelled], axis, labels)
    candidates = []
    for share in _shares_to_try(axis, axis_logits):
        logits = mixed(axis_logits, axis, share)[labelled]
        temperature = fit_temperature(logits, gold)
        loss = -np.log(np.clip((softmax(logits, temperature) * gold).sum(axis=1), 1e-6, 1.0)).mean()
        candidates.append((float(loss), share, temperature))
    _, share, temperature = min(candidates)
    return AxisCalibration(ngram_share=share, temperature=temperature, shares=[])


def _shares_to_try(axis: str, axis_logits: AxisLogits) -> Sequence[float]:
    if axis in axis_logits.ngrams:
        return NGRAM_SHARES
    return NGRAM_SHARES[:1]


def is_in_scope(row: LabelledRow) -> bool:
    """Whether a row belongs to a queue."""
    return OUT_OF_SCOPE not in row.gold.get(SCOPE_AXIS, (OUT_OF_SCOPE,))


def _scopelimit(
    rows: Sequence[LabelledRow],
    tuning: Sequence[int],
    axis_logits: AxisLogits,
    training_sources: Collection[str],
) -> float | None:
    """The limit of the distance to the rows in scope; None if the model has no such centres.

    Rows of the training sources set it, if there are any: what is far from them is what has to be
    found.
    """
    if not len(axis_logits.scope_distance):
        return None
    in_scope = [row for row in tuning if is_in_scope(rows[row])]
    taught = [row for row in in_scope if rows[row].source in training_sources]
    return limit(axis_logits.scope_distance[taught or in_scope], SCOPE_QUANTILE)


def limit(values: Floats, quantile: float = LIMIT_QUANTILE) -> float:
    """A quantile of the finite values.

    The excess tokens of a text without words are infinite. Such rows are left out, so that the
    limit is finite.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return MIN_LIMIT
    # It is rounded up, because many rows may lie exactly at the limit, and they are usual ones.
    return max(MIN_LIMIT, math.ceil(float(np.quantile(finite, quantile)) * 1e4) / 1e4)


def label_shares(probabilities: Floats) -> list[float]:
    """How often each label is the most probable one."""
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    return [round(float(count) / max(1, len(probabilities)), 6) for count in counts]


def out_of_distribution(
    calibration: DomainCalibration,
    inputs: Sequence[ModelInput],
    distance: Floats,
    scope_distances: Sequence[float | None],
) -> Bools:
    """Which rows are out of distribution, as an array of shape (rows,)."""
    findings = [
        unfamiliarity(calibration, each.excess_tokens, each.language, *distances).finding
        for each, *distances in zip(inputs, distance.tolist(), scope_distances, strict=True)
    ]
    return np.array([bool(finding) for finding in findings], dtype=np.bool_)
