"""What the shapes share: the words of a ticket, and how products write them."""

from html import escape
from typing import Any, NamedTuple

CREATED, UPDATED = "2031-05-02T10:00:00Z", "2031-05-02T10:05:00Z"
CREATED_S, UPDATED_S = 1935482400, 1935482700

Json = dict[str, Any]


class Ticket(NamedTuple):
    """The words of a ticket, and its number in the desk. A chat has no title."""

    number: int
    title: str | None
    body: str


def html(text: str) -> str:
    """A text as the paragraphs of an HTML fragment."""
    paragraphs = [escape(part).replace("\n", "<br>") for part in text.split("\n\n")]
    return "".join(f"<p>{part}</p>" for part in paragraphs)


def mail_html(text: str) -> str:
    """A text as a mail program writes it: a complete page with styles."""
    return (
        '<html><head><meta charset="utf-8"><style>p.MsoNormal{margin:0cm;font-size:11.0pt}</style>'
        f'</head><body lang="EN-GB"><div class="WordSection1">{html(text)}</div></body></html>'
    )


def adf(text: str) -> Json:
    """A text as a rich text document of Atlassian: paragraphs, line breaks, marks."""
    return {
        "type": "doc",
        "version": 1,
        "content": [
            {"type": "paragraph", "content": _adf_lines(part)} for part in text.split("\n\n")
        ],
    }


def _adf_lines(paragraph: str) -> list[Json]:
    nodes: list[Json] = []
    for number, line in enumerate(paragraph.split("\n")):
        if number:
            nodes.append({"type": "hardBreak"})
        if line:
            nodes.append({"type": "text", "text": line, "marks": [{"type": "em"}]})
    return nodes
