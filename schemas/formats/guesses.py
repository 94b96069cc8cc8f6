"""Good guesses about a document that no format describes.

The usual names of an id, a title, a description, a time, a source and a link are looked for, first
in the document itself and then in the objects in it. The guesses depend on the document alone and
are bounded, so the same document always gives the same event.
"""

import re
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from schemas.errors import InvalidEvent
from schemas.event import DEFAULT_TENANT, Event, Kind
from schemas.formats import guess_names as names
from schemas.formats import guess_values
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.guess_leaves import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_SHORT_CHARS,
    Leaf,
    is_change,
    leaves,
    letters_of,
)
from schemas.formats.hosts import LINK_NAMES, product_of
from schemas.formats.stated import guess_stated
from schemas.formats.values import as_explicit_tenant, as_text, keep, single_text

_SMALL_NUMBER = re.compile(r"\d{1,9}")
_TABLE_ENDING = "_CL"

_TABLES: dict[str, names.Ranks] = {
    "id": names.IDS,
    "title": names.TITLES,
    "phrase": names.PHRASES,
    "token": names.TOKENS,
    "body": names.BODIES,
    "occurred_at": names.TIMES,
    "source": names.SOURCES,
    "weak_source": names.WEAK_SOURCES,
    "qualifier": names.QUALIFIERS,
    "link": names.LINKS,
}
_NEAR_THE_TOP = frozenset(("phrase", "token", "source", "weak_source", "qualifier"))
_OWN = frozenset(("id", "link"))


def _by_name() -> dict[str, tuple[tuple[str, int], ...]]:
    """For each name of a field: what it may fill, and its rank there."""
    every = {name for table in _TABLES.values() for name in table}
    return {
        name: tuple((field, table[name]) for field, table in _TABLES.items() if name in table)
        for name in every
    }


_BY_NAME = _by_name()


class _Guess(NamedTuple):
    value: Any
    path: str


def recognises(document: Document) -> bool:
    """Whether the document has any field. This adapter is the last that is tried."""
    return bool(document)


def read(document: Document, envelope: Envelope) -> Event:
    """Read what can be guessed. The complete document is kept in `event`.

    Raises:
        InvalidEvent: a ticket has no words, or nobody says what kind of event it is.
    """
    guesses = _guess(document, envelope.source, envelope.kind)
    values = {field: guess.value for field, guess in guesses.items()}
    event = Event(
        id=values.get("id") or envelope.id,
        kind=envelope.known_kind(),
        title=values.get("title"),
        body=values.get("body"),
        event=document,
        source=values.get("source") or envelope.source,
        tenant=_tenant(document, envelope),
        occurred_at=values.get("occurred_at") or envelope.occurred_at,
        stated=guess_stated(document),
        link=values.get("link"),
        attributes=_attributes(document, envelope),
    )
    if event.kind == "ticket" and not (event.title or event.body):
        raise InvalidEvent(
            "the document has no words that a person wrote; send the ticket's title or text, or "
            "describe the format in [[mappings]]",
            stage="validate",
        )
    return event


def found(document: Document) -> dict[str, str]:
    """For each field that could be guessed: its path."""
    return {field: guess.path for field, guess in _guess(document).items()}


def title_of(document: Document) -> str | None:
    """The title that can be guessed."""
    guess = _title(_Candidates(document))
    return guess.value if guess else None


def has_words(document: Document) -> bool:
    """Whether the top of the document has a title or a text of its own."""
    return any(
        letters_of(key) in _WORDS and as_text(value) is not None
        for key, value in islice(document.items(), MAX_NODES)
    )


def names_itself(document: Document) -> bool:
    """Whether the top of the document has an id or a time, as an event has and a list has not."""
    return any(
        (letters := letters_of(key)) in names.IDS or letters in names.TIMES
        for key in islice(document, MAX_NODES)
    )


_WORDS = frozenset((*names.TITLES, *names.BODIES))


