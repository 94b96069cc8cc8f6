"""One line that says what an event is about, for a list or a screen."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from schemas.event import Event
from schemas.visible_text import one_line

MAX_TITLE_CHARS = 200

MAX_READ_CHARS = 2_000
"""How much of a text is looked at."""
MAX_NODES = 500
"""How many objects of a document are looked at."""

# Where documents say what happened, the best first, as the end of the name of a field.
_TELLING = (
    *("title", "summary", "subject", "headline", "alertname", "rulename", "shortdescription"),
    *("name", "message", "msg", "description", "reason", "eventname", "operation", "action"),
    *("category", "type"),
)
_RANKS = {name: rank for rank, name in enumerate(_TELLING)}
_MAX_NAME_CHARS = 64


def plain_title(event: Event) -> str | None:
    """What the event is about: one visible line of at most `MAX_TITLE_CHARS`; None if nothing says.

    It is the title, else the first line of the text or the body, else the most telling field of
    the vendor's document. The sender chose its words: it is event text, like the rest.
    """
    for text in (event.title, event.text, event.body):
        if text and (line := _first_line(text)):
            return line
    fields = [*event.key_fields.values(), _telling_field(event.event or {})]
    return next((line for text in fields if text and (line := _first_line(text))), None)


def _first_line(text: str) -> str | None:
    """The first line with something to see."""
    lines = text[:MAX_READ_CHARS].splitlines()
    return next((line for each in lines if (line := one_line(each, MAX_TITLE_CHARS))), None)


def _telling_field(document: Mapping[str, Any]) -> str | None:
    """The text of the best field; of several equally good ones that nearest to the top."""
    best: tuple[int, str] | None = None
    for name, text in _texts(document):
        rank = _RANKS.get(name)
        if rank is not None and (best is None or rank < best[0]) and _first_line(text):
            best = (rank, text)
    return best[1] if best else None


def _texts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts of a document with the letters of their names, those at the top first."""
    level: list[Any] = [document]
    seen = 0
    while level and seen < MAX_NODES:
        below: list[Any] = []
        for node in level[: MAX_NODES - seen]:
            seen += 1
            for name, value in islice(_items(node), MAX_NODES):
                if isinstance(value, str):
                    yield name, value
                elif isinstance(value, dict | list):
                    below.append(value)
        level = below[:MAX_NODES]


def _items(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, list):
        return (("", value) for value in node)
    return ((_folded_name(key), value) for key, value in node.items())


def _folded_name(key: object) -> str:
    if not isinstance(key, str) or len(key) > _MAX_NAME_CHARS:
        return ""
    return key.rpartition(".")[2].lower().replace("_", "").replace("-", "")
