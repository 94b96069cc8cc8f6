"""Conversion of single JSON values to fields of an event.

A value of another type is accepted if its meaning is clear.
"""

import re
from typing import Any

from schemas.errors import InvalidEvent
from schemas.event import DEFAULT_TENANT, MAX_ID_CHARS
from schemas.formats.document import json_type

MAX_TENANT_CHARS = 128
MAX_SMALL = 8

# Any character except those that neither a person nor a model can read: white space, C0 and C1
# control characters, the soft hyphen, zero-width characters and direction marks.
_READABLE = re.compile(
    "[^\\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
# A larger JSON number may have lost digits on its way, so that two ids could become equal.
_LARGEST_EXACT_FLOAT = 2.0**53


def is_blank(text: str) -> bool:
    """Whether the text has no readable character."""
    return _READABLE.search(text) is None


def as_text(value: object) -> str | None:
    """A string or number as text, unchanged; None for a blank string or another type."""
    value = unwrapped(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and not is_blank(value):
        return value
    return None


def unwrapped(value: object) -> object:
    """The element of an array of length one; any other value unchanged.

    Elastic's fields API puts every value into such an array.
    """
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    return value


def single_text(value: object, default: object = None) -> Any:
    """A text or number; the only text in a small object, or in an array of one; else `default`."""
    value = unwrapped(value)
    if isinstance(value, dict) and len(value) <= MAX_SMALL:
        texts = [each for each in value.values() if isinstance(each, str)]
        if len(texts) == 1:
            return texts[0]
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    return default


def as_id(value: object) -> str | None:
    """An id as text, or None if there is none. The caller then derives one.

    Raises:
        InvalidEvent: the id is longer than `MAX_ID_CHARS`, is a number too large to be exact, or
            is neither a string nor a number.
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
    """The name of a tenant, or the default tenant if there is none.

    This is stricter than the other fields: a wrong guess would show the event to another tenant.

    Raises:
        InvalidEvent: the value is not a string, or is longer than `MAX_TENANT_CHARS`.
    """
    if value is None:
        return DEFAULT_TENANT
    if not isinstance(value, str) or len(value) > MAX_TENANT_CHARS:
        raise InvalidEvent(
            f"`tenant` is not a string of up to {MAX_TENANT_CHARS} characters; send such a string",
            stage="validate",
        )
    if is_blank(value):
        return DEFAULT_TENANT
    return value


def as_explicit_tenant(value: object) -> str | None:
    """The value of a field of the name ``tenant``; None if it cannot be the name of a tenant.

    In a vendor's document such a field may be anything.
    """
    if not isinstance(value, str) or len(value) > MAX_TENANT_CHARS or is_blank(value):
        return None
    return value


def keep(attributes: dict[str, Any], name: str, value: object) -> None:
    """Add one attribute. If its name is taken, add it as ``document.<name>``, to keep both.

    If that is taken too, it gets a number. Otherwise a sender could choose a thousand names that
    each lead to the next one.
    """
    if name in attributes:
        name = f"document.{name}"
    if name in attributes:
        number = len(attributes) + 1
        while f"{name} {number}" in attributes:
            number += 1
        name = f"{name} {number}"
    attributes[name] = value
