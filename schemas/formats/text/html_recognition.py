"""Whether a text is HTML, or only mentions tags.

The question is answered with caution. An alert names ``<script>alert(1)</script>`` as evidence, and
a ticket has ``List<String>`` or ``<m@example.com>``: these are words.
"""

import re

from schemas.event import Kind
from schemas.formats.text.elements import BLOCKS, INLINES

_DOCUMENT = re.compile(
    r"(?:<\?xml[^<>]*+>\s*+)?+(?:<!--[^<>]*+-->\s*+)?+"
    r"<(?:!doctype\s+html|html|head|body|(meta|title|style))\b",
    re.IGNORECASE,
)
_NAMES = "|".join(sorted(BLOCKS | INLINES, key=len, reverse=True))
_FIRST_TAG = re.compile(rf"<({_NAMES})(?:\s[^<>]*+)?/?>", re.IGNORECASE)
_OPEN_TAGS = re.compile(rf"<({_NAMES})(?:\s[^<>]*+)?>", re.IGNORECASE)
_CLOSE_TAGS = re.compile(rf"</({_NAMES})\s*+>", re.IGNORECASE)
_LINE_BREAK = re.compile(r"<br\s*+/?>", re.IGNORECASE)
_CLOSED_BLOCK = re.compile(r"</(?:p|div|li|tr|table|ul|ol)>", re.IGNORECASE)
_LOOKED_AT = 10_000
_BREAKS_OF_AN_ALERT = 2


def is_document(text: str, kind: Kind) -> bool:
    """Whether the text begins as a whole HTML document does.

    An alert that begins with a part of a head rather quotes it.
    """
    found = _DOCUMENT.match(text, _start(text))
    return found is not None and (kind == "ticket" or found[1] is None)


def begins_with_tag(text: str) -> bool:
    """Whether the text begins with a tag that mail programs and editors write."""
    return _FIRST_TAG.match(text, _start(text)) is not None


def is_fragment(text: str, kind: Kind) -> bool:
    """Whether the text is a piece of HTML, as editors and mail programs write it.

    An alert has to look more like HTML than a ticket, because tags may be its evidence.
    """
    first = _FIRST_TAG.match(text, _start(text))
    if first is not None:
        name = first[1].lower()
        # A piece that was cut off has no end tag. The text of an alert may be only that.
        if name in {"br", "hr"} or (kind == "ticket" and name in BLOCKS):
            return True
        if f"</{name}" in text.lower():
            return True
    if kind == "alert":
        breaks = len(_LINE_BREAK.findall(text, 0, _LOOKED_AT))
        return breaks >= _BREAKS_OF_AN_ALERT or _CLOSED_BLOCK.search(text) is not None
    return _LINE_BREAK.search(text) is not None or _has_pair(text)


def _start(text: str) -> int:
    return len(text) - len(text.lstrip())


def _has_pair(text: str) -> bool:
    closed = {name.lower() for name in _CLOSE_TAGS.findall(text, 0, _LOOKED_AT)}
    return bool(closed) and any(
        name.lower() in closed for name in _OPEN_TAGS.findall(text, 0, _LOOKED_AT)
    )
