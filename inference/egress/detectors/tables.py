"""Finds values in the columns of tables whose heading names their kind.

The tables are CSV, Markdown, columns with blanks between them, and the rows of an SQL ``INSERT``.
"""

import re
from collections.abc import Iterator, Sequence

from inference.egress.detectors.field_names import kind_of, may_name_secret
from inference.egress.detectors.values import (
    could_be_number,
    could_be_secret,
    is_no_word,
    name_spans,
)
from inference.egress.kinds import Span, ValueKind

Cell = tuple[int, int]
"""Start and end of a cell in the text, without quotes and blanks around it."""

_MAX_LINE_CHARS, _MAX_HEADING_CHARS, _MAX_COLUMNS = 4_000, 500, 60
# At most four words, and no end of a sentence: a sentence with a semicolon in it is no heading.
_HEADING = re.compile(
    r"[^\W\d_][\w.#/()-]{0,40}(?:[ ][\w.#/()-]{1,40}){0,3}(?<!\.)|[_@][\w.-]{1,40}|#|"
)
_CELLS = {
    separator: re.compile(
        rf"[ ]*(?:\"((?:[^\"\n]|\"\")*+)\"|'([^'\n]*+)'(?=[ ]*(?:{sign}|$))|([^{sign}\n]*+))"
        rf"[ ]*(?:{sign}|$)"
    )
    for separator, sign in ((",", ","), (";", ";"), ("\t", r"\t"), ("|", r"\|"))
}  # fmt: skip
_ALIGNED = re.compile(r"[^ \t](?:[ ]?[^ \t])*+")
_RULE = re.compile(r"[ \t|:+=-]{3,}")
_FRAME = re.compile(r"[ \t]*[|│┃]?[ \t]*")
_INSERT = re.compile(
    r"\b(?:insert|replace)[ \t\n]{1,8}(?:ignore[ \t]{1,4})?into[ \t\n]{1,8}[^\s(]{1,128}+"
    r"[ \t\n]{0,8}\("
    r"(?P<columns>[^()\x00]{1,500}+)\)[ \t\n]{0,8}values[ \t\n]{0,8}",
    re.IGNORECASE,
)
_TUPLE = re.compile(r"[ \t\n,]{0,8}\((?P<row>(?:'(?:[^'\n]|'')*+'|\"[^\"\n]*+\"|[^()'\"])*+)\)")
_MAX_ROWS_OF_INSERT = 1_000
_MIN_COLUMNS = 2


def find_in_tables(text: str) -> Iterator[Span]:
    """Find values under a heading that names a secret, a user, a host or a number."""
    if "\n" in text:
        yield from _in_lines(text)
    if "into" in text or "INTO" in text:
        yield from _in_inserts(text)


def kinds_of_columns(headings: Sequence[str]) -> list[tuple[ValueKind | None, bool]]:
    """Per heading: its kind, and whether a secret must be no word to count as one."""
    return [_kind_of_column(heading) for heading in headings]


def _kind_of_column(heading: str) -> tuple[ValueKind | None, bool]:
    kind = kind_of((heading,))
    if kind is None and may_name_secret(heading):
        return "secret", True
    return kind, False


def _in_lines(text: str) -> Iterator[Span]:
    columns: list[tuple[ValueKind | None, bool]] = []
    separator = ""
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        cells = _split(text, start, end, separator) if columns else []
        if _RULE.fullmatch(line):
            pass  # the line below a heading
        elif len(cells) == len(columns) >= _MIN_COLUMNS:
            yield from _values(text, columns, cells)
        else:
            separator, columns = _heading(text, start, end)
        start = end + 1


def _heading(text: str, start: int, end: int) -> tuple[str, list[tuple[ValueKind | None, bool]]]:
    """The separator and the kinds of the columns, if the line is the heading of a table."""
    if end - start > _MAX_HEADING_CHARS:
        return "", []
    line = text[start:end]
    for separator in ("\t", "|", ",", ";", ""):
        if separator not in line or (separator == "" and "  " not in line):
            continue
        names = [text[slice(*cell)] for cell in _split(text, start, end, separator)]
        if _MIN_COLUMNS <= len(names) <= _MAX_COLUMNS and all(map(_HEADING.fullmatch, names)):
            kinds = kinds_of_columns(names)
            if any(kind for kind, _ in kinds):
                return separator, kinds
    return "", []


def _split(text: str, start: int, end: int, separator: str) -> list[Cell]:
    if end - start > _MAX_LINE_CHARS:
        return []
    if not separator:
        return [match.span() for match in _ALIGNED.finditer(text, start, end)]
    if separator == "|":
        frame = _FRAME.match(text, start, end)
        start = frame.end() if frame else start
        while end > start and text[end - 1] in " \t|":
            end -= 1
    cells: list[Cell] = []
    while start <= end and len(cells) <= _MAX_COLUMNS:
        match = _CELLS[separator].match(text, start, end)
        if not match:
            return []
        cells.append(_stripped(text, *match.span(match.lastindex or 0)))
        start = match.end()
        if start >= end and text[start - 1 : start] != separator:
            break
    return cells


def _stripped(text: str, start: int, end: int) -> Cell:
    while end > start and text[end - 1] in " \t":
        end -= 1
    while start < end and text[start] in " \t`":
        start += 1
    return start, end


def _values(
    text: str, columns: Sequence[tuple[ValueKind | None, bool]], cells: Sequence[Cell]
) -> Iterator[Span]:
    for (kind, must_be_no_word), (start, end) in zip(columns, cells, strict=True):
        value = text[start:end]
        if kind == "secret":
            if could_be_secret(value) and (is_no_word(value) or not must_be_no_word):
                yield Span(start, end, kind)
        elif kind in {"user", "host"}:
            yield from name_spans(kind, value, start)
        elif kind and could_be_number(kind, value):
            yield Span(start, end, kind)


def _in_inserts(text: str) -> Iterator[Span]:
    for insert in _INSERT.finditer(text):
        columns = kinds_of_columns(
            [name.strip(' \t\n`"[]') for name in insert["columns"].split(",")]
        )
        if not any(kind for kind, _ in columns):
            continue
        position = insert.end()
        for _ in range(_MAX_ROWS_OF_INSERT):
            row = _TUPLE.match(text, position)
            if not row:
                break
            cells = _split(text, *row.span("row"), ",")
            if len(cells) == len(columns):
                yield from _values(text, columns, cells)
            position = row.end()
