"""What the small model reads of an event: one bounded text, the same in training and in serving.

The first line of the event's text comes first. Then come the most informative fields of the
vendor's document, then the rest of the text. The fields nearly decide the queue. After a long
text they would be cut off. Before the first line they would hide what happened.

Ids, timestamps, the sender and the tenant are never part of it. A model that reads them learns
the data set instead of the work.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from inference.model.tokenizer import replace_control_characters
from schemas.event import Event
from schemas.formats.stated_fields import says_level

INPUT_TEXT_FORMAT = "headline-fields-text.2"
"""The name of this format. A model that was trained on another format is refused.

Change the name whenever `render` makes another text of the same event.
"""

MAX_PART_CHARS = 4_000
MAX_FIELDS, MAX_VALUE_CHARS = 8, 40
# If an event has no text, its document is all that the model can read.
MAX_FIELDS_ALONE, MAX_VALUE_CHARS_ALONE = 24, 120
MAX_NODES = 1_000
MAX_DEPTH = 8
MAX_LIST = 4
MAX_KEY_CHARS = 64
MAX_INSPECTED_CHARS = 200

# Keys that name the kind of system, across vendors. Their fields come first, in this order.
INFORMATIVE_KEYS = (
    "p_log_type", "log_type", "logtype", "sourcetype", "source_type", "log_source",
    "device_product", "deviceproduct", "product", "service", "provider", "eventsource",
    "eventname", "event_type", "eventtype", "operation", "operationname", "action", "type",
    "category", "data_source", "dataset", "module", "channel", "vendor", "app", "application",
    "resource_type", "proto", "name", "rule", "message",
)  # fmt: skip
# What a sensor concludes about its own alert. It means nothing for another vendor's alerts, and
# a label must not be copied from the input.
VERDICTS = {"alert.severity", "alert.category", "severity"}

# Keys of ids, times, secrets and people, and the fields that a SIEM adds to a record (Panther's
# ``p_…``). ``p_log_type`` is kept, because it names the system that wrote the record.
_IDENTIFIER = re.compile(
    r"^p_(?!log_type$)"
    r"|(?:^|_)(?:id|ids|uuid|guid|uid|arn|hash|md5|sha1|sha256"
    r"|token|timestamp|time|date|at|serial|fingerprint)$"
    r"|(?:user|org|account|device|session|request"
    r"|event|tenant|object|client|group|key|source|project)_?ids?$"
    r"|(?:^|_)(?:e?mail|user|user_?name|tenant)$",
    re.IGNORECASE,
)
_CAMEL_IDENTIFIER = re.compile(
    r"[a-z](?:Id|ID|Ids|IDs|Uuid|Guid|Arn|Hash|Time|Timestamp|Date|Token)$"
)
# Values that are no words: numbers, long hexadecimal strings, UUIDs, times, flags, addresses.
_OPAQUE = re.compile(
    r"^[\W\d_]*$|[0-9a-fA-F]{16}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-"
    r"|^\d{4}-\d\d-\d\d[T ]|^(?:True|False)$|^\S+@\S+$"
)
_RANK = {key: rank for rank, key in enumerate(INFORMATIVE_KEYS)}

Leaf = tuple[str, str]
"""The path of a text in a document, like ``alert.action``, and the text itself."""


@dataclass(frozen=True, slots=True)
class EventContent:
    """The texts that the small model may read of one event.

    The input text and the features of the n-gram head are both made from it, so the event's
    document is only walked once. `read_content` makes it, in bounded time and size.

    `leaves` are the texts of the vendor's document in its order. The text of a leaf is empty if
    the model must not read it. `has_document` is false if the event has no document or an empty
    one.
    """

    plain_text: str
    leaves: tuple[Leaf, ...]
    has_document: bool


def read_content(event: Event) -> EventContent:
    """The content of any event. The work is bounded, however large the event is."""
    document = event.event or {}
    return EventContent(plain_text(event), tuple(_leaves(document)), bool(document))


def render(event: Event) -> str:
    """The input text of an event: what the encoder reads. See `render_content`."""
    return render_content(read_content(event))


def render_content(content: EventContent) -> str:
    """The input text: bounded, without control characters, and empty if there is nothing to read.

    It depends on the content alone.
    """
    headline, _, rest = content.plain_text.partition("\n")
    fields = "; ".join(_fields(content.leaves, headline))
    return "\n".join(line for line in (headline, fields, " ".join(rest.split())) if line)


def plain_text(event: Event) -> str:
    """Title, text and body. A part that repeats an earlier part is left out."""
    parts: dict[str, None] = {}
    for part in (event.title, event.text, event.body):
        lines = [_clean(line) for line in (part or "")[:MAX_PART_CHARS].splitlines()]
        parts["\n".join(line for line in lines if line)] = None
    return "\n".join(part for part in parts if part)


def _fields(leaves: Sequence[Leaf], headline: str) -> list[str]:
    """``key value`` of the most informative leaves, the most informative first.

    Without a `headline` there are more fields, and they are longer.
    """
    count, length = MAX_FIELDS, MAX_VALUE_CHARS
    if not headline:
        count, length = MAX_FIELDS_ALONE, MAX_VALUE_CHARS_ALONE
    ranks: dict[str, int] = {}
    for path, value in leaves:
        # This skips empty values too: every string contains the empty string.
        if value in headline:
            continue
        key = _key_of(path)
        field = _clean(f"{key} {value[:length]}")
        ranks.setdefault(field, _RANK.get(key.lower(), len(_RANK)))
    return sorted(ranks, key=lambda field: ranks[field])[:count]


def _leaves(document: dict[str, Any]) -> Iterator[Leaf]:
    """The leaves of a document; the text of a leaf that must not be read is empty."""
    for path, value in islice(_nodes(document, ""), MAX_NODES):
        if not path or not value:
            continue
        if _may_be_read(path, value):
            yield path, value
        else:
            yield path, ""


def _nodes(value: Any, path: str, depth: int = 0) -> Iterator[Leaf]:
    """Every node with its path and its text; the text is empty if the node is no text.

    Nodes without text are yielded too, so that the caller can stop after a number of nodes. Only
    that bounds the work on a document of many empty objects.
    """
    if isinstance(value, str):
        yield path, value[:MAX_PART_CHARS]
        return
    yield path, ""
    if depth == MAX_DEPTH:
        return
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        for key, child in value.items():
            yield from _nodes(child, prefix + str(key)[:MAX_KEY_CHARS], depth + 1)
    elif isinstance(value, list):
        for child in value[:MAX_LIST]:
            yield from _nodes(child, path, depth + 1)


def _may_be_read(path: str, value: str) -> bool:
    key = _key_of(path)
    if says_level(path, value[:MAX_INSPECTED_CHARS]):
        return False
    if path in VERDICTS or _IDENTIFIER.search(key) or _CAMEL_IDENTIFIER.search(key):
        return False
    return not _OPAQUE.search(value[:MAX_INSPECTED_CHARS])


def _key_of(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _clean(text: str) -> str:
    return " ".join(replace_control_characters(text).split())
