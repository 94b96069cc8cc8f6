"""The values of a document of an unknown format, level by level, and what they belong to."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from schemas.formats import guess_names as names
from schemas.formats.document import Document

MAX_NODES, MAX_DEPTH = 400, 4
MAX_THING_KEYS = 60
MAX_SHORT_CHARS = 100
_MAX_KEY_CHARS, _MAX_DOTTED_KEY_CHARS = 40, 100

# Azure's Log Analytics writes the type of a value after its name, as in ``alert_id_s``.
_TYPE_ENDING = re.compile(r"_[sdgtb]$")
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")


class Leaf(NamedTuple):
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


def leaves(document: Document) -> Iterator[Leaf]:
    """The values of the document and of the objects in it, level by level, at most `MAX_NODES`."""
    level = [_Node("", "", document, carried=True)]
    left = MAX_NODES
    for depth in range(MAX_DEPTH):
        inner: list[_Node] = []
        for node in level:
            in_thing = depth > 0 and node.carried and is_thing(node.value)
            for key, value in islice(node.value.items(), left):
                left -= 1
                path = node.prefix + key
                letters, parent, below, carried = letters_of(key), node.letters, 0, node.carried
                if "." in key:
                    place = _place(key)
                    if place is None:
                        continue
                    letters, parent, below, own = place
                    carried = carried and own
                yield Leaf(letters, parent, path, value, depth + below, carried and not in_thing)
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
    parts = [letters_of(part) for part in key[:_MAX_DOTTED_KEY_CHARS].split(".")]
    before = parts[:-1]
    if not names.PARTS.isdisjoint(before):
        return None
    return parts[-1], parts[-2], len(before), names.CARRIERS.issuperset(before)


def is_change(document: Document) -> bool:
    """Whether the top says that something was created, updated or deleted."""
    return any(
        isinstance(value, str)
        and letters_of(key) in names.CHANGED_BY
        and value[:MAX_SHORT_CHARS].lower().endswith(names.CHANGES)
        for key, value in islice(document.items(), MAX_THING_KEYS)
    )


def is_thing(node: Document) -> bool:
    """Whether an object is a person or a computer, whose id is not that of the event."""
    keys = {letters_of(key) for key in islice(node, MAX_THING_KEYS)}
    return not keys.isdisjoint(names.THINGS) and keys.isdisjoint(names.TITLES)


def letters_of(key: str) -> str:
    """The key in small letters, without what stands between its words."""
    return _folded(key[:_MAX_KEY_CHARS])


@lru_cache(maxsize=4096)  # Most documents of a topic have the same keys.
def _folded(key: str) -> str:
    return _NOT_LETTERS.sub("", _TYPE_ENDING.sub("", key).lower())
