"""Walks a vendor's document and writes it anew."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Visit = Callable[[tuple[str, ...], str], str]

MAX_DEPTH = 32
CUT = "…"
"""Stands for what lies deeper than anybody reads: left out, so that nothing leaves unseen."""

_LABELS = (
    "Name",
    "name",
    "@Name",
    "key",
    "Key",
    "field",
    "Field",
    "fieldName",
    "property",
    "attribute",
    "label",
)
_LABELLED = {
    "Value", "value", "val", "#text", "text", "content", "_", "old", "new", "from", "to", "before", "after",
    "old_value", "new_value", "oldValue", "newValue", "OldValue", "NewValue", "displayValue",
}  # fmt: skip
_FLAG = re.compile(r"(?:--?|/)([A-Za-z][\w-]*)")
_ATTACHED = re.compile(r"(?:mysql\w*|mariadb|sshpass|7za?|rar|unrar)(?:\.exe)?")
_PAIR = 2


def rewrite(node: Any, visit: Visit, path: tuple[str, ...] = ()) -> Any:
    """The document with every text, number and key as `visit` gives it back; keys are visited without a path.

    A pair like ``{"Name": "TargetUserName", "Value": "jdoe"}`` counts as a field of that name. Keys that become the
    same are told apart by a number.
    """
    if len(path) > MAX_DEPTH:
        return CUT
    if isinstance(node, dict):
        return _rewrite_object(node, visit, path)
    if isinstance(node, list | tuple):
        return [
            rewrite(inner, visit, (*path, name))
            for name, inner in _items(node, nested=path[-1:] == ("",))
        ]
    if node is None or isinstance(node, bool):
        return node
    if isinstance(node, float) and node.is_integer():
        node = int(node)
    text = node if isinstance(node, str) else str(node)
    visited = visit(_named(path), text)
    return node if visited == text else visited


def _rewrite_object(node: Mapping[Any, Any], visit: Visit, path: tuple[str, ...]) -> dict[str, Any]:
    label = next((node[name] for name in _LABELS if isinstance(node.get(name), str)), None)
    result: dict[str, Any] = {}
    for key, value in node.items():
        name = label if label and key in _LABELLED else str(key)
        written = visit((), str(key))
        result[_free(written, result)] = rewrite(value, visit, (*path, name))
    return result


def _items(node: Sequence[Any], *, nested: bool) -> Iterator[tuple[str, Any]]:
    """The items of a list, each with the name before it, as after a flag or in a list of pairs."""
    if nested and len(node) == _PAIR and isinstance(node[0], str):
        yield from (("", node[0]), (node[0], node[1]))
        return
    attached = (
        bool(node)
        and isinstance(node[0], str)
        and _ATTACHED.fullmatch(re.split(r"[/\\\\]", node[0])[-1])
    )
    before = ""
    for item in node:
        text = item if isinstance(item, str) else ""
        flag = _FLAG.fullmatch(before)
        name = flag[1] if flag else ""
        if (name in {"u", "user"} and ":" in text) or (
            attached and text.startswith("-p") and len(text) > _PAIR
        ):
            name = "password"
        yield name, item
        before = text


def _free(key: str, taken: Mapping[str, Any]) -> str:
    if key not in taken:
        return key
    number = 2
    while f"{key} {number}" in taken:
        number += 1
    return f"{key} {number}"


def _named(path: tuple[str, ...]) -> tuple[str, ...]:
    """The names on the way, without the places in lists."""
    return tuple(name for name in path if name)
