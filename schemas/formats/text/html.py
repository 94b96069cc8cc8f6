"""HTML to lines of text, in one pass that is linear in the text, whatever a stranger sends.

No tree is built. The repair of wrong nesting, which a tree needs, takes time that is quadratic in
hostile input, and the quick parsers are written in C, where a fault ends the process. A text only
needs to know where lines end, and which elements are hidden, quoted or a signature.
"""

import re
from itertools import islice
from typing import Final

from schemas.formats.text.elements import BLOCKS, CELLS, KNOWN, PARAGRAPHS, UNREAD, VOID
from schemas.formats.text.entities import decode_entities
from schemas.formats.text.lines import Line, Mark

MAX_TAGS: Final = 5_000
"""Behind so many tags the rest of a text only loses its tags. A long newsletter has 4,000."""

# Inside a quoted value ">" is no end, so that `alt="a > b"` does not end its tag. Every way through
# this pattern stops at the next "<", which makes the whole search linear.
_TAG = re.compile(
    r"<(?:(/?)([a-zA-Z][a-zA-Z0-9:-]*+)"
    r"((?:[\s/](?:[^<>\"']++|\"[^<\"]*+\"|'[^<']*+')*+)?+|[\s/][^<>]*+)>|[!?][^<>]*+>)"
)
_ANY_TAG = re.compile(r"</?[a-zA-Z!?][^<>]*+>")
_HIDDEN_ATTRIBUTE = re.compile(r"\shidden(?:\s|=|/|$)")
_VALUES = re.compile(r"\"[^\"]*+\"|'[^']*+'")
_FORMATTED = frozenset({"pre", "textarea", "xmp"})
_HINTS = (
    *("display", "visibility", "opacity", "hidden", "cite", "quote", "signature", "emoji"),
    *("rplyfwd", "appendonsend", "-height"),
)
_HIDDEN_STYLES = ("display:none", "visibility:hidden", "opacity:0;", 'opacity:0"')
_QUOTE_NAMES = (
    *("gmail_quote", "yahoo_quoted", "protonmail_quote", "tutanota_quote", "moz-cite-"),
    *('type="cite', "type='cite", "type=cite", "zmail_extra", "freshdesk_quote"),
)
_SIGNATURE_NAMES = (
    *("gmail_signature", "moz-signature", "mobile-signature", 'id="signature"'),
    *('id="x_signature"', "protonmail_signature", "applemailsignature"),
)
_THREAD_NAMES = ("divrplyfwdmsg", "appendonsend")
_EMOJI_CHARS = 2
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)


