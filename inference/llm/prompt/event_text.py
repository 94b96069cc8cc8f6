"""Writes what an LLM is shown of an event."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.event import Event
from schemas.visible_text import one_line, truncated, visible_text

MAX_VALUE_CHARS = 500
"""The limit for one text in a vendor's document.

One encoded payload must not push every other field out.
"""
MAX_DEPTH = 12
"""Deeper objects and lists in a document are shown as an ellipsis."""


def event_text(event: Event, max_chars: int) -> str:
    """Return what is shown of an event, in at most `max_chars` characters.

    First come title, text and body. Then come source, time, vendor document and attributes, the
    last two as compact JSON. The id and the tenant are never shown.

    The texts leave a quarter of the room to the rest, so that a long text cannot hide the fields.
    The work is limited by `max_chars`, whatever the size of the event.
    """
    facts = truncated("".join(f"\n{fact}" for fact in _facts(event, max_chars)), max_chars)
    texts = truncated(_texts(event, max_chars), max_chars - min(len(facts), max_chars // 4))
    return (texts + truncated(facts, max_chars - len(texts))).lstrip("\n")


def scalar_json(value: Any) -> str:
    """Return the JSON of a value that is not an object or a list; a long text is cut."""
    if isinstance(value, str):
        value = truncated(visible_text(value[: 2 * MAX_VALUE_CHARS]), MAX_VALUE_CHARS)
    return json.dumps(value, ensure_ascii=False)


def _texts(event: Event, max_chars: int) -> str:
    """Title, text and body; equal ones are shown once.

    White space is collapsed, so that padding cannot push the rest out.
    """
    collapsed = [
        _collapse((text or "")[: 4 * max_chars]) for text in (event.title, event.text, event.body)
    ]
    return "\n".join(dict.fromkeys(filter(None, collapsed)))


def _collapse(text: str) -> str:
    lines = visible_text(text).split("\n")
    return "\n".join(" ".join(line.split()) for line in lines if line.strip())


def _facts(event: Event, max_chars: int) -> Iterator[str]:
    for name, value in (("source", event.source), ("occurred_at", event.occurred_at)):
        if value:
            yield f"{name}: {one_line(value[:MAX_VALUE_CHARS], MAX_VALUE_CHARS)}"
    for name, document in (("document", event.event), ("attributes", event.attributes)):
        if document:
            yield f"{name}: {_document_json(document, max_chars)}"


def _document_json(document: Mapping[str, Any], max_chars: int) -> str:
    """JSON without spaces; it is written only until there is enough of it."""
    parts, chars = [], 0
    for part in _json_parts(document):
        parts.append(part)
        chars += len(part)
        if chars > max_chars:
            break
    return truncated("".join(parts), max_chars)


def _json_parts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _object_parts(value, depth)
    elif isinstance(value, list):
        yield from _list_parts(value, depth)
    else:
        yield scalar_json(value)


def _object_parts(value: dict[Any, Any], depth: int) -> Iterator[str]:
    if not value:
        yield "{}"
        return
    if depth >= MAX_DEPTH:
        yield "{…}"
        return
    before = "{"
    for key, inner in value.items():
        yield f"{before}{scalar_json(key)}:"
        yield from _json_parts(inner, depth + 1)
        before = ","
    yield "}"


def _list_parts(value: list[Any], depth: int) -> Iterator[str]:
    if not value:
        yield "[]"
        return
    if depth >= MAX_DEPTH:
        yield "[…]"
        return
    before = "["
    for inner in value:
        yield before
        yield from _json_parts(inner, depth + 1)
        before = ","
    yield "]"
