"""The words of a text: markup, and what a mail program adds to a message, are taken off."""

from schemas.formats.text.plain import PlainText, plain
from schemas.formats.text.rich import rich_text

__all__ = ["PlainText", "plain", "rich_text"]
