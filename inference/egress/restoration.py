"""Which placeholders of an answer may become values again.

A stranger has influenced the text of the answer, because the model has read an event. A chat, a
mail program or a browser makes links of such a text. A click, or only a preview, would then send
the value to whoever owns the link. So a value is put back only where it stands alone as a word.
"""

import re
from collections.abc import Callable

from inference.egress.normalization import PLACEHOLDER

# White space ends a link in every client. These characters may stand around a word of a sentence.
_BEFORE = "(\"'\u201c\u2018"
_AFTER = ".,;:!?)\"'\u201d\u2019"
_POSSESSIVES = ("'s", "\u2019s")
# Links, mentions and images of Markdown, Slack, wikis and HTML need a bracket.
_MARKUP = re.compile(r"[\[\]<>]")
# Values from the event that would be a link, a mention or a share of their own. An address with
# colons (IPv6, MAC) or a port is none.
_LINK_VALUE = re.compile(
    r"[\[\]<>|`]|//|\\\\|^@|\b(?:https?|ftps?|file|smb|mailto|tel|sms|callto|javascript|vbscript"
    r"|data|ms-[a-z-]+|slack|tg|xmpp|sip|skype|about|blob|ldaps?|ssh|telnet|vnc|rdp):",
    re.IGNORECASE,
)
_FORMULA_START = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"


def restore_alone(text: str, value_of: Callable[[str], str]) -> str:
    """Put values back in place of the placeholders that stand alone as a word.

    `value_of` gives the value of a placeholder, or the placeholder itself. A text with the brackets
    of a markup gets no value back, and a value that could begin a formula none at the start.
    """
    if _MARKUP.search(PLACEHOLDER.sub("", text)):
        return text

    def restored(match: re.Match[str]) -> str:
        if not _stands_alone(text, match.start(), match.end()):
            return match[0]
        value = value_of(match[0])
        if _is_link(value) or (not text[: match.start()].strip() and value[:1] in _FORMULA_START):
            return match[0]
        return value

    return PLACEHOLDER.sub(restored, text)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether only punctuation is between the characters [start, end) and the next white space."""
    before = text[:start].rpartition(" ")[2]
    after = text[end:].partition(" ")[0]
    for possessive in _POSSESSIVES:
        after = after.removeprefix(possessive)
    return not before.strip(_BEFORE) and not after.strip(_AFTER)


def _is_link(value: str) -> bool:
    return _LINK_VALUE.search(value) is not None or not value.isprintable()
