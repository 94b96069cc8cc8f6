"""Walks through a vendor's document and writes a copy with other texts."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

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
_FLAG = re.compile(r"(?:--?|/)([A-Za-z][\w-]*)")
_PASSWORD_FLAG = "-p"  # noqa: S105 - a flag, not a password
_COMMANDS_WITH_PASSWORD_FLAG = re.compile(r"(?:mysql\w*|mariadb|sshpass|7za?|rar|unrar)(?:\.exe)?")
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
    result: dict[str, Any] = {}
    for key, value in node.items():
        name = label if label and key in _LABELLED else str(key)
        new_key = _unused_key(visit((), str(key)), result)
        result[new_key] = rewrite(value, visit, (*path, name))
    return result


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
    has_password_flag = bool(node) and _has_password_flag(node[0])
    previous = ""
    for item in node:
        text = item if isinstance(item, str) else ""
        yield _argument_name(previous, text, has_password_flag=has_password_flag), item
        previous = text


def _has_password_flag(command: Any) -> bool:
    """Whether the command takes a password right after ``-p``, without a blank."""
    if not isinstance(command, str):
        return False
    program = re.split(r"[/\\\\]", command)[-1]
    return bool(_COMMANDS_WITH_PASSWORD_FLAG.fullmatch(program))


def _argument_name(previous: str, text: str, *, has_password_flag: bool) -> str:
    flag = _FLAG.fullmatch(previous)
    name = flag[1] if flag else ""
    if name in {"u", "user"} and ":" in text:
        return "password"
    if has_password_flag and text.startswith(_PASSWORD_FLAG) and text != _PASSWORD_FLAG:
        return "password"
    return name


def _unused_key(key: str, taken: Mapping[str, Any]) -> str:
    if key not in taken:
        return key
    number = 2
    while f"{key} {number}" in taken:
        number += 1
    return f"{key} {number}"
