"""The bytes of one record as a document that every later step can read and write again."""

from collections.abc import Callable
from typing import Any

from schemas.codec import decode_json
from schemas.errors import InvalidEvent, LimitExceeded
from schemas.formats.decoders import decode_other
from schemas.limits import Limits

Document = dict[str, Any]
Decode = Callable[[bytes], Document | list[Any]]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_JSON_STARTS = (b"{", b"[", b'"')


def decode_document(
    data: bytes, limits: Limits, *, received_at: float | None = None, max_events: int = 1_000
) -> Document | list[Any]:
    """Read UTF-8 JSON, or what `decode_other` can read, as one object or an array.

    Args:
        data: the bytes, with or without a byte order mark.
        limits: how large an event may be.
        received_at: the time of the record, in seconds since 1970; it tells the year of a time
            without one.
        max_events: how many events a record may hold.

    Raises:
        InvalidEvent: nothing here can read `data`, or it is beyond the limits (stage ``decode``),
            or it is JSON but neither an object nor an array (stage ``recognise``).
    """
    try:
        document = decode_json(data.removeprefix(_BYTE_ORDER_MARK), limits)
    except LimitExceeded:
        # The commas of a mail are no values; whatever decodes it counts its own.
        if data.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(_JSON_STARTS):
            raise
        return decode_other(data, limits, received_at, max_events).document
    except InvalidEvent:
        return decode_other(data, limits, received_at, max_events).document
    if isinstance(document, str):
        return decode_other(data, limits, received_at, max_events).document
    if not isinstance(document, dict | list):
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
