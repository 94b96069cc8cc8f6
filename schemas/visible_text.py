"""Makes text by unknown people safe to show: to a model, and to a person on a screen.

Everything that prints or stores such a text uses this module. A text for a model or for a record
loses what cannot be seen (`visible_text`, `one_line`). A text for a screen shows it as an escape
(`printable`, `printable_json`), because two ids that differ only in it must not look the same.
"""

import json
import re
from typing import Any, Final

import orjson

_LINE_END = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")

# Characters that no reader sees but a model or a terminal reads: controls, bidirectional overrides,
# zero-width and filler characters, variation selectors, tags, private use, surrogates. They are
# written as ranges because `re` has no Unicode categories; a test compares them with Unicode's own
# data.
_INVISIBLE_RANGES = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U0010ffff"
)
_INVISIBLE = re.compile(f"[{_INVISIBLE_RANGES}]+")
_NOT_PRINTABLE = re.compile(f"[{_INVISIBLE_RANGES}\t\n\u2028\u2029]")
# JSON itself escapes the controls below U+0020 in strings, and has line feeds between its tokens.
_NOT_PRINTABLE_JSON = re.compile(f"[{_INVISIBLE_RANGES}\u2028\u2029]")
_LAST_OF_FIRST_PLANE = 0xFFFF
_SHORT_ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}

MAX_LINE_CHARS: Final = 4_000
"""A line on a screen or in a log is cut here. A terminal breaks it into 50 lines."""

# A spreadsheet computes a cell that begins with one of these, in their wide forms too.
_FORMULA_START = re.compile("^[\\s=+\\-@\uff1d\uff0b\uff0d\uff20]+")


def visible_text(text: str) -> str:
    """Remove every character that cannot be seen; the only controls left are line feed and tab.

    This rule is for people and for large models. The small model has its own rule, which its
    weights were trained with: `inference.model.tokenizer.replace_control_characters`.
    """
    return _INVISIBLE.sub("", _LINE_END.sub("\n", text))


def one_line(text: str, max_chars: int) -> str:
    """Return the visible text as one line of at most `max_chars` characters.

    Every run of white space becomes one space.
    """
    return truncated(" ".join(visible_text(text).split()), max_chars)


def truncated(text: str, max_chars: int) -> str:
    """Return at most `max_chars` (1 or more) characters; a text that was cut ends in "…"."""
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def without_formula(text: str) -> str:
    """Remove what would make a spreadsheet compute the text: ``=``, ``+``, ``-``, ``@`` in front.

    White space in front of it is removed too, because some spreadsheets skip it.
    """
    return _FORMULA_START.sub("", text)


def printable(text: str, max_chars: int = MAX_LINE_CHARS) -> str:
    r"""Return the text as one line that any terminal only shows, of at most `max_chars`.

    What cannot be seen, and every line end and tab, becomes an escape such as ``\u001b``, ``\n`` or
    ``\u202e``. A text without such characters is returned as it is.
    """
    # What is behind the limit is never shown, so it is not looked at.
    shown = text[: max_chars + 1]
    return truncated(_NOT_PRINTABLE.sub(_escape, shown), max_chars)


def printable_lines(text: str, max_chars: int = MAX_LINE_CHARS) -> list[str]:
    """Return the lines of a text, each `printable`. A longer line continues on the next one."""
    lines = _LINE_END.sub("\n", text).split("\n")
    return [
        line[start : start + max_chars]
        for line in (_NOT_PRINTABLE.sub(_escape, line) for line in lines)
        for start in range(0, len(line) or 1, max_chars)
    ]


def printable_json(document: Any, *, indent: bool = False) -> str:
    """Write a document as JSON in which nothing is invisible.

    A program reads the same strings, except that half of a surrogate pair becomes a question mark.

    Raises:
        TypeError: the document has something that JSON has not, or is nested too deep.
    """
    try:
        option = orjson.OPT_INDENT_2 if indent else None
        text = orjson.dumps(document, option=option).decode()
    except TypeError:
        # orjson refuses half of a surrogate pair, which a file name may have. So do many programs
        # that read JSON.
        written = json.dumps(document, indent=2 if indent else None, ensure_ascii=False)
        text = written.encode("utf-8", "replace").decode()
    return escape_json(text)


def escape_json(text: str) -> str:
    """Escape what cannot be seen in a JSON document. It remains the same document.

    Such characters can only be inside its strings.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    return _NOT_PRINTABLE_JSON.sub(_json_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    return f"\\u{code:04x}" if code <= _LAST_OF_FIRST_PLANE else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
