"""Which list in a document holds events, if the document only wraps them."""

from schemas.formats import guesses
from schemas.formats.document import Document

_LISTS = frozenset({
    "Records", "records", "alerts", "Alerts", "Findings", "findings", "result", "results",
    "Results", "value", "events", "issues",
})  # fmt: skip
"""The usual names of a list of events."""
_OTHER_LISTS = frozenset({
    "_results", "activities", "alarms", "cases", "conversations", "data", "detections", "entries",
    "incidents", "items", "notifications", "observations", "requests", "threats", "tickets",
})  # fmt: skip
"""Names of a list of events if the document has no id and no time of its own."""
_AROUND_LISTS = ("data", "result", "response", "_embedded")
"""Names of an object that may hold such a list."""


def list_of_events(document: Document) -> str | None:
    """The path of the list of events that a document is nothing but a wrapper of, or None.

    A document with a title or a text of its own is one event, and the list only a part of it.
    """
    for name, value in document.items():
        if name in _LISTS and _is_list_of_documents(value):
            return None if guesses.has_words(document) else name
    if guesses.has_words(document) or guesses.names_itself(document):
        return None
    return _other_list(document)


def _other_list(document: Document) -> str | None:
    """The path of a list of a less usual name, or of one in the object that such answers are in."""
    nodes = [("", document), *((f"{name}.", document.get(name)) for name in _AROUND_LISTS)]
    for prefix, node in nodes:
        if not isinstance(node, dict):
            continue
        for name, value in node.items():
            is_usual = name in _OTHER_LISTS or (name in _LISTS and node is not document)
            if is_usual and _is_list_of_documents(value):
                return None if prefix and guesses.names_itself(node) else f"{prefix}{name}"
    return None


def _is_list_of_documents(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
