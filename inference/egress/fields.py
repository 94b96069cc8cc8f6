"""Walks through a vendor's document and writes a copy with other texts."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from inference.egress.detectors.flags import holds_password

Visit = Callable[[tuple[str, ...], str], str]
"""Called with the path of names to a text and the text; returns what replaces the text."""

MAX_DEPTH = 32
CUT = "…"
"""Replaces everything deeper than `MAX_DEPTH`, so that nothing is sent without a check."""

_LABELS = (
    "Name", "name", "@Name", "key", "Key", "field", "Field", "fieldName", "property", "attribute",
    "label",
)  # fmt: skip
_LABELLED = {
    "Value", "value", "val", "#text", "text", "content", "_", "old", "new", "from", "to", "before",
    "after", "old_value", "new_value", "oldValue", "newValue", "OldValue", "NewValue",
    "displayValue",
}  # fmt: skip
_COLUMNS = ("columns", "headers", "header", "fields", "columnNames", "column_names")
_ROWS = {"rows", "values", "data", "records", "results"}
_FLAG = re.compile(r"(?:--?|/)([A-Za-z][\w-]*)")
_PAIR = 2


def rewrite(node: Any, visit: Visit, path: tuple[str, ...] = ()) -> Any:
    """Return the document with every text, number and key replaced by what `visit` returns.

    Keys are visited with an empty path. A pair like ``{"Name": "TargetUserName", "Value": "jdoe"}``
    counts as a field of that name. If two keys become the same, the second gets a number.
    """
    if len(path) > MAX_DEPTH:
        return CUT
    if isinstance(node, dict):
        return _rewrite_object(node, visit, path)
    if isinstance(node, list | tuple):
        is_in_list = path[-1:] == ("",)
        items = _named_items(node, is_in_list=is_in_list)
        return [rewrite(item, visit, (*path, name)) for name, item in items]
    if node is None or isinstance(node, bool):
        return node
    return _rewrite_value(node, visit, path)


def _rewrite_object(node: Mapping[Any, Any], visit: Visit, path: tuple[str, ...]) -> dict[str, Any]:
    label = next((node[name] for name in _LABELS if isinstance(node.get(name), str)), None)
    columns = next((names for key in _COLUMNS if _are_texts(names := node.get(key))), None)
    result: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    for key, value in node.items():
        name = label if label and key in _LABELLED else str(key)
        new_key = _unused_key(visit((), str(key)), result, numbers)
        if columns and key in _ROWS and isinstance(value, list):
            result[new_key] = _rewrite_rows(value, visit, (*path, name), columns)
        else:
            result[new_key] = rewrite(value, visit, (*path, name))
    return result


def _rewrite_rows(
    rows: Sequence[Any], visit: Visit, path: tuple[str, ...], columns: Sequence[str]
) -> list[Any]:
    """Rewrite the rows of a table; each cell is a field with the name of its column."""
    return [
        [rewrite(cell, visit, (*path, name)) for name, cell in zip(columns, row, strict=True)]
        if isinstance(row, list) and len(row) == len(columns)
        else rewrite(row, visit, path)
        for row in rows
    ]


def _are_texts(names: Any) -> bool:
    return isinstance(names, list) and bool(names) and all(isinstance(n, str) for n in names)


def _rewrite_value(node: Any, visit: Visit, path: tuple[str, ...]) -> Any:
    if isinstance(node, float) and node.is_integer():
        node = int(node)
    text = node if isinstance(node, str) else str(node)
    names = tuple(name for name in path if name)  # An item of a list may have no name.
    visited = visit(names, text)
    return node if visited == text else visited


def _named_items(node: Sequence[Any], *, is_in_list: bool) -> Iterator[tuple[str, Any]]:
    """Yield the items of a list with their names.

    An item has a name if a flag stands before it, or if the list is a pair of name and value.
    """
    if is_in_list and len(node) == _PAIR and isinstance(node[0], str):
        name, value = node
        yield from (("", name), (name, value))
        return
    program = node[0] if node and isinstance(node[0], str) else ""
    previous = ""
    for item in node:
        text = item if isinstance(item, str) else ""
        yield _argument_name(program, previous, text), item
        previous = text


def _argument_name(program: str, previous: str, text: str) -> str:
    flag = _FLAG.fullmatch(previous)
    name = flag[1] if flag else ""
    if name in {"u", "user"} and ":" in text:
        return "password"
    return "password" if holds_password(program, previous, text) else name


def _unused_key(key: str, taken: Mapping[str, Any], numbers: dict[str, int]) -> str:
    """The key, or the key with the next number; `numbers` are those that were given out."""
    if key not in taken:
        return key
    number = numbers.get(key, 2)
    while f"{key} {number}" in taken:
        number += 1
    numbers[key] = number + 1
    return f"{key} {number}"
