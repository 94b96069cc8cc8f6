"""Training for labels of one's own: from a labels file, and from labelled rows if there are any.

`triage train` for labels that are not the shipped model's, `triage train --labels` and
`triage learn` all come here.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from inference.labelled import LabelledRow, Part, labels_of, renamed_rows
from inference.labels.file import LabelsFile
from inference.model.artifact import DEFAULT_MODEL, Artifact
from inference.progress import Progress
from inference.training.recipe import TrainingOptions, TrainingRows, train_on_rows

GENERAL_ENCODER = DEFAULT_MODEL.parent / "general"
"""The encoder for labels of one's own: it was not fine-tuned for any business."""


def train_own_labels(
    rows: Sequence[LabelledRow],
    labels: LabelsFile,
    out: Path,
    options: TrainingOptions,
    progress: Progress,
    *,
    encoder: Path = GENERAL_ENCODER,
) -> Artifact:
    """Train a model for the labels of `labels` and of `rows`, and write it into `out`.

    The rows need no split: a row of the part ``both`` teaches, and calibrates as one that a model
    without it has answered. A row of the part ``train`` teaches only. Rows of one `cluster` are
    near-duplicates. A label without rows is taught by its name, description and examples. Without
    any row, the model proposes and accepts nothing.

    What was done about labels with few rows is in `manifest.training["notes"]`, in sentences.

    Raises:
        ModelError: the encoder cannot be used.
        DataError: there are neither rows nor labels to train on, or an axis has fewer than two.
    """
    events = renamed_rows(rows, labels.renames)
    events = [replace(row, part=_part(row)) for row in events]
    training_rows = TrainingRows(events, labels_of(events), [])
    return train_on_rows(encoder, training_rows, out, options, progress)


def _part(row: LabelledRow) -> Part:
    """Until calibration is cross-fitted, the rows of ``both`` are divided by their cluster."""
    if row.part != "both":
        return row.part
    number = hashlib.sha256((row.cluster or row.event.id).encode()).digest()[0] % 10
    if number < 6:
        return "train"
    return "tuning" if number < 8 else "testing"
