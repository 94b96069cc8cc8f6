"""Find dead letters, count them by reason, and send them back to the topics they came from.

A damaged batch that is stepped over becomes one, too.
"""

from streams.deadletters.letter import (
    MAX_HEADER_CHARS,
    PREVIEW_CHARS,
    Letter,
    PlaceOfRecord,
    Reason,
)
from streams.deadletters.replaying import Pace, Replay, Selection, replay
from streams.deadletters.search import MAX_REASONS, OTHER_REASONS, count_reasons, find, find_at
from streams.deadletters.skipping import skip

__all__ = [
    "MAX_HEADER_CHARS",
    "MAX_REASONS",
    "OTHER_REASONS",
    "PREVIEW_CHARS",
    "Letter",
    "Pace",
    "PlaceOfRecord",
    "Reason",
    "Replay",
    "Selection",
    "count_reasons",
    "find",
    "find_at",
    "replay",
    "skip",
]
