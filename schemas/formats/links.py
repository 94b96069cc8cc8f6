"""Links that may be shown: an absolute http or https address, and nothing else."""

import re

MAX_LINK_CHARS = 2_000
_WEB = re.compile(r"https?://[^\s\x00-\x20\x7f-\x9f<>\"'`\\]+", re.IGNORECASE)


def web_link(text: str | None) -> str | None:
    """The text if it is one http or https address without a password in it, else None."""
    if text is None or len(text) > MAX_LINK_CHARS:
        return None
    link = text.strip()
    if not _WEB.fullmatch(link):
        return None
    authority = link.split("//", 1)[1].split("/", 1)[0]
    return None if "@" in authority or not authority else link
