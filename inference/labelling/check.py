"""Compares a labels file with labelled rows and with the labels of a model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from inference.labelled import LabelledRow
from inference.labelling.likeness import AlikeLabels, alike_descriptions, alike_rows
from inference.labels.file import LabelsFile, likeliest
from inference.model.input_text import plain_text
from schemas.event import DOMAINS, Domain
from schemas.plural import plural
from schemas.triaged import LabelSets

SHOWN_IDS = 3

FindingKind = Literal[
    "no_rows",
    "unknown_label",
    "unknown_axis",
    "alike_descriptions",
    "alike_rows",
    "not_in_model",
    "not_in_file",
    "no_description",
    "axis_without_rows",
    "other_model",
]
HINTS: frozenset[FindingKind] = frozenset({"no_description", "axis_without_rows", "other_model"})
"""What is worth knowing, and not wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about an axis, in one sentence.

    `label` is the label that it is about. `other` is the label that is most likely meant, or that
    it is confused with. `ids` are the first events that it was found in.
    """

    kind: FindingKind
    domain: Domain
    axis: str
    message: str
    label: str | None = None
    other: str | None = None
    rows: int | None = None
    ids: Sequence[str] = ()

    @property
    def wrong(self) -> bool:
        """Whether somebody has to change something."""
        return self.kind not in HINTS


def check_labels(
    file: LabelsFile, rows: Sequence[LabelledRow] | None, model: LabelSets | None
) -> list[Finding]:
    """Everything that is wrong with a labels file, and hints.

    `rows` are labelled rows, and `model` has the labels of a model, both with the names of today.
    None: there is nothing to compare with.
    """
    findings: list[Finding] = []
    for domain, axes in file.domains.items():
        of_domain = [row for row in rows or () if row.domain == domain]
        for axis, labels in axes.items():
            findings += _about_descriptions(file, domain, axis)
            if rows is not None:
                findings += _about_rows(domain, axis, list(labels), of_domain)
        findings += _about_axes_of_rows(domain, list(axes), of_domain)
    if model is not None:
        findings += _about_model(file, model)
    return findings


def _about_descriptions(file: LabelsFile, domain: Domain, axis: str) -> Iterator[Finding]:
    described = file.descriptions(domain).get(axis, {})
    without = [label for label in file.axes(domain)[axis] if label not in described]
    if without:
        yield Finding(
            "no_description",
            domain,
            axis,
            f"{plural(len(without), 'label has', 'labels have')} no description, {without[0]} "
            "first; write one for each, and an LLM will know what it means",
            label=without[0],
        )
    for alike in alike_descriptions(list(described.items())):
        yield Finding(
            "alike_descriptions",
            domain,
            axis,
            f"the descriptions of {alike.label} and {alike.other} are nearly the same "
            f"({alike.likeness:.2f} of 1); say in each what the other is not",
            label=alike.label,
            other=alike.other,
        )


def _about_rows(
    domain: Domain, axis: str, labels: Sequence[str], rows: Sequence[LabelledRow]
) -> Iterator[Finding]:
    by_label: dict[str, list[LabelledRow]] = {}
    for row in rows:
        for label in row.gold.get(axis, ()):
            by_label.setdefault(label, []).append(row)
    if not by_label:
        # Rows are often of one domain, and the file of both.
        message = "no row has a label on this axis, so it is not compared with rows"
        yield Finding("axis_without_rows", domain, axis, message, rows=0)
        return
    for label in labels:
        if label not in by_label:
            yield Finding(
                "no_rows",
                domain,
                axis,
                f"no row has the label {label}; add some, or remove the label",
                label=label,
                rows=0,
            )
    for label, found in sorted(by_label.items()):
        if label not in labels:
            yield _unknown_label(domain, axis, label, labels, found)
    for alike in alike_rows(_single(rows, axis, labels)):
        yield _alike_rows(domain, axis, alike)


def _single(rows: Sequence[LabelledRow], axis: str, labels: Sequence[str]) -> list[tuple[str, str]]:
    """The label and text of the rows with one label on this axis that the file has."""
    single = []
    for row in rows:
        gold = row.gold.get(axis, ())
        if len(gold) == 1 and gold[0] in labels:
            single.append((gold[0], plain_text(row.event)))
    return single


def _unknown_label(
    domain: Domain, axis: str, label: str, labels: Sequence[str], rows: Sequence[LabelledRow]
) -> Finding:
    meant = likeliest(label, labels)
    remedy = "add it to the file, or correct the rows"
    if meant is not None:
        remedy = f"{meant} is probably meant; correct the rows, or add the label to the file"
    ids = [row.event.id for row in rows[:SHOWN_IDS]]
    return Finding(
        "unknown_label",
        domain,
        axis,
        f"{plural(len(rows), 'row has', 'rows have')} the label {label}, which the file does not "
        f"have ({', '.join(ids)}); {remedy}",
        label=label,
        other=meant,
        rows=len(rows),
        ids=ids,
    )


def _alike_rows(domain: Domain, axis: str, alike: AlikeLabels) -> Finding:
    return Finding(
        "alike_rows",
        domain,
        axis,
        f"{alike.confused} of {alike.rows} rows of {alike.label} and {alike.other} read like rows "
        "of the other label; make them one label, or label these rows again",
        label=alike.label,
        other=alike.other,
        rows=alike.rows,
    )


def _about_axes_of_rows(
    domain: Domain, axes: Sequence[str], rows: Sequence[LabelledRow]
) -> Iterator[Finding]:
    """Axes of the rows that are a misspelling of one in the file; others are left alone."""
    for axis in sorted({axis for row in rows for axis in row.gold} - set(axes)):
        meant = likeliest(axis, axes)
        if meant is not None:
            yield Finding(
                "unknown_axis",
                domain,
                axis,
                f"rows have labels on {axis}, which the file does not have; {meant} is probably "
                "meant",
                other=meant,
            )


def _about_model(file: LabelsFile, model: LabelSets) -> Iterator[Finding]:
    for domain, axes in file.domains.items():
        for axis, labels in axes.items():
            names = model.get(domain, {}).get(axis, ())
            if not set(names) & set(labels):
                yield Finding(
                    "other_model",
                    domain,
                    axis,
                    "the model has none of these labels; train one on rows that have them",
                )
                continue
            yield from _differences(domain, axis, list(labels), names)


def _differences(
    domain: Domain, axis: str, labels: Sequence[str], names: Sequence[str]
) -> Iterator[Finding]:
    for label in labels:
        if label not in names:
            yield Finding(
                "not_in_model",
                domain,
                axis,
                f"the model does not have the label {label}; train it on rows that have it, or "
                "write renamed_from if it is a new name",
                label=label,
                other=likeliest(label, [name for name in names if name not in labels]),
            )
    for name in names:
        if name not in labels:
            yield Finding(
                "not_in_file",
                domain,
                axis,
                f"the file does not have the label {name} of the model; add it",
                label=name,
                other=likeliest(name, [label for label in labels if label not in names]),
            )


def model_labels(file: LabelsFile, axes: Mapping[str, Mapping[str, Sequence[str]]]) -> LabelSets:
    """The labels of a model under the names of today, from those of its manifest.

    Raises:
        ConfigError: the model has a label under its old and its new name.
    """
    return {domain: file.renames.axes(domain, axes[domain]) for domain in DOMAINS if domain in axes}