class _Candidates:
    """The values that may fill each field, sorted by how likely they do."""

    def __init__(self, document: Document) -> None:
        self._found: dict[str, list[tuple[tuple[bool, int, int], int, Leaf]]] = {}
        self.links: list[Leaf] = []
        for place, leaf in enumerate(leaves(document)):
            if leaf.key in _BY_NAME:
                self._add(place, leaf, leaf.key, leaf.carried)
            if leaf.parent and leaf.parent + leaf.key in _BY_NAME:
                self._add(place, leaf, leaf.parent + leaf.key, carried=True)
            if leaf.carried and leaf.depth < MAX_DEPTH - 1 and leaf.key.endswith(LINK_NAMES):
                self.links.append(leaf)
        for candidates in self._found.values():
            candidates.sort(key=lambda candidate: candidate[:2])

    def _add(self, place: int, leaf: Leaf, name: str, carried: bool) -> None:
        for field, rank in _BY_NAME[name]:
            if (field in _NEAR_THE_TOP and leaf.depth > 1) or (field in _OWN and not carried):
                continue
            if not carried and (field in ("phrase", "token") or name == "displayname"):
                continue
            if field == "occurred_at" and leaf.parent in names.RULES:
                continue
            order = (not carried, leaf.depth, rank)
            self._found.setdefault(field, []).append((order, place, leaf))

    def best(
        self, field: str, convert: Callable[[Leaf], str | None], besides: str | None = None
    ) -> _Guess | None:
        """The best value that `convert` can read, except that at the path `besides`."""
        for _, _, leaf in self._found.get(field, ()):
            value = convert(leaf) if leaf.path != besides else None
            if value is not None:
                return _Guess(value, leaf.path)
        return None


def _guess(
    document: Document, source: str | None = None, kind: Kind | None = None
) -> dict[str, _Guess]:
    candidates = _Candidates(document)
    title = _title(candidates)
    guesses = {
        "title": title,
        "body": candidates.best(
            "body", guess_values.as_words, besides=title.path if title else None
        ),
        "occurred_at": candidates.best("occurred_at", guess_values.as_time),
        "source": (
            candidates.best("source", guess_values.as_source)
            or _table_source(document)
            or _linked_source(candidates.links)
            or candidates.best("weak_source", guess_values.as_source)
        ),
        "link": candidates.best("link", guess_values.as_link),
        "id": _id(document, candidates, source, is_alert=kind == "alert"),
    }
    return {field: guess for field, guess in guesses.items() if guess is not None}


def _title(candidates: _Candidates) -> _Guess | None:
    return (
        candidates.best("title", guess_values.as_title)
        or candidates.best("phrase", guess_values.as_phrase)
        or candidates.best("token", guess_values.as_token)
    )


def _id(
    document: Document, candidates: _Candidates, source: str | None, *, is_alert: bool
) -> _Guess | None:
    """The id; a small number is qualified, because two senders may both have an alert 12.

    Args:
        document: the document.
        candidates: what may be the id.
        source: that of the wrapper, for a document that names none.
        is_alert: whether the event is an alert. Then the ids of what it is about are not its own:
            one mail, or one changed thing, may have many alerts. A ticket is the mail or the thing.
    """
    guess = candidates.best(
        "id", guess_values.as_id_beside_mail if is_alert else guess_values.as_id
    )
    if is_alert and guess is not None and "." in guess.path and is_change(document):
        guess = candidates.best("id", guess_values.as_id_beside_thing)
    if guess is None or not _SMALL_NUMBER.fullmatch(guess.value):
        return guess
    qualifier = candidates.best("qualifier", guess_values.as_short)
    if qualifier is None and source is None:
        return guess
    if qualifier is None:
        qualifier = _Guess(source, "the wrapper's source")
    return _Guess(f"{qualifier.value}#{guess.value}", f"{qualifier.path}#{guess.path}")


def _table_source(document: Document) -> _Guess | None:
    """The product whose own table of Azure's Log Analytics the document is from."""
    table = document.get("Type")
    if not isinstance(table, str) or not table.endswith(_TABLE_ENDING):
        return None
    name = table.removesuffix(_TABLE_ENDING)
    return _Guess(name, "Type") if 0 < len(name) <= MAX_SHORT_CHARS else None


def _linked_source(links: list[Leaf]) -> _Guess | None:
    """The product whose console or API the document links to."""
    for leaf in links:
        product = product_of(leaf.key, leaf.value)
        if product is not None:
            return _Guess(product, leaf.path)
    return None


def _tenant(document: Document, envelope: Envelope) -> str:
    named = as_explicit_tenant(single_text(document.get("tenant")))
    return envelope.tenant or named or DEFAULT_TENANT


def _attributes(document: Document, envelope: Envelope) -> dict[str, Any]:
    """Those of the envelope, and those that somebody added to the document under our name."""
    attributes = dict(envelope.attributes)
    sent = document.get("attributes")
    if isinstance(sent, dict):
        for name, value in sent.items():
            keep(attributes, name, value)
    return attributes
