"""Batches of records: read as aiokafka reads them, but never larger than they may be."""

import gzip
import random
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import cramjam
import pytest
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record._crecords import default_records, legacy_records
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.errors import BatchTooLarge, TooManyBytes
from streams.kafka import batches
from streams.kafka.batches import (
    DECODERS,
    MAX_BATCH_BYTES,
    MAX_GZIP_MEMBERS,
    MAX_PARTS,
    XERIAL_MAGIC,
    CorruptBatch,
    bounded_gzip,
    bounded_snappy,
)
from streams.kafka.offsets import Partition

P = Partition("t", 3)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
COMPRESSED = [name for name in CODECS if name != "none"]
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": codec.gzip_encode,
    "snappy": codec.snappy_encode,
    "snappy, raw": lambda data: codec.snappy_encode(data, xerial_compatible=False),
    "lz4": codec.lz4_encode,
    "zstd": codec.zstd_encode,
}
AIOKAFKAS = {
    "gzip": codec.gzip_decode,
    "snappy": codec.snappy_decode,
    "lz4": codec.lz4_decode,
    "zstd": codec.zstd_decode,
}


def some_bytes(size: int, seed: int = 1) -> bytes:
    """Bytes that compress somewhat."""
    rng = random.Random(seed)
    words = [rng.randbytes(rng.randrange(1, 40)) for _ in range(50)]
    return b"".join(rng.choice(words) for _ in range(size // 5 + 1))[:size]


def encoder_of(name: str) -> tuple[Callable[[bytes], bytes], Callable[[Any], bytes]]:
    """How data is compressed in this way, and our decoder of it."""
    return ENCODERS[name], DECODERS[name.partition(",")[0]]


def batch_of(
    codec_name: str, values: list[bytes], *, base_offset: int = 0, magic: int = 2
) -> bytes:
    """A batch as a producer writes it and a broker stores it."""
    if magic == 2:
        builder: Any = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=CODECS[codec_name],
            is_transactional=False,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=-1,
            batch_size=2**31 - 1,
        )
    else:
        builder = LegacyRecordBatchBuilder(magic, CODECS[codec_name], 2**31 - 1)
    for offset, value in enumerate(values):
        headers = {"headers": [("h", b"1")]} if magic == 2 else {}
        assert builder.append(offset, timestamp=1000, key=b"k", value=value, **headers)
    built = bytearray(builder.build())
    if magic == 2:
        # The broker writes the offset; it is not part of the checksum.
        struct.pack_into(">q", built, 0, base_offset)
    return bytes(built)


def read(data: bytes, *, at: int = 0, check_crcs: bool = True) -> Any:
    """The records of a response, as aiokafka's fetcher makes them of its bytes."""
    return fetcher.PartitionRecords(P, MemoryRecords(data), None, at, None, None, check_crcs, 0)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [1, 17, 1000, 32 * 1024, 32 * 1024 + 1, 300_000])
def test_every_codec_gives_what_aiokafka_gives(name: str, size: int) -> None:
    """Records would be read wrong, or good batches be taken for damaged ones."""
    encode, decode = encoder_of(name)
    data = some_bytes(size)
    for payload in (encode(data), memoryview(encode(data))):
        expected = AIOKAFKAS[name.partition(",")[0]](payload)
        assert decode(payload) == expected == data
        assert isinstance(decode(payload), bytes), "Cython takes nothing else"


