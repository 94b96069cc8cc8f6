"""Fields that tell the label itself, because they were written when the event was closed."""

from collections import Counter
from collections.abc import Sequence

from inference.acceptance.dispositions import DISPOSITION, disposition_of
from inference.labelled import LabelledRow

LEAK = 0.5
"""A field that holds the label of so many rows is named: it may have been written afterwards."""
MAX_LEAVES = 500


def leaking_fields(rows: Sequence[LabelledRow], axes: Sequence[str]) -> dict[str, float]:
    """The fields of the senders' documents that often hold the label itself, with how often.

    A field that was written when the event was closed is not there when it comes in.
    """
    counts: Counter[str] = Counter()
    documents = 0
    for row in rows:
        if row.event.event is None:
            continue
        documents += 1
        gold = {value.casefold() for axis in axes for value in row.gold.get(axis, ())}
        leaves = _leaves(row.event.event)
        counts.update({path for path, value in leaves if _meanings(value, axes) & gold})
    return {
        path: count / documents for path, count in counts.most_common() if count >= LEAK * documents
    }


def _meanings(value: str, axes: Sequence[str]) -> set[str]:
    """A value of a document as a label may be written."""
    meanings = {value.strip().casefold()}
    if DISPOSITION in axes:
        meanings.add(disposition_of(value) or "")
    return meanings


def _leaves(document: object) -> list[tuple[str, str]]:
    """The texts of a document with their dotted paths, at most `MAX_LEAVES`.

    Positions in arrays are left out.
    """
    found: list[tuple[str, str]] = []
    waiting: list[tuple[object, str]] = [(document, "")]
    while waiting and len(found) < MAX_LEAVES:
        value, at = waiting.pop()
        if isinstance(value, dict):
            waiting += [(inner, f"{at}.{name}".lstrip(".")) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(inner, at) for inner in value]
        elif isinstance(value, str):
            found.append((at, value))
    return found
