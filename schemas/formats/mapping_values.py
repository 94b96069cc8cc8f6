"""The values of a mapping, compiled: functions from a document to a field of an event."""

from collections.abc import Callable
from collections.abc import Mapping as Table
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from schemas.folding import fold
from schemas.formats.document import Document
from schemas.formats.instants import to_rfc3339
from schemas.formats.level_words import LEVELS, MAX_WORD_CHARS
from schemas.formats.links import web_link
from schemas.formats.mapping_options import Value, ValueOptions, Values, listed, name_of
from schemas.formats.paths import find
from schemas.formats.stated_fields import original_text
from schemas.formats.text import rich_text
from schemas.formats.values import as_text, unwrapped

StatedField = Literal["severity", "priority", "status"]

MAX_READ = 8

Getter = Callable[[Document], object]
Converter = Callable[[Any], Any]


class Readers:
    """The compiled fields of a mapping: functions from a document to a value or None."""

    def __init__(self, fields: Table[str, Values]) -> None:
        def reader(field: str) -> Converter:
            return _reader(listed(fields.get(field, [])), field)

        self.id = reader("id")
        self.text, self.title, self.body = reader("text"), reader("title"), reader("body")
        self.source, self.tenant, self.link = reader("source"), reader("tenant"), reader("link")
        self.times = [
            getter(value, "occurred_at") for value in listed(fields.get("occurred_at", []))
        ]
        self.stated = {
            field: _stated_reader(listed(fields[field]), field)
            for field in get_args(StatedField)
            if field in fields
        }
        self.read = [
            (name_of(value), _reader([value], "read")) for value in listed(fields.get("read", []))
        ]


def _reader(values: list[Value], field: str) -> Converter:
    """The first of `values` that can be what the field takes."""
    convert = CONVERTERS.get(field, as_text)
    getters = [getter(value, field) for value in values]

    def read(document: Document) -> Any:
        for get in getters:
            value = convert(get(document))
            if value is not None:
                return value
        return None

    return read


def _stated_reader(values: list[Value], axis: str) -> Callable[[Document], tuple[str, str] | None]:
    """The level that the sender states and the sender's own word for it."""

    def read(document: Document) -> tuple[str, str] | None:
        for value in values:
            original = original_text(axis, getter(_bare(value), axis)(document))
            if original is not None:
                return _level(value, original, axis) or original, original
        return None

    return read


def _level(value: Value, original: str, axis: str) -> str | None:
    if isinstance(value, str):
        return None
    if value.map is not None and (mapped := _mapped(value.map, original)) is not None:
        return mapped
    if value.at_least is not None:
        return _highest(value.at_least, original, axis)
    return None


def _highest(at_least: Table[str, float], original: str, axis: str) -> str | None:
    try:
        number = float(original[:32])
    except ValueError:
        return None
    order = LEVELS.get(axis, ())
    reached = [level for level in order if number >= at_least.get(level, float("inf"))]
    return reached[-1] if reached else None


def _mapped(table: Table[str, str], original: str) -> str | None:
    if original in table:
        return table[original]
    folded = fold(original[:MAX_WORD_CHARS])
    return next((level for key, level in table.items() if fold(key) == folded), None)


def getter(value: Value, field: str) -> Getter:
    """A function that gets a value from a document, with its `map` and `format` applied."""
    if isinstance(value, str):
        return lambda document: find(document, value)
    get = _plain_getter(value, field)
    if value.map is not None:
        table = value.map
        return lambda document: _mapped(table, as_text(get(document)) or "")
    if value.format is not None:
        form = value.format
        return lambda document: _parsed(get(document), form)
    return get


def _plain_getter(value: ValueOptions, field: str) -> Getter:
    if value.path is not None:
        path = value.path
        return lambda document: find(document, path)
    if value.literal is not None:
        literal = value.literal
        return lambda _: literal
    if value.jmespath is not None:
        expression = jmespath.compile(value.jmespath)
        return lambda document: _search(expression, document)
    parts = [_reader([part], "read") for part in value.join or []]
    # Two events must not share an id because a part of it is missing in both.
    return _joiner(parts, value.separator, needs_all=field == "id")


def _joiner(parts: list[Converter], separator: str, *, needs_all: bool) -> Getter:
    def join(document: Document) -> str | None:
        texts = [part(document) for part in parts]
        if needs_all and None in texts:
            return None
        return separator.join(text for text in texts if text is not None) or None

    return join


def _search(expression: Any, document: Document) -> object:
    try:
        return expression.search(document)
    except (JMESPathError, ArithmeticError, TypeError, ValueError):
        return None  # the document has another type there than the expression expects


def _parsed(value: object, form: str) -> str | None:
    """A time in a form that only the mapping knows; UTC if it has no offset."""
    text = as_text(value)
    if text is None or len(text) > len(form) + 40:
        return None
    try:
        instant = datetime.strptime(text.strip(), form)  # noqa: DTZ007 - the zone follows
    except ValueError:
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return to_rfc3339(instant.astimezone(UTC).isoformat())


def first(getters: list[Getter], document: Document) -> object:
    """The first value that is there."""
    return next((value for get in getters if (value := get(document)) is not None), None)


def _words(value: object) -> str | None:
    return as_text(value) or rich_text(value)


def _as_link(value: object) -> str | None:
    return web_link(as_text(value))


def _as_key(value: object) -> object:
    value = unwrapped(value)
    return value if as_text(value) is not None else None


def _key_text(value: object) -> str | None:
    """A text, or the short texts of a list."""
    if isinstance(value, list):
        texts = [text for each in value[:MAX_READ] if (text := as_text(each)) is not None]
        return ", ".join(texts) or None
    return as_text(value)


CONVERTERS: dict[str, Converter] = {
    "id": _as_key,
    "text": _words,
    "title": _words,
    "body": _words,
    "link": _as_link,
    "tenant": lambda value: value,
    "occurred_at": to_rfc3339,
    "read": _key_text,
}


def _bare(value: Value) -> Value:
    """The value without what changes it."""
    if isinstance(value, str):
        return value
    return msgspec.structs.replace(value, map=None, at_least=None)
