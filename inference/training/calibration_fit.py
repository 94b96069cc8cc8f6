"""A model's calibration from labelled rows it was not taught with: shares, temperatures, limits, and the rows kept."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from inference.acceptance.guarantee import Terms
from inference.acceptance.samples import (
    CALIBRATION_SPLITS,
    UNLABELLED,
    CalibrationSample,
    CalibrationSplit,
)
from inference.arrays import Floats
from inference.errors import DataError
from inference.labelled import LabelledRow, read_rows
from inference.model.artifact import (
    CALIBRATION_ROWS_FILE,
    Artifact,
    AxisCalibration,
    DomainCalibration,
    load_manifest,
    write_calibration,
)
from inference.model.heads import AxisLogits, Heads, calibrated, mixed
from inference.model.out_of_distribution import is_out_of_distribution, out_of_distribution_score
from inference.model.temperature import fit_temperature, softmax
from inference.progress import Progress
from inference.training.row_features import RowFeatures, read_features
from schemas.event import DEFAULT_TENANT

LIMIT = 0.98
"""The share of tuning rows each guard lets pass: two percent of the usual is the price of refusing the unusual."""
MIN_LIMIT = 1e-4
MIN_EXCESS_TOKENS = 1.0
"""However plain the calibration rows are, a text that strays one step from English words is not foreign yet."""
SHARES = tuple(round(step / 20, 2) for step in range(21))
PUBLISHED = Terms()
"""The promise that is published with a calibration; serving computes its own from configuration."""


Fitted = dict[str, tuple[DomainCalibration, CalibrationSample]]
"""Each domain's calibration, with the rows it promises on."""


def calibrate_model(
    path: Path, files: Sequence[Path], progress: Progress, axes: Mapping[str, str] | None = None
) -> Artifact:
    """Calibrate the model in `path` on the rows of `files` in the split ``val``, or without a split.

    Raises:
        ModelError: the model is damaged.
        DataError: the rows cannot be used, or a domain of the model has none.
    """
    return seal_calibration(path, *fit_calibration(path, files, progress, axes))


def fit_calibration(
    path: Path, files: Sequence[Path], progress: Progress, axes: Mapping[str, str] | None = None
) -> tuple[Fitted, list[LabelledRow]]:
    """The calibration `calibrate_model` would write, and the rows it is from; the model stays as it is.

    Raises:
        ModelError: the model is damaged.
        DataError: the rows cannot be used, or a domain of the model has none.
    """
    manifest = load_manifest(path)
    own_axes = {domain: tuple(spec.axes) for domain, spec in manifest.domains.items()}
    rows = [
        row
        for row in read_rows(files, axes, known=own_axes, unsplit="val")
        if row.part in CALIBRATION_SPLITS
    ]
    found: Fitted = {}
    for domain in manifest.domains:
        own = [row for row in rows if row.domain == domain]
        heads = Heads.of(path, manifest, domain)
        read = read_features(
            own, path, manifest.encoder, heads.ngram_head, progress, f"reading {domain}"
        )
        found[domain] = calibrate_domain(
            domain, own, read, heads, manifest.training.get("taught", ())
        )
    return found, rows


def calibrate_domain(
    domain: str,
    rows: Sequence[LabelledRow],
    read: RowFeatures,
    heads: Heads,
    taught: Collection[str],
) -> tuple[DomainCalibration, CalibrationSample]:
    """The calibration of a domain from its rows of both halves, everything tuned on the first alone.

    `taught` names the sources of the training rows: rows of others show what the model is worth on what it never saw.

    Raises:
        DataError: a half has no row, or an axis no labelled row in the first.
    """
    halves = {
        half: [i for i, row in enumerate(rows) if row.part == half] for half in CALIBRATION_SPLITS
    }
    if not all(halves.values()):
        raise DataError(
            f"{domain} has no rows to calibrate on; give rows with the split val, of several clusters"
        )
    axis_logits = heads.logits(read.vectors, read.features)
    tuning = halves["tuning"]
    axes = {
        axis: _fit_axis(axis, names, rows, axis_logits, tuning)
        for axis, names in heads.labels.items()
    }
    probabilities = calibrated(axis_logits, axes)
    for axis, one in axes.items():
        axes[axis] = msgspec.structs.replace(one, shares=_shares(probabilities[axis]))
    tenants = sorted({row.event.tenant for row in rows} - {DEFAULT_TENANT})
    calibration = DomainCalibration(
        axes=axes,
        max_excess_tokens=max(MIN_EXCESS_TOKENS, _limit(read.excess_tokens[tuning])),
        max_distance=_limit(axis_logits.distance[tuning]),
        tenants=tenants,
    )
    measured = zip(read.excess_tokens.tolist(), axis_logits.distance.tolist(), strict=True)
    refused = np.array(
        [is_out_of_distribution(out_of_distribution_score(calibration, *one)) for one in measured],
        dtype=np.bool_,
    )
    tuned, tested = (
        _half([rows[i] for i in own], own, probabilities, heads.labels, refused, tenants, taught)
        for own in halves.values()
    )
    return calibration, CalibrationSample(tuple(axes), tuned, tested, tuple(tenants))


