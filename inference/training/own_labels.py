"""Training for labels of one's own: from a labels file, and from labelled rows if there are any.

`triage train` for labels that are not the shipped model's, `triage train --labels` and
`triage learn` all come here.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from inference.clusters import with_clusters
from inference.errors import DataError
from inference.labelled import (
    MAX_LABELS,
    MIN_LABELS,
    LabelledRow,
    ordered_axes,
    renamed_rows,
)
from inference.labels.file import LabelsFile, likeliest
from inference.model.artifact import DEFAULT_MODEL, Artifact
from inference.progress import Progress
from inference.training.label_texts import label_rows
from inference.training.recipe import TrainingOptions, TrainingRows, train_on_rows
from inference.training.spellings import with_one_spelling
from schemas.event import DOMAINS, Domain
from schemas.plural import plural

GENERAL_ENCODER = DEFAULT_MODEL.parent / "general"
"""The encoder for labels of one's own: it was not fine-tuned for any business."""
MIN_CALIBRATION_ROWS = 20
"""With fewer rows of a domain, nothing can be said of how often the model is right.

At alpha and delta of 10 %, 22 rows must be accepted without an error before anything is.
"""
SHOWN_LABELS = 5
"""How many labels a note names."""


@dataclass(frozen=True, slots=True)
class OwnRows:
    """What a model is made from.

    `notes` has a sentence about each thing that was done, and that people may not expect.
    """

    rows: TrainingRows
    notes: tuple[str, ...]


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
    near-duplicates; clusters are found for rows that have none. A label without rows is taught by
    its name, description and examples. A domain without any row proposes and accepts nothing.

    What was done about labels with few rows is in `manifest.training["notes"]`, in sentences.

    Raises:
        ModelError: the encoder cannot be used.
        DataError: there are neither rows nor labels to train on, or an axis has fewer than two.
    """
    own = own_rows(rows, labels)
    options = dataclasses.replace(options, notes=(*options.notes, *own.notes))
    return train_on_rows(encoder, own.rows, out, options, progress)


def own_rows(rows: Sequence[LabelledRow], labels: LabelsFile) -> OwnRows:
    """The rows and the texts of the labels file that a model is made from.

    Raises:
        DataError: as `train_own_labels`.
    """
    spelled, spellings = with_one_spelling(renamed_rows(rows, labels.renames), labels)
    events, notes = with_clusters(spelled), list(spellings)
    label_sets: dict[str, dict[str, tuple[str, ...]]] = {}
    training: list[LabelledRow] = []
    for domain in DOMAINS:
        of_domain = [row for row in events if row.domain == domain]
        of_domain = _with_parts(domain, of_domain, notes)
        axes = _axes(domain, of_domain, labels, notes)
        if axes and not of_domain:
            notes.append(
                f"{domain}: there are no labelled rows, so the model proposes labels and accepts "
                "nothing"
            )
        if axes:
            label_sets[domain] = axes
            training += [*of_domain, *label_rows(labels, domain, axes)]
    if not label_sets:
        raise DataError(
            "there is nothing to train on, neither a labelled row nor a label of a labels file; "
            "give labelled rows with --data, or labels with --labels"
        )
    return OwnRows(TrainingRows(training, label_sets, []), tuple(notes))


def _with_parts(domain: Domain, rows: Sequence[LabelledRow], notes: list[str]) -> list[LabelledRow]:
    """The rows of a domain; too few of them to calibrate on only teach."""
    calibrating = sum(row.part not in ("train", "test") for row in rows)
    if not 0 < calibrating < MIN_CALIBRATION_ROWS:
        return list(rows)
    counted = plural(calibrating, "labelled row is", "labelled rows are")
    notes.append(
        f"{domain}: {counted} too few to calibrate on, so nothing is accepted and rows only teach; "
        f"label at least {MIN_CALIBRATION_ROWS}"
    )
    return [row if row.part == "test" else replace(row, part="train") for row in rows]


def _axes(
    domain: Domain, rows: Sequence[LabelledRow], file: LabelsFile, notes: list[str]
) -> dict[str, tuple[str, ...]]:
    """The labels of each axis of a domain: those of the file, and those that rows have besides.

    Raises:
        DataError: an axis has too few or too many labels.
    """
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        if row.part != "test":
            for axis, gold in row.gold.items():
                counts.setdefault(axis, Counter()).update(gold)
    described = file.axes(domain)
    axes = counts or {axis: Counter[str]() for axis in described}
    if unlabelled := [axis for axis in described if axis not in axes]:
        notes.append(
            f"{domain}: no row is labelled on {' or '.join(unlabelled)}, so the model leaves it out"
        )
    label_sets = {}
    for axis in ordered_axes(axes):
        names = {*axes[axis], *described.get(axis, ())}
        if not MIN_LABELS <= len(names) <= MAX_LABELS:
            counted = plural(len(names), "label", "labels")
            raise DataError(
                f"the training rows and the labels file have {counted} of {domain} on {axis}; give "
                f"{MIN_LABELS} to {MAX_LABELS:,}, or name the axes to train with --axis"
            )
        label_sets[axis] = tuple(sorted(names))
        notes += _notes(f"{domain} {axis}", axes[axis], described.get(axis, {}))
    return label_sets


def _notes(place: str, counts: Counter[str], described: Collection[str]) -> Iterator[str]:
    """What people should know about the labels of one axis."""
    without = [label for label in described if label not in counts]
    if counts and without:
        yield (
            f"{place}: {_named(without)} no labelled rows; the name, the description and the "
            "examples teach instead"
        )
    single = [label for label in sorted(counts) if counts[label] == 1]
    if single:
        yield (
            f"{place}: {_named(single)} only one labelled row, which teaches; how often such an "
            "answer is right is not known"
        )
    if described:
        strange = [label for label in sorted(counts) if label not in described]
        for label in strange[:SHOWN_LABELS]:
            meant = likeliest(label, described)
            remedy = f"; is {meant} meant?" if meant is not None else ""
            yield (
                f"{place}: {plural(counts[label], 'row has', 'rows have')} the label {label}, "
                f"which the labels file does not have{remedy}"
            )


def _named(labels: Sequence[str]) -> str:
    """The first of these labels, and how many there are besides; with its verb."""
    if len(labels) == 1:
        return f"the label {labels[0]} has"
    names = ", ".join(labels[:SHOWN_LABELS])
    if len(labels) > SHOWN_LABELS:
        names += f" and {len(labels) - SHOWN_LABELS} more"
    return f"the labels {names} have"
