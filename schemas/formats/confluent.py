"""Confluent's wire format around JSON: a zero byte, a 4-byte big-endian schema id, then the payload.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

from schemas.errors import InvalidEvent

_MAGIC = 0
_FRAME_BYTES = 5


def schema_id(value: bytes) -> int | None:
    """The schema id of a framed value, None for an unframed one; no JSON text begins with a zero byte.

    Raises:
        InvalidEvent: the value begins like a frame and ends inside it.
    """
    if value[0] != _MAGIC:
        return None
    if len(value) <= _FRAME_BYTES:
        raise InvalidEvent(
            "a Confluent frame with no payload; send the event after the schema id", stage="decode"
        )
    return int.from_bytes(value[1:_FRAME_BYTES], "big")


def unframe(value: bytes) -> bytes:
    """The payload of a framed value.

    No registry is asked: the JSON Schema serializer writes plain JSON, so any schema id will do.
    """
    return value[_FRAME_BYTES:]
