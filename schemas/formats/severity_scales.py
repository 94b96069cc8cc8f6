"""Severities that are numbers on the scale of a standard."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.formats.level_words import our_word
from schemas.formats.paths import find
from schemas.formats.values import as_text

_MAX_NUMBER_CHARS = 4

# https://schema.ocsf.io: `severity_id`.
_OCSF = {1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical", 6: "critical"}
# CEF: 0-3 low, 4-6 medium, 7-8 high, 9-10 very high. LEEF has the same ten steps.
_TEN = {10: "critical", 9: "critical", 8: "high", 7: "high", 6: "medium", 5: "medium", 4: "medium"}
_TEN |= dict.fromkeys(range(4), "low")
# Windows events: 1 critical, 2 error, 3 warning, 4 information, 5 verbose; 0 says nothing.
_WINDOWS = {1: "critical", 2: "high", 3: "medium", 4: "informational", 5: "informational"}

_SCALES: tuple[tuple[str, Mapping[int, str]], ...] = (
    ("cef.severity", _TEN),
    ("leef.attributes.sev", _TEN),
    ("leef.attributes.severity", _TEN),
    ("Event.System.Level", _WINDOWS),
)
"""Where the decoders put the severity of a record that is not JSON, and its scale."""


class Statement(NamedTuple):
    """What a sender states about one axis: our word for it, if there is one, and its own value."""

    word: str | None
    text: str


def severity_on_known_scale(
    document: Mapping[str, Any], otherwise: Statement | None
) -> Statement | None:
    """The severity of a document in a standard format; `otherwise` if there is none."""
    for path, scale in _SCALES:
        # Before a word that was found elsewhere: that is the severity of a syslog header, with
        # which a device often sends everything.
        if statement := _on_scale(find(document, path), scale):
            return statement
    if (otherwise is None or otherwise.word is None) and "class_uid" in document:
        return _on_scale(document.get("severity_id"), _OCSF) or otherwise
    return otherwise


def _on_scale(value: object, scale: Mapping[int, str]) -> Statement | None:
    text = None if value is None else as_text(value)
    if text is None or len(text) > _MAX_NUMBER_CHARS * 10:
        return None
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) <= _MAX_NUMBER_CHARS:
        word = scale.get(int(text))
    else:
        word = our_word("severity", text)
    return Statement(word, text) if word else None
