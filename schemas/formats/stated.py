"""What the sender of an event says about its severity, priority and status, in our words.

Words are read. A number alone is not, because it means something else to each vendor; the exception
is the `severity_id` of OCSF, whose scale is part of that standard. A mapping may say what the
numbers of its vendor mean.

What a sender states only ever raises: it can send an event to a person, and lowers nothing.
"""

from collections.abc import Mapping
from typing import Any

from schemas.event import Event, Stated
from schemas.formats.level_words import LEVELS, STATED, STATES, our_word
from schemas.formats.stated_fields import MAX_ORIGINAL_CHARS, original_text, statements
from schemas.visible_text import one_line

_AXES = {"alerts": ("severity", "priority"), "tickets": ("priority", "severity")}
"""For each domain: its own axis, and the other one."""


def stated_from(
    *, severity: object = None, priority: object = None, status: object = None
) -> Stated:
    """What a sender states, from the values that a mapping has found in its document.

    A value is text, a number, or an object such as ``{"name": "High"}``. A word becomes our word.
    If there is no word of ours for it, its field is None. `original` has the sender's own value of
    each one that was sent, as one visible line of at most `MAX_ORIGINAL_CHARS` characters.
    """
    sent = {"severity": severity, "priority": priority, "status": status}
    texts = {axis: text for axis, value in sent.items() if (text := original_text(axis, value))}
    words = {axis: our_word(axis, text) for axis, text in texts.items()}
    return Stated(**words, original=texts)


def guess_stated(document: Mapping[str, Any]) -> Stated | None:
    """What a document of an unknown format states in one of the usual places; None if nothing.

    The field that is nearest to the top counts, and of several at the same depth the most serious.
    A word that is known goes before one that is not. The work is bounded, whatever the document is.
    """
    found = statements(document)
    if not found:
        return None
    words = {axis: statement.word for axis, statement in found.items()}
    return Stated(**words, original={axis: statement.text for axis, statement in found.items()})


def merged_stated(*sources: Stated | None) -> Stated | None:
    """Of each axis the first that has a word of ours, else the first that was sent; None if none.

    The better known source comes first. One that states only a status must not hide the severity
    that another one states.
    """
    words: dict[str, str | None] = {}
    original: dict[str, str] = {}
    for axis in STATED:
        known = [each for each in sources if each and getattr(each, axis)]
        sent = [each for each in sources if each and axis in each.original]
        for chosen in (known or sent)[:1]:
            words[axis] = getattr(chosen, axis)
            if axis in chosen.original:
                original[axis] = chosen.original[axis]
    return Stated(**words, original=original) if words else None


def plain_stated(stated: Stated | None) -> Stated | None:
    """The same for every reader: none but our words, and each original as one visible line.

    None if nothing is left. It is bounded, whatever made `stated`.
    """
    if stated is None:
        return None
    words = {axis: _ours(axis, getattr(stated, axis)) for axis in STATED}
    originals = {axis: stated.original.get(axis, "")[: 4 * MAX_ORIGINAL_CHARS] for axis in STATED}
    lines = {axis: one_line(text, MAX_ORIGINAL_CHARS) for axis, text in originals.items()}
    original = {axis: line for axis, line in lines.items() if line}
    if not original and not any(words.values()):
        return None
    return Stated(**words, original=original)


def stated_level(event: Event) -> tuple[str, str] | None:
    """The axis of the event's domain, and the level on it that the sender states.

    The axis of an alert is ``severity`` and that of a ticket ``priority``. What is stated on the
    other one counts as the level that is as far from the top: an urgent priority like a critical
    severity. The more serious of the two is the result. It is None if the sender states neither.
    """
    if event.stated is None:
        return None
    axis, other = _AXES[event.domain]
    order = LEVELS[axis]
    stated = [_ours(axis, getattr(event.stated, axis)), _on_axis(axis, other, event.stated)]
    levels = [level for level in stated if level]
    return (axis, max(levels, key=order.index)) if levels else None


def worst_stated(event: Event) -> str | None:
    """The sender's word for it, ``critical`` or ``urgent``, if it states the worst; else None.

    An urgent priority and a critical severity count alike, for alerts and for tickets.
    """
    if event.stated is None:
        return None
    for axis in _AXES[event.domain]:
        worst = LEVELS[axis][-1]
        if getattr(event.stated, axis) == worst:
            return worst
    return None


def _on_axis(axis: str, other: str, stated: Stated) -> str | None:
    """What is stated on the other axis, as the level of `axis` that is as far from the top."""
    level = _ours(other, getattr(stated, other))
    if level is None:
        return None
    below_top = len(LEVELS[other]) - 1 - LEVELS[other].index(level)
    order = LEVELS[axis]
    return order[max(0, len(order) - 1 - below_top)]


def _ours(axis: str, word: str | None) -> str | None:
    """The word if it is one of ours, else None."""
    return word if word in LEVELS.get(axis, STATES) else None
