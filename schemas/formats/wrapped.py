"""What an envelope holds: an object, or JSON, a mail or a log line in a string or in base64."""

import base64
import binascii
import re
from typing import Any

from schemas.codec import decode_json
from schemas.errors import InvalidEvent
from schemas.formats.decoders import decode_other
from schemas.limits import Limits

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_JSON_STARTS = (b"{", b"[")


def inner_document(value: object, limits: Limits) -> dict[str, Any] | list[Any] | None:
    """The document in the value of an envelope, or None if it holds none.

    The limits are those of a record, because base64 and escapes hide how large a document is.
    """
    if isinstance(value, dict | list):
        return value or None
    if not isinstance(value, str):
        return None
    data = value.strip().encode("utf-8", "replace")
    if data[:1] not in _JSON_STARTS:
        data = _from_base64(value).strip() or data
    try:
        if data[:1] in _JSON_STARTS:
            document = decode_json(data, limits)
        else:
            document = decode_other(data, limits).document
    except InvalidEvent:
        return None
    return document if isinstance(document, dict | list) else None


def _from_base64(text: str) -> bytes:
    """The bytes of a base64 or base64url text; empty if it is none."""
    text = "".join(text.split())
    if not _BASE64.fullmatch(text):
        return b""
    padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    try:
        return base64.b64decode(padded)
    except (binascii.Error, ValueError):
        return b""
