"""Reads a text with some of its characters replaced, and finds the way back to the text itself."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise

from inference.egress.kinds import Span


class Spliced:
    """A text in which every match of a pattern is replaced.

    Args:
        replace: returns what replaces a match; it must not be longer than the match.
    """

    def __init__(
        self, text: str, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]
    ) -> None:
        pieces, starts, offsets, done, length = [], [0], [0], 0, 0
        for match in pattern.finditer(text):
            replacement = replace(match)
            pieces += [text[done : match.start()], replacement]
            length += match.start() - done + len(replacement)
            done = match.end()
            starts.append(length)
            offsets.append(done - length)
        self.text = "".join([*pieces, text[done:]])
        self._starts, self._offsets = starts, offsets

    def back(self, span: Span) -> Span:
        """The span of the same characters in the text itself."""
        first = bisect_right(self._starts, span.start) - 1
        last = bisect_right(self._starts, span.end - 1) - 1
        return Span(span.start + self._offsets[first], span.end + self._offsets[last], span.kind)

    def parts(self, start: int, end: int) -> Iterator[str]:
        """The parts of [start, end) between the replaced characters; one if there are none."""
        inner = self._starts[
            bisect_right(self._starts, start) : bisect_right(self._starts, end - 1)
        ]
        yield from (self.text[first:last] for first, last in pairwise([start, *inner, end]))
