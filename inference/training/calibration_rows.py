"""The rows that are stored with a calibration: how sure and how right the model was on each."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.acceptance.dispositions import DISPOSITION, is_harmless
from inference.acceptance.samples import UNLABELLED, CalibrationSplit
from inference.arrays import DECIMALS, Bools, Flags, Floats
from inference.labelled import LabelledRow
from inference.training.gold_labels import correctness


def answered_rows(
    rows: Sequence[LabelledRow],
    labels: Mapping[str, Sequence[str]],
    probabilities: Mapping[str, Floats],
    refused: Bools,
    tenants: Sequence[str],
    training_sources: Collection[str],
) -> CalibrationSplit:
    """The model's answers on these rows, in the order of the rows.

    `labels` and `probabilities` have the same axes in the same order. `probabilities` has an array
    of shape (rows, labels) for each axis. `refused`, of shape (rows,), is true for rows that are
    out of distribution.
    """
    return CalibrationSplit(
        error_probability=_error_probability(probabilities, refused),
        correct=_correct(rows, labels, probabilities),
        tenant=_tenant_numbers(rows, tenants),
        unseen=np.array([row.source not in training_sources for row in rows], dtype=np.bool_),
        weight=np.array([1.0 / row.chance for row in rows], np.float32).astype(np.float64),
        malicious=_malicious(rows, labels, probabilities),
    )


def tensors_of(prefix: str, split: CalibrationSplit) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a split under the names that they have in the model directory."""
    # On disk an error probability is still called a doubt: see `inference.model.manifest`.
    tensors: dict[str, npt.NDArray[Any]] = {
        f"{prefix}.doubt": np.ascontiguousarray(split.error_probability, dtype=np.float32),
        f"{prefix}.correct": np.ascontiguousarray(split.correct),
        f"{prefix}.tenant": np.ascontiguousarray(split.tenant),
        f"{prefix}.unseen": split.unseen.astype(np.uint8),
    }
    if (split.weight != 1).any():
        tensors[f"{prefix}.weight"] = split.weight.astype(np.float32)
    if (split.malicious != UNLABELLED).any():
        tensors[f"{prefix}.malicious"] = np.ascontiguousarray(split.malicious)
    return tensors


def _error_probability(probabilities: Mapping[str, Floats], refused: Bools) -> Floats:
    """One minus the confidence of each answer, and 1.0 in refused rows; shape (rows, axes)."""
    columns = [np.round(1.0 - of_axis.max(axis=1), DECIMALS) for of_axis in probabilities.values()]
    error_probability = np.stack(columns, axis=1)
    # Serving never accepts the refused rows. So they must not count as accepted when the promise
    # is tested.
    error_probability[refused] = 1.0
    return error_probability


def _correct(
    rows: Sequence[LabelledRow],
    labels: Mapping[str, Sequence[str]],
    probabilities: Mapping[str, Floats],
) -> Flags:
    """Whether the answers are right: 1, 0, or -1 for an axis without a label; (rows, axes)."""
    columns = [
        correctness(rows, axis, [names[i] for i in probabilities[axis].argmax(axis=1)])
        for axis, names in labels.items()
    ]
    return np.stack(columns, axis=1)


def _malicious(
    rows: Sequence[LabelledRow],
    labels: Mapping[str, Sequence[str]],
    probabilities: Mapping[str, Floats],
) -> Flags:
    """Of the rows that are called harmless, which were not: see `CalibrationSplit`; (rows,)."""
    flags = np.full(len(rows), UNLABELLED, np.int8)
    if DISPOSITION not in labels:
        return flags
    answers = [labels[DISPOSITION][i] for i in probabilities[DISPOSITION].argmax(axis=1)]
    for place, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        gold = row.gold.get(DISPOSITION)
        if gold and is_harmless(answer):
            flags[place] = not any(map(is_harmless, gold))
    return flags


def _tenant_numbers(rows: Sequence[LabelledRow], tenants: Sequence[str]) -> npt.NDArray[np.int32]:
    """The index of each row's tenant in `tenants`, -1 for a tenant that is not in it; (rows,)."""
    numbers = {tenant: number for number, tenant in enumerate(tenants)}
    return np.array([numbers.get(row.event.tenant, -1) for row in rows], np.int32)
