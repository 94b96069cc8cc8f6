"""Where a document of an unknown format states a severity, a priority or a status.

Only the names of fields are known: the usual ones, as they are in English. The field that is
nearest to the top counts, and of several at the same depth the most serious.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain, islice
from typing import Any, NamedTuple

from schemas.formats.level_words import LEVELS, STATED, STATES, our_word
from schemas.formats.values import as_text, unwrapped
from schemas.visible_text import one_line

MAX_ORIGINAL_CHARS = 100
MAX_DEPTH = 5
"""How many objects deep a document is searched."""
MAX_FIELDS = 2_000
"""How many fields of a document are looked at, those at the top first."""

# Names in small letters, without what stands between their words.
_STRONG: Mapping[str, tuple[str, ...]] = {
    "severity": ("severity", "sev", "criticality"),
    "priority": ("priority", "prio", "urgency"),
    "status": ("status",),
}
# These may be about something else. They count only with a word that is known, and only if no
# strong name has one.
_WEAK: Mapping[str, tuple[str, ...]] = {
    "severity": ("level", "risk", "risklevel", "threatlevel"),
    "status": ("state",),
}
# ``alert_severity``, ``severityName``: whose it is, and what of it.
_OWNERS = (
    *("", "alert", "event", "finding", "incident", "issue", "ticket", "case", "detection"),
    *("threat", "rule", "problem", "vendor", "device", "notification", "workflow", "alarm"),
)
_ASPECTS = ("", "name", "label", "text", "level", "string", "value", "rating")
# Inside an object such as ``{"priority": {"id": 1, "name": "High"}}``, the best first.
_INNER_NAMES = (
    *("label", "name", "displayname", "value", "text", "title", "summary", "level", "normalized"),
    *("key", "rating"),
)
_OCSF_IDS = {1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical", 6: "critical"}
_BETWEEN_WORDS = re.compile(r"[\W_]+")
# Azure's Log Analytics writes the type of a value after its name, as in ``severity_s``.
_TYPE_ENDING = re.compile(r"_[sdgtb]$")
_MAX_NAME_CHARS = 64


class _Place(NamedTuple):
    """What a field of some name states."""

    axis: str
    weak: bool


class Statement(NamedTuple):
    """What a sender states on one axis: our word for it, if there is one, and its own value."""

    word: str | None
    text: str


def _places() -> dict[str, _Place]:
    bases = [
        (base, _Place(axis, weak))
        for weak, table in ((True, _WEAK), (False, _STRONG))
        for axis, names in table.items()
        for base in names
    ]
    return {
        owner + base + aspect: place
        for base, place in bases
        for owner in _OWNERS
        for aspect in _ASPECTS
    }


_PLACES = _places()


def says_level(path: str, text: str) -> bool:
    """Whether a field is where a sender states a severity or a priority, and holds one.

    The small model must not read such a field: it would copy the sender's word into its own label.

    Args:
        path: the dotted path of the field. Its last two names count, as in ``priority.name``.
        text: what the field holds.
    """
    names = path.rsplit(".", 2)[-2:]
    places = [place for name in names if (place := _PLACES.get(_folded_name(name)))]
    if not any(place.axis in LEVELS for place in places):
        return False
    return any(our_word(axis, text) is not None for axis in LEVELS)


def original_text(axis: str, value: object) -> str | None:
    """What a sender states, as one visible line of bounded length; None if it is nothing.

    Args:
        axis: ``severity``, ``priority`` or ``status``.
        value: text, a number, an object such as ``{"name": "High"}``, or a list of one of these.
    """
    value = unwrapped(value)
    if isinstance(value, dict):
        value = _inner_value(axis, value)
    text = as_text(value)
    if text is None:
        return None
    # The first cut bounds the work.
    return one_line(text[: 4 * MAX_ORIGINAL_CHARS], MAX_ORIGINAL_CHARS) or None


def statements(document: Mapping[str, Any]) -> dict[str, Statement]:
    """What a document states, by axis. The work is bounded."""
    best: dict[str, tuple[tuple[int, ...], Statement]] = {}
    for depth, key, value in islice(_fields(document), MAX_FIELDS):
        place = _PLACES.get(_folded_name(key))
        text = original_text(place.axis, value) if place else None
        if place is None or text is None:
            continue
        word = our_word(place.axis, text)
        if word is None and (place.weak or place.axis == "status"):
            continue  # such a field may hold any word
        rank = (word is None, place.weak, depth, -_seriousness(place.axis, word))
        if place.axis not in best or rank < best[place.axis][0]:
            best[place.axis] = (rank, Statement(word, text))
    found = {axis: best[axis][1] for axis in STATED if axis in best}
    return _with_ocsf(document, found)


def _with_ocsf(document: Mapping[str, Any], found: dict[str, Statement]) -> dict[str, Statement]:
    """With the `severity_id` of OCSF, whose scale is known, if there is no word."""
    number = document.get("severity_id")
    if "class_uid" not in document or isinstance(number, bool) or not isinstance(number, int):
        return found
    severity = found.get("severity")
    if number not in _OCSF_IDS or (severity is not None and severity.word is not None):
        return found
    return found | {"severity": Statement(_OCSF_IDS[number], str(number))}


def _inner_value(axis: str, node: dict[Any, Any]) -> object:
    """What an object says: a word that is known goes before another."""
    by_name = {_folded_name(key): value for key, value in islice(node.items(), MAX_FIELDS)}
    texts = [
        text
        for name in _INNER_NAMES
        if (text := as_text(by_name.get(name))) and len(text) <= MAX_ORIGINAL_CHARS
    ]
    known = (text for text in texts if our_word(axis, text))
    return next(known, next(iter(texts), None))


def _seriousness(axis: str, word: str | None) -> int:
    order = LEVELS.get(axis, STATES)
    return order.index(word) if word in order else -1


def _fields(document: Mapping[str, Any]) -> Iterator[tuple[int, object, Any]]:
    """The fields of objects with their depth, those at the top first.

    Of lists, only those of one object are entered: longer ones are about other things.
    """
    level: list[Mapping[str, Any]] = [document]
    for depth in range(MAX_DEPTH):
        below: list[Mapping[str, Any]] = []
        for key, value in islice(chain.from_iterable(node.items() for node in level), MAX_FIELDS):
            yield depth, key, value
            inner = unwrapped(value)
            if isinstance(inner, dict):
                below.append(inner)
        level = below


def _folded_name(key: object) -> str:
    """The last part of a dotted name, in small letters, without what stands between its words."""
    if not isinstance(key, str) or len(key) > _MAX_NAME_CHARS:
        return ""
    return _fold_name(key)


@lru_cache(maxsize=4096)
def _fold_name(key: str) -> str:
    return _BETWEEN_WORDS.sub("", _TYPE_ENDING.sub("", key).rpartition(".")[2].lower())
