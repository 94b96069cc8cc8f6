"""One record's bytes as one JSON object that every later step can walk and write again."""

from typing import Any

import orjson

from schemas.codec import WRITABLE_DEPTH, decode_json
from schemas.errors import InvalidEvent

Document = dict[str, Any]

# orjson reads 1024 levels and writes only 254, and msgspec recurses on Python's stack: a document that could be
# read and not written would stop the worker at the enrichment topic, after it had been triaged.
MAX_DEPTH = 128

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decode_document(data: bytes) -> Document:
    """UTF-8 JSON, with or without a byte order mark, as one object at most `MAX_DEPTH` levels deep.

    Raises:
        InvalidEvent: not JSON or too deep (stage ``decode``), or JSON but not an object (stage ``recognise``).
    """
    document = decode_json(data.removeprefix(_BYTE_ORDER_MARK))
    # Depth cannot exceed the number of opening brackets, so nearly every record is spared the walk.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        _refuse_deep(document)
    if not isinstance(document, dict):
        raise InvalidEvent(
            f"the record is {json_type(document)}; send one JSON object per record",
            stage="recognise",
        )
    return document


def json_type(value: object) -> str:
    """What a JSON value is called in an error message; never the value itself, which may be large or private."""
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def _refuse_deep(document: object) -> None:
    """Lets the encoder find the depth, at its speed: padded so that its limit becomes ours."""
    for _ in range(WRITABLE_DEPTH - MAX_DEPTH):
        document = [document]
    try:
        orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise InvalidEvent(
            f"nested deeper than {MAX_DEPTH} levels; flatten the document", stage="decode"
        ) from None
