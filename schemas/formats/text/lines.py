"""The lines of a text, and what is known of each before its words are read."""

import re
from enum import IntEnum
from typing import Final, NamedTuple

MAX_LINES: Final = 2_000
"""What is behind so many lines is read as one line. A mail of 100 kB has fewer."""

_WORD = re.compile(r"[^\W_]")


class Mark(IntEnum):
    """What the markup says of a line."""

    OWN = 0
    """Nothing: the line is the author's, unless its words say otherwise."""
    INDENTED = 1
    """It is quoted if a line above says who wrote it, such as a line that begins with ``>``."""
    QUOTED = 2
    """The mail program marked it as a part of another message."""
    SIGNATURE = 3
    """The mail program marked it as the signature."""


class Line(NamedTuple):
    """One line, without its line end."""

    text: str
    mark: Mark = Mark.OWN


def split_lines(text: str) -> list[Line]:
    """The lines of a text without markup. A line that begins with ``>`` is `Mark.INDENTED`."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n", MAX_LINES)
    return [Line(line, Mark.INDENTED if line.lstrip()[:1] == ">" else Mark.OWN) for line in lines]


def shortened(lines: list[Line]) -> list[Line]:
    """The same lines, but those behind `MAX_LINES` as one."""
    if len(lines) <= MAX_LINES:
        return lines
    rest = "\n".join(line.text for line in lines[MAX_LINES:])
    return [*lines[:MAX_LINES], Line(rest, lines[MAX_LINES].mark)]


def join_lines(lines: list[Line]) -> str:
    """The text of the lines, without blank lines at its beginning and end."""
    return "\n".join(line.text for line in lines).strip("\n")


def has_words(lines: list[Line]) -> bool:
    """Whether a line has a letter or a digit."""
    return any(map(has_word, (line.text for line in lines)))


def has_word(text: str) -> bool:
    """Whether the text has a letter or a digit."""
    return _WORD.search(text) is not None


def without_indent(text: str) -> str:
    """The line without the ``>`` marks in front of it."""
    return text.lstrip(" \t>\xa0")
