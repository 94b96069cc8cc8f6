"""Single JSON values as the fields of an event: tolerant where the meaning is plain."""

import re
from typing import Any

from schemas.errors import InvalidEvent
from schemas.event import DEFAULT_TENANT, MAX_ID_CHARS
from schemas.formats.document import json_type

MAX_TENANT_CHARS = 128

# Spaces, C0 and C1 controls, soft hyphen, zero-width and direction marks: nothing a person or a model could read.
_READABLE = re.compile(
    "[^\\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
# Above this a JSON number may have lost digits on the way, and two ids could become one.
_LARGEST_EXACT_FLOAT = 2.0**53


def is_blank(text: str) -> bool:
    """True where there is nothing to read: empty, white space or control characters only."""
    return _READABLE.search(text) is None


def as_text(value: object) -> str | None:
    """A string or number as text, exactly as it came; None for what is blank or of another type."""
    value = unwrapped(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and not is_blank(value) else None


def unwrapped(value: object) -> object:
    """An array of one is its element: Elastic's fields API wraps every value in one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def as_id(value: object) -> str | None:
    """An id as text; None where there is none, so that one is derived.

    Raises:
        InvalidEvent: longer than `MAX_ID_CHARS`, a number too large to be exact, or not a string or number.
    """
    if value is None:
        return None
    if isinstance(value, float) and abs(value) > _LARGEST_EXACT_FLOAT:
        raise InvalidEvent(
            "`id` is a number too large to be exact; send it as a string", stage="validate"
        )
    if isinstance(value, bool | dict | list):
        raise InvalidEvent(f"`id` is {json_type(value)}; send a string", stage="validate")
    text = as_text(value)
    if text is not None and len(text) > MAX_ID_CHARS:
        raise InvalidEvent(
            f"`id` is longer than {MAX_ID_CHARS} characters; send a shorter one", stage="validate"
        )
    return text


def as_tenant(value: object) -> str:
    """A tenant's name, the default one where there is none.

    Strict, unlike the rest: guessing whose event this is would show it to somebody else.

    Raises:
        InvalidEvent: not a string, or longer than `MAX_TENANT_CHARS`.
    """
    if value is None:
        return DEFAULT_TENANT
    if not isinstance(value, str) or len(value) > MAX_TENANT_CHARS:
        raise InvalidEvent(
            f"`tenant` is not a string of up to {MAX_TENANT_CHARS} characters", stage="validate"
        )
    return DEFAULT_TENANT if is_blank(value) else value


def keep(attributes: dict[str, Any], name: str, value: object) -> None:
    """Adds one attribute; where the name is taken, under ``document.<name>``, so neither is lost."""
    while name in attributes:
        name = f"document.{name}"
    attributes[name] = value
