"""The bytes of one record as one JSON object that every later step can read and write again."""

from typing import Any

import orjson

from schemas.codec import WRITABLE_DEPTH, decode_json
from schemas.errors import InvalidEvent

Document = dict[str, Any]

# orjson reads 1024 levels but writes only 254, and msgspec recurses on Python's stack. A document
# that can be read but not written would stop the worker at the enrichment topic, after its triage.
MAX_DEPTH = 128

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decode_document(data: bytes) -> Document:
    """Read UTF-8 JSON, with or without a byte order mark, as one object.

    Raises:
        InvalidEvent: `data` is not JSON or is nested deeper than `MAX_DEPTH` (stage ``decode``),
            or it is JSON but not an object (stage ``recognise``).
    """
    document = decode_json(data.removeprefix(_BYTE_ORDER_MARK))
    # The depth is at most the number of opening brackets, so most documents need no further check.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        _refuse_deep(document)
    if not isinstance(document, dict):
        raise InvalidEvent(
            f"the record is {json_type(document)}; send one JSON object per record",
            stage="recognise",
        )
    return document


def json_type(value: object) -> str:
    """The type of a JSON value, for an error message.

    Messages never contain the value itself, because it may be large or private.
    """
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def _refuse_deep(document: object) -> None:
    """Raise InvalidEvent if the document is nested deeper than `MAX_DEPTH`.

    The encoder checks this much faster than Python code. The document is put into so many arrays
    that the limit of the encoder becomes `MAX_DEPTH`.
    """
    for _ in range(WRITABLE_DEPTH - MAX_DEPTH):
        document = [document]
    try:
        orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise InvalidEvent(
            f"the record is nested deeper than {MAX_DEPTH} levels; flatten it", stage="decode"
        ) from None
