"""What the sender of an event says about its severity, priority and status, in our words.

Words are read. A number alone is not, because it means something else to each vendor; the exception
is the `severity_id` of OCSF, whose scale is part of that standard. A mapping may say what the
numbers of its vendor mean, and gives the words to `stated_from`.

What a sender states only ever raises: it can send an event to a person, and lowers nothing. So a
word that two senders mean differently is read as the more serious of the two.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from schemas.event import Event, Stated
from schemas.folding import fold
from schemas.formats.values import as_text, unwrapped
from schemas.visible_text import one_line

LEVELS: Mapping[str, tuple[str, ...]] = {
    "severity": ("informational", "low", "medium", "high", "critical"),
    "priority": ("low", "normal", "high", "urgent"),
}
"""For each axis that a sender may state: its levels, the lowest first."""
HIGH: Mapping[str, str] = {"severity": "high", "priority": "urgent"}
"""From which level on an event is serious."""

MAX_ORIGINAL_CHARS = 100
MAX_DEPTH = 5
"""How many objects deep a document is searched."""
MAX_NODES = 2_000
"""How many fields of a document are looked at, those at the top first."""

_SEVERITY, _PRIORITY, _STATUS = "severity", "priority", "status"

_WORDS: Mapping[str, Mapping[str, str]] = {
    _SEVERITY: {
        **dict.fromkeys(
            (
                "critical",
                "crit",
                "fatal",
                "emergency",
                "emerg",
                "panic",
                "disaster",
                "catastrophic",
            ),
            "critical",
        ),
        **dict.fromkeys(
            ("blocker", "severe", "very high", "extreme", "page", "urgent"), "critical"
        ),
        **dict.fromkeys(("high", "highest", "major", "important", "error", "err"), "high"),
        **dict.fromkeys(
            ("medium", "moderate", "average", "warning", "warn", "normal", "med"), "medium"
        ),
        **dict.fromkeys(("low", "minor", "lowest", "trivial", "notice", "note"), "low"),
        **dict.fromkeys(
            ("informational", "information", "info", "none", "debug", "verbose", "not classified"),
            "informational",
        ),
    },
    _PRIORITY: {
        **dict.fromkeys(
            ("urgent", "critical", "crit", "emergency", "blocker", "highest", "very high"), "urgent"
        ),
        **dict.fromkeys(("immediate", "disaster", "severe", "top"), "urgent"),
        **dict.fromkeys(("high", "major", "important"), "high"),
        **dict.fromkeys(("normal", "medium", "moderate", "average", "standard", "med"), "normal"),
        **dict.fromkeys(
            ("low", "minor", "lowest", "trivial", "planning", "very low", "not urgent"), "low"
        ),
    },
    _STATUS: {
        **dict.fromkeys(
            ("open", "opened", "new", "active", "firing", "triggered", "alerting", "alarm"), "open"
        ),
        **dict.fromkeys(
            ("in progress", "in process", "pending", "on hold", "hold", "waiting", "to do"), "open"
        ),
        **dict.fromkeys(
            ("reopened", "acknowledged", "acked", "investigating", "unresolved", "todo"), "open"
        ),
        **dict.fromkeys(("assigned", "unassigned", "work in progress", "escalated"), "open"),
        **dict.fromkeys(
            ("closed", "resolved", "solved", "done", "fixed", "dismissed", "completed"), "closed"
        ),
        **dict.fromkeys(
            ("complete", "canceled", "cancelled", "recovered", "archived", "mitigated"), "closed"
        ),
        **dict.fromkeys(
            ("auto resolved", "auto dismissed", "false positive", "remediated"), "closed"
        ),
        **dict.fromkeys(("ok", "inactive", "suppressed", "wont fix", "won't fix"), "closed"),
    },
}
# ``P1``, ``sev-1``, ``SEV2``: the smaller the number, the more serious.
_RANKED = re.compile(r"(?:p|prio|priority|s|sev|severity)[ -]?([0-9])")
_RANKS: Mapping[str, tuple[str, ...]] = {
    _SEVERITY: ("critical", "critical", "high", "medium", "low", "informational"),
    _PRIORITY: ("urgent", "urgent", "high", "normal", "low", "low"),
}
# ``1 - Critical`` of ServiceNow, ``P1: urgent``, ``high (2)``.
_NUMBERED = re.compile(r"(?:\d{1,2} ?[-:.)] ?)?(.+?)(?: ?\(\d{1,3}\))?")
_OCSF_IDS = {1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical", 6: "critical"}

# The names of fields, in small letters and without what stands between their words.
_STRONG_NAMES: Mapping[str, tuple[str, ...]] = {
    _SEVERITY: ("severity", "sev", "criticality"),
    _PRIORITY: ("priority", "prio", "urgency"),
    _STATUS: ("status",),
}
# These may be about something else. They count only if nothing better is there, and only with a
# word that is known.
_WEAK_NAMES: Mapping[str, tuple[str, ...]] = {
    _SEVERITY: ("level", "risk", "threatlevel", "risklevel", "alertlevel", "importance"),
    _PRIORITY: (),
    _STATUS: ("state",),
}
# ``alert_severity``, ``severityName``: whose it is, and what of it.
_OWNERS = (
    *("alert", "event", "finding", "incident", "issue", "ticket", "case", "detection", "threat"),
    *("rule", "problem", "vendor", "device", "notification", "detector", "workflow", "alarm"),
)
_ASPECTS = ("name", "label", "text", "level", "string", "value", "rating", "class")
# Inside an object such as ``{"priority": {"id": 1, "name": "High"}}``.
_INNER_NAMES = (
    *("label", "name", "displayname", "value", "text", "title", "summary", "level", "normalized"),
    *("key", "rating"),
)


def _spellings(bases: tuple[str, ...]) -> frozenset[str]:
    owned = [owner + base for base in bases for owner in ("", *_OWNERS)]
    return frozenset(name + aspect for name in owned for aspect in ("", *_ASPECTS))


_STRONG = {axis: _spellings(names) for axis, names in _STRONG_NAMES.items()}
_WEAK = {axis: _spellings(names) for axis, names in _WEAK_NAMES.items()}
_LEVEL_NAMES = _STRONG[_SEVERITY] | _STRONG[_PRIORITY] | {"severityid", "priorityid", "level"}
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_MAX_NAME_CHARS = 64


def stated_from(
    *, severity: object = None, priority: object = None, status: object = None
) -> Stated:
    """What a sender states, from the values of its own that a mapping has found.

    A value is text, a number, or an object such as ``{"name": "High"}``. A word becomes our word.
    What there is no word for leaves its field None. `original` has the sender's own value of each
    one that was sent, as one line of at most `MAX_ORIGINAL_CHARS` characters without invisible
    ones.
    """
    sent = {_SEVERITY: severity, _PRIORITY: priority, _STATUS: status}
    texts = {axis: text for axis, value in sent.items() if (text := _text(axis, value))}
    return Stated(
        severity=_word(_SEVERITY, texts.get(_SEVERITY)),
        priority=_word(_PRIORITY, texts.get(_PRIORITY)),
        status=_word(_STATUS, texts.get(_STATUS)),
        original=texts,
    )


def guess_stated(*documents: Mapping[str, Any] | None) -> Stated | None:
    """What a document of an unknown format states in one of the usual places; None if nothing.

    Severity, priority and status are each taken from the first of `documents` that states it: give
    the attributes of an event before the document of its vendor. In a document, the field that is
    nearest to the top counts, and of several at the same depth the most serious. A word that is
    known goes before one that is not. The work is bounded: `MAX_NODES`, `MAX_DEPTH`.
    """
    found: dict[str, str] = {}
    for document in documents:
        if document:
            found = _found(document) | found
    return stated_from(**found) if found else None


def plain_stated(stated: Stated | None) -> Stated | None:
    """The same, fit for every reader: only our words, and each original as one visible line.

    None if nothing is left. Whatever made `stated`, what comes out of here is bounded.
    """
    if stated is None:
        return None
    words = {axis: _known(axis, getattr(stated, axis)) for axis in _WORDS}
    original = {
        axis: line
        for axis in _WORDS
        if (
            line := one_line(stated.original.get(axis, "")[:MAX_ORIGINAL_CHARS], MAX_ORIGINAL_CHARS)
        )
    }
    if not original and not any(words.values()):
        return None
    return Stated(**words, original=original)


def stated_level(event: Event) -> tuple[str, str] | None:
    """The axis of the event's domain and the level on it that the sender states.

    An alert has the axis ``severity`` and a ticket ``priority``. What is stated on the other one
    counts too, on the same rung counted from the top: an urgent priority like a critical severity,
    a high one like a high one. The more serious of the two is the result. It is None if the sender
    states neither.
    """
    stated = event.stated
    if stated is None:
        return None
    axis, other = (_SEVERITY, _PRIORITY) if event.domain == "alerts" else (_PRIORITY, _SEVERITY)
    order = LEVELS[axis]
    own, others = _known(axis, getattr(stated, axis)), _known(other, getattr(stated, other))
    levels = [level for level in (own, _on_axis(axis, other, others)) if level]
    return (axis, max(levels, key=order.index)) if levels else None


def worst_stated(event: Event) -> str | None:
    """``critical`` or ``urgent`` if the sender calls the event so, else None.

    For an alert an urgent priority counts like a critical severity, and for a ticket the reverse.
    """
    stated = event.stated
    if stated is None:
        return None
    words = {axis: level for axis in LEVELS if (level := getattr(stated, axis)) == LEVELS[axis][-1]}
    own = _SEVERITY if event.domain == "alerts" else _PRIORITY
    return words.get(own) or next(iter(words.values()), None)


def names_level(key: str) -> bool:
    """Whether a field of this name is where a sender states a severity or a priority.

    The small model must not read such a field: it would copy the sender's word into its own label.
    """
    return _folded_name(key) in _LEVEL_NAMES


def _on_axis(axis: str, other: str, level: str | None) -> str | None:
    """The level on `axis` that is as far from the top as `level` is on `other`."""
    if level is None:
        return None
    from_top = len(LEVELS[other]) - LEVELS[other].index(level)
    order = LEVELS[axis]
    return order[max(0, len(order) - from_top)]


def _known(axis: str, word: str | None) -> str | None:
    """The word, if it is one of ours."""
    allowed = LEVELS.get(axis, ("open", "closed"))
    return word if word in allowed else None


def _word(axis: str, text: str | None) -> str | None:
    """Our word for the text of a sender; None if there is none."""
    if text is None:
        return None
    folded = _BETWEEN_WORDS.sub(" ", fold(text).replace("'", "")).strip()
    return _folded_word(axis, folded) or _numbered_word(axis, fold(text))


def _folded_word(axis: str, folded: str) -> str | None:
    if word := _WORDS[axis].get(folded):
        return word
    ranks = _RANKS.get(axis, ())
    ranked = _RANKED.fullmatch(folded)
    if ranked and int(ranked[1]) < len(ranks):
        return ranks[int(ranked[1])]
    return None


def _numbered_word(axis: str, folded: str) -> str | None:
    match = _NUMBERED.fullmatch(folded)
    return _folded_word(axis, match[1].strip()) if match else None


def _text(axis: str, value: object) -> str | None:
    """The value of a sender as one line; None if it has none."""
    value = unwrapped(value)
    if isinstance(value, dict):
        value = _inner_value(axis, value)
    text = as_text(value)
    if text is None:
        return None
    # The limit is applied twice: the first cut bounds the work.
    return one_line(text[: 4 * MAX_ORIGINAL_CHARS], MAX_ORIGINAL_CHARS) or None


def _inner_value(axis: str, node: dict[Any, Any]) -> object:
    """What an object such as ``{"id": 1, "name": "High"}`` says: a known word before another."""
    by_name = {
        _folded_name(key): value
        for key, value in islice(node.items(), MAX_NODES)
        if not isinstance(value, dict | list | bool)
    }
    values = [by_name[name] for name in _INNER_NAMES if as_text(by_name.get(name)) is not None]
    known = (value for value in values if _word(axis, str(value)[:MAX_ORIGINAL_CHARS]))
    return next(known, next(iter(values), None))


def _found(document: Mapping[str, Any]) -> dict[str, str]:
    """For each axis that a document states: the sender's text, the best one."""
    best: dict[str, tuple[tuple[int, ...], str]] = {}
    for depth, name, value in islice(_fields(document), MAX_NODES):
        for axis in _WORDS:
            weak = name in _WEAK[axis]
            if not weak and name not in _STRONG[axis]:
                continue
            text = _text(axis, value)
            if text is None:
                continue
            word = _word(axis, text)
            if word is None and (weak or axis == _STATUS):
                continue  # any word may stand in a field of this name
            rank = (word is None, weak, depth, -_seriousness(axis, word))
            if axis not in best or rank < best[axis][0]:
                best[axis] = (rank, text)
    found = {axis: text for axis, (_, text) in best.items()}
    return _with_ocsf(document, found)


