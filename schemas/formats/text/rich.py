"""The text of a rich text document in JSON, as help desks, issue trackers and chats send it.

Read are: Atlassian Document Format, ProseMirror and TipTap, Slack blocks, Adaptive Cards and
message cards of Teams, Quill, Lexical, Slate, Portable Text, Contentful, Draft.js and Editor.js.
They differ in names; all are trees of blocks whose leaves are texts.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from schemas.formats.text.html import html_lines
from schemas.formats.text.html_recognition import is_fragment
from schemas.formats.text.lines import join_lines
from schemas.formats.text.markup import mrkdwn, without_targets
from schemas.formats.text.names import names

MAX_NODES: Final = 50_000
"""The text ends here in a larger document."""

Node = dict[str, Any]

_ROOTS = frozenset({"doc", "document", "root", "AdaptiveCard"})
_SLACK_BLOCKS = names(
    "rich_text section header context markdown image divider actions input video file table"
)
_INLINE = names(
    "text mention emoji hardBreak hard_break inlineCard link user usergroup channel broadcast date "
    "status placeholder span linebreak autolink TextRun hashtag code_inline hyperlink color "
    "plain_text inlineExtension a equation tab"
)
# Their texts are addresses, names of files, or words on buttons.
_UNREAD = names(
    "actions button image media mediaGroup divider rule video file Image Media ActionSet audio "
    "extension blockCard embedCard embed horizontalrule horizontalRule delimiter overflow"
)
_WITH_BLANK_LINE = names("paragraph heading table codeBlock code_block header rich_text")
_NAMED = frozenset({"mention", "emoji", "status", "hashtag"})
_BREAKS = frozenset({"hardBreak", "hard_break", "linebreak"})
_ITEMS = frozenset({"listItem", "list_item", "listitem", "list-item"})
# Where the parts of a node are, in the order in which they are read.
_PARTS = (
    *("activityTitle", "activitySubtitle", "title", "header", "text", "summary", "name"),
    *("label", "value", "fields", "facts", "elements", "content", "children", "body", "items"),
    *("columns", "rows", "cells", "inlines", "blocks", "sections", "ops", "root", "data"),
)
# In these nodes alone a bare string under such a name is text; elsewhere it may be an id.
_STRING_PARTS = frozenset({"text", "activityTitle", "activitySubtitle", "title"})
_OTHER_PARTS = frozenset(_PARTS) - {"text"} | {"@type"}
_PAIRS = ("name", "title", "value")
# Each element of these is a line of its own.
_LISTS_OF_LINES = frozenset({"fields", "items", "facts"})
_EMPTY_ITEM = re.compile(r"^- *\n+", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


def rich_text(value: object) -> str | None:
    """The text of a rich text document, or None if the value is no document of a kind we know.

    Blocks become lines, items of lists begin with "- ", addresses of links and images are dropped.
    Nothing is recursive, so that no document is nested too deep.
    """
    if not _is_rich(value):
        return None
    pieces = list(_pieces(value))
    lines = [" ".join(line.split()) for line in "".join(pieces).split("\n")]
    text = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
    return _EMPTY_ITEM.sub("- ", text)


def _is_rich(value: object) -> bool:
    if isinstance(value, list):
        return _is_list_of_blocks(value)
    if not isinstance(value, dict):
        return False
    if _kind(value) in _ROOTS:
        return _is_list_of_nodes(value.get("content", value.get("children", value.get("body"))))
    root, ops = value.get("root"), value.get("ops")
    return (
        value.get("@type") == "MessageCard"
        or _is_card(value)
        or (isinstance(root, dict) and _is_list_of_nodes(root.get("children")))
        or (_is_list_of_nodes(ops) and "insert" in next(iter(ops or ()), ()))
        or _has_blocks(value)
    )


def _has_blocks(value: Node) -> bool:
    blocks = value.get("blocks")
    if not isinstance(blocks, list) or not blocks or not _is_list_of_nodes(blocks):
        return False
    return "entityMap" in value or _is_list_of_blocks(blocks) or _is_editor_block(blocks[0])


def _kind(node: Node) -> str:
    """The type of a node, by whichever name the format gives to it, or an empty text."""
    kind = node.get("type", node.get("nodeType", node.get("_type")))
    return kind if isinstance(kind, str) else ""


def _is_list_of_nodes(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(node, dict) for node in value[:100])


def _is_list_of_blocks(value: list[Any]) -> bool:
    """Whether the elements are blocks: lists of other things have a `type` too."""
    if not value or not _is_list_of_nodes(value):
        return False
    first = value[0]
    if _kind(first) in _SLACK_BLOCKS:
        return any(_kind(node) in _SLACK_BLOCKS and _has_part(node) for node in value[:100])
    if _is_card(first) or ("plain_text" in first and "annotations" in first):
        return True
    children = first.get("children")
    if not isinstance(children, list) or not children or not isinstance(children[0], dict):
        return False
    return isinstance(children[0].get("text"), str) or "children" in children[0]


def _has_part(node: Node) -> bool:
    return isinstance(node.get("elements"), list) or isinstance(node.get("text"), dict | str)


def _is_card(node: Node) -> bool:
    content_type = node.get("contentType")
    return (
        isinstance(content_type, str)
        and content_type.startswith("application/vnd.microsoft.")
        and isinstance(node.get("content"), dict)
    )


def _is_editor_block(node: Node) -> bool:
    return isinstance(node.get("type"), str) and isinstance(node.get("data"), dict)


def _pieces(document: Any) -> Iterator[str]:
    """The texts of the document in their order, with line ends."""
    # What is still to be read, the next one last. A string is text that is ready.
    stack: list[Any] = [document]
    for _ in range(MAX_NODES):
        if not stack:
            return
        node = stack.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, list):
            stack.extend(reversed(node[:MAX_NODES]))
        elif isinstance(node, dict):
            stack.extend(reversed(_parts(node)))


def _parts(node: Node) -> list[Any]:
    """What a node is made of: strings are text, other values are read in turn."""
    kind = _kind(node)
    if kind in _UNREAD or node.get("isVisible") is False:
        return []
    if kind in _BREAKS:
        return ["\n"]
    leaf = _leaf(node, kind)
    if leaf is not None:
        return [leaf]
    parts: list[Any] = ["- "] if kind in _ITEMS else []
    pair = "value" in node and ("name" in node or "title" in node)
    for name in _PARTS:
        part = node.get(name)
        if isinstance(part, list) and name in _LISTS_OF_LINES:
            parts += _on_lines(part)
        elif isinstance(part, dict | list):
            parts.append(part)
        elif isinstance(part, str) and (name in _STRING_PARTS or (pair and name in _PAIRS)):
            parts.append(_words(part) + (" " if pair and name != "value" else "\n"))
    if _is_inline(node, kind):
        return parts
    end = "\n\n" if kind in _WITH_BLANK_LINE else "\n"
    return ["\n", *parts, end] if kind not in _ITEMS else [*parts, end]


def _on_lines(nodes: list[Any]) -> list[Any]:
    parts: list[Any] = []
    for node in nodes[:MAX_NODES]:
        if isinstance(node, str):
            parts += ["\n- ", _words(node)]
        else:
            parts += ["\n", node]
    return [*parts, "\n"]


def _is_inline(node: Node, kind: str) -> bool:
    if kind in _INLINE:
        return True
    return not kind and ("insert" in node or "plain_text" in node or "ops" in node)


def _leaf(node: Node, kind: str) -> str | None:
    """The text of a node that has no other nodes, or None."""
    for name in ("insert", "plain_text"):
        if isinstance(node.get(name), str):
            return str(node[name])
    attributes = node.get("attrs")
    if kind in _NAMED and isinstance(attributes, dict):
        text = attributes.get("text", attributes.get("label"))
        return text if isinstance(text, str) else ""
    text = node.get("text", node.get("value") if kind == "text" else None)
    if isinstance(text, str):
        return _leaf_text(node, kind, text)
    is_empty_link = kind == "link" and not ("children" in node or "content" in node)
    return "" if is_empty_link else None


def _leaf_text(node: Node, kind: str, text: str) -> str | None:
    if kind == "mrkdwn":
        return mrkdwn(text)
    if kind in _INLINE and "children" not in node:
        return text
    if kind or not node.keys().isdisjoint(_OTHER_PARTS):
        return None
    # Editor.js writes HTML into its texts.
    return _words(text) if "level" in node or len(node) == 1 else text


def _words(text: str) -> str:
    """A text inside a card or a block, which may be Markdown or HTML itself."""
    if "<" in text and is_fragment(text, "ticket"):
        return join_lines(html_lines(text))
    return without_targets(text)
