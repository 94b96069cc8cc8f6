"""The bytes of one record as JSON that every later step can read and write again."""

from typing import Any

from schemas.codec import decode_json
from schemas.errors import InvalidEvent
from schemas.limits import Limits

Document = dict[str, Any]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decode_document(data: bytes, limits: Limits) -> Document | list[Any]:
    """Read UTF-8 JSON, with or without a byte order mark, as one object or an array.

    Raises:
        InvalidEvent: `data` is not JSON or is beyond the limits (stage ``decode``), or it is JSON
            but neither of the two (stage ``recognise``).
    """
    document = decode_json(data.removeprefix(_BYTE_ORDER_MARK), limits)
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
