"""What the model reads of an event: one bounded text, the same in training and in serving.

First line, then the vendor document's most telling fields, then the rest of the text: the fields make the queue
nearly certain, and put after a long text they would be cut off, put before it they would drown what happened.
Ids, timestamps, the sender and the tenant are never part of it: a model that learns them learns the data set, not
the work.
"""

import re
from collections.abc import Iterator
from typing import Any

from inference.model.tokenizer import replace_control_characters
from schemas.event import Event

INPUT_TEXT_FORMAT = "headline-fields-text.2"
"""Names this reading; a model trained on another one is refused. Change it whenever `read` changes."""

MAX_PART_CHARS = 4_000
MAX_FIELDS, MAX_VALUE_CHARS = 8, 40
# A document without any text has to speak for itself.
MAX_FIELDS_ALONE, MAX_VALUE_CHARS_ALONE = 24, 120
MAX_NODES = 1_000
MAX_DEPTH = 8
MAX_LIST = 4
MAX_KEY_CHARS = 64
MAX_INSPECTED_CHARS = 200

# Keys that say what kind of system speaks, across vendors; their fields are read first.
TELLING = (
    "p_log_type", "log_type", "logtype", "sourcetype", "source_type", "log_source", "device_product", "deviceproduct",
    "product", "service", "provider", "eventsource", "eventname", "event_type", "eventtype", "operation",
    "operationname", "action", "type", "category", "data_source", "dataset", "module", "channel", "vendor", "app",
    "application", "resource_type", "proto", "name", "rule", "message",
)  # fmt: skip
# The verdict of one sensor about its own alert; it does not transfer, and a label must not be read off the input.
VERDICTS = {"alert.severity", "alert.category", "severity"}

# Ids, instants, secrets, people, and what a SIEM adds about the record (Panther's ``p_…``), but for whose log it is.
_IDENTIFIER = re.compile(
    r"^p_(?!log_type$)"
    r"|(?:^|_)(?:id|ids|uuid|guid|uid|arn|hash|md5|sha1|sha256|token|timestamp|time|date|at|serial|fingerprint)$"
    r"|(?:user|org|account|device|session|request|event|tenant|object|client|group|key|source|project)_?ids?$"
    r"|(?:^|_)(?:e?mail|user|user_?name|tenant)$",
    re.IGNORECASE,
)
_CAMEL_IDENTIFIER = re.compile(
    r"[a-z](?:Id|ID|Ids|IDs|Uuid|Guid|Arn|Hash|Time|Timestamp|Date|Token)$"
)
_OPAQUE = re.compile(
    r"^[\W\d_]*$|[0-9a-fA-F]{16}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-|^\d{4}-\d\d-\d\d[T ]|^(?:True|False)$|^\S+@\S+$"
)
_RANK = {key: rank for rank, key in enumerate(TELLING)}


def render(event: Event) -> str:
    """The text the encoder is given: pure, bounded, and without control characters; empty if there is nothing."""
    headline, _, rest = plain_text(event).partition("\n")
    described = fields(event.event or {}, headline)
    return "\n".join(
        line for line in (headline, "; ".join(described), " ".join(rest.split())) if line
    )


def fields(document: dict[str, Any], headline: str = "") -> list[str]:
    """``key value`` of a document's telling leaves, most telling first; more and longer ones without a `headline`."""
    count, length = (
        (MAX_FIELDS, MAX_VALUE_CHARS) if headline else (MAX_FIELDS_ALONE, MAX_VALUE_CHARS_ALONE)
    )
    told: dict[str, int] = {}
    for path, value in leaves(document):
        key = path.rsplit(".", 1)[-1]
        if value not in headline:
            told.setdefault(_clean(f"{key} {value[:length]}"), _RANK.get(key.lower(), len(_RANK)))
    return sorted(told, key=lambda field: told[field])[:count]


def plain_text(event: Event) -> str:
    """Title, text and body, a line each, each once."""
    return "\n".join(_parts(event))


def leaves(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The path and text of every text in a vendor's document, in its order; "" for a text that must not be read."""
    for _, (path, value) in zip(range(MAX_NODES), _nodes(document, ""), strict=False):
        if value and path:
            yield path, value if _is_telling(path, path.rsplit(".", 1)[-1], value) else ""


def _parts(event: Event) -> Iterator[str]:
    """Title, text and body, each once, cut to what the model could use."""
    seen: set[str] = set()
    for part in (event.title, event.text, event.body):
        lines = [_clean(line) for line in (part or "")[:MAX_PART_CHARS].splitlines()]
        text = "\n".join(line for line in lines if line)
        if text and text not in seen:
            seen.add(text)
            yield text


def _nodes(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every node with its path, "" for all but text: whoever walks can count them, however hostile the document."""
    yield path, value[:MAX_PART_CHARS] if isinstance(value, str) else ""
    if isinstance(value, dict) and depth < MAX_DEPTH:
        for key, inner in value.items():
            yield from _nodes(
                inner,
                f"{path}.{str(key)[:MAX_KEY_CHARS]}" if path else str(key)[:MAX_KEY_CHARS],
                depth + 1,
            )
    elif isinstance(value, list) and depth < MAX_DEPTH:
        for inner in value[:MAX_LIST]:
            yield from _nodes(inner, path, depth + 1)


def _is_telling(path: str, key: str, value: str) -> bool:
    if path in VERDICTS or _IDENTIFIER.search(key) or _CAMEL_IDENTIFIER.search(key):
        return False
    return not _OPAQUE.search(value[:MAX_INSPECTED_CHARS])


def _clean(text: str) -> str:
    return " ".join(replace_control_characters(text).split())
