"""Labelled rows: files of events with labels become events with gold labels.

Validation rows are the calibration rows. They are divided into a tuning and a testing split.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from inference.errors import DataError
from inference.labelled_lines import PLAIN_ROWS, Line, RowFormat, read_labelled_lines
from inference.labels.renames import Renames
from schemas.event import DOMAINS, Domain, Event
from schemas.plural import plural

Part = Literal["train", "tuning", "testing", "test", "both"]
"""What a row is for. A row of ``both`` teaches and calibrates: its calibration is cross-fitted."""
TEACHING_PARTS: tuple[Part, ...] = ("train", "both")
Unsplit = Literal["train", "val", "test", "both"]
Labels = Mapping[str, Mapping[str, tuple[str, ...]]]
"""The labels of each axis of each domain, in the order of the heads' rows."""

AXES: dict[str, tuple[str, ...]] = {
    "alerts": ("tactic", "queue", "severity"),
    "tickets": ("queue", "intent", "priority"),
}
"""The axes of the public contract.

If any row of a domain has labels on one of them, only these axes of the domain are read.
"""

# Axes that have another name in a file.
NAMES_OF_AXIS = {"tactic": "tactics"}
MIN_LABELS, MAX_LABELS = 2, 1_000
LABELS_FILE = "labels file"
"""The source of the rows that are made of the texts of a labels file."""


