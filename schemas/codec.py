"""Conversion between bytes and typed objects.

orjson reads and writes JSON, msgspec checks the types.
"""

from typing import Any, TypeVar

import msgspec
import orjson

from schemas.errors import InvalidEvent

T = TypeVar("T")

WRITABLE_DEPTH = 254
"""How many levels of nesting orjson can write. It reads 1024.

A document between these limits could be read but not written again, which would stop an agent.
"""


def encode(value: msgspec.Struct) -> bytes:
    """Write one struct as UTF-8 JSON."""
    return orjson.dumps(msgspec.to_builtins(value))


def decode_json(data: bytes) -> Any:
    """Read UTF-8 JSON into plain Python objects.

    Raises:
        InvalidEvent: `data` is not UTF-8, not JSON, or nested deeper than orjson can read (1024
            levels).
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(
            f"the record is not JSON: {error}; send one UTF-8 JSON object per record",
            stage="decode",
        ) from None


def decode(data: bytes, type_: type[T]) -> T:
    """Read UTF-8 JSON into one of our own structs, with strict types.

    Raises:
        InvalidEvent: `data` is not JSON, is nested deeper than `WRITABLE_DEPTH`, or does not have
            the fields and types of `type_`.
    """
    document = decode_json(data)
    # The depth is at most the number of opening brackets, so most documents need no further check.
    if data.count(b"{") + data.count(b"[") > WRITABLE_DEPTH:
        _refuse_unwritable(document)
    try:
        return msgspec.convert(document, type_)
    except msgspec.ValidationError as error:
        raise InvalidEvent(
            f"the record is not a {type_.__name__}: {error}; "
            "send the fields and types of its schema",
            stage="validate",
        ) from None


def _refuse_unwritable(document: Any) -> None:
    try:
        orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise InvalidEvent(
            f"the document is nested deeper than {WRITABLE_DEPTH} levels; flatten it",
            stage="decode",
        ) from None
