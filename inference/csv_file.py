"""Files of comma-separated values: each row becomes a JSON object with the names of the header."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain

import orjson

DELIMITERS = (",", ";", "\t", "|")
NAMES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TEXT_COLUMNS = frozenset(
    ("text", "title", "body", "subject", "summary", "description", "message", "content")
)
"""A file whose first line names one of these columns is taken for CSV, whatever its own name."""
MAX_COLUMN_CHARS, MAX_COLUMNS = 100, 500

_NOT_LETTERS = re.compile(r"[^a-z]+")


def is_csv(name: str, first: str) -> bool:
    """Whether a file of this name and first line is CSV with a header."""
    header = header_of(first)
    if not 1 <= len(header) <= MAX_COLUMNS or max(map(len, header)) > MAX_COLUMN_CHARS:
        return False
    if name.lower().endswith(NAMES):
        return True
    return len(header) > 1 and any(_plain(column) in TEXT_COLUMNS for column in header)


def header_of(first: str) -> list[str]:
    """The names of the columns in the first line; none if it cannot be read."""
    try:
        return [column.strip() for column in next(csv.reader([first], delimiter=_delimiter(first)))]
    except (csv.Error, StopIteration):
        return []


def csv_rows(first: str, lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The rows after the header `first`, each with the number of its last line, from 0.

    An empty cell is null. Of two columns with one name, the first that is filled counts.

    Raises:
        csv.Error: a cell is longer than 128 KiB, or the quotes are damaged.
    """
    header = header_of(first)
    text = chain([first], (decoded(line) for line in lines))
    reader = csv.reader(text, delimiter=_delimiter(first))
    next(reader)
    for cells in reader:
        row: dict[str, str | None] = {}
        for column, cell in zip(header, cells, strict=False):
            if column and row.get(column) is None:
                row[column] = cell if cell.strip() else None
        if any(row.values()):
            yield reader.line_num - 1, orjson.dumps(row)


def decoded(line: bytes) -> str:
    """A line in UTF-8, or else as older office programs write it."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def _delimiter(first: str) -> str:
    return max(DELIMITERS, key=first.count)


def _plain(column: str) -> str:
    return _NOT_LETTERS.sub("", column.lower())
