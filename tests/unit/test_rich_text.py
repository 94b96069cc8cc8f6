"""Rich text documents in JSON become text, and nothing else is taken for one."""

from typing import Any

import pytest

from schemas.formats.text import rich_text
from schemas.formats.text.rich import MAX_NODES


def text(words: str, **more: Any) -> dict[str, Any]:
    """A leaf as most formats write it."""
    return {"type": "text", "text": words, **more}


def node(kind: str, *content: Any, **more: Any) -> dict[str, Any]:
    """A node of the Atlassian Document Format."""
    return {"type": kind, "content": list(content), **more}


ADF = node(
    "doc",
    node(
        "paragraph",
        text("I lost my card on the train, "),
        text("please block it", marks=[{"type": "strong"}]),
    ),
    node(
        "bulletList",
        node(
            "listItem",
            node(
                "paragraph",
                text("one"),
                {"type": "hardBreak"},
                {"type": "mention", "attrs": {"id": "5f", "text": "@Dana"}},
            ),
        ),
        node("listItem", node("paragraph", text("two"))),
    ),
    node("codeBlock", text("error 5\n  at x")),
    node("mediaSingle", {"type": "media", "attrs": {"id": "6e7c7f2c", "collection": "c"}}),
    node(
        "table",
        node(
            "tableRow",
            node("tableCell", node("paragraph", text("A"))),
            node("tableCell", node("paragraph", text("B"))),
        ),
    ),
    node(
        "paragraph",
        {"type": "inlineCard", "attrs": {"url": "https://x.example"}},
        text("the page", marks=[{"type": "link", "attrs": {"href": "https://x.example"}}]),
    ),
    version=1,
)
SLACK = [
    {
        "type": "header",
        "block_id": "b1",
        "text": {"type": "plain_text", "text": "Card lost", "emoji": True},
    },
    {
        "type": "section",
        "text": {
            "type": "mrkdwn",
            "text": ("I lost &lt;my&gt; *card*, see <https://x.example|the page> <@U12AB>"),
        },
        "fields": [{"type": "mrkdwn", "text": "*Order*"}, {"type": "mrkdwn", "text": "4711"}],
        "accessory": {
            "type": "button",
            "text": {"type": "plain_text", "text": "Open"},
            "url": "https://x.example",
        },
    },
    {"type": "divider"},
    {"type": "image", "image_url": "https://x.example/1.png", "alt_text": "shot"},
    {
        "type": "rich_text",
        "elements": [
            {
                "type": "rich_text_section",
                "elements": [
                    text("Hello "),
                    {"type": "link", "url": "https://x.example", "text": "there"},
                    {"type": "link", "url": "https://y.example"},
                    {"type": "user", "user_id": "U1"},
                ],
            },
            {
                "type": "rich_text_list",
                "elements": [
                    {"type": "rich_text_section", "elements": [text("one")]},
                    {"type": "rich_text_section", "elements": [text("two")]},
                ],
            },
        ],
    },
    {
        "type": "actions",
        "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Approve"}}],
    },
]
SLACK_TEXT = (
    "Card lost\n\nI lost <my> *card*, see the page @user\n*Order*\n4711\n"
    "\nHello there\n\none\n\ntwo"
)
CARD = {
    "type": "AdaptiveCard",
    "version": "1.4",
    "body": [
        {"type": "TextBlock", "text": "Login from a new country", "weight": "bolder"},
        {
            "type": "FactSet",
            "facts": [{"title": "Host", "value": "ws-7"}, {"title": "User", "value": "dana"}],
        },
        {
            "type": "ColumnSet",
            "columns": [
                {
                    "type": "Column",
                    "width": "auto",
                    "items": [{"type": "TextBlock", "text": "left"}],
                }
            ],
        },
        {"type": "RichTextBlock", "inlines": ["a ", {"type": "TextRun", "text": "b"}]},
        {"type": "Image", "url": "https://x.example", "altText": "logo"},
    ],
    "actions": [{"type": "Action.OpenUrl", "title": "View", "url": "https://x.example"}],
}
DOCUMENTS: dict[str, tuple[Any, str]] = {
    "atlassian": (
        ADF,
        (
            "I lost my card on the train, please block it\n\n- one\n@Dana\n\n"
            "- two\n\nerror 5\nat x\n\nA\n\nB\n\nthe page"
        ),
    ),
    "prosemirror": (
        node("doc", node("paragraph", text("a"), {"type": "hard_break"}, text("b"))),
        "a\nb",
    ),
    "slack": (SLACK, SLACK_TEXT),
    "slack message": ({"type": "message", "ts": "1.2", "user": "U1", "blocks": SLACK}, SLACK_TEXT),
    "adaptive card": (CARD, "Login from a new country\n\nHost ws-7\n\nUser dana\n\nleft\n\na b"),
    "teams attachment": (
        [{"contentType": "application/vnd.microsoft.card.adaptive", "content": CARD}],
        "Login from a new country\n\nHost ws-7\n\nUser dana\n\nleft\n\na b",
    ),
    "message card": (
        {
            "@type": "MessageCard",
            "title": "T",
            "text": "See [x](https://x.example)",
            "sections": [
                {"activityTitle": "A", "facts": [{"name": "N", "value": "V"}], "text": "s"}
            ],
        },
        "T\nSee x\n\nA\ns\n\nN V",
    ),
    "quill": (
        {
            "ops": [
                {"insert": "I lost "},
                {"insert": "my card", "attributes": {"bold": True}},
                {"insert": "\n"},
                {"insert": {"image": "x"}},
            ]
        },
        "I lost my card",
    ),
    "lexical": (
        {
            "root": {
                "type": "root",
                "children": [
                    {
                        "type": "paragraph",
                        "children": [
                            text("see "),
                            {"type": "link", "url": "u", "children": [text("it")]},
                        ],
                    }
                ],
            }
        },
        "see it",
    ),
    "slate": (
        [
            {"type": "paragraph", "children": [{"text": "a "}, {"text": "b", "bold": True}]},
            {"type": "p", "children": [{"text": "c"}]},
        ],
        "a b\n\nc",
    ),
    "portable text": (
        [
            {
                "_type": "block",
                "style": "normal",
                "children": [{"_type": "span", "text": "a "}, {"_type": "span", "text": "b"}],
            }
        ],
        "a b",
    ),
    "contentful": (
        {
            "nodeType": "document",
            "data": {},
            "content": [
                {
                    "nodeType": "paragraph",
                    "data": {},
                    "content": [
                        {"nodeType": "text", "value": "a", "marks": [], "data": {}},
                        {
                            "nodeType": "hyperlink",
                            "data": {"uri": "u"},
                            "content": [{"nodeType": "text", "value": "b"}],
                        },
                    ],
                }
            ],
        },
        "ab",
    ),
    "draft": (
        {
            "blocks": [
                {"key": "a", "text": "a", "type": "unstyled", "depth": 0},
                {"key": "b", "text": "b", "type": "unstyled"},
            ],
            "entityMap": {},
        },
        "a\n\nb",
    ),
    "editor": (
        {
            "time": 1,
            "blocks": [
                {"id": "x", "type": "header", "data": {"text": "Head", "level": 2}},
                {"type": "paragraph", "data": {"text": "Hey <b>you</b>"}},
                {"type": "list", "data": {"items": ["a", "b"]}},
            ],
        },
        "Head\n\nHey you\n\n- a\n- b",
    ),
}


