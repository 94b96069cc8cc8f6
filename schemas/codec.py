"""Bytes on the wire to typed objects and back: orjson for JSON, msgspec for types."""

from typing import Any, TypeVar

import msgspec
import orjson

from schemas.errors import InvalidEvent

T = TypeVar("T")


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
        raise InvalidEvent(f"not JSON: {error}; send one UTF-8 JSON object per record", stage="decode") from None


def decode(data: bytes, type_: type[T]) -> T:
    """UTF-8 JSON to one of our own structs, strictly.

    Raises:
        InvalidEvent: the bytes are not JSON or do not have that type's shape.
    """
    try:
        return msgspec.convert(decode_json(data), type_)
    except msgspec.ValidationError as error:
        raise InvalidEvent(f"not a {type_.__name__}: {error}", stage="validate") from None
