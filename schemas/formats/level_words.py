"""The words that senders use for a severity, a priority and a status, and ours for them.

What a sender states only ever raises: it can send an event to a person, and lowers nothing. So a
word that two senders mean differently is read as the more serious of the two.
"""

import re
from collections.abc import Mapping

from schemas.folding import fold

LEVELS: Mapping[str, tuple[str, ...]] = {
    "severity": ("informational", "low", "medium", "high", "critical"),
    "priority": ("low", "normal", "high", "urgent"),
}
"""For each axis that a sender may state: its levels, the lowest first."""
HIGH: Mapping[str, str] = {"severity": "high", "priority": "urgent"}
"""From which level on an event is serious."""
STATES = ("closed", "open")
"""Our words for a status."""
STATED = (*LEVELS, "status")
"""What a sender may state."""

MAX_WORD_CHARS = 64

_SENDERS_WORDS: Mapping[str, Mapping[str, str]] = {
    "severity": {
        "critical": "crit, fatal, emergency, emerg, alert, panic, disaster, catastrophic, blocker, "
        "severe, very high, highest, extreme, page, urgent",
        "high": "major, important, error, err",
        "medium": "moderate, average, warning, warn, normal, med",
        "low": "minor, lowest, very low, trivial, notice, note",
        "informational": "information, info, none, debug, verbose",
    },
    "priority": {
        "urgent": "critical, crit, emergency, blocker, highest, very high, immediate, severe, "
        "disaster",
        "high": "major, important",
        "normal": "medium, moderate, average, standard, med",
        "low": "minor, lowest, very low, trivial, planning, not urgent",
    },
    "status": {
        "open": "opened, reopened, new, active, firing, triggered, alerting, alarm, in progress, "
        "work in progress, in process, inprogress, pending, on hold, hold, waiting, to do, todo, "
        "acknowledged, acked, investigating, unresolved, assigned, unassigned, escalated",
        "closed": "resolved, solved, done, fixed, dismissed, completed, complete, canceled, "
        "cancelled, recovered, archived, mitigated, remediated, ok, inactive, suppressed, "
        "auto resolved, auto dismissed, false positive, wont fix",
    },
}
_OURS: Mapping[str, Mapping[str, str]] = {
    axis: {word: ours for ours, others in of_axis.items() for word in (ours, *others.split(", "))}
    for axis, of_axis in _SENDERS_WORDS.items()
}
# ``P1``, ``sev-1``, ``SEV2``: the smaller the number, the more serious.
_RANKED = re.compile(r"(?:p|prio|priority|s|sev|severity) ?([0-5])")
_RANKS: Mapping[str, tuple[str, ...]] = {
    "severity": ("critical", "critical", "high", "medium", "low", "informational"),
    "priority": ("urgent", "urgent", "high", "normal", "low", "low"),
}
# ``1 - Critical``, ``P2: high``, ``High (2)``.
_NUMBERED = re.compile(r"(?:[a-z]{0,8}[ -]?\d{1,2} ?[-:.)] ?)?([^\d()]+?)(?: ?\(\w{1,8}\))?")
_BETWEEN_WORDS = re.compile(r"[\W_]+")


def our_word(axis: str, text: str) -> str | None:
    """Our word for what a sender writes; None if there is none.

    Case, width, white space, invisible characters and what stands between two words do not count.
    A number alone is no word: it means something else to each vendor.

    Args:
        axis: ``severity``, ``priority`` or ``status``.
        text: what the sender writes.
    """
    if len(text) > MAX_WORD_CHARS:
        return None
    folded = fold(text)
    word = _look_up(axis, folded)
    if word is None and (numbered := _NUMBERED.fullmatch(folded)):
        return _look_up(axis, numbered[1])
    return word


def _look_up(axis: str, folded: str) -> str | None:
    text = _BETWEEN_WORDS.sub(" ", folded.replace("'", "")).strip()
    word = _OURS[axis].get(text)
    ranked = _RANKED.fullmatch(text) if word is None and axis in _RANKS else None
    return _RANKS[axis][int(ranked[1])] if ranked else word
