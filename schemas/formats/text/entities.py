"""Character references of HTML, such as ``&amp;`` and ``&#39;``."""

import html
import re
from functools import lru_cache
from typing import Final

MAX_ENTITIES: Final = 10_000
"""So many rare references are replaced. A page in an alphabet that is written so has as many."""

# Only whole references are read: `?a=1&copy=2` is an address. The lengths are bounded because the
# standard library fails on a number of thousands of digits.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_COMMON = (("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"))


def decode_entities(text: str) -> str:
    """Replace each character reference once: ``&amp;lt;`` becomes ``&lt;``."""
    if "&" not in text or ";" not in text:
        return text
    for entity, character in _COMMON:
        text = text.replace(entity, character)
    text = _ENTITY.sub(_decoded, text, count=MAX_ENTITIES)
    return text.replace("&amp;", "&")


def _decoded(match: re.Match[str]) -> str:
    return _character(match[0])


@lru_cache(maxsize=2048)
def _character(entity: str) -> str:
    # An ampersand waits for the end: with what follows, it could look like another reference.
    return entity if entity in {"&amp;", "&AMP;"} else html.unescape(entity)
