"""Bound what one compressed batch may grow to, and name the offsets of a batch that fails.

A batch of 14 kB can hold 120 MB. aiokafka decompresses a batch as a whole and without a limit. This
module puts a limit into its decoders, for every consumer of the process. Of a batch that is too
large or damaged, aiokafka says only the partition; here the error names the offsets.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cramjam
import numpy as np
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record._crecords import default_records, legacy_records

from streams.errors import BatchTooLarge, StreamError, TooManyBytes

MAX_BATCH_BYTES = 16 * 1024 * 1024
"""How large a batch may be when it is decompressed: twice the largest record of our topics.

The event loop waits while a batch is decompressed: less than 100 ms for this size.
"""

GZIP_WINDOW_BITS = 31
XERIAL_MAGIC = b"\x82SNAPPY\x00"
XERIAL_HEADER_BYTES = 16
MAX_PARTS = 65_536
"""Java clients compress at least 1 KiB at once. Millions of empty parts cost time and memory."""
MAX_GZIP_MEMBERS = 64
"""Clients write one. What follows a member is copied, so many of them would take minutes."""
WHAT_CRAMJAM_SAYS_OF_A_FULL_BUFFER = "failed to write whole buffer"

Decoder = Callable[[Any], bytes]


class CorruptBatch(StreamError, CorruptRecordException):  # type: ignore[misc] # noqa: N818
    """A batch whose bytes fail their CRC, or cannot be taken apart.

    `first` and `last` are its offsets that are not read yet, as its header says them. The header
    may be damaged, too. `what` is the class of the error that was found.
    """

    def __init__(self, what: str, first: int, last: int) -> None:
        super().__init__(f"{what} in offsets {first} to {last}")
        self.what = what
        self.first = first
        self.last = last


class BoundedPartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc] # aiokafka has no types
    """aiokafka's records of one fetch. The error of a batch names its offsets."""

    _records: Any
    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Any]:
        watched = self._records = _Watched(self._records)
        try:
            yield from super()._unpack_records()
        except TooManyBytes:
            last = watched.batch.next_offset - 1
            raise BatchTooLarge(
                self._tp.topic, self._tp.partition, self.next_fetch_offset, last
            ) from None
        except Exception as error:  # damaged bytes make a parser raise anything
            if watched.batch is None:
                raise
            last = watched.batch.next_offset - 1
            if last < self.next_fetch_offset:
                raise
            raise CorruptBatch(type(error).__name__, self.next_fetch_offset, last) from error


class _Watched:
    """aiokafka's batches, and which of them was read last."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.batch: Any = None

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        self.batch = None  # if the next one has no header that can be read
        self.batch = self._records.next_batch()
        return self.batch


def bounded_gzip(payload: Any) -> bytes:
    """Decompress gzip.

    Raises:
        TooManyBytes: the result has more than `MAX_BATCH_BYTES`. The other decoders raise it too.
    """
    parts: list[bytes] = []
    room = MAX_BATCH_BYTES
    while payload:
        decompressor = zlib.decompressobj(GZIP_WINDOW_BITS)
        parts.append(decompressor.decompress(payload, room + 1))
        room -= len(parts[-1])
        if room < 0 or len(parts) > MAX_GZIP_MEMBERS:
            raise TooManyBytes
        if not decompressor.eof:
            raise EOFError("the gzip data of a batch ends too early")
        payload = decompressor.unused_data.lstrip(b"\0")
    return b"".join(parts)


def bounded_zstd(payload: Any) -> bytes:
    """Decompress zstd."""
    return _into(cramjam.zstd.decompress_into, payload)


def bounded_lz4(payload: Any) -> bytes:
    """Decompress an lz4 frame."""
    return _into(cramjam.lz4.decompress_into, payload)


def bounded_snappy(payload: Any) -> bytes:
    """Decompress snappy: one raw block, or the blocks that Java clients write."""
    view = memoryview(payload)
    blocks = [view] if bytes(view[: len(XERIAL_MAGIC)]) != XERIAL_MAGIC else _xerial_blocks(view)
    if sum(cramjam.snappy.decompress_raw_len(block) for block in blocks) > MAX_BATCH_BYTES:
        raise TooManyBytes
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def _xerial_blocks(view: memoryview) -> list[memoryview]:
    blocks: list[memoryview] = []
    cursor = XERIAL_HEADER_BYTES
    while cursor < len(view):
        (size,) = struct.unpack_from("!i", view, cursor)
        if size < 0:
            raise ValueError("a block of snappy has a negative size")
        if len(blocks) == MAX_PARTS:
            raise TooManyBytes
        cursor += 4
        blocks.append(view[cursor : cursor + size])
        cursor += size
    return blocks


def _into(decompress_into: Callable[[Any, Any], int], payload: Any) -> bytes:
    # The system gives memory to an empty array only where it is written to.
    target = np.empty(MAX_BATCH_BYTES, np.uint8)
    try:
        size = decompress_into(payload, target)
    except cramjam.DecompressionError as error:
        if WHAT_CRAMJAM_SAYS_OF_A_FULL_BUFFER in str(error):
            raise TooManyBytes from None
        raise
    return target[:size].tobytes()


def install() -> None:
    """Put the bounds into aiokafka."""
    fetcher.PartitionRecords = BoundedPartitionRecords
    for module in (default_records, legacy_records):
        for codec, decode in DECODERS.items():
            if hasattr(module, f"{codec}_decode"):
                setattr(module, f"{codec}_decode", decode)


DECODERS: dict[str, Decoder] = {
    "gzip": bounded_gzip,
    "snappy": bounded_snappy,
    "lz4": bounded_lz4,
    "zstd": bounded_zstd,
}
