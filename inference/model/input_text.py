"""What the small model reads of an event: one bounded text, the same in training and in serving.

The beginning of the event's text comes first: its title and what happened. Then come the most
informative fields of the vendor's document, then the rest of the text. The fields nearly decide the
queue. After a long text they would be cut off.

Of a ticket only the words are read, and the fields that a mapping chose. The document around a
ticket is that of the help desk and not of the sender.

Ids, links, timestamps, the sender and the tenant are never part of it. A model that reads them
learns the data set instead of the work.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from inference.model.normalization import is_code, normalize
from inference.model.tokenizer import replace_control_characters
from schemas.event import Event
from schemas.formats.stated_fields import says_level

INPUT_TEXT_FORMAT = "text-fields-text.3"
"""The name of this format. A model that was trained on another format is refused.

Change the name whenever `render` makes another text of the same event.
"""

MAX_PART_CHARS = 4_000
MAX_CHARS_BEFORE_FIELDS = 200
"""So many characters of the text come before the fields: about half of what the encoder reads."""
MAX_FIELDS, MAX_VALUE_CHARS = 8, 40
# If an event has no text, its document is all that the model can read.
MAX_FIELDS_ALONE, MAX_VALUE_CHARS_ALONE = 24, 120
MAX_NODES = 1_000
MAX_DEPTH = 8
MAX_LIST = 4
MAX_KEY_CHARS = 64
MAX_INSPECTED_CHARS = 200
MAX_DOCUMENT_CHARS = 24_000
"""How many characters of a document are read in all. It bounds the work on many long texts."""
MIN_REPEATED_WORDS = 3
"""A field with so many words tells nothing if all of them are in the text already."""

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

# Keys of ids, times, secrets, links, people and computers, and the fields that a SIEM adds to a
# record (Panther's ``p_…``). ``p_log_type`` is kept, because it names the system that wrote the
# record.
_IDENTIFIER = re.compile(
    r"^p_(?!log_type$)"
    r"|(?:^|_)(?:id|ids|uuid|guid|uid|arn|hash|md5|sha1|sha256"
    r"|token|timestamp|time|date|at|serial|fingerprint"
    r"|urls?|uri|link|links|href|avatar|avatars|icon|image_url|logo|fqdn|useragent|language|locale)$"
    r"|(?:user|org|account|device|session|request"
    r"|event|tenant|object|client|group|key|source|project)_?ids?$"
    r"|(?:^|_)(?:e?mail|user|user_?name|tenant|user_?agent|host_?name|computer_?name)$",
    re.IGNORECASE,
)
_CAMEL_IDENTIFIER = re.compile(
    r"[a-z](?:Id|ID|Ids|IDs|Uuid|Guid|Arn|Hash|Time|Timestamp|Date|Token"
    r"|Url|URL|Urls|Uri|URI|Link|Href|Avatar|UserAgent|HostName|Hostname|ComputerName|Fqdn)$"
)
# What stands below such a key is a link or a picture, whatever its own key.
_LINKS = re.compile(r"(?:avatar|url|link)s?\.", re.IGNORECASE)
# Values that are no words: numbers, flags, and what one record calls another.
_OPAQUE = re.compile(
    r"^(?:[\W\d_]*|True|False|None|null|[\w.-]{1,60}_reference)$|^\d{4}-\d\d-\d\d[T ]"
)
_WORD = re.compile(r"\w+")
_RANK = {key: rank for rank, key in enumerate(INFORMATIVE_KEYS)}

Leaf = tuple[str, str]
"""The path of a text in a document, like ``alert.action``, and the text itself."""


@dataclass(frozen=True, slots=True)
class EventContent:
    """The texts that the small model may read of one event, all of them normalised.

    The input text and the features of the n-gram head are both made from it, so the event's
    document is only walked once. `read_content` makes it, in bounded time and size.

    `leaves` are the texts of the vendor's document in its order. The text of a leaf is empty if
    the model must not read it. `has_document` is false if there are no words beside the text.
    `key_fields` are the fields that a mapping chose for the model.
    """

    plain_text: str
    leaves: tuple[Leaf, ...]
    has_document: bool
    key_fields: tuple[Leaf, ...] = ()


def read_content(event: Event) -> EventContent:
    """The content of any event. The work is bounded, however large the event is."""
    document: dict[str, Any] = {}
    if event.kind != "ticket":
        document = event.event or {}
    key_fields = tuple(_key_fields(event.key_fields))
    leaves = tuple(_leaves(document, set(event.key_fields.values())))
    text = _normalized_lines(plain_text(event))
    return EventContent(text, leaves, bool(leaves or key_fields), key_fields)


def render(event: Event) -> str:
    """The input text of an event: what the encoder reads. See `render_content`."""
    return render_content(read_content(event))


def render_content(content: EventContent) -> str:
    """The input text: bounded, without control characters, and empty if there is nothing to read.

    It depends on the content alone.
    """
    headline, _, rest = content.plain_text.partition("\n")
    text = "\n".join(line for line in (headline, " ".join(rest.split())) if line)
    fields = "; ".join(_fields(content, headline))
    after = ""
    if fields:
        text, after = _divided(text, MAX_CHARS_BEFORE_FIELDS)
    return "\n".join(part for part in (text, fields, after) if part)


def plain_text(event: Event) -> str:
    """Title, text and body. A part that repeats an earlier part is left out."""
    parts: dict[str, None] = {}
    for part in (event.title, event.text, event.body):
        lines = [_clean(line) for line in (part or "")[:MAX_PART_CHARS].splitlines()]
        parts["\n".join(line for line in lines if line)] = None
    return "\n".join(part for part in parts if part)


def _normalized_lines(text: str) -> str:
    # A comma before something that was taken out ends the line now.
    lines = (" ".join(line.split()).rstrip(" ,;") for line in normalize(text).split("\n"))
    return "\n".join(line for line in lines if line)


def _divided(text: str, length: int) -> tuple[str, str]:
    """The text in two, at the last space or line end before `length` characters."""
    if len(text) <= length:
        return text, ""
    end = max(text.rfind(" ", 0, length), text.rfind("\n", 0, length))
    if end <= 0:
        end = length
    return text[:end], text[end:].strip()


def _fields(content: EventContent, headline: str) -> list[str]:
    """``key value`` of the fields that tell most, the ones that a mapping chose first.

    Without a `headline` there are more fields, and they are longer.
    """
    count, length = MAX_FIELDS, MAX_VALUE_CHARS
    if not headline:
        count, length = MAX_FIELDS_ALONE, MAX_VALUE_CHARS_ALONE
    known = set(_WORD.findall(content.plain_text.lower()))
    ranks: dict[str, int] = {}
    for leaves, is_chosen in ((content.key_fields, True), (content.leaves, False)):
        for path, value in leaves:
            # This skips empty values too: every string contains the empty string.
            if value in headline or _is_repeated(value, known):
                continue
            key = _key_of(path)
            rank = -1 if is_chosen else _RANK.get(key.lower(), len(_RANK))
            ranks.setdefault(_clean(f"{key} {value[:length]}"), rank)
    return sorted(ranks, key=lambda field: ranks[field])[:count]


def _is_repeated(value: str, known: set[str]) -> bool:
    words = _WORD.findall(value.lower())
    return len(words) >= MIN_REPEATED_WORDS and known.issuperset(words)


def _key_fields(fields: dict[str, str]) -> Iterator[Leaf]:
    for name, value in islice(fields.items(), MAX_FIELDS):
        if says_level(name, value[:MAX_INSPECTED_CHARS]):
            continue
        yield name[:MAX_KEY_CHARS], _clean(normalize(value[:MAX_PART_CHARS]))


def _leaves(document: dict[str, Any], chosen: set[str]) -> Iterator[Leaf]:
    """The leaves of a document; the text of a leaf that must not be read is empty.

    A leaf that is an address or a code is left out: it changes nothing. `chosen` are the texts of
    the key fields, which are read already.
    """
    left = MAX_DOCUMENT_CHARS
    for path, value in islice(_nodes(document, ""), MAX_NODES):
        if not path or not value or left <= 0:
            continue
        left -= len(value)
        text = normalize(value)
        if _OPAQUE.match(value) and not is_code(value):
            text = ""
        elif _OPAQUE.match(text):
            continue
        is_read = _may_be_read(path, _key_of(path))
        if value in chosen or not is_read or says_level(path, value[:MAX_INSPECTED_CHARS]):
            text = ""
        yield path, text


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


@lru_cache(maxsize=4_096)
def _may_be_read(path: str, key: str) -> bool:
    if path in VERDICTS or _LINKS.search(path):
        return False
    return not (_IDENTIFIER.search(key) or _CAMEL_IDENTIFIER.search(key))


def _key_of(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _clean(text: str) -> str:
    return " ".join(replace_control_characters(text).split())
