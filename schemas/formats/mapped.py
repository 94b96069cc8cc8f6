"""The mapping language: how a vendor's document is recognised, and where its fields are.

The formats that ship with the product (`schemas/formats/vendors`) and the `[[mappings]]` of a
configuration are written in it. `docs/reference/formats.md` describes it for users.
"""

from collections.abc import Callable
from collections.abc import Mapping as Table
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, get_args

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from schemas.event import Event, Kind, Stated
from schemas.folding import fold
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.level_words import LEVELS, MAX_WORD_CHARS
from schemas.formats.links import web_link
from schemas.formats.paths import find
from schemas.formats.stated import guess_stated, stated_from
from schemas.formats.stated_fields import original_text, says_level
from schemas.formats.text import rich_text
from schemas.formats.values import as_explicit_tenant, as_id, as_tenant, as_text, unwrapped

MappedField = Literal[
    "id", "text", "title", "body", "source", "tenant", "occurred_at", "link",
    "severity", "priority", "status", "read",
]  # fmt: skip
StatedField = Literal["severity", "priority", "status"]

MAX_READ = 8
PRODUCT = "product"
"""The key field with the name of the product, in a document that a mapping describes."""
MAX_KEY_FIELD_CHARS = 400

Getter = Callable[[Document], object]
Converter = Callable[[Any], Any]


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the value at a path must be; exactly one of the fields is given.

    Raises:
        ValueError: none or several of the fields are given.
    """

    prefix: str | None = None
    contains: str | None = None
    any: list[str | int | float | bool] | None = None
    absent: Literal[True] | None = None

    def __post_init__(self) -> None:
        """Check the condition when it is read from a file."""
        if sum(value is not None for value in msgspec.structs.astuple(self)) != 1:
            raise ValueError("a condition of `when` needs one of prefix, contains, any and absent")

    def holds(self, value: object) -> bool:
        """Whether the value at the path is as required."""
        if self.absent:
            return value is None or value is False
        if self.any is not None:
            return any(_equals(value, each) for each in self.any)
        if not isinstance(value, str):
            return False
        if self.prefix is not None:
            return value.startswith(self.prefix)
        return self.contains is not None and self.contains in value


class ValueOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a value comes from, and what becomes of it.

    Exactly one of `path`, `literal`, `jmespath` and `join` is given. `with` stands between the
    parts of a `join`. `map` gives the values that replace others, `at_least` the smallest number of
    each level, and `format` the form of a time as `strptime` has it. `name` is what the model reads
    before a value of `read`.

    Raises:
        ValueError: none or several of the four are given, or the expression cannot be read.
    """

    path: str | None = None
    literal: str | None = None
    jmespath: str | None = None
    join: "list[str | ValueOptions] | None" = None
    separator: str = msgspec.field(default=" ", name="with")
    map: dict[str, str] | None = None
    at_least: dict[str, float] | None = None
    format: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Check the value when it is read from a file."""
        if (
            sum(each is not None for each in (self.path, self.literal, self.jmespath, self.join))
            != 1
        ):
            raise ValueError("a value needs one of path, literal, jmespath and join")
        if self.jmespath is not None:
            try:
                jmespath.compile(self.jmespath)
            except JMESPathError as error:
                raise ValueError(f"the JMESPath {self.jmespath!r} is wrong: {error}") from None


Value = str | ValueOptions
Values = str | ValueOptions | list[str | ValueOptions]


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One vendor's format.

    `when` maps dotted paths to the values that a document must have there, all of them. The value
    ``true`` matches any value except null and false; a `Condition` says more. `fields` maps a field
    of the event to the path that fills it, to several in order, or to `ValueOptions`. `kind` is the
    kind of the event; without it, the topic decides. The complete document is always kept in
    `event`. For example, for Splunk notables::

        Mapping(
            name="splunk-notable",
            when={"search_name": True, "result.rule_title": True},
            fields={
                "id": "result.event_id",
                "title": "result.rule_title",
                "body": "result.rule_description",
            },
        )

    A format that only wraps others names the path of the one document in it (`open`) or of a list
    of documents (`split`, which may name several lists). What is inside is recognised in turn, and
    falls back to these `fields`. The other fields of the wrapper become attributes of the events.

    Raises:
        ValueError: `when` is empty, `fields` names a field that a mapping cannot fill, or the
            mapping both opens and splits.
    """

    name: str
    when: dict[str, str | int | float | bool | Condition]
    fields: dict[str, Values] = {}
    kind: Kind | None = None
    title: str | None = None
    reference: str | None = None
    open: str | None = None
    split: str | list[str] | None = None

    def __post_init__(self) -> None:
        """Check the mapping when it is read from a file."""
        if not self.when:
            raise ValueError(
                f"mapping {self.name} has an empty `when`, which matches every record; "
                "add at least one path"
            )
        known = get_args(MappedField)
        unknown = sorted(self.fields.keys() - known)
        if unknown:
            raise ValueError(
                f"mapping {self.name} fills {', '.join(unknown)}, which no mapping can fill; "
                f"use only {', '.join(known)}"
            )
        if self.open is not None and self.split is not None:
            raise ValueError(f"mapping {self.name} opens and splits; choose one")
        if len(_listed(self.fields.get("read", []))) > MAX_READ:
            raise ValueError(f"mapping {self.name} has more than {MAX_READ} fields to `read`")

    @property
    def wraps(self) -> bool:
        """Whether this format only wraps others and is no event itself."""
        return bool(self.open or self.split)

    def listed(self, document: Document) -> list[Any] | None:
        """The documents in the lists that `split` names, in its order; None if no list is there."""
        paths = self._inner(document)
        if not paths:
            return None
        return [element for path in paths for element in find(document, path)]

    def _inner(self, document: Document) -> list[str]:
        """The paths of what is inside: that of `open`, or those of `split` that lead to a list."""
        if self.open is not None:
            return [self.open]
        paths = [self.split] if isinstance(self.split, str) else self.split or []
        return [path for path in paths if isinstance(find(document, path), list)]

    def recognises(self, document: Document) -> bool:
        """Whether every condition of `when` holds."""
        for path, expected in self.when.items():  # noqa: SIM110 - a generator takes twice as long
            if not _matches(find(document, path), expected):
                return False
        return True

    def read(self, document: Document, envelope: Envelope) -> Event:
        """Read the document as an event.

        Raises:
            InvalidEvent: the id or the tenant cannot be used.
        """
        read = self._readers
        kind = self.kind or envelope.known_kind()
        source = read.source(document)
        occurred_at = self._occurred_at(document)
        attributes = dict(envelope.attributes)
        if occurred_at is None and (unread := _first(read.times, document)) is not None:
            attributes["occurred_at"] = unread
        return Event(
            id=as_id(read.id(document)) or envelope.id,
            kind=kind,
            text=read.text(document),
            title=read.title(document),
            body=read.body(document),
            event=document,
            source=source or envelope.source,
            tenant=envelope.tenant or self._tenant(document),
            occurred_at=occurred_at or envelope.occurred_at,
            stated=self._stated(document),
            link=read.link(document),
            key_fields=self._key_fields(document, kind, source),
            attributes=attributes,
        )

    def describe(self, document: Document, envelope: Envelope) -> Envelope:
        """What this format says about the documents inside it."""
        read = self._readers
        tenant = envelope.tenant
        if tenant is None and "tenant" in self.fields:
            tenant = as_explicit_tenant(read.tenant(document))
        described = msgspec.structs.replace(
            envelope,
            id=as_id(read.id(document)) or envelope.id,
            kind=self.kind or envelope.kind,
            source=read.source(document) or envelope.source,
            tenant=tenant,
            occurred_at=self._occurred_at(document) or envelope.occurred_at,
        )
        return described.inside(document, self._inner(document))

    def found(self, document: Document) -> dict[str, str]:
        """For each field that a value fills: where the value is, for people to read."""
        places = {}
        for field, values in self.fields.items():
            convert = _CONVERTERS.get(field, as_text)
            for value in _listed(values):
                if convert(_raw(value, field)(document)) is not None:
                    places[field] = _place(value)
                    break
        return places

    @cached_property
    def _readers(self) -> "_Readers":
        return _Readers(self.fields)

    def _occurred_at(self, document: Document) -> str | None:
        return next(
            (instant for get in self._readers.times if (instant := to_rfc3339(get(document)))), None
        )

    def _tenant(self, document: Document) -> str:
        """The tenant at the path of the mapping, or else in a field of this name.

        A vendor's own idea of a tenant is about the vendor's account. A `tenant` beside it was
        added by somebody who knows whose event this is.
        """
        if "tenant" in self.fields:
            return as_tenant(self._readers.tenant(document))
        return as_explicit_tenant(document.get("tenant")) or as_tenant(None)

    def _stated(self, document: Document) -> Stated | None:
        """What the mapping finds. If it names no place at all, the usual places are looked at."""
        if not self._readers.stated:
            return guess_stated(document)
        read = {field: read(document) for field, read in self._readers.stated.items()}
        sent = {field: values for field, values in read.items() if values is not None}
        if not sent:
            return None
        stated = stated_from(**{field: word for field, (word, _) in sent.items()})
        originals = {field: original for field, (_, original) in sent.items()}
        return msgspec.structs.replace(stated, original=originals)

    def _key_fields(self, document: Document, kind: Kind, source: str | None) -> dict[str, str]:
        """What the model reads of the document: of an alert, also which product it comes from.

        What a product watches tells the queue of an alert. A ticket is about its words alone.
        """
        texts = {name: read(document) for name, read in self._readers.read}
        if kind != "ticket" and source is not None:
            texts = {PRODUCT: source, **texts}
        return {
            name: text[:MAX_KEY_FIELD_CHARS]
            for name, text in texts.items()
            if text and not says_level(name, text)
        }


