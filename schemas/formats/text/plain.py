"""What a person reads of a text: without markup, and of a ticket without what was not written now.

Both functions are used in training and in serving, because the model must read the same words.
"""

from typing import NamedTuple

from schemas.event import Kind
from schemas.formats.text.elements import EVIDENCE, UNREAD
from schemas.formats.text.entities import decode_entities
from schemas.formats.text.html import html_lines
from schemas.formats.text.html_recognition import begins_with_tag, is_document, is_fragment
from schemas.formats.text.lines import Line, has_words, join_lines, split_lines
from schemas.formats.text.markup import without_targets
from schemas.formats.text.reply import split_reply

_ESCAPED_STARTS = (
    "&lt;p",
    "&lt;div",
    "&lt;html",
    "&lt;span",
    "&lt;br",
    "&lt;table",
    "&lt;!doctype",
)
_MARKUP = ("<", "&", "](", "|http", "|mailto", "!", "{", "```", "~~~")


class PlainText(NamedTuple):
    """The words of a text, and what was cut off them."""

    words: str
    """What the author wrote. It may be blank, for example if a page has only scripts."""
    cut_off: str
    """Of a ticket: quoted replies, forwarded headers, signatures and notices, in their order."""


def plain(event_kind: Kind, text: str) -> PlainText:
    """The words of a text, in time that is linear in it.

    HTML becomes text, and links keep their words without the address. Of a ticket, what is no part
    of the message goes to `cut_off`; nothing else is lost. A text without markup from which nothing
    is cut is returned as it is.
    """
    lines = None
    if any(mark in text for mark in _MARKUP):
        text, lines = _without_markup(event_kind, text)
    if event_kind == "alert" or (lines is None and "\n" not in text and "\r" not in text):
        return PlainText(text if lines is None else join_lines(lines), "")
    kept, cut = split_reply(split_lines(text) if lines is None else lines)
    if lines is None and not cut:
        return PlainText(text, "")
    return PlainText(join_lines(kept), join_lines(cut))


def _without_markup(kind: Kind, text: str) -> tuple[str, list[Line] | None]:
    """The text without its markup, or its lines if it was HTML."""
    if kind == "ticket" and text.lstrip()[:12].lower().startswith(_ESCAPED_STARTS):
        text = decode_entities(text)
    if "<" in text and ">" in text:
        document = is_document(text, kind)
        if document or is_fragment(text, kind):
            lines = html_lines(text, verbatim=_verbatim(kind, text, document=document))
            if kind == "alert" and not has_words(lines):
                return text, None
            if "](" in text or "|http" in text:
                lines = [line._replace(text=without_targets(line.text)) for line in lines]
            return text, lines
    return without_targets(decode_entities(text)), None


def _verbatim(kind: Kind, text: str, *, document: bool) -> frozenset[str]:
    """The elements whose tags and contents are words of the author.

    A script in an alert is evidence, and in a piece of HTML a ticket rather asks about it.
    """
    if kind == "alert":
        return EVIDENCE if document else UNREAD
    return frozenset() if document or begins_with_tag(text) else UNREAD
