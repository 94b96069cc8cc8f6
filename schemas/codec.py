"""Conversion between bytes and typed objects.

orjson reads and writes JSON, msgspec checks the types.
"""

import threading
from typing import Any, TypeVar

import msgspec
import orjson

from schemas.errors import InvalidEvent
from schemas.limits import LIMITS, Limits, refuse_oversized

T = TypeVar("T")

_PREPARING = threading.Lock()
_PREPARED: set[Any] = set()


def prepared(type_: type[T]) -> type[T]:
    """The same type, which msgspec can now decode in any thread.

    Every call of msgspec that decodes or converts to a struct must get its type from here. msgspec
    inspects the fields of a type at its first use, and stores the result in the type before it is
    complete. If a second thread uses the type at that moment, the process ends with SIGSEGV. So the
    type, and all types inside it, are inspected here, by one thread at a time.
    """
    if type_ not in _PREPARED:
        with _PREPARING:
            msgspec.json.Decoder(type_)
            _PREPARED.add(type_)
    return type_


def encode(value: msgspec.Struct) -> bytes:
    """Write one struct as UTF-8 JSON."""
    return orjson.dumps(msgspec.to_builtins(value))


def encode_short(value: msgspec.Struct) -> bytes:
    """Write one struct as UTF-8 JSON, without the fields that are null."""
    fields = msgspec.to_builtins(value)
    return orjson.dumps({name: field for name, field in fields.items() if field is not None})


def decode_json(data: bytes, limits: Limits = LIMITS) -> Any:
    """Read UTF-8 JSON into plain Python objects.

    Raises:
        InvalidEvent: `data` is not UTF-8, not JSON, or beyond the limits.
    """
    refuse_oversized(data, limits)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(
            f"the record is not JSON: {error}; send one UTF-8 JSON object per record",
            stage="decode",
        ) from None


def decode(data: bytes, type_: type[T], limits: Limits = LIMITS) -> T:
    """Read UTF-8 JSON into one of our own structs, with strict types.

    `limits` are those of the event that the record may hold.

    Raises:
        InvalidEvent: `data` is not JSON, is larger than a record with such an event can be, or does
            not have the fields and types of `type_`.
    """
    document = decode_json(data, limits.of_records())
    try:
        return msgspec.convert(document, prepared(type_))
    except msgspec.ValidationError as error:
        raise InvalidEvent(
            f"the record is not a {type_.__name__}: {error}; "
            "send the fields and types of its schema",
            stage="validate",
        ) from None