class LabelledRow(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled event.

    `gold` maps an axis to its right labels. An axis without labels is not in it. `source` and
    `license` are for the model card and for figures per source. The model never reads them. Rows
    that are nearly alike have the same `cluster`; it is empty for a row that nobody has compared.
    A row counts `teaching_weight` times when it teaches. `chance`, in (0, 1], is the probability
    with which it was chosen to be labelled; when a promise is tested, it stands for 1 / `chance`
    events.
    """

    event: Event
    domain: Domain
    gold: dict[str, tuple[str, ...]]
    part: Part
    source: str
    license: str = ""
    cluster: str = ""
    teaching_weight: float = 1.0
    chance: float = 1.0


def read_rows(
    files: Sequence[Path],
    axes: Mapping[str, str] | None = None,
    *,
    known: Mapping[str, Collection[str]] = AXES,
    unsplit: Unsplit = "train",
    row_format: RowFormat = PLAIN_ROWS,
) -> list[LabelledRow]:
    """All rows of these files that have a label on an axis of their domain.

    A file is read as `open_records` does; NDJSON and CSV are the usual forms. `row_format` says
    what the rows do not say by themselves.

    `axes` maps each axis to read to its key in `labels`. Without it, the axes of a domain are the
    `known` ones that its rows have, or else all keys of its rows. `known` are the axes of the
    contract or of a model. A row that names no split is put into `unsplit`.

    Raises:
        DataError: A file cannot be read, a line of it is no labelled row, or no row has a label.
    """
    axes = axes or {axis: axis for axis in row_format.places}
    lines = [line for file in files for line in read_labelled_lines(file, row_format)]
    keys_of_axes: dict[str, Mapping[str, str]] = {}
    for domain in DOMAINS:
        lines_of_domain = [line for line in lines if line.event.domain == domain]
        keys_of_axes[domain] = axes or _find_axes(lines_of_domain, known.get(domain, ()))
    rows = [_to_row(line, keys_of_axes[line.event.domain], unsplit) for line in lines]
    labelled = [row for row in rows if row.gold]
    if not labelled:
        raise DataError(
            "the data hold no labelled row; give files with labels such as queue or intent"
        )
    return labelled


def renamed_rows(rows: Sequence[LabelledRow], renames: Renames) -> list[LabelledRow]:
    """The rows with the names that their labels have today."""
    return [
        msgspec.structs.replace(
            row,
            gold={
                axis: tuple(
                    dict.fromkeys(renames.value(row.domain, axis, label) for label in labels)
                )
                for axis, labels in row.gold.items()
            },
        )
        for row in rows
    ]


def lessons(
    rows: Sequence[LabelledRow], axis: str, labels: Sequence[str]
) -> tuple[list[int], list[int], list[float]]:
    """The training examples of an axis: the row, the label and the weight of each.

    A row with k gold labels gives k examples of weight 1/k. A source of n rows has a total weight
    in proportion to the square root of n. Otherwise the heads would learn the style of the
    largest source. The rows have mean weight one. The weight of a row is multiplied by its
    `teaching_weight`; the texts of a labels file have no other weight.
    """
    sizes = Counter(row.source for row in rows if row.source != LABELS_FILE)
    mean = sum(count**0.5 for count in sizes.values()) / max(1, sizes.total())
    columns = {label: column for column, label in enumerate(labels)}
    indexes: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for index, row in enumerate(rows):
        for label in row.gold.get(axis, ()):
            if label in columns:
                indexes.append(index)
                targets.append(columns[label])
                share = row.teaching_weight / len(row.gold[axis])
                if row.source != LABELS_FILE:
                    share *= sizes[row.source] ** -0.5 / mean
                weights.append(share)
    return indexes, targets, weights


def labels_of(rows: Sequence[LabelledRow]) -> dict[str, dict[str, tuple[str, ...]]]:
    """The sorted labels that the training rows have on each axis of each domain.

    Raises:
        DataError: The training rows have fewer than 2 or more than 1,000 labels on an axis.
    """
    labels: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        for axis, gold in row.gold.items():
            labels_of_axis = labels.setdefault(row.domain, {}).setdefault(axis, set())
            if row.part in TEACHING_PARTS:
                labels_of_axis.update(gold)
    for domain, axes in labels.items():
        for axis, names in axes.items():
            if not MIN_LABELS <= len(names) <= MAX_LABELS:
                counted = plural(len(names), "label", "labels")
                raise DataError(
                    f"the training rows of {domain} have {counted} on {axis}; give {MIN_LABELS} to "
                    f"{MAX_LABELS:,}, or name the axes to train with --axis"
                )
    return {
        domain: {axis: tuple(sorted(axes[axis])) for axis in ordered_axes(axes)}
        for domain, axes in labels.items()
    }


def ordered_axes(axes: Collection[str]) -> list[str]:
    """The axes of the contract in its order, then all others by name."""
    contract = [axis for axes_of_domain in AXES.values() for axis in axes_of_domain]

    def place(axis: str) -> tuple[int, str]:
        if axis in contract:
            return contract.index(axis), axis
        return len(contract), axis

    return sorted(axes, key=place)


def _find_axes(lines: Sequence[Line], known: Collection[str]) -> Mapping[str, str]:
    """Axis to key: the known axes that these lines have, or else all keys of these lines."""
    keys = {key for line in lines for key, value in line.facts.labels.items() if _gold(value)}
    known_keys = {
        axis: key for axis in known for key in (NAMES_OF_AXIS.get(axis), axis) if key in keys
    }
    return known_keys or {key: key for key in sorted(keys)}


def _to_row(line: Line, keys_of_axes: Mapping[str, str], unsplit: Unsplit) -> LabelledRow:
    facts = line.facts
    gold = {axis: _gold(facts.labels.get(key)) for axis, key in keys_of_axes.items()}
    return LabelledRow(
        event=line.event,
        domain=line.event.domain,
        gold={axis: labels for axis, labels in gold.items() if labels},
        part=_part(line, unsplit),
        source=facts.source,
        license=facts.license,
        cluster=facts.cluster or facts.group or "",
    )


def _gold(value: Any) -> tuple[str, ...]:
    """The labels in a value of `labels`: one label, a list of labels, or null."""
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(dict.fromkeys(str(label) for label in value if label is not None))
    return (str(value),)


def _part(line: Line, unsplit: Unsplit) -> Part:
    """The part of a row. Validation rows are divided into the tuning and the testing split.

    All rows of a cluster are in the same split, so that near-duplicates are never in both. A row
    without a cluster is in the same split as all rows of its group, or else of its text.
    """
    facts, event = line.facts, line.event
    split = facts.split or unsplit
    if split != "val":
        return split
    text = event.text or event.title or event.body
    cluster = facts.cluster or facts.group or text or event.id
    # Another prefix would move rows of the shipped model from one split to the other.
    if hashlib.sha256(f"halves-2 {cluster}".encode()).digest()[0] % 2:
        return "tuning"
    return "testing"