def seal_calibration(path: Path, found: Fitted, rows: Sequence[LabelledRow]) -> Artifact:
    """Write the calibration and its rows beside the model in `path`."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    for domain, (_, sample) in found.items():
        for name in CALIBRATION_SPLITS:
            half: CalibrationSplit = getattr(sample, name)
            tensors[f"{domain}.{name}.doubt"] = np.ascontiguousarray(
                half.error_probability, dtype=np.float32
            )
            tensors[f"{domain}.{name}.correct"] = np.ascontiguousarray(half.correct)
            tensors[f"{domain}.{name}.tenant"] = np.ascontiguousarray(half.tenant)
            tensors[f"{domain}.{name}.unseen"] = half.unseen.astype(np.uint8)
    save_file(tensors, path / CALIBRATION_ROWS_FILE)
    (path / CALIBRATION_ROWS_FILE).chmod(
        0o644
    )  # safetensors writes for its owner only; a service reads as another
    made_from = {
        "rows": {
            domain: len(sample.tuning.error_probability) + len(sample.testing.error_probability)
            for domain, (_, sample) in found.items()
        },
        "sources": sorted({row.source for row in rows if row.part in CALIBRATION_SPLITS}),
        "promises": {domain: _published(sample) for domain, (_, sample) in found.items()},
    }
    return write_calibration(path, {domain: one for domain, (one, _) in found.items()}, made_from)


def _published(sample: CalibrationSample) -> dict[str, Any]:
    deciding = (
        PUBLISHED.deciding if set(PUBLISHED.deciding) <= set(sample.axes) else sample.axes[:1]
    )
    promise = msgspec.to_builtins(PUBLISHED.promise(sample, deciding))
    return {"deciding": list(deciding)} | dict(promise)


def _fit_axis(
    axis: str,
    names: Sequence[str],
    rows: Sequence[LabelledRow],
    axis_logits: AxisLogits,
    tuning: Sequence[int],
) -> AxisCalibration:
    """The share of the lexical opinion that makes the gold labels likeliest, then the temperature for the top label."""
    labelled = [i for i in tuning if axis in rows[i].gold]
    if not labelled:
        raise DataError(
            f"no row of the first half is labelled on {axis}; give more rows to calibrate on"
        )
    gold = gold_matrix([rows[i] for i in labelled], axis, names)
    candidates = []
    for share in SHARES if axis in axis_logits.ngrams else SHARES[:1]:
        logits = mixed(axis_logits, axis, share)[labelled]
        temperature = fit_temperature(logits, gold)
        loss = -np.log(np.clip((softmax(logits, temperature) * gold).sum(axis=1), 1e-6, 1.0)).mean()
        candidates.append((float(loss), share, temperature))
    _, share, temperature = min(candidates)
    return AxisCalibration(ngram_share=share, temperature=temperature, shares=[])


def gold_matrix(
    rows: Sequence[LabelledRow], axis: str, labels: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """Which labels are right, (rows, labels); a label the heads never saw is right for none."""
    return np.array(
        [[label in row.gold.get(axis, ()) for label in labels] for row in rows], dtype=np.bool_
    )


def _limit(values: Floats) -> float:
    """A text of no words is infinitely foreign: where there are such, the others say where words end."""
    finite = values[np.isfinite(values)]
    # Rounded up: many rows may lie exactly at the limit, and they are as usual as any.
    return (
        max(MIN_LIMIT, math.ceil(float(np.quantile(finite, LIMIT)) * 1e4) / 1e4)
        if len(finite)
        else MIN_LIMIT
    )


def _shares(probabilities: Floats) -> list[float]:
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    return [round(float(count) / max(1, len(probabilities)), 6) for count in counts]


def _half(
    rows: Sequence[LabelledRow], index: Sequence[int], probabilities: Mapping[str, Floats], labels: Mapping[str, Sequence[str]],
    refused: npt.NDArray[np.bool_], tenants: Sequence[str], taught: Collection[str],
) -> CalibrationSplit:  # fmt: skip
    error_probability = np.stack(
        [np.round(1.0 - probabilities[axis][index].max(axis=1), 6) for axis in labels], axis=1
    )
    # What the guards never accept must not count as accepted where the promise is tested.
    error_probability[refused[index]] = 1.0
    correct = np.stack([
        _correct(rows, axis, [names[i] for i in probabilities[axis][index].argmax(axis=1)])
        for axis, names in labels.items()
    ], axis=1)  # fmt: skip
    tenant = [
        tenants.index(row.event.tenant) if row.event.tenant in tenants else -1 for row in rows
    ]
    unseen = np.array([row.source not in taught for row in rows], dtype=np.bool_)
    return CalibrationSplit(error_probability, correct, np.array(tenant, np.int32), unseen)


def _correct(rows: Sequence[LabelledRow], axis: str, values: Sequence[str]) -> npt.NDArray[np.int8]:
    return np.array(
        [
            value in row.gold[axis] if axis in row.gold else UNLABELLED
            for row, value in zip(rows, values, strict=True)
        ],
        dtype=np.int8,
    )
