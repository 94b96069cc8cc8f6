"""One line of a file of labelled rows: its event, and what is known about it.

Three forms are read:

- a native event with its `labels`, or a record as it is on a topic with its `labels`;
- a flat row, as CSV gives it: the label is in a column;
- a document of the sender, as a help desk exports it: the label is at a dotted path.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from inference.errors import DataError
from inference.record_file import open_records
from schemas.codec import prepared
from schemas.errors import InvalidEvent
from schemas.event import KIND_OF_DOMAIN, Domain, Event, Kind, Origin
from schemas.formats import read_document, read_event
from schemas.formats.document import decode_document
from schemas.formats.envelope import Envelope
from schemas.formats.lists import list_of_events
from schemas.formats.paths import find, forget_opened, without
from schemas.limits import LIMITS
from schemas.plural import plural
from schemas.visible_text import one_line

log = logging.getLogger(__name__)

Split = Literal["train", "val", "test"]

# What a line has besides its event. The model must not learn where a row comes from.
_FACTS = frozenset(("labels", "source", "split", "license", "group", "cluster", "meta"))
# A line has nothing else if its event is a record of its own.
_BESIDE_RECORD = _FACTS | {"id", "kind", "record"}
_NATIVE = frozenset(
    ("id", "kind", "text", "title", "body", "event", "tenant", "occurred_at", "link")
)
_TEXTS = ("text", "title", "body")
LABEL = "label"
"""The column of the labels in a flat row, if no column has the name of the axis."""
SHOWN_NAMES, MAX_NAME_CHARS = 20, 60
"""So many names of fields a warning shows, and so much of each."""


@dataclass(frozen=True, slots=True)
class RowFormat:
    """What a file of rows does not say by itself.

    Attributes:
        places: for each axis, the column or the dotted path in the sender's document that holds
            its label. Without any, a flat row has the label in a column with the name of an axis,
            or in the column ``label``.
        columns: the axes whose names are looked for among the columns of a flat row; the first is
            that of the column ``label``.
        domain: what the events are that do not say it.
    """

    places: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[str] = ("queue",)
    domain: Domain | None = None

    @property
    def kind(self) -> Kind:
        """The kind of an event that names none."""
        return KIND_OF_DOMAIN[self.domain or "tickets"]


PLAIN_ROWS = RowFormat()


class Facts(msgspec.Struct, frozen=True):
    """What a line says about its event besides the event itself."""

    labels: dict[str, Any]
    source: str = "unnamed"
    split: Split | None = None
    license: str = ""
    group: str | None = None
    cluster: str | None = None


class Line(NamedTuple):
    """A line of a file: an event in any format that is read, and what is known about it."""

    event: Event
    facts: Facts


class _Wrapped(msgspec.Struct, frozen=True):
    """A line whose event is a record as it is on a topic: an object, a list, or a string.

    `kind` is that of the topic, for a record that names none.
    """

    record: dict[str, Any] | list[Any] | str
    kind: Kind | None = None


class _Place(NamedTuple):
    """Where a line is, and the id of its event if it has none of its own."""

    file: Path
    number: int
    in_table: bool = False
    element: int | None = None

    @property
    def own_id(self) -> str:
        if self.element is None:
            return f"{self.file.stem}-{self.number}"
        return f"{self.file.stem}-{self.number}#{self.element}"

    def __str__(self) -> str:
        if self.element is None:
            return f"line {self.number + 1} of {self.file}"
        return f"event {self.element + 1} of {self.file}"


def read_labelled_lines(file: Path, row_format: RowFormat) -> Iterator[Line]:
    """The lines of a file. It is read as `open_records` does.

    Flat rows and documents without a label, or without anything to read, are left out.

    Raises:
        DataError: the file cannot be read, or a line of it is no labelled row.
    """
    empty: list[_Place] = []
    unlabelled = labelled = 0
    names: dict[str, None] = {}
    with open_records(str(file)) as records:
        for number, record in records.numbered:
            place_of_record = _Place(file, number, records.is_table)
            for place, document in _documents(record, place_of_record):
                line = _read_line(document, place, row_format, empty)
                if line is not None:
                    labelled += 1
                    yield line
                    continue
                unlabelled += 1
                if len(names) < SHOWN_NAMES:
                    names |= dict.fromkeys(document)
    names_if_none: list[str] = []
    if not labelled:
        names_if_none = list(names)
    _warn_of_unlabelled(file, unlabelled - len(empty), row_format, names_if_none)
    if empty:
        log.warning(
            "%s of %s with nothing to read: left out; the first is %s",
            plural(len(empty), "labelled row", "labelled rows"),
            file,
            empty[0],
        )


def _warn_of_unlabelled(file: Path, rows: int, row_format: RowFormat, names: Sequence[str]) -> None:
    """Say how many rows have no label; if none has one, `names` are those that a row has."""
    if not rows:
        return
    counted = plural(rows, "row", "rows")
    places = " or ".join(row_format.places.values())
    if places and names:
        has = ", ".join(one_line(name, MAX_NAME_CHARS) for name in names[:SHOWN_NAMES])
        log.warning(
            "%s of %s, and none has a label at %s: they have %s", counted, file, places, has
        )
    else:
        log.warning("%s of %s without a label: left out", counted, file)


def _documents(record: bytes, place: _Place) -> Iterator[tuple[_Place, dict[str, Any]]]:
    """The document of a record, or the documents in the list that it is nothing else than."""
    try:
        document = decode_document(record, LIMITS)
    except InvalidEvent as error:
        raise _no_row(place, error) from None
    name = list_of_events(document) if isinstance(document, dict) else None
    if isinstance(document, dict) and (name is None or "labels" in document):
        yield place, document
        return
    elements = find(document, name) if name else document
    forget_opened()
    for number, element in enumerate(elements):
        at = place._replace(element=number)
        if not isinstance(element, dict):
            raise _no_row(at, "it is no object")
        yield at, element


def _read_line(
    document: dict[str, Any], place: _Place, row_format: RowFormat, empty: list[_Place]
) -> Line | None:
    """The event is read as one on a topic is, so that training and serving see the same texts."""
    is_native = isinstance(document.get("labels"), dict) and not row_format.places
    try:
        if is_native:
            return _read_native(document, place, row_format)
        return _read_other(document, place, row_format)
    except InvalidEvent as error:
        if is_native or error.stage != "validate":
            raise _no_row(place, error) from None
        empty.append(place)
        return None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise _no_row(place, error) from None


def _read_native(document: dict[str, Any], place: _Place, row_format: RowFormat) -> Line:
    facts = msgspec.convert(document, prepared(Facts))
    if "record" in document and document.keys() <= _BESIDE_RECORD:
        return Line(_read_wrapped(msgspec.convert(document, prepared(_Wrapped)), place), facts)
    unlabelled = {name: document[name] for name in document if name not in _FACTS}
    kind = KIND_OF_DOMAIN[row_format.domain] if row_format.domain else None
    return Line(read_document(unlabelled, Envelope(id=place.own_id, kind=kind)), facts)


def _read_wrapped(line: _Wrapped, place: _Place) -> Event:
    """The one event in the record of a line.

    Raises:
        InvalidEvent: the record cannot be read, or holds several events.
    """
    value = line.record
    data = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    return read_event(
        data,
        origin=Origin(topic=place.file.stem, partition=0, offset=place.number),
        kind=line.kind,
    )


def _read_other(document: dict[str, Any], place: _Place, row_format: RowFormat) -> Line | None:
    """A flat row or a document of the sender; None if it has no label."""
    places = row_format.places or _columns(document, row_format.columns)
    if not places:
        axes = " or ".join(dict.fromkeys((*row_format.columns, LABEL)))
        raise _no_row(
            place, f"it has neither labels nor a column {axes}; name one with --label AXIS=COLUMN"
        )
    labels = {axis: _label(document, path, place) for axis, path in places.items()}
    labels = {axis: label for axis, label in labels.items() if label is not None}
    forget_opened()
    if not labels:
        return None
    # A model that reads its own label learns nothing else.
    for path in places.values():
        document = without(document, path)
    facts = _facts_of(document, labels)
    document = _event_of(document, place)
    return Line(read_document(document, Envelope(id=place.own_id, kind=row_format.kind)), facts)


def _event_of(document: dict[str, Any], place: _Place) -> dict[str, Any]:
    """The event of a flat row without what is known about it; a sender's document as it is."""
    is_native = document.keys() <= _NATIVE | _FACTS
    has_text = any(document.get(name) for name in _TEXTS)
    if is_native or (place.in_table and has_text):
        return {name: value for name, value in document.items() if name in _NATIVE - _FACTS}
    return document


def _columns(document: Mapping[str, Any], axes: Sequence[str]) -> dict[str, str]:
    """The columns of a flat row that hold labels, by axis."""
    columns = {axis: axis for axis in axes if axis in document}
    if not columns and axes and LABEL in document:
        return {axes[0]: LABEL}
    return columns


def _label(document: dict[str, Any], path: str, place: _Place) -> Any:
    """The label at a path; None if there is none."""
    value = find(document, path)
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, dict):
        raise _no_row(place, f"{path} is an object; name a field in it, such as {path}.name")
    return value


def _facts_of(document: Mapping[str, Any], labels: dict[str, Any]) -> Facts:
    """What a flat row says about its event. A field of another meaning has the same name at times.

    The field `group` is not read: in a help desk it is a team, and says nothing of likeness.
    """

    def text(name: str) -> str | None:
        value = document.get(name)
        return value if isinstance(value, str) else None

    split = next((each for each in get_args(Split) if each == document.get("split")), None)
    return Facts(
        labels,
        source=text("source") or "unnamed",
        split=split,
        license=text("license") or "",
        cluster=text("cluster"),
    )


def _no_row(place: _Place, error: object) -> DataError:
    return DataError(f"{place} is no labelled row: {error}; correct it")
