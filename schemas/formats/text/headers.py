"""The lines by which a mail program introduces another mail."""

import re
from typing import Final

from schemas.formats.text.lines import Line, without_indent
from schemas.formats.text.phrases import (
    ATTRIBUTION_ENDS,
    ATTRIBUTION_INSIDE,
    ATTRIBUTION_STARTS,
    FORWARD_LINES,
    HEADER_FIELDS,
    NARRATIVE_WORDS,
    REPLY_MARKERS,
    SEPARATORS,
)

MAX_HEADER_LINES: Final = 16
_ATTRIBUTION_LINES = 3
_ATTRIBUTION_CHARS = 400
_LABEL_CHARS = 30
_FIELD_LINE_CHARS = 500
_MARKER_CHARS = 160
_SHORTEST_MARKER = 8
_RULE_CHARS = 5
_FIELDS_OF_A_HEADER = 3

_TIME = re.compile(r"\b\d{1,2}\s?[:hH.]\s?\d{2}\b")
_DAY = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[./-]\d{1,2}[./-]\d{2}\b")
_DIGITS = re.compile(r"\d{1,4}[./-]\d{1,2}|\d{4}|\d{1,2}:\d{2}|\b\d{1,2}\b")


def _squeezed(text: str) -> str:
    """In small letters, with single spaces, straight apostrophes and without bold marks."""
    return " ".join(text.replace("*", "").replace("\u2019", "'").lower().split())


def is_rule(text: str) -> bool:
    """Whether the line is drawn with dashes or underscores."""
    text = text.strip()
    return len(text) >= _RULE_CHARS and not text.strip("_-=\u2014\u2500*")


def is_separator(text: str) -> bool:
    """Whether the line says that another message begins, such as ``--- Original Message ---``."""
    if len(text) > _MARKER_CHARS:
        return False
    if text[:2] in {"--", "__", "==", "- ", "\u2014\u2014"} or text[:3] == "***":
        name = _squeezed(text.strip("-_=* \u2014>"))
        return name in SEPARATORS or name.startswith("forwarded by ")
    return text[-1:] == ":" and _squeezed(text) in FORWARD_LINES


def is_reply_marker(text: str) -> bool:
    """Whether a help desk wrote the line above what it quotes."""
    if not _SHORTEST_MARKER <= len(text) <= _MARKER_CHARS:
        return False
    if text.startswith("##-") and text.endswith("-##"):
        return True
    if text[0] not in "-#=*_[(\u2014":
        return False
    name = _squeezed(text)
    return any(marker in name for marker in REPLY_MARKERS)


def header_end(lines: list[Line], start: int, *, separated: bool) -> int:
    """The number of the line behind a mail's header that begins at `start`, or 0.

    A header that no separator introduces needs more, because people write "From: Berlin" too: it
    begins with the sender, has a date, and a subject or an address.
    """
    if not separated and _field(lines[start].text) != "from":
        return 0
    fields: set[str] = set()
    address = False
    number = end = start
    blanks = 0
    while number < min(len(lines), start + MAX_HEADER_LINES):
        text = without_indent(lines[number].text)
        if not text.strip():
            blanks += 1
            if blanks > 1 and fields:
                break
        elif found := _fields(text):
            if "from" in found and "from" in fields:
                break
            fields |= found
            address = address or "@" in text
            blanks, end = 0, number + 1
        elif fields and not blanks and ("@" in text or text.rstrip()[-1:] in {";", ","}):
            end = number + 1
        else:
            break
        number += 1
    if separated:
        return end if fields else 0
    complete = len(fields) >= _FIELDS_OF_A_HEADER and {"from", "date"} <= fields
    return end if complete and ("subject" in fields or address) else 0


def _field(text: str) -> str | None:
    """The field that the line begins with, if it is one of a header."""
    label, colon, _ = without_indent(text)[: _LABEL_CHARS + 10].partition(":")
    if not colon or len(label) > _LABEL_CHARS:
        return None
    return HEADER_FIELDS.get(label.replace("*", "").strip().lower())


def _fields(text: str) -> set[str]:
    """Every field that the line names. Some programs write the whole header in one line."""
    first = _field(text)
    if first is None:
        return set()
    fields = {first}
    if first == "from":
        for word in text[:_FIELD_LINE_CHARS].replace("*", "").lower().split():
            if word[-1] == ":" and word[:-1] in HEADER_FIELDS:
                fields.add(HEADER_FIELDS[word[:-1]])
    return fields


def attribution_end(lines: list[Line], start: int) -> int:
    """The number of the line behind "On …, NAME wrote:" that begins at `start`, or 0."""
    first = without_indent(lines[start].text).strip()
    if not first or len(first) > _ATTRIBUTION_CHARS:
        return 0
    word = first.split(maxsplit=1)[0].strip(",.*").lower()
    rows = _ATTRIBUTION_LINES if word in ATTRIBUTION_STARTS else 1
    for end in range(start + 1, min(len(lines), start + rows) + 1):
        last = lines[end - 1].text.rstrip()
        if not last:
            return 0
        if last[-1] == ":":
            text = _joined(lines, start, end)
            return end if _is_attribution(text) else 0
    return 0


def is_strong_attribution(lines: list[Line], start: int, end: int) -> bool:
    """Whether the line can only come from a mail program, so that no quote has to follow."""
    text = _joined(lines, start, end)
    if not NARRATIVE_WORDS.isdisjoint(text.split()):
        return False
    if _TIME.search(text) is None:
        return False
    starts = text.split(maxsplit=1)[0].strip(",.") in ATTRIBUTION_STARTS
    return "@" in text or (starts and _DAY.search(text) is not None)


def _joined(lines: list[Line], start: int, end: int) -> str:
    return _squeezed(" ".join(without_indent(line.text) for line in lines[start:end]))


def _is_attribution(text: str) -> bool:
    if len(text) > _ATTRIBUTION_CHARS or " i wrote" in text or " ich " in text:
        return False
    if not ("@" in text or _DIGITS.search(text)):
        return False
    if text.endswith(ATTRIBUTION_ENDS) or any(
        verb in text for verb in ATTRIBUTION_INSIDE
    ):
        return True
    return text.endswith(">:") and "@" in text and _TIME.search(text) is not None

