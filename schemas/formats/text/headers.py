"""The lines by which a mail program introduces another mail."""

import re
from typing import Final

from schemas.formats.text.lines import Line, Mark, without_indent
from schemas.formats.text.phrases import (
    ATTRIBUTION_ENDS,
    ATTRIBUTION_INSIDE,
    ATTRIBUTION_STARTS,
    ATTRIBUTION_VERBS,
    FORWARD_LINES,
    HEADER_FIELDS,
    NARRATIVE_WORDS,
    REPLY_MARKERS,
    SENT_LABELS,
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
_FIRST_FIELDS = frozenset({"from", "date"})
_FIRST_LABELS = frozenset({"from", "date", "subject"})
_REPEATED_FIELDS = frozenset({"copy", "other"})
_ALL_FIELDS = frozenset({"from", "date", "to", "subject"})

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
        if name in SEPARATORS or name.startswith("forwarded by "):
            return True
        return name.endswith(ATTRIBUTION_VERBS) and _DIGITS.search(name) is not None
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

    A header that no separator introduces needs more, because people write "From: Berlin" and paste
    headers too: it has the sender, a date, and a subject or an address, in an order in which
    programs write them.
    """
    if not separated and _field(lines[start].text) not in _FIRST_LABELS:
        return 0
    fields: list[str] = []
    programs = separated or start == 0 or lines[start].mark == Mark.INDENTED
    address = False
    number = end = start
    blanks = 0
    while number < min(len(lines), start + MAX_HEADER_LINES):
        text = without_indent(lines[number].text)
        if found := _fields(text):
            if found[0] in fields and found[0] not in _REPEATED_FIELDS:
                break
            fields += found
            programs = programs or _is_sent(text) or len(found) >= _FIELDS_OF_A_HEADER
            address = address or "@" in text
            blanks, end = 0, number + 1
        elif not text.strip():
            blanks += 1
            if blanks > 1 and fields:
                break
        elif fields and not blanks and ("@" in text or text.rstrip()[-1:] in {";", ","}):
            end = number + 1
        else:
            break
        number += 1
    if separated:
        return end if fields else 0
    return end if _is_header(fields, programs=programs, address=address) else 0


def _is_header(fields: list[str], *, programs: bool, address: bool) -> bool:
    names = set(fields)
    if len(names) < _FIELDS_OF_A_HEADER or not names >= _FIRST_FIELDS:
        return False
    if (
        not programs
        and set(fields[:2]) != _FIRST_FIELDS
        and not (fields[0] == "date" and names >= _ALL_FIELDS)
    ):
        return False
    return "subject" in names or address


def _field(text: str) -> str | None:
    """The field that the line begins with, if it is one of a header."""
    label, colon, _ = without_indent(text)[: _LABEL_CHARS + 10].partition(":")
    if not colon or len(label) > _LABEL_CHARS:
        return None
    return HEADER_FIELDS.get(label.replace("*", "").strip().lower())


def _is_sent(text: str) -> bool:
    """Whether the line says "Sent", a word that programs show but that no header has."""
    return _squeezed(text[:_LABEL_CHARS]).startswith(SENT_LABELS)


def _fields(text: str) -> list[str]:
    """Every field that the line names. Some programs write the whole header in one line."""
    first = _field(text)
    if first is None:
        return []
    fields = [first]
    if first == "from":
        words = text[:_FIELD_LINE_CHARS].replace("*", "").lower().split()[1:]
        labels = (word[:-1] for word in words if word[-1] == ":")
        fields += [HEADER_FIELDS[label] for label in labels if label in HEADER_FIELDS]
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
        if last[-1] == ":" or last.endswith(ATTRIBUTION_VERBS):
            text = _joined(lines, start, end)
            return end if _is_attribution(text) else 0
    return 0


def is_strong_attribution(lines: list[Line], start: int, end: int) -> bool:
    """Whether the line can only come from a mail program, so that no quote has to follow."""
    text = _joined(lines, start, end)
    if _tells(text) or _TIME.search(text) is None:
        return False
    first = text.split(maxsplit=1)[0].strip(",.")
    if not (first in ATTRIBUTION_STARTS or first[0].isdigit() or text.endswith(">:")):
        return False
    return "@" in text or _DAY.search(text) is not None


def _tells(text: str) -> bool:
    """Whether a person tells who wrote something."""
    return not NARRATIVE_WORDS.isdisjoint(text.replace(",", " ").split())


def _joined(lines: list[Line], start: int, end: int) -> str:
    return _squeezed(" ".join(without_indent(line.text) for line in lines[start:end]))


def _is_attribution(text: str) -> bool:
    if len(text) > _ATTRIBUTION_CHARS or " i wrote" in text or " ich " in text:
        return False
    if _tells(text) and not ("@" in text and _TIME.search(text)):
        return False
    if not ("@" in text or _DIGITS.search(text)):
        return False
    if text.endswith(ATTRIBUTION_VERBS):
        return "@" in text and _TIME.search(text) is not None
    if text.endswith(ATTRIBUTION_ENDS) or any(verb in text for verb in ATTRIBUTION_INSIDE):
        return True
    return text.endswith(">:") and "@" in text and _TIME.search(text) is not None
