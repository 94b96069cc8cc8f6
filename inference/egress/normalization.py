"""One spelling of a text, so that no value hides behind another: this is what is redacted and what is sent."""

import re
import unicodedata

from inference.egress.kinds import VALUE_KINDS

PLACEHOLDER = re.compile(rf"\[({'|'.join(kind.upper() for kind in VALUE_KINDS)})_(\d{{1,6}})\]")

_LOOKALIKE = re.compile(rf"\[\s*((?:{'|'.join(VALUE_KINDS)})_\d+)\s*\]", re.IGNORECASE)
_CHARACTER = re.compile(
    r"&#(?:[xX]([0-9a-fA-F]{1,6})|(\d{1,7}));?|\\u00([2-7][0-9a-fA-F])|&(commat|period|colon);"
)
_NAMED = {"commat": "@", "period": ".", "colon": ":"}
_OVERLAY = re.compile(r"(?<=[\x21-\x7e])[\u0300-\u036f\u0488\u0489\u20d0-\u20ff]+")
# Invisible, and yet not of the format category.
_FILLERS = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164}
_FILLERS |= {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_BREAKS = {0x0D, 0x85, 0x2028, 0x2029}


class _Spelling(dict[int, int | None]):
    """What `str.translate` makes of a code point, decided once each."""

    def __missing__(self, code: int) -> int | None:
        self[code] = result = self._decide(code)
        return result

    @staticmethod
    def _decide(code: int) -> int | None:
        character = chr(code)
        category = unicodedata.category(character)
        if code in _BREAKS:
            return ord("\n")
        if category in {"Cf", "Cc"} or code in _FILLERS:
            return code if character in "\n\t" else None
        return ord(str(unicodedata.decimal(character))) if category == "Nd" else code


_SPELLING = _Spelling()
_DETECTION = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58", "-")
    | dict.fromkeys("\u00b7\u2022\u2219\u3002", ".")
    | dict.fromkeys("\u2018\u2019\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
)


def normalise(text: str) -> str:
    """NFKC without invisible and control characters, decimal digits as ASCII, numeric character references resolved."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = _CHARACTER.sub(_resolve, text)
    if not text.isascii():
        text = _OVERLAY.sub("", unicodedata.normalize("NFKC", text.translate(_SPELLING)))
    return text.translate(_SPELLING)


def disarm(text: str) -> str:
    """Placeholders that were in the text before any of ours, in round brackets, so that restoring ignores them."""
    return _LOOKALIKE.sub(r"(\1)", text)


def fold(text: str) -> str:
    """The same length in lower case and with plain dashes, dots and quotes: offsets hold in both."""
    folded = text.translate(_DETECTION)
    lower = folded.lower()
    return (
        lower
        if len(lower) == len(folded)
        else "".join(c.lower() if len(c.lower()) == 1 else c for c in folded)
    )


def plain(text: str) -> str:
    """The same length with plain dashes, dots and quotes."""
    return text.translate(_DETECTION)


def _resolve(match: re.Match[str]) -> str:
    hexadecimal, decimal, escaped, name = match.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal or escaped, 16)
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "?"  # noqa: PLR2004 - Unicode's limits
