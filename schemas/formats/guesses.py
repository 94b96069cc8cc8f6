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
from schemas.event import DEFAULT_TENANT, MAX_ID_CHARS, Event
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.links import web_link
from schemas.formats.stated import guess_stated
from schemas.formats.text import rich_text
from schemas.formats.values import as_explicit_tenant, as_text, keep, single_text, unwrapped

MAX_NODES, MAX_DEPTH = 400, 4
MAX_TITLE_CHARS, MAX_SHORT_CHARS = 300, 100

_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
_SMALL_NUMBER = re.compile(r"\d{1,9}")


def _names(words: str) -> dict[str, int]:
    return {name: rank for rank, name in enumerate(words.split())}


_IDS = _names(
    "id eventid alertid findingid incidentid ticketid caseid issueid detectionid messageid "
    "notificationid alertuuid eventuuid uuid guid uid externalid ticketnumber incidentnumber "
    "casenumber number"
)
_TITLES = _names(
    "title subject headline alerttitle alertname summary shortdescription rulename rulenm "
    "detectionname detectname threatname signature signaturename alarmname incidentname "
    "findingname eventtitle displayname problem problemtitle attackname check checkname"
)
# Names that also things have which are not what happened: only near the top.
_WEAK_TITLES = _names("name detection rule alert event eventname reason message msg type category")
_BODIES = _names(
    "description desc longdescription body bodytext content text details detail message msg "
    "alertmessage eventmessage detectdescription explanation reason summary comment notes fulllog "
    "rawmessage"
)
_TIMES = _names(
    "occurredat eventtime timestamp time datetime eventtimestamp detectiontime detectedat "
    "detectedtime firstdetected starttime startsat startedat createdat created createddatetime "
    "creationtime createdtime createtime eventcreationtime publishedat date ts firstseen "
    "triggeredat triggeredtime updatedat updated lastseen"
)
_SOURCES = _names(
    "source product productname vendor vendorname deviceproduct provider providername sensor tool "
    "system integration application app generator detector servicename"
)
_QUALIFIERS = _names("source repository repo project product application app account host")
_LINKS = _names(
    "url link htmlurl weburl permalink alerturl incidenturl issueurl eventurl consoleurl "
    "console externalurl href alertlink"
)
# Objects that are the event itself in a wrapper. A nested id is that of the event
# only in these: the id of a rule, for example, is the same in all of its alerts.
_CARRIERS = _names(
    "alert event finding incident issue ticket case detail details data payload objectattributes "
    "notification detection threatinfo alertinfo record message item object fields attributes "
    "result body content"
)
# Objects that say who or what takes part. Their names and ids are not those of the event.
_PARTS = frozenset(
    _names(
        "user actor author creator owner assignee requester reporter sender recipient account host "
        "agent manager device endpoint asset entity entities resource service process file "
        "customer contact organization organisation team group image cluster node via avatar "
        "avatarurls decoder"
    )
)


class _Leaf(NamedTuple):
    """A value of the document: the letters of its key, its path, and how deep it is.

    `carried` says that it belongs to the event itself, not to something in it.
    """

    key: str
    path: str
    value: Any
    depth: int
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
    guesses = _guess(document, envelope.source)
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


def has_words(document: Document) -> bool:
    """Whether the top of the document has a title or a text of its own."""
    names = (*_TITLES, *_BODIES)
    return any(
        _letters(key) in names and as_text(value) is not None for key, value in document.items()
    )


def _guess(document: Document, source: str | None = None) -> dict[str, _Guess]:
    leaves = list(_leaves(document))
    title = _best(leaves, _TITLES, _as_title) or _best(_top(leaves), _WEAK_TITLES, _as_title)
    others = [leaf for leaf in leaves if title is None or leaf.path != title.path]
    guesses = {
        "title": title,
        "body": _best(others, _BODIES, _as_words),
        "occurred_at": _best(leaves, _TIMES, to_rfc3339),
        "source": _best(_top(leaves), _SOURCES, _as_short),
        "link": _best([leaf for leaf in leaves if leaf.carried], _LINKS, _as_link),
        "id": _id(leaves, source),
    }
    return {field: guess for field, guess in guesses.items() if guess is not None}


def _id(leaves: list[_Leaf], source: str | None) -> _Guess | None:
    """The id; a small number is qualified, because two senders may both have an alert 12.

    `source` is that of the wrapper, for a document that names none.
    """
    guess = _best([leaf for leaf in leaves if leaf.carried], _IDS, _as_id)
    if guess is None or not _SMALL_NUMBER.fullmatch(guess.value):
        return guess
    qualifier = _best(_top(leaves), _QUALIFIERS, _as_short)
    if qualifier is None and source is None:
        return guess
    if qualifier is None:
        qualifier = _Guess(source, "the wrapper's source")
    return _Guess(f"{qualifier.value}#{guess.value}", f"{qualifier.path}#{guess.path}")


def _best(
    leaves: list[_Leaf], names: dict[str, int], convert: Callable[[object], str | None]
) -> _Guess | None:
    """The value nearest to the top; of several there, the one with the most usual name."""
    named = [leaf for leaf in leaves if leaf.key in names]
    for leaf in sorted(named, key=lambda leaf: (leaf.depth, names[leaf.key])):
        value = convert(leaf.value)
        if value is not None:
            return _Guess(value, leaf.path)
    return None


def _top(leaves: list[_Leaf]) -> list[_Leaf]:
    return [leaf for leaf in leaves if leaf.depth <= 1]


def _leaves(document: Document) -> Iterator[_Leaf]:
    """The values of the document and of the objects in it, level by level, at most `MAX_NODES`."""
    level: list[tuple[str, Document, bool]] = [("", document, True)]
    left = MAX_NODES
    for depth in range(MAX_DEPTH):
        inner: list[tuple[str, Document, bool]] = []
        for prefix, node, carried in level:
            for key, value in islice(node.items(), left):
                left -= 1
                letters, path = _letters(key), f"{prefix}{key}"
                yield _Leaf(letters, path, value, depth, carried)
                child = unwrapped(value)
                if isinstance(child, dict) and letters not in _PARTS:
                    inner.append((f"{path}.", child, carried and letters in _CARRIERS))
        level = inner


def _letters(key: str) -> str:
    return _letters_of(key[:40])


@lru_cache(maxsize=4096)  # Most documents of a topic have the same keys.
def _letters_of(key: str) -> str:
    return _NOT_LETTERS.sub("", key.lower())


def _as_title(value: object) -> str | None:
    text = _as_words(value)
    if text is None or not any(character.isalpha() for character in text[:MAX_TITLE_CHARS]):
        return None
    return text if len(text) <= MAX_TITLE_CHARS else None


def _as_words(value: object) -> str | None:
    value = unwrapped(value)
    if isinstance(value, str):
        return as_text(value)
    return rich_text(value)


def _as_short(value: object) -> str | None:
    """A short name, or the full name in an object such as a repository."""
    if isinstance(value, dict):
        names = (value.get(name) for name in ("full_name", "path_with_namespace", "name", "key"))
        value = next((name for name in names if isinstance(name, str)), None)
    if not isinstance(value, str) or len(value) > MAX_SHORT_CHARS or web_link(value):
        return None
    return as_text(value)


def _as_id(value: object) -> str | None:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return None
    text = as_text(single_text(value))
    return text if text is not None and len(text) <= MAX_ID_CHARS else None


def _as_link(value: object) -> str | None:
    return web_link(value if isinstance(value, str) else None)


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
