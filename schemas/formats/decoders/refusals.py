"""What a record looks like that no decoder reads, in a sentence that says what to do."""

import csv
import re
from contextlib import suppress

from schemas.errors import InvalidEvent

_SENT_AS = "send it decompressed, or let the producer compress the batch"
# What binary data begins with, and how the sentence about it goes on.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", f"gzip; {_SENT_AS}"),
    (b"\x28\xb5\x2f\xfd", f"zstd; {_SENT_AS}"),
    (b"\x04\x22\x4d\x18", f"lz4; {_SENT_AS}"),
    (b"\xff\x06\x00\x00sNaPpY", f"snappy; {_SENT_AS}"),
    (b"\x82SNAPPY\x00", f"snappy; {_SENT_AS}"),
    (b"BZh", f"bzip2; {_SENT_AS}"),
    (b"\xfd7zXZ\x00", f"xz; {_SENT_AS}"),
    (b"PK\x03\x04", "a ZIP archive; send the event inside it as JSON"),
    (b"Obj\x01", "an Avro file; send each of its rows as JSON"),
    (b"\xc3\x01", "Avro; use a JSON serializer"),
    (b"PAR1", "a Parquet file; send each of its rows as JSON"),
    (b"ElfFile\x00", "a binary Windows event log; send its events as XML or JSON"),
    (b"%PDF", "a PDF file; send its text as JSON"),
    (b"\x89PNG", "an image; send JSON"),
    (b"\xff\xd8\xff", "an image; send JSON"),
    (b"GIF8", "an image; send JSON"),
)
_SAMPLE_BYTES = 4_096
_CSV_ROWS = 2
_CSV_COLUMNS = 3
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\r\x0b\x0c\x1b") + b"\x7f"
_MOST_CONTROLS = 0.02  # of the bytes; texts have none, a few get into log lines
_HTML = re.compile(r"\A\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_XML = re.compile(r"\A\s*<(?:\?xml|[A-Za-z!])")
_YAML = re.compile(r"\A(?:---\s|(?:[\w.-]{1,64}:(?: [^\n]*)?\n[ \t]*(?:- )?){2}|[\w.-]{1,64}:\n)")
_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]{64,}={0,2}\s*")


def refusal(data: bytes) -> InvalidEvent:
    """The error for a record that no decoder reads."""
    return InvalidEvent(f"the record is {_looks_like(data)}", stage="decode")


def _looks_like(data: bytes) -> str:
    for signature, what in _SIGNATURES:
        if data.startswith(signature):
            return what
    sample = data[:_SAMPLE_BYTES]
    if not data.strip(b"\x00 \t\r\n"):
        return "blank; send one JSON object per record"
    if _is_utf16(sample):
        return "UTF-16 without a byte order mark; send it as UTF-8"
    if _is_binary(sample):
        return (
            "binary and not JSON, for example Protobuf, Avro or MessagePack; use a JSON serializer"
        )
    return _text_like(sample.decode("utf-8", "replace"))


def _is_utf16(sample: bytes) -> bool:
    """Whether every second byte is zero, in most of the sample."""
    half = len(sample) // 2
    zeros = max(sample[0::2].count(0), sample[1::2].count(0))
    return half > 1 and zeros > 0.8 * half and sample.count(0) < 0.6 * len(sample)


def _is_binary(sample: bytes) -> bool:
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    wrong = sample.decode("utf-8", "replace").count("\ufffd")
    return controls > _MOST_CONTROLS * len(sample) or wrong > 0.2 * len(sample)


def _text_like(sample: str) -> str:
    if _HTML.match(sample):
        return "an HTML page; send JSON, with the page in a field such as `body`"
    if _XML.match(sample):
        return "XML, and of XML only Windows events are read; send JSON"
    if _is_csv(sample):
        return "CSV; send one JSON object per row"
    if _YAML.match(sample):
        return "YAML; send JSON"
    if _BASE64.fullmatch(sample):
        return "base64; send what it encodes, as JSON"
    return 'plain text, not JSON; send it inside an object, such as {"text": "…"}'


def _is_csv(sample: str) -> bool:
    """Whether the first two lines have the same number of columns, at least three."""
    lines = sample.split("\n", 2)[:2]
    for delimiter in (",", ";", "\t"):
        with suppress(csv.Error):
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
            if len(widths) == _CSV_ROWS and widths[0] == widths[1] >= _CSV_COLUMNS:
                return True
    return False