def _with_ocsf(document: Mapping[str, Any], found: dict[str, str]) -> dict[str, str]:
    number = document.get("severity_id")
    if "class_uid" not in document or isinstance(number, bool) or not isinstance(number, int):
        return found
    if _word(_SEVERITY, found.get(_SEVERITY)) is None and number in _OCSF_IDS:
        return found | {_SEVERITY: _OCSF_IDS[number]}
    return found


def _seriousness(axis: str, word: str | None) -> int:
    order = LEVELS.get(axis, ("closed", "open"))
    return order.index(word) if word in order else -1


def _fields(document: Mapping[str, Any]) -> Iterator[tuple[int, str, Any]]:
    """The fields of objects, those at the top first: depth, folded name and value.

    Lists are not entered, except those of one object: what is in a list is about other things.
    """
    level: list[Mapping[str, Any]] = [document]
    for depth in range(MAX_DEPTH):
        below: list[Mapping[str, Any]] = []
        for key, value in islice(chain.from_iterable(node.items() for node in level), MAX_NODES):
            yield depth, _folded_name(key), value
            inner = unwrapped(value)
            if isinstance(inner, dict):
                below.append(inner)
        level = below


def _folded_name(key: object) -> str:
    """The last part of a dotted name, in small letters, without what stands between its words."""
    if not isinstance(key, str) or len(key) > _MAX_NAME_CHARS:
        return ""
    return _BETWEEN_WORDS.sub("", key.rpartition(".")[2].lower())