class _Readers:
    """The compiled fields of a mapping: functions from a document to a value or None."""

    def __init__(self, fields: Table[str, Values]) -> None:
        def reader(field: str) -> Converter:
            return _reader(_listed(fields.get(field, [])), field)

        self.id = reader("id")
        self.text, self.title, self.body = reader("text"), reader("title"), reader("body")
        self.source, self.tenant, self.link = reader("source"), reader("tenant"), reader("link")
        self.times = [
            _raw(value, "occurred_at") for value in _listed(fields.get("occurred_at", []))
        ]
        self.stated = {
            field: _stated_reader(_listed(fields[field]), field)
            for field in get_args(StatedField)
            if field in fields
        }
        self.read = [
            (_name(value), _reader([value], "read")) for value in _listed(fields.get("read", []))
        ]


def _reader(values: list[Value], field: str) -> Converter:
    """The first of `values` that can be what the field takes."""
    convert = _CONVERTERS.get(field, as_text)
    getters = [_raw(value, field) for value in values]

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
            original = original_text(axis, _raw(_bare(value), axis)(document))
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


def _raw(value: Value, field: str) -> Getter:
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


def _first(getters: list[Getter], document: Document) -> object:
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


_CONVERTERS: dict[str, Converter] = {
    "id": _as_key,
    "text": _words,
    "title": _words,
    "body": _words,
    "link": _as_link,
    "tenant": lambda value: value,
    "occurred_at": to_rfc3339,
    "read": _key_text,
}


def _listed(values: Values | list[Any]) -> list[Value]:
    return values if isinstance(values, list) else [values]


def _bare(value: Value) -> Value:
    """The value without what changes it."""
    if isinstance(value, str):
        return value
    return msgspec.structs.replace(value, map=None, at_least=None)


def _name(value: Value) -> str:
    """What the model reads before a value: its name, or else the last key of its path."""
    if isinstance(value, str):
        return value.rsplit(".", 1)[-1]
    return value.name or (value.path or "").rsplit(".", 1)[-1]


def _place(value: Value) -> str:
    """Where a value comes from, for people to read."""
    if isinstance(value, str):
        return value
    if value.join is not None:
        return value.separator.join(_place(part) for part in value.join)
    if value.literal is not None:
        return f'"{value.literal}"'
    return value.path or value.jmespath or ""


def _matches(value: Any, expected: str | float | Condition) -> bool:
    if isinstance(expected, Condition):
        return expected.holds(value)
    if expected is True:
        return value is not None and value is not False
    return _equals(value, expected)


def _equals(value: Any, expected: str | float) -> bool:
    # `True == 1` in Python, but in JSON they are different values.
    return bool(value == expected) and isinstance(value, bool) == isinstance(expected, bool)