@pytest.mark.parametrize(("document", "expected"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_rich_text_document_becomes_text(document: Any, expected: str) -> None:
    """A ticket of a help desk with rich text would have no words."""
    assert rich_text(document) == expected


OTHERS: tuple[Any, ...] = (
    *(None, "text", 5, [], {}, [1], ["a"], [[]], [None]),
    {"type": "host", "name": "ws-7"},
    [{"type": "host", "name": "ws-7"}, {"type": "user", "name": "dana"}],
    [{"type": "file", "name": "invoice.exe", "hash": "0f"}],
    {"type": ["doc"], "content": []},
    [{"type": {}, "children": 5}],
    {"type": "doc", "content": "words"},
    {"blocks": 5, "root": [], "ops": {}},
    {"title": "x", "body": [{"a": 1}]},
    {"blocks": [{"hash": "0f", "height": 5}]},
)


@pytest.mark.parametrize("value", OTHERS)
def test_other_values_are_no_rich_text(value: Any) -> None:
    """A list of hosts would be read as the text of a message."""
    assert rich_text(value) is None


def test_a_document_may_be_nested_deep() -> None:
    """A recursive reader would end the process."""
    inner: dict[str, Any] = text("words")
    for _ in range(50_000):
        inner = {"type": "panel", "content": [inner]}
    assert rich_text({"type": "doc", "content": [inner]}) is not None
    while inner.get("content"):
        inner = inner["content"].pop()  # Python frees a nested document by recursion.


def test_a_document_is_read_up_to_a_limit() -> None:
    """A document of a million empty nodes would hold up everything else."""
    nodes = [text("x") for _ in range(2 * MAX_NODES)]
    found = rich_text({"type": "doc", "content": nodes})
    assert found is not None
    assert 0 < len(found) <= MAX_NODES
