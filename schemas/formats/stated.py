"""What the sender of an event says about its severity or priority, in our words.

Only words are read, because a number means something else to each vendor. The exception is the
`severity_id` of OCSF, whose scale is part of that standard.
"""

from collections.abc import Mapping

from schemas.event import Domain, Event
from schemas.folding import fold
from schemas.formats.paths import find

LEVELS: Mapping[str, tuple[str, ...]] = {
    "severity": ("informational", "low", "medium", "high", "critical"),
    "priority": ("low", "normal", "high", "urgent"),
}
"""For each axis that a sender may state: its levels, the lowest first."""
HIGH: Mapping[str, str] = {"severity": "high", "priority": "urgent"}
"""From which level on an event is serious."""

_AXES: dict[Domain, str] = {"alerts": "severity", "tickets": "priority"}
_PATHS: dict[str, tuple[str, ...]] = {
    "severity": ("severity", "alert.severity", "kibana.alert.severity", "finding.severity"),
    "priority": ("priority", "ticket.priority", "severity", "urgency"),
}
_WORDS: dict[str, Mapping[str, str]] = {
    "severity": {
        **dict.fromkeys(("critical", "fatal", "emergency"), "critical"),
        **dict.fromkeys(("high", "major", "severe"), "high"),
        **dict.fromkeys(("medium", "moderate"), "medium"),
        **dict.fromkeys(("low", "minor"), "low"),
        **dict.fromkeys(("informational", "information", "info"), "informational"),
    },
    "priority": {
        **dict.fromkeys(("urgent", "critical", "emergency", "p1"), "urgent"),
        **dict.fromkeys(("high", "p2"), "high"),
        **dict.fromkeys(("normal", "medium", "p3"), "normal"),
        **dict.fromkeys(("low", "p4"), "low"),
    },
}
_OCSF_IDS = {1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical", 6: "critical"}


def stated_level(event: Event) -> tuple[str, str] | None:
    """The axis and the level that the sender states, such as ``("severity", "high")``.

    The attributes are read before the vendor's document. The result is None if the sender states
    nothing, or uses a word that is not known here.
    """
    axis = _AXES[event.domain]
    for document in (event.attributes, event.event):
        if document and (level := _level(document, axis)):
            return axis, level
    return None


def _level(document: Mapping[str, object], axis: str) -> str | None:
    for path in _PATHS[axis]:
        value = find(document, path)
        if isinstance(value, str) and (level := _WORDS[axis].get(fold(value[:64]))):
            return level
    number = document.get("severity_id")
    if axis == "severity" and "class_uid" in document and isinstance(number, int):
        return _OCSF_IDS.get(number)
    return None
