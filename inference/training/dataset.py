"""Labelled rows: NDJSON files to events with gold labels, and the split of the validation rows into two halves."""

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from inference.errors import InferenceError
from schemas.event import DOMAIN_OF_KIND, Domain, Event, Kind

Part = Literal["train", "tuning", "testing", "test"]

AXES: dict[Domain, tuple[str, ...]] = {
    "alerts": ("tactic", "queue", "severity"),
    "tickets": ("queue", "intent", "priority"),
}
# Where a file names an axis otherwise.
NAMES_OF_AXIS = {"tactic": "tactics"}


class DataError(InferenceError):
    """A file of labelled rows cannot be used."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled event; `gold` maps an axis to the labels that count as right, and lacks axes without one.

    `source` and `license` are for the model card; the model never reads them.
    """

    event: Event
    domain: Domain
    gold: dict[str, tuple[str, ...]]
    part: Part
    source: str
    license: str = ""


class _Line(msgspec.Struct, frozen=True):
    """A row as the files have it."""

    id: str
    source: str
    kind: Kind
    text: str
    labels: dict[str, Any]
    split: Literal["train", "val", "test"]
    license: str = ""
    event: dict[str, Any] | None = None
    group: str | None = None
    cluster: str | None = None


def read_rows(files: Sequence[Path]) -> list[Row]:
    """Every row of these NDJSON files (plain or gzip) that is labelled on an axis of its domain.

    Raises:
        DataError: a file cannot be read, or a line of it is no labelled row.
    """
    rows = [row for file in files for row in _read(file) if row.gold]
    if not rows:
        raise DataError("the data hold no labelled row; give files with labels such as queue or intent")
    return rows


def _read(file: Path) -> Iterator[Row]:
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield _to_row(msgspec.json.decode(line, type=_Line))
                except msgspec.DecodeError as error:
                    raise DataError(f"line {number} of {file} is no labelled row: {error}; correct it") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{file} cannot be read: {error}; give an NDJSON file, plain or gzip") from None


def _to_row(line: _Line) -> Row:
    domain = DOMAIN_OF_KIND[line.kind]
    gold = {axis: _gold(line.labels.get(NAMES_OF_AXIS.get(axis, axis))) for axis in AXES[domain]}
    return Row(
        event=Event(id=line.id, kind=line.kind, text=line.text, event=line.event),
        domain=domain,
        gold={axis: labels for axis, labels in gold.items() if labels},
        part=_half(line.cluster or line.group or line.text) if line.split == "val" else line.split,
        source=line.source,
        license=line.license,
    )


def _gold(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(dict.fromkeys(str(label) for label in value))
    return () if value is None else (str(value),)


def _half(cluster: str) -> Part:
    """Which half of the validation rows: by cluster, so that near-duplicates never straddle the two."""
    return "tuning" if hashlib.sha256(f"halves-2 {cluster}".encode()).digest()[0] % 2 else "testing"
