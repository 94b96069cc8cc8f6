"""The words of a text."""

from typing import NamedTuple

from schemas.event import Kind


class PlainText(NamedTuple):
    """The words of a text, and what was cut from it."""

    words: str
    cut_off: str


def plain(kind: Kind, text: str) -> PlainText:  # noqa: ARG001
    """The words of a text."""
    return PlainText(text, "")


def rich_text(value: object) -> str | None:  # noqa: ARG001
    """The words of a rich text document."""
    return None
