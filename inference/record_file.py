"""Files as people have them, and the records in them.

A file may hold one event per line (NDJSON, CEF, syslog), CSV with a header, an array, one document
or several of them, a mail or Windows events, and all of these compressed with gzip. Office programs
save text in UTF-8, UTF-16 or Windows-1252.
"""

import csv
import gzip
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from inference.csv_file import csv_rows, decoded, header_of, is_csv
from inference.errors import DataError

STDIN = "-"

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# A mail begins with header fields; some mail boxes put a line that begins with "From " before them.
_MAIL = re.compile(
    rb"(?:From [^\r\n]*\r?\n)?(?:[!-9;-~]{1,60}:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*){2}"
)
_MAIL_FIELD = re.compile(rb"(?i)(?:^|\n)(?:From|To|Subject|Date|Message-ID|Received):")
_NOT_SPACE = re.compile(r"\S")
_XML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<Events?[\s>]")

Numbered = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class RecordFile:
    """The records of one file, each with its number from 0, and what the file was taken for.

    `numbered` can be read once. `is_plain` says that the file is NDJSON, `is_table` that it is CSV.
    """

    taken_for: str
    numbered: Iterator[Numbered]
    is_plain: bool = False
    is_table: bool = False


@contextmanager
def open_records(file: str) -> Iterator[RecordFile]:
    """The records of a file; `-` is standard input. Lines are read one after the other.

    Raises:
        DataError: the file cannot be read.
    """
    with ExitStack() as opened:
        try:
            stream = _open(file, opened)
            records = _recognise(file, stream)
        except (OSError, EOFError) as error:
            raise _unreadable(file, error) from None
        yield replace(records, numbered=_guarded(file, records.numbered))


def read_lines(file: str) -> Iterator[bytes]:
    """Yield the records of a file as `open_records` does, without their numbers.

    Raises:
        DataError: the file cannot be read.
    """
    with open_records(file) as records:
        for _, record in records.numbered:
            yield record


def _guarded(file: str, numbered: Iterator[Numbered]) -> Iterator[Numbered]:
    try:
        yield from numbered
    except (OSError, EOFError, csv.Error) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: str, error: OSError | EOFError | csv.Error) -> DataError:
    reason = getattr(error, "strerror", None) or str(error)
    return DataError(
        f"cannot read {file} ({reason}); name a file of events, or - for standard input"
    )


def _open(file: str, opened: ExitStack) -> io.BufferedReader:
    """The file, decompressed if it is gzip."""
    if file == STDIN:
        stream = _peekable(sys.stdin.buffer)
    else:
        stream = opened.enter_context(Path(file).open("rb"))  # noqa: SIM115 - the stack closes it
    if stream.peek(len(_GZIP)).startswith(_GZIP):
        stream = _peekable(opened.enter_context(gzip.GzipFile(fileobj=stream)))
    if stream.peek(len(_UTF_16[0])).startswith(_UTF_16):
        text = stream.read().decode("utf-16", "replace")
        return _peekable(io.BytesIO(text.encode()))
    return stream


def _peekable(stream: Any) -> io.BufferedReader:
    return stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)


def _recognise(file: str, stream: io.BufferedReader) -> RecordFile:
    """What the file holds, by its first line and what is already buffered of the next ones."""
    first = stream.readline()
    if b"\r" in first and not first.endswith(b"\n"):
        # The line ends of old programs; the whole file is one line of ours.
        stream = _peekable(io.BytesIO(first.replace(b"\r", b"\n")))
        first = stream.readline()
    line = first.removeprefix(_BYTE_ORDER_MARK).strip()
    if line.startswith(b"{") and _is_json(line):
        return RecordFile("NDJSON, one event per line", _lines(chain([first], stream)), True)
    if line.startswith((b"{", b"[")):
        return _whole_json((first + stream.read()).removeprefix(_BYTE_ORDER_MARK))
    header = decoded(line)
    if is_csv(file, header):
        taken_for = f"CSV with {len(header_of(header))} columns"
        return RecordFile(taken_for, csv_rows(header, stream), is_table=True)
    start = first + stream.peek()
    if _XML.match(start):
        return RecordFile("Windows events in XML", iter([(0, first + stream.read())]))
    if file.lower().endswith(".eml") or (_MAIL.match(start) and _MAIL_FIELD.search(start)):
        return RecordFile("one mail", iter([(0, first + stream.read())]))
    return RecordFile("one record per line", _lines(chain([first], stream)))


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _whole_json(text: bytes) -> RecordFile:
    """A file that is one document, an array, several documents, or lines that are none of these."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _documents(text)
    if isinstance(document, list) and document:
        taken_for = f"an array of {len(document)} events"
        return RecordFile(taken_for, enumerate(orjson.dumps(each) for each in document))
    return RecordFile("one JSON document", iter([(0, text)]))


def _documents(text: bytes) -> RecordFile:
    """Several JSON documents one after the other, each over many lines."""
    decoder, place = json.JSONDecoder(), 0
    decoded = text.decode("utf-8", "replace").rstrip()
    documents: list[bytes] = []
    try:
        while place < len(decoded):
            place = _NOT_SPACE.search(decoded, place).start()  # type: ignore[union-attr]
            document, place = decoder.raw_decode(decoded, place)
            documents.append(orjson.dumps(document))
    except (ValueError, RecursionError, TypeError):
        # The file is NDJSON whose first line is malformed, or no JSON at all.
        return RecordFile("one record per line", _lines(io.BytesIO(text)))
    return RecordFile(f"{len(documents)} JSON documents", enumerate(documents))


def _lines(lines: Iterable[bytes]) -> Iterator[Numbered]:
    for number, line in enumerate(lines):
        if stripped := line.rstrip(b"\r\n"):
            yield number, stripped
