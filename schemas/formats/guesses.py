"""Good guesses about a document that no format describes.

The usual names of an id, a title, a description, a time, a source and a link are looked for, first
in the document itself and then in the objects in it. The guesses depend on the document alone and
are bounded, so the same document always gives the same event.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from schemas.errors import InvalidEvent
from schemas.event import DEFAULT_TENANT, MAX_ID_CHARS, Event, Kind
from schemas.formats import guess_names as names
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.hosts import LINK_NAMES, product_of
from schemas.formats.instants import to_rfc3339
from schemas.formats.links import web_link
from schemas.formats.stated import guess_stated
from schemas.formats.text import rich_text
from schemas.formats.values import as_explicit_tenant, as_text, keep, single_text, unwrapped

MAX_NODES, MAX_DEPTH = 400, 4
MAX_TITLE_CHARS, MAX_PHRASE_CHARS, MAX_TOKEN_CHARS, MAX_SHORT_CHARS = 300, 120, 80, 100
MAX_THING_KEYS = 60

# Azure's Log Analytics writes the type of a value after its name, as in ``alert_id_s``.
_TYPE_ENDING = re.compile(r"_[sdgtb]$")
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
_SMALL_NUMBER = re.compile(r"\d{1,9}")
_TYPE_NUMBER = re.compile(r"\d{1,6}")
_ADDRESS = re.compile(
    r"\A(?:[0-9a-f]*[.:][0-9a-f.:]+|\S+@\S+|\S+\.(?:local|lan|internal|corp))", re.IGNORECASE
)
_LONGEST_KEY = 100
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


class _Leaf(NamedTuple):
    """A value of the document: the letters of its key, its path, and how deep it is.

    `parent` are the letters of the key of the object around it, empty at the top. `carried` says
    that it belongs to the event itself, not to something in it.
    """

    key: str
    parent: str
    path: str
    value: Any
    depth: int
    carried: bool


class _Node(NamedTuple):
    """An object of the document, and where it is."""

    prefix: str
    letters: str
    value: Document
    carried: bool


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
        _letters(key) in _WORDS and as_text(value) is not None
        for key, value in islice(document.items(), MAX_NODES)
    )


def names_itself(document: Document) -> bool:
    """Whether the top of the document has an id or a time, as an event has and a list has not."""
    return any(
        (letters := _letters(key)) in names.IDS or letters in names.TIMES
        for key in islice(document, MAX_NODES)
    )


_WORDS = frozenset((*names.TITLES, *names.BODIES))


class _Candidates:
    """The values that may fill each field, sorted by how likely they do."""

    def __init__(self, document: Document) -> None:
        self._found: dict[str, list[tuple[tuple[bool, int, int], int, _Leaf]]] = {}
        self.links: list[_Leaf] = []
        for place, leaf in enumerate(_leaves(document)):
            if leaf.key in _BY_NAME:
                self._add(place, leaf, leaf.key, leaf.carried)
            if leaf.parent and leaf.parent + leaf.key in _BY_NAME:
                self._add(place, leaf, leaf.parent + leaf.key, carried=True)
            if leaf.carried and leaf.depth < MAX_DEPTH - 1 and leaf.key.endswith(LINK_NAMES):
                self.links.append(leaf)
        for candidates in self._found.values():
            candidates.sort(key=lambda candidate: candidate[:2])

    def _add(self, place: int, leaf: _Leaf, name: str, carried: bool) -> None:
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
        self, field: str, convert: Callable[[_Leaf], str | None], besides: str | None = None
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
        "body": candidates.best("body", _as_words, besides=title.path if title else None),
        "occurred_at": candidates.best("occurred_at", _as_time),
        "source": (
            candidates.best("source", _as_source)
            or _table_source(document)
            or _linked_source(candidates.links)
            or candidates.best("weak_source", _as_source)
        ),
        "link": candidates.best("link", _as_link),
        "id": _id(document, candidates, source, is_alert=kind == "alert"),
    }
    return {field: guess for field, guess in guesses.items() if guess is not None}


def _title(candidates: _Candidates) -> _Guess | None:
    return (
        candidates.best("title", _as_title)
        or candidates.best("phrase", _as_phrase)
        or candidates.best("token", _as_token)
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
    guess = candidates.best("id", _as_id_beside_mail if is_alert else _as_id)
    if is_alert and guess is not None and "." in guess.path and _is_change(document):
        guess = candidates.best("id", _as_id_beside_thing)
    if guess is None or not _SMALL_NUMBER.fullmatch(guess.value):
        return guess
    qualifier = candidates.best("qualifier", _as_short)
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


def _linked_source(leaves: list[_Leaf]) -> _Guess | None:
    """The product whose console or API the document links to."""
    for leaf in leaves:
        product = product_of(leaf.key, leaf.value)
        if product is not None:
            return _Guess(product, leaf.path)
    return None


def _leaves(document: Document) -> Iterator[_Leaf]:
    """The values of the document and of the objects in it, level by level, at most `MAX_NODES`."""
    level = [_Node("", "", document, carried=True)]
    left = MAX_NODES
    for depth in range(MAX_DEPTH):
        inner: list[_Node] = []
        for node in level:
            is_thing = depth > 0 and node.carried and _is_thing(node.value)
            for key, value in islice(node.value.items(), left):
                left -= 1
                path = node.prefix + key
                letters, parent, below, carried = _letters(key), node.letters, 0, node.carried
                if "." in key:
                    place = _place(key)
                    if place is None:
                        continue
                    letters, parent, below, own = place
                    carried = carried and own
                yield _Leaf(letters, parent, path, value, depth + below, carried and not is_thing)
                child = value[0] if isinstance(value, list) and len(value) == 1 else value
                if isinstance(child, dict) and letters not in names.PARTS:
                    is_carrier = carried and letters in names.CARRIERS
                    inner.append(_Node(f"{path}.", letters, child, is_carrier))
        level = inner


@lru_cache(maxsize=4096)
def _place(key: str) -> tuple[str, str, int, bool] | None:
    """Where a dotted key such as ``alert.rule.name`` stands, as if its objects were nested.

    The letters of its last part and of the part before it, how many parts are before it, and
    whether all of these are the event itself. None if one of them takes part in the event.
    """
    parts = [_letters(part) for part in key[:_LONGEST_KEY].split(".")]
    before = parts[:-1]
    if not names.PARTS.isdisjoint(before):
        return None
    return parts[-1], parts[-2], len(before), names.CARRIERS.issuperset(before)


def _is_change(document: Document) -> bool:
    """Whether the top says that something was created, updated or deleted."""
    return any(
        isinstance(value, str)
        and _letters(key) in names.CHANGED_BY
        and value[:MAX_SHORT_CHARS].lower().endswith(names.CHANGES)
        for key, value in islice(document.items(), MAX_THING_KEYS)
    )


def _is_thing(node: Document) -> bool:
    """Whether an object is a person or a computer, whose id is not that of the event."""
    keys = {_letters(key) for key in islice(node, MAX_THING_KEYS)}
    return not keys.isdisjoint(names.THINGS) and keys.isdisjoint(names.TITLES)


def _letters(key: str) -> str:
    return _letters_of(key[:40])


@lru_cache(maxsize=4096)  # Most documents of a topic have the same keys.
def _letters_of(key: str) -> str:
    return _NOT_LETTERS.sub("", _TYPE_ENDING.sub("", key).lower())


def _as_title(leaf: _Leaf) -> str | None:
    text = _as_words(leaf)
    if text is None or not any(character.isalpha() for character in text[:MAX_TITLE_CHARS]):
        return None
    longest = MAX_TITLE_CHARS if _is_phrase(text[:MAX_TITLE_CHARS]) else MAX_TOKEN_CHARS
    return text if len(text) <= longest else None


def _as_phrase(leaf: _Leaf) -> str | None:
    """A title of more than one word; the longer texts of a description are its body."""
    text = _as_title(leaf) if not isinstance(unwrapped(leaf.value), dict) else None
    if text is None or len(text) > MAX_PHRASE_CHARS or not _is_phrase(text):
        return None
    return text


def _as_token(leaf: _Leaf) -> str | None:
    text = _as_title(leaf)
    if text is None or text.strip().lower() in names.NO_TITLES or _ADDRESS.fullmatch(text):
        return None
    return text


def _is_phrase(text: str) -> bool:
    return len(text.split(maxsplit=1)) > 1


def _as_words(leaf: _Leaf) -> str | None:
    value = unwrapped(leaf.value)
    if isinstance(value, str):
        return as_text(value)
    return rich_text(value)


def _as_time(leaf: _Leaf) -> str | None:
    value = unwrapped(leaf.value)
    if isinstance(value, dict):
        # {"$date": …} of MongoDB, {"value": …, "display_value": …} of service desks.
        value = next((value[name] for name in names.INNER_TIMES if name in value), None)
    return to_rfc3339(value)


def _as_source(leaf: _Leaf) -> str | None:
    """The name of a product. An address, a person or a channel is no product."""
    value = leaf.value
    if leaf.key == "source" and leaf.parent not in names.SOURCE_PARENTS:
        return None
    if isinstance(value, dict) and leaf.key == "source" and ("type" in value or _is_thing(value)):
        return None
    text = _as_short(leaf)
    if text is None or text.strip().lower() in names.NO_SOURCES or _ADDRESS.fullmatch(text):
        return None
    return text


def _as_short(leaf: _Leaf) -> str | None:
    """A short name, or the full name in an object such as a repository."""
    value = leaf.value
    if isinstance(value, dict):
        found = (value.get(name) for name in ("full_name", "path_with_namespace", "name", "key"))
        value = next((name for name in found if isinstance(name, str)), None)
    if not isinstance(value, str) or len(value) > MAX_SHORT_CHARS or web_link(value):
        return None
    return as_text(value)


def _as_id(leaf: _Leaf) -> str | None:
    value = leaf.value
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return None
    text = as_text(single_text(value))
    if text is None or len(text) > MAX_ID_CHARS:
        return None
    if leaf.parent + leaf.key in names.TYPE_NUMBERS or leaf.key in names.TYPE_NUMBERS:
        return None if _TYPE_NUMBER.fullmatch(text) else text
    return text


def _as_id_beside_thing(leaf: _Leaf) -> str | None:
    return None if leaf.parent in names.HOLDERS else _as_id_beside_mail(leaf)


def _as_id_beside_mail(leaf: _Leaf) -> str | None:
    is_of_mail = leaf.key in names.MAIL_IDS and "@" in str(leaf.value)
    return None if is_of_mail else _as_id(leaf)


def _as_link(leaf: _Leaf) -> str | None:
    return web_link(leaf.value if isinstance(leaf.value, str) else None)


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
