"""HTML to lines of text, in one pass that is linear in the text, whatever a stranger sends.

No tree is built. The repair of wrong nesting, which a tree needs, takes time that is quadratic in
hostile input, and the quick parsers are written in C, where a fault ends the process. A text only
needs to know where lines end, and which elements are hidden, quoted or a signature.
"""

import re
from typing import Final

from schemas.formats.text.elements import BLOCKS, CELLS, INLINES, KNOWN, UNREAD, VOID
from schemas.formats.text.entities import decode_entities
from schemas.formats.text.lines import Line, Mark

MAX_TAGS: Final = 8_000
"""Behind so many tags the rest of a text only loses its tags. A long newsletter has 5,000."""

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
_HINTS = ("display", "visibility", "opacity", "hidden", "cite", "quote", "signature", "emoji")
_HINTS += ("rplyfwd", "appendonsend", "-height")
_HIDDEN_STYLES = ("display:none", "visibility:hidden", "opacity:0;", 'opacity:0"')
_QUOTE_NAMES = ("gmail_quote", "yahoo_quoted", "protonmail_quote", "tutanota_quote", "moz-cite-")
_QUOTE_NAMES += ('type="cite', "type='cite", "type=cite", "zmail_extra", "freshdesk_quote")
_SIGNATURE_NAMES = ("gmail_signature", "moz-signature", "mobile-signature", 'id="signature"')
_SIGNATURE_NAMES += ('id="x_signature"', "protonmail_signature", "applemailsignature")
_THREAD_NAMES = ("divrplyfwdmsg", "appendonsend")
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)


class _Reader:
    """Collects the lines of one text."""

    def __init__(self, *, verbatim: frozenset[str], keep_lines: bool, read_hidden: bool) -> None:
        self.lines: list[Line] = []
        self.alts: list[str] = []
        self.unclosed = False
        self._verbatim = verbatim
        self._keep_lines = keep_lines
        self._read_hidden = read_hidden
        self._pieces: list[str] = []
        self._formatted = 0
        # An element that is skipped or marked, and how many of its name are open inside it.
        self._skipped = ""
        self._skipped_depth = 0
        self._marked = ""
        self._marked_depth = 0
        self._mark = Mark.OWN

    def read(self, html: str) -> None:
        """Read a text without comments."""
        styled = any(hint in html.lower() for hint in _HINTS)
        position = count = 0
        for match in _TAG.finditer(html):
            start = match.start()
            if start > position and not self._skipped:
                self._add(html[position:start])
            position = match.end()
            name = match[2]
            if name is not None:
                self._tag(match, name.lower(), styled)
            count += 1
            if count == MAX_TAGS:
                break
        if not self._skipped:
            self._add(_ANY_TAG.sub(" ", html[position:]))
        self.unclosed = bool(self._skipped) and self._skipped not in UNREAD
        self.end_line()

    def end_line(self) -> None:
        """End the line that is being collected."""
        text = "".join(self._pieces)
        self._pieces.clear()
        if "&" in text:
            text = decode_entities(text)
        if not self._formatted:
            text = " ".join(text.split())
        if text or self.lines:
            self.lines.append(Line(text.rstrip(), self._mark))

    def _add(self, text: str) -> None:
        if (self._formatted or self._keep_lines) and "\n" in text:
            *ended, text = text.split("\n")
            for line in ended:
                self._pieces.append(line)
                self.end_line()
        self._pieces.append(text)

    def _tag(self, match: re.Match[str], name: str, styled: bool) -> None:
        closes = match[1] == "/"
        if self._skipped:
            self._skip(name, closes)
            return
        if name not in KNOWN or name in self._verbatim:
            self._unknown(match[0], name)
            return
        if name in UNREAD:
            if not closes and not match[3].endswith("/"):
                self._skipped, self._skipped_depth = name, 1
            return
        if name == self._marked:
            self._marked_depth += -1 if closes else 1
        if styled and match[3] and not closes and self._attributes(name, match[3]):
            return
        if name in BLOCKS:
            self._block(name, closes)
        elif name in CELLS:
            self._pieces.append(" ")
        if name == self._marked and not self._marked_depth:
            self.end_line()
            self._marked, self._mark = "", Mark.OWN

    def _block(self, name: str, closes: bool) -> None:
        """A tag that ends a line; a blank line stands where a paragraph ends."""
        if name == "br" or self._has_words():
            self.end_line()
        if closes and name in {"p", "table", "ul", "ol", "blockquote"} and self.lines:
            if self.lines[-1].text:
                self.lines.append(Line("", self._mark))
        if name in _FORMATTED:
            self._formatted = max(0, self._formatted + (-1 if closes else 1))
        elif name == "li" and not closes:
            self._pieces.append("- ")
        elif name == "blockquote" and not closes and not self._marked:
            self._marked, self._marked_depth, self._mark = name, 1, Mark.INDENTED

    def _has_words(self) -> bool:
        """Whether the line has begun. The dash of a list is not yet one: a paragraph may follow."""
        text = "".join(self._pieces).strip()
        if not text:
            self._pieces.clear()
        return text not in {"", "-"}

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

    def _attributes(self, name: str, attributes: str) -> bool:
        """Read what hides or marks an element. Returns whether it is skipped."""
        lowered = "".join(attributes.lower().split())
        if name == "img":
            self._image(attributes, lowered)
            return False
        if name in VOID:
            return False
        if not self._read_hidden and self._is_hidden(attributes, lowered):
            self._skipped, self._skipped_depth = name, 1
            return True
        if self._mark in {Mark.QUOTED, Mark.SIGNATURE}:
            return False
        if any(each in lowered for each in _THREAD_NAMES):
            self._begin_mark("", Mark.QUOTED)
        elif any(each in lowered for each in _QUOTE_NAMES):
            self._begin_mark(name, Mark.QUOTED)
        elif any(each in lowered for each in _SIGNATURE_NAMES):
            self._begin_mark(name, Mark.SIGNATURE)
        return False

    def _begin_mark(self, name: str, mark: Mark) -> None:
        """Mark the lines until the element ends; all that follow if `name` is empty."""
        if self._pieces:
            self.end_line()
        self._marked, self._marked_depth, self._mark = name, 1, mark

    def _image(self, attributes: str, lowered: str) -> None:
        found = _ALT.search(attributes)
        alt = (found[1] or found[2] or "") if found else ""
        if "emoji" in lowered or (len(alt) <= 2 and not alt.isascii()):
            self._pieces.append(alt)
        elif alt:
            self.alts.append(decode_entities(alt))

    @staticmethod
    def _is_hidden(attributes: str, lowered: str) -> bool:
        if any(style in lowered for style in _HIDDEN_STYLES):
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
    reader = _Reader(verbatim=verbatim, keep_lines=keep_lines, read_hidden=False)
    reader.read(html)
    if reader.unclosed:
        # A hidden element without an end would hide the whole message.
        reader = _Reader(verbatim=verbatim, keep_lines=keep_lines, read_hidden=True)
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
