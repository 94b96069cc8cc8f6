"""What a commit says besides its offset, in Kafka's metadata of the commit.

The next worker that gets the partition reads it. So it can tell whether the log is still the one
that was read, and whether an event killed the workers before it.
"""

import zlib
from typing import NamedTuple, Self

import msgspec

from schemas.codec import prepared


class LastRecord(NamedTuple):
    """The last settled record of a partition, as the log had it."""

    offset: int
    fingerprint: int


class CommitNote(msgspec.Struct, frozen=True, omit_defaults=True, rename={"last": "l"}):
    """The note beside one committed offset."""

    last: LastRecord | None = None
    starts: int = msgspec.field(default=0, name="s")
    """How many workers began to read at this offset, and ended before they got any further."""
    trying: int | None = msgspec.field(default=None, name="t")
    """The offset of an event that is being processed alone, because `starts` grew too large."""

    def encode(self) -> str:
        """The note as text of at most 100 characters."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str | None) -> Self:
        """The note in a commit; an empty one if another program wrote the commit."""
        try:
            return msgspec.json.decode(text or "", type=prepared(cls))
        except msgspec.DecodeError:
            return cls()


def fingerprint(key: bytes | None, value: bytes | None, timestamp_ms: int) -> int:
    """A checksum that differs if another record stands at the same offset."""
    # In one row: a timestamp as the start of the checksum cancels out with the bytes that follow.
    stamp = timestamp_ms.to_bytes(8, "big", signed=True)
    return zlib.crc32(value or b"", zlib.crc32(key or b"", zlib.crc32(stamp)))
