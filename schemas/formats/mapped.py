"""The mapping language: how a vendor's document is recognised, and where its fields are.

The formats that ship with the product (`schemas/formats/vendors`) and the `[[mappings]]` of a
configuration are written in it. `docs/reference/formats.md` describes it for users.
"""

from functools import cached_property
from typing import Any, Literal, get_args

import msgspec

from schemas.event import Event, Kind, Stated
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.mapping_options import Condition, Values, listed, matches, place_of
from schemas.formats.mapping_values import CONVERTERS, MAX_READ, Readers, first, getter
from schemas.formats.paths import find
from schemas.formats.stated import guess_stated, stated_from
from schemas.formats.stated_fields import says_level
from schemas.formats.values import as_explicit_tenant, as_id, as_tenant, as_text

MappedField = Literal[
    "id", "text", "title", "body", "source", "tenant", "occurred_at", "link",
    "severity", "priority", "status", "read",
]  # fmt: skip

PRODUCT = "product"
"""The key field with the name of the product, in a document that a mapping describes."""
MAX_KEY_FIELD_CHARS = 400


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
        if len(listed(self.fields.get("read", []))) > MAX_READ:
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
            if not matches(find(document, path), expected):
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
        if occurred_at is None and (unread := first(read.times, document)) is not None:
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
            convert = CONVERTERS.get(field, as_text)
            for value in listed(values):
                if convert(getter(value, field)(document)) is not None:
                    places[field] = place_of(value)
                    break
        return places

    @cached_property
    def _readers(self) -> "Readers":
        return Readers(self.fields)

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
