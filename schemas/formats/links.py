"""Links that may be shown: an absolute http or https address, and nothing else."""

import re
from urllib.parse import urlsplit

from schemas.visible_text import visible_text

MAX_LINK_CHARS = 2_000
_WEB = re.compile(r"https?://[^\s\x00-\x20\x7f-\x9f<>\"'`\\]+", re.IGNORECASE)
# A link with one of these in it lets its reader in, or signs an answer in somebody's name.
_SECRET_PARAMETER = re.compile(
    r"[?&;#/](?:[\w.-]{0,40}(?:token|secret|signature|passw(?:or)?d|credential|api[_-]?key)"
    r"|sig|pwd|jwt|sid|session(?:_?id)?|auth(?:orization)?)(?:=|%3d)",
    re.IGNORECASE,
)


def web_link(text: str | None) -> str | None:
    """The text if it is one http or https address without a password in it, else None."""
    if text is None or len(text) > MAX_LINK_CHARS:
        return None
    link = text.strip()
    if not _WEB.fullmatch(link):
        return None
    authority = link.split("//", 1)[1].split("/", 1)[0]
    return None if "@" in authority or not authority else link


def plain_link(text: str | None) -> str | None:
    """A link that everybody may be given who reads decisions; else None.

    It has a host and nothing invisible, and no parameter that signs its reader in: whoever reads
    the triaged topic may not be allowed to see the event at its sender.
    """
    link = web_link(text)
    if link is None or visible_text(link) != link or _SECRET_PARAMETER.search(link):
        return None
    try:
        parts = urlsplit(link)
        _ = parts.port  # raises ValueError if it is no number
    except ValueError:
        return None
    return link if parts.hostname else None
