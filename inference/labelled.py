"""Labelled rows: NDJSON files to events with gold labels, and the split of the validation rows into two halves."""

import gzip
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from inference.errors import DataError
from schemas.event import DEFAULT_TENANT, DOMAIN_OF_KIND, DOMAINS, Domain, Event, Kind

Split = Literal["train", "val", "test"]
Part = Literal["train", "tuning", "testing", "test"]
Labels = Mapping[str, Mapping[str, tuple[str, ...]]]
"""The labels of each axis of each domain, in the order of the heads' rows."""

AXES: dict[str, tuple[str, ...]] = {
    "alerts": ("tactic", "queue", "severity"),
    "tickets": ("queue", "intent", "priority"),
}
"""The axes of the public contract. Rows of a domain that are labelled on any of them are read for these alone."""

# Where a file names an axis otherwise.
NAMES_OF_AXIS = {"tactic": "tactics"}
MAX_LABELS = 1_000


class LabelledRow(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled event; `gold` maps an axis to the labels that count as right, and lacks axes without one.

    `source` and `license` are for the model card and the figures by source; the model never reads them.
    """

    event: Event
    domain: Domain
    gold: dict[str, tuple[str, ...]]
    part: Part
    source: str
    license: str = ""


class _Line(msgspec.Struct, frozen=True):
    """A row as the files have it: a native event with its labels."""

    id: str
    kind: Kind
    labels: dict[str, Any]
    text: str | None = None
    title: str | None = None
    body: str | None = None
    event: dict[str, Any] | None = None
    source: str = "unnamed"
    tenant: str = DEFAULT_TENANT
    split: Split | None = None
    license: str = ""
    group: str | None = None
    cluster: str | None = None


def read_rows(
    files: Sequence[Path],
    axes: Mapping[str, str] | None = None,
    *,
    known: Mapping[str, Collection[str]] = AXES,
    unsplit: Split = "train",
) -> list[LabelledRow]:
    """Every row of these NDJSON files (plain or gzip) that is labelled on an axis of its domain.

    `axes` maps the axes wanted to the keys of `labels` they are read from; by default they are the `known` ones of a
    domain (the contract's, or a model's) where its rows have any of those, and otherwise every key. A row that names no
    split is in `unsplit`.

    Raises:
        DataError: a file cannot be read, a line of it is no labelled row, or no row is labelled.
    """
    lines = [line for file in files for line in _read(file)]
    wanted = {
        domain: axes
        or _axes(
            [one for one in lines if DOMAIN_OF_KIND[one.kind] == domain], known.get(domain, ())
        )
        for domain in DOMAINS
    }
    rows = [
        row
        for line in lines
        if (row := _to_row(line, wanted[DOMAIN_OF_KIND[line.kind]], unsplit)).gold
    ]
    if not rows:
        raise DataError(
            "the data hold no labelled row; give files with labels such as queue or intent"
        )
    return rows


def lessons(
    rows: Sequence[LabelledRow], axis: str, labels: Sequence[str]
) -> tuple[list[int], list[int], list[float]]:
    """Whom to teach what: for every gold label of every row the row, the label, and how much it weighs.

    A row of k gold labels teaches each with weight 1/k. A source of n rows weighs as the square root of n, so that the
    style of the largest is not taken for the work; the weights have mean one over the rows.
    """
    sizes = Counter(row.source for row in rows)
    mean = sum(sizes[row.source] ** -0.5 for row in rows) / max(1, len(rows))
    taught = [
        (index, labels.index(label), sizes[row.source] ** -0.5 / mean / len(row.gold[axis]))
        for index, row in enumerate(rows)
        for label in row.gold.get(axis, ())
        if label in labels
    ]
    return [one[0] for one in taught], [one[1] for one in taught], [one[2] for one in taught]


def labels_of(rows: Sequence[LabelledRow]) -> dict[str, dict[str, tuple[str, ...]]]:
    """The labels that training rows have on each axis of each domain, sorted.

    Raises:
        DataError: an axis has fewer than two labels or more than 1,000, or a domain has rows but none to teach.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        for axis, gold in row.gold.items():
            known = found.setdefault(row.domain, {}).setdefault(axis, set())
            known.update(gold if row.part == "train" else ())
    for domain, axes in found.items():
        for axis, known in axes.items():
            if not 2 <= len(known) <= MAX_LABELS:  # noqa: PLR2004 - one label is nothing to choose between
                raise DataError(
                    f"the training rows of {domain} have {len(known)} labels on {axis}; give 2 to {MAX_LABELS}, or "
                    "name the axes to train with --axis"
                )
    return {
        domain: {axis: tuple(sorted(axes[axis])) for axis in _ordered(axes)}
        for domain, axes in found.items()
    }


def _ordered(axes: Mapping[str, Any]) -> list[str]:
    known = [axis for contract in AXES.values() for axis in contract]
    return sorted(axes, key=lambda axis: (known.index(axis) if axis in known else len(known), axis))


def _axes(lines: Sequence[_Line], known: Collection[str]) -> Mapping[str, str]:
    """Axis to key: the known axes where they occur, else whatever is labelled."""
    keys = {key for line in lines for key, value in line.labels.items() if _gold(value)}
    named = {axis: key for axis in known for key in (NAMES_OF_AXIS.get(axis), axis) if key in keys}
    return named or {key: key for key in sorted(keys)}


def _read(file: Path) -> Iterator[_Line]:
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield msgspec.json.decode(line, type=_Line)
                except msgspec.DecodeError as error:
                    raise DataError(
                        f"line {number} of {file} is no labelled row: {error}; correct it"
                    ) from None
    except (OSError, EOFError) as error:
        raise DataError(
            f"{file} cannot be read: {error}; give an NDJSON file, plain or gzip"
        ) from None


def _to_row(line: _Line, axes: Mapping[str, str], unsplit: Split) -> LabelledRow:
    gold = {axis: _gold(line.labels.get(key)) for axis, key in axes.items()}
    split = line.split or unsplit
    said = line.text or line.title or line.body or line.id
    return LabelledRow(
        event=Event(
            id=line.id, kind=line.kind, text=line.text, title=line.title, body=line.body, event=line.event,
            tenant=line.tenant,
        ),
        domain=DOMAIN_OF_KIND[line.kind],
        gold={axis: labels for axis, labels in gold.items() if labels},
        part=_half(line.cluster or line.group or said) if split == "val" else split,
        source=line.source,
        license=line.license,
    )  # fmt: skip


def _gold(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(dict.fromkeys(str(label) for label in value if label is not None))
    return () if value is None else (str(value),)


def _half(cluster: str) -> Part:
    """Which half of the validation rows: by cluster, so that near-duplicates never straddle the two."""
    return "tuning" if hashlib.sha256(f"halves-2 {cluster}".encode()).digest()[0] % 2 else "testing"
