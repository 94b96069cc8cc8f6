"""Bytes on the wire to typed objects and back: orjson for JSON, msgspec for types."""

from typing import Any, TypeVar

import msgspec
import orjson

from schemas.errors import InvalidEvent

T = TypeVar("T")

WRITABLE_DEPTH = 254
"""orjson reads 1024 levels and writes this many: what could be read and not written again would stop an agent."""


def encode(value: msgspec.Struct) -> bytes:
    """One struct as UTF-8 JSON."""
    return orjson.dumps(msgspec.to_builtins(value))


def decode_json(data: bytes) -> Any:
    """UTF-8 JSON to plain objects.

    Raises:
        InvalidEvent: not UTF-8, not JSON, or nested deeper than orjson allows (1024 levels).
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(
            f"not JSON: {error}; send one UTF-8 JSON object per record", stage="decode"
        ) from None


def decode(data: bytes, type_: type[T]) -> T:
    """UTF-8 JSON to one of our own structs, strictly.

    Raises:
        InvalidEvent: the bytes are not JSON or do not have that type's shape.
    """
    document = decode_json(data)
    if (
        data.count(b"{") + data.count(b"[") > WRITABLE_DEPTH
    ):  # depth cannot exceed the number of opening brackets
        _refuse_unwritable(document)
    try:
        return msgspec.convert(document, type_)
    except msgspec.ValidationError as error:
        raise InvalidEvent(f"not a {type_.__name__}: {error}", stage="validate") from None


def _refuse_unwritable(document: Any) -> None:
    try:
        orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise InvalidEvent(
            f"nested deeper than {WRITABLE_DEPTH} levels; flatten the document", stage="decode"
        ) from None
