"""Patterns that are searched only in texts that hold a clue to them.

A search for a short string costs a hundredth of a search for a pattern, and most texts hold no
clue to most patterns.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

QUOTED_OR = r"(?:\"(?P<quoted>[^\"\n\x00]{1,200})\"|'(?P<single>[^'\n\x00]{1,200})'|"
"""The beginning of a pattern for an argument in quotes or without; a group has to follow."""


class Clued(NamedTuple):
    """A pattern, and strings in lower case of which each match contains at least one."""

    clues: tuple[str, ...]
    pattern: re.Pattern[str]


def matches(clued: Iterable[Clued], text: str, lower: str) -> Iterator[re.Match[str]]:
    """Yield the matches of all patterns; `lower` is the text in lower case."""
    for clues, pattern in clued:
        if any(clue in lower for clue in clues):
            yield from pattern.finditer(text)


def argument_span(match: re.Match[str]) -> tuple[int, int]:
    """The span of the group that holds the secret: a pattern has one per way of quoting."""
    group = next(
        name for name, value in match.groupdict().items() if value is not None and name != "user"
    )
    return match.span(group)
