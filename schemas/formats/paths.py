"""Dotted paths into vendor documents."""

from functools import lru_cache
from typing import Any

from schemas.formats.values import as_text


def find(document: object, path: str) -> Any:
    """The value at `path`, None where there is none.

    ``event.kind`` finds ``{"event": {"kind": …}}``, ``{"event.kind": …}`` and any mixture, longest key first, since
    Elastic writes all of them; a number is a position in an array.
    """
    node, rest = document, path
    while rest:
        if isinstance(node, dict):
            key, rest = next(((k, r) for k, r in _cuts(rest) if k in node), ("", ""))
            node = node.get(key) if key else None
        elif isinstance(node, list):
            head, _, rest = rest.partition(".")
            node = node[int(head)] if _is_index(head) and int(head) < len(node) else None
        else:
            return None
    return node


def first_text(document: object, paths: tuple[str, ...]) -> str | None:
    """The first of `paths` that holds something to read."""
    return next(
        (text for path in paths if (text := as_text(find(document, path))) is not None), None
    )


@lru_cache(maxsize=1024)  # Paths come from our tables and the configuration, never from a record.
def _cuts(path: str) -> tuple[tuple[str, str], ...]:
    parts = path.split(".")
    return tuple((".".join(parts[:cut]), ".".join(parts[cut:])) for cut in range(len(parts), 0, -1))


def _is_index(head: str) -> bool:
    return len(head) < len("1000000000") and head.isascii() and head.isdecimal()