@pytest.mark.parametrize("name", ENCODERS)
def test_a_batch_may_be_exactly_as_large_as_allowed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest batch of a good producer would become dead letters, or a larger one pass."""
    monkeypatch.setattr(batches, "MAX_BATCH_BYTES", 100_000)
    encode, decode = encoder_of(name)
    assert len(decode(encode(bytes(100_000)))) == 100_000
    with pytest.raises(TooManyBytes):
        decode(encode(bytes(100_001)))


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [MAX_BATCH_BYTES + 1, 3 * MAX_BATCH_BYTES])
def test_a_bomb_takes_no_more_memory_than_a_batch_may(name: str, size: int) -> None:
    """14 kB would become 120 MB, and kill the worker at every restart."""
    encode, decode = encoder_of(name)
    bomb = encode(bytes(size))
    assert len(bomb) < size / 15
    tracemalloc.start()
    with pytest.raises(TooManyBytes):
        decode(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.5 * MAX_BATCH_BYTES


@pytest.mark.parametrize("name", ENCODERS)
def test_truncated_data_is_an_error(name: str) -> None:
    """The records behind the cut would be missing without a word."""
    encode, decode = encoder_of(name)
    payload = encode(some_bytes(100_000))
    for cut in (len(payload) - 1, len(payload) // 2, 17):
        with pytest.raises(Exception):  # noqa: B017, PT011 - each library raises its own
            decode(payload[:cut])


def test_members_of_gzip_may_follow_each_other() -> None:
    """Only the first member of a batch would be read: the records behind it would be lost."""
    payload = gzip.compress(b"first ") + gzip.compress(b"") + gzip.compress(b"last") + bytes(5)
    assert bounded_gzip(payload) == codec.gzip_decode(payload) == b"first last"
    with pytest.raises(TooManyBytes):
        bounded_gzip(gzip.compress(bytes(MAX_BATCH_BYTES)) + gzip.compress(b"1"))
    with pytest.raises(Exception, match="incorrect header"):
        bounded_gzip(gzip.compress(b"first") + b"garbage")


def test_very_many_parts_are_refused() -> None:
    """A small batch would keep the event loop busy for minutes."""
    member, block = gzip.compress(b""), struct.pack("!i", 1) + b"\0"
    header = XERIAL_MAGIC + struct.pack("!ii", 1, 1)
    assert bounded_gzip(member * MAX_GZIP_MEMBERS) == b""
    assert bounded_snappy(header + block * MAX_PARTS) == b""
    with pytest.raises(TooManyBytes):
        bounded_gzip(member * (MAX_GZIP_MEMBERS + 1))
    with pytest.raises(TooManyBytes):
        bounded_snappy(header + block * (MAX_PARTS + 1))


def test_a_block_of_snappy_with_a_negative_size_is_an_error() -> None:
    """The decoder would go back, and never end."""
    header = XERIAL_MAGIC + struct.pack("!ii", 1, 1)
    for size in (-4, -1, -(2**31)):
        with pytest.raises(ValueError, match="negative"):
            bounded_snappy(header + struct.pack("!i", size) + b"1234")


@pytest.mark.parametrize("name", CODECS)
def test_a_batch_is_read_as_aiokafka_reads_it(name: str) -> None:
    """Keys, values, headers or offsets would differ from what was produced."""
    values = [some_bytes(size, seed=size) for size in (0, 1, 5000, 200_000)]
    first = batch_of(name, values, base_offset=40)
    second = batch_of(name, [b"later"], base_offset=50)
    records = list(read(first + second, at=41))
    assert [(record.offset, record.value) for record in records] == [
        *zip((41, 42, 43), values[1:], strict=True),
        (50, b"later"),
    ]
    assert {(record.topic, record.partition, record.key) for record in records} == {(*P, b"k")}
    assert records[0].headers == (("h", b"1"),)


@pytest.mark.parametrize("name", ["none", "gzip", "snappy", "lz4"])
def test_batches_of_old_producers_are_read(name: str) -> None:
    """A topic with records in Kafka's older formats could not be read."""
    for magic in (0, 1):
        if (magic, name) == (0, "lz4"):
            continue  # the format of a broken framing, which nobody writes any more
        assert [record.value for record in read(batch_of(name, [b"a", b"b"], magic=magic))] == [
            b"a",
            b"b",
        ]


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_batch_that_is_too_large_names_its_offsets(name: str) -> None:
    """Nobody could tell which events it holds, or the reader would leave out its neighbours."""
    values = [bytes(4 * 1024 * 1024)] * 5
    large = batch_of(name, values, base_offset=40)
    records = read(batch_of("none", [b"before"], base_offset=38) + large, at=38)
    assert next(records).offset == 38
    with pytest.raises(BatchTooLarge, match=r"offsets 39 to 44 of t\[3\]") as caught:
        next(records)
    assert (caught.value.first, caught.value.last) == (39, 44)
    with pytest.raises(BatchTooLarge) as caught:
        next(read(large, at=42))
    assert (caught.value.first, caught.value.last) == (42, 44)


@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4"])
def test_a_large_batch_of_an_old_producer_is_bounded_too(name: str) -> None:
    """An attacker would only have to use the older format."""
    data = batch_of(name, [bytes(4 * 1024 * 1024)] * 5, magic=1)
    with pytest.raises(BatchTooLarge):
        list(read(data))


@pytest.mark.parametrize("name", CODECS)
def test_a_flipped_byte_is_found_and_the_batch_before_it_is_read(name: str) -> None:
    """Damaged records would be processed, good ones be lost, or nobody know which are damaged."""
    values = [some_bytes(500), b"", b""]
    data = batch_of(name, [b"good"]) + batch_of(name, values, base_offset=1)
    damaged = bytearray(data)
    damaged[-3] ^= 4
    records = read(bytes(damaged))
    assert next(records).value == b"good"
    with pytest.raises(CorruptBatch) as caught:
        next(records)
    assert (caught.value.first, caught.value.last) == (1, 3)


@pytest.mark.parametrize("length", [-(2**31), -12, 0, 13])
def test_a_damaged_length_is_an_error_of_that_partition(length: int) -> None:
    """An error in another place ends aiokafka's fetcher, and nothing is read any more."""
    data = bytearray(batch_of("none", [b"v"]))
    struct.pack_into(">i", data, 8, length)
    records = read(bytes(data))
    with pytest.raises(CorruptRecordException):
        next(records)


def test_aiokafka_uses_our_decoders() -> None:
    """After an upgrade of aiokafka, batches could be of any size again, and nobody would notice."""
    assert fetcher.PartitionRecords is batches.BoundedPartitionRecords
    assert fetcher.Fetcher._proc_fetch_request.__globals__["PartitionRecords"] is (
        batches.BoundedPartitionRecords
    )
    assert set(DECODERS) == set(COMPRESSED)
    for module in (default_records, legacy_records):
        used = {name for name in COMPRESSED if hasattr(module, f"{name}_decode")}
        assert used >= {"gzip", "snappy", "lz4"}
        for name in used:
            assert getattr(module, f"{name}_decode") is DECODERS[name]
    assert default_records.zstd_decode is DECODERS["zstd"]
    assert type(MemoryRecords(batch_of("none", [b""])).next_batch()).__module__ == (
        default_records.__name__
    ), "another implementation of the batches than the one that is bounded"


def test_an_error_of_a_codec_passes_through() -> None:
    """A damaged batch would be taken for one that is too large, and its events be left out."""
    with pytest.raises(cramjam.DecompressionError):
        DECODERS["lz4"](b"not lz4 at all")
    with pytest.raises(cramjam.DecompressionError):
        DECODERS["zstd"](b"not zstd at all")
