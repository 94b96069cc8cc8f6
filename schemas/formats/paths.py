"""Dotted paths into vendor documents."""

from functools import cache, lru_cache
from typing import Any

from schemas.codec import decode_json
from schemas.errors import InvalidEvent
from schemas.formats.values import as_text


def find(document: object, path: str) -> Any:
    """The value at `path`, or None if there is none.

    ``event.kind`` finds ``{"event": {"kind": …}}`` and ``{"event.kind": …}``, and longer paths
    find any mixture of the two, because Elastic writes all of them. The longest key that fits is
    used. A number is a position in an array. A path that leads into a string opens the JSON in it.
    """
    node, rest = document, path
    while rest:
        if isinstance(node, str):
            node = json_in(node)
        if isinstance(node, dict):
            if rest in node:
                return node[rest]
            node, rest = _step_into_object(node, rest)
        elif isinstance(node, list):
            node, rest = _step_into_array(node, rest)
        else:
            return None
    return node


def without(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The document without the value at `path`, and without the objects that held nothing else.

    A string on the path that holds JSON becomes what it holds.
    """
    if not path:
        return document
    for key, rest in _cuts(path):
        if key and key in document:
            others = {name: value for name, value in document.items() if name != key}
            remainder = _remainder(document[key], rest) if rest else {}
            return others if remainder in ({}, []) else {**others, key: remainder}
    return document


def _remainder(node: Any, path: str) -> Any:
    if isinstance(node, str) and (opened := json_in(node)) is not None:
        node = opened
    if isinstance(node, dict):
        return without(node, path)
    if isinstance(node, list):
        position, _, rest = path.partition(".")
        at = int(position) if _is_position(position) else len(node)
        inner = [_remainder(each, rest) for each in node[at : at + 1] if rest]
        return [*node[:at], *inner, *node[at + 1 :]]
    return node


def first_text(document: object, paths: tuple[str, ...]) -> str | None:
    """The text at the first of `paths` that has one, or None."""
    for path in paths:
        text = as_text(find(document, path))
        if text is not None:
            return text
    return None


def json_in(text: str) -> Any:
    """The JSON object or array in a string, or None if it holds none, or one beyond the limits."""
    if text[:1] not in ("{", "[") and text.lstrip()[:1] not in ("{", "["):
        return None
    return _open(text)


def forget_opened() -> None:
    """Free the memory of what was opened. Call this at the end of a record."""
    if _open.cache_info().currsize:
        _open.cache_clear()


@lru_cache(maxsize=64)  # Many paths of many mappings lead into the same string.
def _open(text: str) -> Any:
    try:
        return decode_json(text.encode())
    except (InvalidEvent, UnicodeEncodeError):
        return None


def _step_into_object(node: dict[str, Any], path: str) -> tuple[Any, str]:
    """The value of the longest key that `path` begins with, and the rest of the path."""
    for key, rest in _cuts(path):
        if key and key in node:
            return node[key], rest
    return None, ""


def _step_into_array(node: list[Any], path: str) -> tuple[Any, str]:
    position, _, rest = path.partition(".")
    if _is_position(position) and int(position) < len(node):
        return node[int(position)], rest
    return None, ""


@cache  # Paths come from our tables and the configuration, never from a record.
def _cuts(path: str) -> tuple[tuple[str, str], ...]:
    """Every way to cut the path into a key and a rest, the longest key first."""
    parts = path.split(".")
    return tuple((".".join(parts[:cut]), ".".join(parts[cut:])) for cut in range(len(parts), 0, -1))


def _is_position(text: str) -> bool:
    return len(text) < len("1000000000") and text.isascii() and text.isdecimal()