class _Reader:
    """Collects the lines of one text."""

    def __init__(self, *, verbatim: frozenset[str], keep_lines: bool) -> None:
        self.lines: list[Line] = []
        self.alts: list[str] = []
        self._verbatim = verbatim
        self._keep_lines = keep_lines
        self._read_hidden = False
        self._pieces: list[str] = []
        self._formatted = 0
        self._styled = False
        # An element that is skipped or marked, and how many of its name are open inside it.
        self._skipped = ""
        self._skipped_depth = 0
        self._skipped_from = 0
        self._marked = ""
        self._marked_depth = 0
        self._mark = Mark.OWN

    def read(self, html: str) -> None:
        """Read a text without comments."""
        self._styled = any(hint in html.lower() for hint in _HINTS)
        tags = 0
        position = 0
        while True:
            count, position = self._read_from(html, position, MAX_TAGS - tags)
            tags += count
            if not self._skipped or self._skipped in UNREAD:
                break
            # A hidden element without an end would hide the rest of the message.
            self._read_hidden = True
            self._skipped = ""
            position = self._skipped_from
        self._end_line("".join(self._pieces))

    def _read_from(self, html: str, position: int, max_tags: int) -> tuple[int, int]:
        """Read up to the end; returns how many tags there were, and where it ended."""
        count = 0
        for match in islice(_TAG.finditer(html, position), max(0, max_tags)):
            count += 1
            start = match.start()
            if start > position and not self._skipped:
                self._add(html[position:start])
            position = match.end()
            name = match[2]
            if name is not None:
                self._tag(match, name.lower())
        if not self._skipped:
            self._add(_ANY_TAG.sub(" ", html[position:]))
        return count, len(html)

    def _end_line(self, text: str) -> None:
        """End the line that is being collected."""
        self._pieces.clear()
        if "&" in text:
            text = decode_entities(text)
        text = text.rstrip() if self._formatted else " ".join(text.split())
        if text or self.lines:
            self.lines.append(Line(text, self._mark))

    def _add(self, text: str) -> None:
        if (self._formatted or self._keep_lines) and "\n" in text:
            *ended, text = text.split("\n")
            for line in ended:
                self._pieces.append(line)
                self._end_line("".join(self._pieces))
        self._pieces.append(text)

    def _tag(self, match: re.Match[str], name: str) -> None:
        closes = match[1] == "/"
        if self._skipped:
            self._skip(name, closes)
        elif name not in KNOWN or name in self._verbatim:
            self._unknown(match[0], name)
        elif name not in UNREAD:
            self._element(match, name, closes)
        elif not closes and not match[3].endswith("/"):
            self._skip_from(name, match.end())

    def _element(self, match: re.Match[str], name: str, closes: bool) -> None:
        if name == self._marked:
            self._marked_depth += -1 if closes else 1
        if closes or not match[3]:
            skipped = False
        else:
            skipped = (self._styled or name == "img") and self._attributes(name, match)
        if skipped:
            return
        if name in BLOCKS:
            self._block(name, closes)
        elif name in CELLS:
            self._pieces.append(" ")
        if name == self._marked and not self._marked_depth:
            self._flush()
            self._marked, self._mark = "", Mark.OWN

    def _block(self, name: str, closes: bool) -> None:
        """A tag that ends a line; a blank line stands where a paragraph ends."""
        if self._pieces or name == "br":
            text = "".join(self._pieces)
            # The dash of a list begins no line: a paragraph may follow.
            if name == "br" or text.strip() not in {"", "-"}:
                self._end_line(text)
            elif not text.strip():
                self._pieces.clear()
        if closes and name in PARAGRAPHS and self.lines and self.lines[-1].text:
            self.lines.append(Line("", self._mark))
        if name in _FORMATTED:
            self._formatted = max(0, self._formatted + (-1 if closes else 1))
        elif name == "li" and not closes:
            self._pieces.append("- ")
        elif name == "blockquote" and not closes and self._mark == Mark.OWN:
            self._marked, self._marked_depth, self._mark = name, 1, Mark.INDENTED

    def _skip(self, name: str, closes: bool) -> None:
        if name == self._skipped:
            self._skipped_depth += -1 if closes else 1
            # The contents of a script are no tags, and a paragraph cannot be inside another one.
            if closes or name == "p":
                self._skipped_depth = self._skipped_depth if name not in UNREAD | {"p"} else 0
        elif (self._skipped == "head" and name == "body") or (
            self._skipped == "p" and name in {"div", "table"}
        ):
            self._skipped_depth = 0
        if not self._skipped_depth:
            self._skipped = ""

    def _unknown(self, tag: str, name: str) -> None:
        """A tag of Office (``o:p``) is dropped; ``<invoice.js>`` and ``<String>`` are words."""
        if ":" not in name:
            self._pieces.append(tag)

    def _skip_from(self, name: str, position: int) -> None:
        self._skipped, self._skipped_depth, self._skipped_from = name, 1, position

    def _attributes(self, name: str, tag: re.Match[str]) -> bool:
        """Read what hides or marks an element. Returns whether it is skipped."""
        attributes = tag[3]
        lowered = "".join(attributes.lower().split())
        if name == "img":
            self._image(attributes, lowered)
            return False
        if name in VOID:
            return False
        if not self._read_hidden and self._is_hidden(attributes, lowered):
            self._skip_from(name, tag.end())
            return True
        if self._mark in {Mark.QUOTED, Mark.SIGNATURE}:
            return False
        if _contains(lowered, _THREAD_NAMES):
            self._begin_mark("", Mark.QUOTED)
        elif _contains(lowered, _QUOTE_NAMES):
            self._begin_mark(name, Mark.QUOTED)
        elif _contains(lowered, _SIGNATURE_NAMES):
            self._begin_mark(name, Mark.SIGNATURE)
        return False

    def _flush(self) -> None:
        text = "".join(self._pieces)
        if text.strip():
            self._end_line(text)

    def _begin_mark(self, name: str, mark: Mark) -> None:
        """Mark the lines until the element ends; all that follow if `name` is empty."""
        self._flush()
        self._marked, self._marked_depth, self._mark = name, 1, mark

    def _image(self, attributes: str, lowered: str) -> None:
        found = _ALT.search(attributes)
        alt = (found[1] or found[2] or "") if found else ""
        if "emoji" in lowered or (len(alt) <= _EMOJI_CHARS and not alt.isascii()):
            self._pieces.append(alt)
        elif alt:
            self.alts.append(decode_entities(alt))

    @staticmethod
    def _is_hidden(attributes: str, lowered: str) -> bool:
        if _contains(lowered, _HIDDEN_STYLES):
            return True
        if "max-height:0" in lowered and "overflow:hidden" in lowered:
            return True
        if "hidden" not in lowered:
            return False
        return _HIDDEN_ATTRIBUTE.search(_VALUES.sub("", attributes.lower())) is not None


def html_lines(html: str, *, verbatim: frozenset[str] = frozenset()) -> list[Line]:
    """The lines of a text in HTML.

    Tags of the names in `verbatim`, and of names that are no elements, stay as they are.
    """
    html = without_comments(html.replace("\r\n", "\n").replace("\r", "\n"))
    keep_lines = "\n" in html and not _ends_lines(html)
    reader = _Reader(verbatim=verbatim, keep_lines=keep_lines)
    reader.read(html)
    if not any(line.text for line in reader.lines):
        return [Line(" ".join(alt.split())) for alt in reader.alts]
    return reader.lines


def without_comments(html: str) -> str:
    """Remove comments. One without an end is kept, because it may have the message in it."""
    if "<!--" not in html:
        return html
    kept = []
    position = 0
    while (start := html.find("<!--", position)) >= 0:
        end = html.find("-->", start + 2)
        if end < 0:
            break
        kept.append(html[position:start])
        position = end + 3
    return "".join(kept) + html[position:]


def _ends_lines(html: str) -> bool:
    return any(match[2] and match[2].lower() in BLOCKS for match in _TAG.finditer(html, 0, 20_000))


def _contains(text: str, parts: tuple[str, ...]) -> bool:
    for part in parts:  # noqa: SIM110 - a generator takes three times as long, for every tag
        if part in text:
            return True
    return False
