"""Gives a text one spelling, so that a value cannot hide behind an unusual one.

The normalised text is what is redacted and what is sent.
"""

import re
import unicodedata

from inference.egress.kinds import VALUE_KINDS
from schemas.unicode import nfkc

PLACEHOLDER = re.compile(rf"\[({'|'.join(kind.upper() for kind in VALUE_KINDS)})_(\d{{1,6}})\]")

_LOOKALIKE = re.compile(rf"\[\s*((?:{'|'.join(VALUE_KINDS)})_\d+)\s*\]", re.IGNORECASE)
_CHARACTER_REFERENCE = re.compile(
    r"&#(?:[xX]([0-9a-fA-F]{1,6})|(\d{1,7}));?|\\u00([2-7][0-9a-fA-F])|&(commat|period|colon);"
)
_NAMED_REFERENCES = {"commat": "@", "period": ".", "colon": ":"}
_MAX_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
# Combining marks over an ASCII character, such as the strokes of struck-out text.
_OVERLAY = re.compile(r"(?<=[\x21-\x7e])[\u0300-\u036f\u0488\u0489\u20d0-\u20ff]+")
# These characters are invisible, but Unicode does not put them into the format category (Cf).
_FILLERS = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164}
_FILLERS |= {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_LINE_BREAKS = {0x0D, 0x85, 0x2028, 0x2029}


class _SpellingTable(dict[int, int | None]):
    """A table for `str.translate` that decides about a code point when it first occurs."""

    def __missing__(self, code: int) -> int | None:
        self[code] = replacement = self._decide(code)
        return replacement

    @staticmethod
    def _decide(code: int) -> int | None:
        if code in _LINE_BREAKS:
            return ord("\n")
        character = chr(code)
        if character in "\n\t":
            return code
        category = unicodedata.category(character)
        if category in {"Cf", "Cc"} or code in _FILLERS:
            return None
        if category == "Nd":
            return ord(str(unicodedata.decimal(character)))
        return code


_SPELLING = _SpellingTable()
_PLAIN_PUNCTUATION = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58", "-")
    | dict.fromkeys("\u00b7\u2022\u2219\u3002", ".")
    | dict.fromkeys("\u2018\u2019\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
)


def normalise(text: str) -> str:
    r"""Return the text in NFKC, without control characters and invisible characters.

    Decimal digits of every script become ASCII digits. Numeric character references, ``&commat;``,
    ``&period;``, ``&colon;`` and ``\u00XX`` escapes become the characters that they stand for.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = _CHARACTER_REFERENCE.sub(_resolved, text)
    if not text.isascii():
        text = _OVERLAY.sub("", nfkc(text.translate(_SPELLING)))
    return text.translate(_SPELLING)


def disarm(text: str) -> str:
    """Write what looks like a placeholder in round brackets, so that `restore` ignores it.

    Call it before the first value is replaced: then every placeholder in the text is one of ours.
    """
    return _LOOKALIKE.sub(r"(\1)", text)


def plain_punctuation(text: str) -> str:
    """Return the text with plain dashes, dots and quotes; its length does not change."""
    return text.translate(_PLAIN_PUNCTUATION)


def fold(text: str) -> str:
    """Return the text in lower case, with plain dashes, dots and quotes.

    The length does not change, so an offset in the result is valid in `text` too.
    """
    plain = plain_punctuation(text)
    lower = plain.lower()
    if len(lower) == len(plain):
        return lower
    return "".join(map(_lower_of_same_length, plain))


def _lower_of_same_length(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character


def _resolved(match: re.Match[str]) -> str:
    hexadecimal, decimal, escaped, name = match.groups()
    if name:
        return _NAMED_REFERENCES[name]
    code = int(decimal) if decimal else int(hexadecimal or escaped, 16)
    if code > _MAX_CODE_POINT or code in _SURROGATES:
        return "?"
    return chr(code)
