"""What a model is trained from: which encoder, which rows, and what each row is for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from inference.acceptance.samples import CALIBRATION_SPLITS
from inference.clusters import with_clusters
from inference.labelled import AXES, LabelledRow, Part, labels_of, read_rows, renamed_rows
from inference.labelled_lines import PLAIN_ROWS, RowFormat
from inference.labels.file import LabelsFile
from inference.model.artifact import DEFAULT_MODEL, load_manifest
from inference.training.own_labels import GENERAL_ENCODER, own_rows
from inference.training.recipe import TrainingOptions, TrainingRows, read_reference
from inference.training.spellings import with_one_spelling
from schemas.event import DOMAINS

TRAINING_BYTES, TUNING_BYTES = 180, 218
"""Of 256 clusters, so many teach, and those up to the second number are for tuning."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a model is made from; `notes` has a sentence about what people may not expect."""

    encoder: Path
    rows: TrainingRows
    notes: tuple[str, ...] = ()


def plan_training(
    files: Sequence[Path],
    labels: LabelsFile,
    options: TrainingOptions,
    *,
    encoder: Path | None = None,
    row_format: RowFormat = PLAIN_ROWS,
    own_labels: bool = False,
) -> TrainingPlan:
    """Read the rows, and decide what each is for.

    Labels that the shipped model lacks are of one's own if the encoder stays as it is, and all
    labels are if `own_labels` says so. Their rows all teach and calibrate, and the general encoder
    reads them. The shipped model is the start for all others. `encoder` names another one.

    Raises:
        DataError: the rows cannot be used, or there are neither rows nor labels.
        ModelError: the shipped model is damaged.
    """
    rows: list[LabelledRow] = []
    if files:
        known: dict[str, list[str]] = {
            domain: [*labels.axes(domain), *AXES[domain]] for domain in DOMAINS
        }
        rows = read_rows(files, options.axes, known=known, unsplit="both", row_format=row_format)
        rows = renamed_rows(rows, options.renames)
    rows = [row for row in rows if row.source not in options.leave_out]
    rows, spellings = with_one_spelling(rows, labels)
    frozen = options.tuning is None and not options.keep_heads
    if own_labels or not files or (frozen and not are_shipped(rows)):
        own = own_rows([_for_both(row) for row in rows], labels)
        return TrainingPlan(encoder or GENERAL_ENCODER, own.rows, (*spellings, *own.notes))
    events, notes = with_parts(rows, cross_fitted=frozen)
    label_sets = labels_of(events)
    training_rows = TrainingRows(events, label_sets, read_reference(options, label_sets))
    return TrainingPlan(encoder or DEFAULT_MODEL, training_rows, (*spellings, *notes))


def are_shipped(rows: Sequence[LabelledRow]) -> bool:
    """Whether the shipped model has every label of these rows."""
    domains = load_manifest(DEFAULT_MODEL, as_source=True).domains
    shipped = {
        (domain, axis): frozenset(axis_spec.labels)
        for domain, spec in domains.items()
        for axis, axis_spec in spec.axes.items()
    }
    nothing: frozenset[str] = frozenset()
    return all(
        shipped.get((row.domain, axis), nothing).issuperset(gold)
        for row in rows
        for axis, gold in row.gold.items()
    )


def with_parts(
    rows: Sequence[LabelledRow], *, cross_fitted: bool
) -> tuple[list[LabelledRow], tuple[str, ...]]:
    """The rows with the part that each has, and what was done in domains without a split ``val``.

    A row without a split teaches if there are validation rows. Otherwise all rows that teach
    calibrate, too, if the calibration is `cross_fitted`; or else a part of them, always the same,
    is for validation. Near-duplicates are in one part.
    """
    events: list[LabelledRow] = []
    notes: list[str] = []
    for domain in dict.fromkeys(row.domain for row in rows):
        of_domain = [row for row in rows if row.domain == domain]
        if any(row.part in CALIBRATION_SPLITS for row in of_domain):
            events += [
                replace(row, part="train") if row.part == "both" else row for row in of_domain
            ]
        elif cross_fitted:
            events += [_for_both(row) for row in with_clusters(of_domain)]
            notes.append(
                f"{domain}: no row has the split val, so every row teaches and calibrates "
                "(cross-fitted)"
            )
        else:
            events += [_divided(row) for row in with_clusters(of_domain)]
            notes.append(
                f"{domain}: no row has the split val, so three tenths of the rows, always the "
                "same, are for validation"
            )
    return events, tuple(notes)


def _for_both(row: LabelledRow) -> LabelledRow:
    return row if row.part == "test" else replace(row, part="both")


def _divided(row: LabelledRow) -> LabelledRow:
    if row.part == "test":
        return row
    number = hashlib.sha256(f"parts-1 {row.cluster}".encode()).digest()[0]
    part: Part = "testing"
    if number < TRAINING_BYTES:
        part = "train"
    elif number < TUNING_BYTES:
        part = "tuning"
    return replace(row, part=part)
