"""What a value of an unknown document is taken for: a title, a time, a source, a link or an id.

Each function gives None for a value that cannot be what is looked for.
"""

import re

from schemas.event import MAX_ID_CHARS
from schemas.formats import guess_names as names
from schemas.formats.guess_leaves import MAX_SHORT_CHARS, Leaf, is_thing
from schemas.formats.instants import to_rfc3339
from schemas.formats.links import web_link
from schemas.formats.text import rich_text
from schemas.formats.values import as_text, single_text, unwrapped

MAX_TITLE_CHARS, MAX_PHRASE_CHARS, MAX_TOKEN_CHARS = 300, 120, 80

_TYPE_NUMBER = re.compile(r"\d{1,6}")
_ADDRESS = re.compile(
    r"\A(?:[0-9a-f]*[.:][0-9a-f.:]+|\S+@\S+|\S+\.(?:local|lan|internal|corp))", re.IGNORECASE
)


def as_title(leaf: Leaf) -> str | None:
    """A title: words, not too many of them, or one long word."""
    text = as_words(leaf)
    if text is None or not any(character.isalpha() for character in text[:MAX_TITLE_CHARS]):
        return None
    longest = MAX_TITLE_CHARS if _is_phrase(text[:MAX_TITLE_CHARS]) else MAX_TOKEN_CHARS
    return text if len(text) <= longest else None


def as_phrase(leaf: Leaf) -> str | None:
    """A title of more than one word; the longer texts of a description are its body."""
    text = as_title(leaf) if not isinstance(unwrapped(leaf.value), dict) else None
    if text is None or len(text) > MAX_PHRASE_CHARS or not _is_phrase(text):
        return None
    return text


def as_token(leaf: Leaf) -> str | None:
    """A title of one word that says something; an address says nothing."""
    text = as_title(leaf)
    if text is None or text.strip().lower() in names.NO_TITLES or _ADDRESS.fullmatch(text):
        return None
    return text


def _is_phrase(text: str) -> bool:
    return len(text.split(maxsplit=1)) > 1


def as_words(leaf: Leaf) -> str | None:
    """Text, also rich text in an object."""
    value = unwrapped(leaf.value)
    if isinstance(value, str):
        return as_text(value)
    return rich_text(value)


def as_time(leaf: Leaf) -> str | None:
    """A time as RFC 3339."""
    value = unwrapped(leaf.value)
    if isinstance(value, dict):
        # {"$date": …} of MongoDB, {"value": …, "display_value": …} of service desks.
        value = next((value[name] for name in names.INNER_TIMES if name in value), None)
    return to_rfc3339(value)


def as_source(leaf: Leaf) -> str | None:
    """The name of a product. An address, a person or a channel is no product."""
    value = leaf.value
    if leaf.key == "source" and leaf.parent not in names.SOURCE_PARENTS:
        return None
    if isinstance(value, dict) and leaf.key == "source" and ("type" in value or is_thing(value)):
        return None
    text = as_short(leaf)
    if text is None or text.strip().lower() in names.NO_SOURCES or _ADDRESS.fullmatch(text):
        return None
    return text


def as_short(leaf: Leaf) -> str | None:
    """A short name, or the full name in an object such as a repository."""
    value = leaf.value
    if isinstance(value, dict):
        found = (value.get(name) for name in ("full_name", "path_with_namespace", "name", "key"))
        value = next((name for name in found if isinstance(name, str)), None)
    if not isinstance(value, str) or len(value) > MAX_SHORT_CHARS or web_link(value):
        return None
    return as_text(value)


def as_id(leaf: Leaf) -> str | None:
    """An id: short text or a whole number. The number of a type is none."""
    value = leaf.value
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return None
    text = as_text(single_text(value))
    if text is None or len(text) > MAX_ID_CHARS:
        return None
    if leaf.parent + leaf.key in names.TYPE_NUMBERS or leaf.key in names.TYPE_NUMBERS:
        return None if _TYPE_NUMBER.fullmatch(text) else text
    return text


def as_id_beside_thing(leaf: Leaf) -> str | None:
    """An id that is not that of what was changed."""
    return None if leaf.parent in names.HOLDERS else as_id_beside_mail(leaf)


def as_id_beside_mail(leaf: Leaf) -> str | None:
    """An id that is not that of a mail."""
    is_of_mail = leaf.key in names.MAIL_IDS and "@" in str(leaf.value)
    return None if is_of_mail else as_id(leaf)


def as_link(leaf: Leaf) -> str | None:
    """An address of the web."""
    return web_link(leaf.value if isinstance(leaf.value, str) else None)
