"""The wire format of Confluent's serializers.

A value begins with a zero byte and a schema id of 4 bytes (big-endian). The payload follows.
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

from schemas.errors import InvalidEvent

_MAGIC = 0
_FRAME_BYTES = 5


def schema_id(value: bytes) -> int | None:
    """The schema id of a framed value, or None if the value has no frame.

    The first byte is enough to tell, because no JSON text begins with a zero byte.

    Raises:
        InvalidEvent: the value begins like a frame but has no payload.
    """
    if value[0] != _MAGIC:
        return None
    if len(value) <= _FRAME_BYTES:
        raise InvalidEvent(
            "the Confluent frame has no payload; send the event after the schema id",
            stage="decode",
        )
    return int.from_bytes(value[1:_FRAME_BYTES], "big")


def unframe(value: bytes) -> bytes:
    """The payload of a framed value.

    The schema registry is not contacted. Confluent's JSON Schema serializer writes plain JSON,
    which can be read without the schema.
    """
    return value[_FRAME_BYTES:]
