"""What the author of a ticket wrote now, without the mails that it quotes, and without signatures.

The lines are scanned once; each looks at most `MAX_HEADER_LINES` ahead. When in doubt, a line is
kept: words of the message must not be lost, and a quote that stays does less harm.
"""

import re
from enum import IntEnum
from typing import Final

from schemas.formats.text.headers import (
    attribution_end,
    header_end,
    is_reply_marker,
    is_rule,
    is_separator,
    is_strong_attribution,
)
from schemas.formats.text.lines import Line, Mark, has_words, shortened, without_indent
from schemas.formats.text.phrases import NOTES
from schemas.formats.text.signature import banner_end, signature_flags

MAX_UNWRAPPINGS: Final = 2
"""How many levels of quotes are opened to find words, where the message is only a quote."""
MAX_MESSAGES: Final = 50
"""How many forwarded messages without words are looked through."""
_BLANK_BEFORE_QUOTE = 2
# Most lines have no colon, begin with no rule, and not with "On 3 March": they are not looked at.
_MAY_INTRODUCE = re.compile(r"[-_=*#\u2014\[(]|\w{1,3}[,. ]\D{0,80}+\d")


class Part(IntEnum):
    """What a line is a part of."""

    MESSAGE = 0
    QUOTE = 1
    HEADER = 2
    """It introduces a quote: who wrote it, and when."""
    SIGNATURE = 3


def split_reply(lines: list[Line]) -> tuple[list[Line], list[Line]]:
    """The lines of the message, and those that were cut off, both in their order.

    If all would be cut off, the quote is the message: a mail that was only forwarded.
    """
    lines = list(shortened(lines))
    parts = [Part.MESSAGE] * len(lines)
    unread = list(range(len(lines)))
    for opened in range(MAX_UNWRAPPINGS + 1):
        found = _Scan([lines[number] for number in unread]).parts()
        for number, part in zip(unread, found, strict=True):
            parts[number] = part
        kept = [line for line, part in zip(lines, parts, strict=True) if part == Part.MESSAGE]
        is_last = opened == MAX_UNWRAPPINGS or Part.QUOTE not in parts
        if has_words(kept) and (is_last or not _is_note(kept)):
            cut = [line for line, part in zip(lines, parts, strict=True) if part != Part.MESSAGE]
            return kept, cut
        if is_last:
            break
        unread = [number for number, part in enumerate(parts) if part <= Part.QUOTE]
        for number in unread:
            lines[number] = _unwrapped(lines[number])
    return lines, []


def _unwrapped(line: Line) -> Line:
    text = line.text
    if line.mark == Mark.INDENTED and text.lstrip()[:1] == ">":
        text = text.lstrip()[1:].removeprefix(" ")
    return Line(text, Mark.INDENTED if text.lstrip()[:1] == ">" else Mark.OWN)


class _Scan:
    """One reading of the lines."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines
        self._parts = [Part.MESSAGE] * len(lines)
        # Where the message begins that is being read, and how many there were.
        self._start = 0
        self._count = 1
        # Whether a line above says who wrote what is indented.
        self._attributed = False

    def parts(self) -> list[Part]:
        """The part that each line belongs to."""
        self._banner()
        number = 0
        while number < len(self._lines):
            number = max(number + 1, self._read(number))
        self._end_message(len(self._lines), is_last=True)
        for number in range(1, len(self._lines)):
            # What is blank below a line that is cut off goes with it.
            if self._parts[number] == Part.MESSAGE and not self._lines[number].text.strip():
                self._parts[number] = self._parts[number - 1]
        return self._parts

    def _banner(self) -> None:
        for number in range(banner_end([line.text for line in self._lines[:8]])):
            self._parts[number] = Part.HEADER

    def _read(self, number: int) -> int:
        """Read one line; returns the number of the next one to be read, or 0 for the one behind."""
        text, mark = self._lines[number]
        if mark >= Mark.QUOTED:
            self._parts[number] = Part.QUOTE if mark == Mark.QUOTED else Part.SIGNATURE
        elif mark == Mark.INDENTED and self._attributed:
            self._parts[number] = Part.QUOTE
        elif mark == Mark.INDENTED or ":" in text or _MAY_INTRODUCE.match(text.lstrip()):
            bare = without_indent(text).strip()
            return self._read_introduction(number, bare) if bare else 0
        return 0

    def _read_introduction(self, number: int, bare: str) -> int:
        """Read a line that may begin another message."""
        if is_reply_marker(bare):
            return self._begin(number, number + 1)
        if is_separator(bare):
            end = header_end(self._lines, number + 1, separated=True)
            return self._introduce(number, end or number + 1)
        if end := header_end(self._lines, number, separated=False):
            return self._introduce(self._rule_above(number), end)
        end = attribution_end(self._lines, number)
        return self._attribute(number, end) if end else 0

    def _introduce(self, start: int, end: int) -> int:
        """Lines that begin another message, which reaches to the end unless it is indented."""
        if self._lines[start].mark == Mark.INDENTED:
            return self._quote(start, end)
        return self._begin(start, end)

    def _attribute(self, start: int, end: int) -> int:
        if self._lines[start].mark == Mark.INDENTED:
            return self._quote(start, end)
        if self._quote_follows(end):
            self._attributed = True
            self._header(start, end)
            return end
        if is_strong_attribution(self._lines, start, end):
            return self._begin(start, end)
        return 0

    def _quote(self, start: int, end: int) -> int:
        self._attributed = True
        self._header(start, end)
        return end

    def _begin(self, start: int, end: int) -> int:
        """Another message begins. It is read only if there is none above it."""
        self._header(start, end)
        if self._end_message(start, is_last=False) or self._count == MAX_MESSAGES:
            rest = range(end, len(self._lines))
            for number in rest:
                self._parts[number] = Part.QUOTE
            return len(self._lines)
        self._attributed = False
        self._start = end
        self._count += 1
        return end

    def _end_message(self, end: int, *, is_last: bool) -> bool:
        """Take the signature off the message that ends here. Returns whether it has words."""
        own = [n for n in range(self._start, end) if self._parts[n] == Part.MESSAGE]
        # Below "Sent from my phone" alone, a forwarded mail is the message.
        only = not is_last or Part.QUOTE in self._parts
        flags = signature_flags([self._lines[n].text for n in own], may_be_all=only)
        kept = []
        for number, is_signature in zip(own, flags, strict=True):
            if is_signature:
                self._parts[number] = Part.SIGNATURE
            else:
                kept.append(self._lines[number])
        return has_words(kept) and not _is_note(kept)

    def _header(self, start: int, end: int) -> None:
        self._parts[start:end] = [Part.HEADER] * (end - start)

    def _rule_above(self, number: int) -> int:
        above = number - 1
        while above > number - 3 and above >= 0 and not self._lines[above].text.strip():
            above -= 1
        if above >= 0 and is_rule(self._lines[above].text):
            return above
        return number

    def _quote_follows(self, number: int) -> bool:
        for line in self._lines[number : number + _BLANK_BEFORE_QUOTE + 1]:
            if line.mark in {Mark.INDENTED, Mark.QUOTED}:
                return True
            if line.text.strip():
                return False
        return False


def _is_note(lines: list[Line]) -> bool:
    words = [line.text.strip(" .,:;!-\t\xa0").lower() for line in lines if line.text.strip()]
    return all(word in NOTES or not word for word in words)
