"""What later revisions of a decision have in common: their number, their timing, their queue."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec.structs import replace

from agents.outcomes import Incoming
from schemas.errors import InvalidEvent
from schemas.triaged import Label, Timing, TriagedEvent

MAX_REVISION = 1_000
"""Far above any real revision.

No decision replaces one of a higher revision, so an invented one would lock its event for ever.
"""


def successor(triaged: TriagedEvent, incoming: Incoming) -> TriagedEvent:
    """The same decision as its next revision, timed now; the caller changes the rest.

    Raises:
        InvalidEvent: the revision, or the instant at which it was received, cannot be real.
    """
    if not 0 <= triaged.revision < MAX_REVISION:
        raise InvalidEvent(
            f"revision {triaged.revision} has no successor, the last is {MAX_REVISION}; "
            "send the one you read",
            stage="validate",
        )
    try:
        later = timing_after(triaged.timing, incoming.received_at_s)
    except (ValueError, OverflowError):
        raise InvalidEvent(
            "timing.received_at is no RFC 3339 instant; send the one you read", stage="validate"
        ) from None
    return replace(triaged, revision=triaged.revision + 1, timing=later)


def queue_of(labels: Mapping[str, Label], default: str) -> str:
    """Where an event with these labels goes; `default` if they have no axis ``queue``."""
    label = labels.get("queue")
    return default if label is None else label.value


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339, in UTC with milliseconds."""
    instant = datetime.fromtimestamp(seconds, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timing(received_at_s: float, inference_s: float) -> Timing:
    """The timing of a decision that is made now."""
    now_s = time.time()
    return Timing(
        received_at=rfc3339(received_at_s),
        triaged_at=rfc3339(now_s),
        inference_s=round(inference_s, 6),
        total_s=round(max(0.0, now_s - received_at_s), 6),
    )


def timing_after(earlier: Timing, received_at_s: float) -> Timing:
    """The timing of a later revision.

    It was received when the event first was, and `inference_s` is still the small model's.
    """
    first_s = datetime.fromisoformat(earlier.received_at).timestamp()
    return timing(min(first_s, received_at_s), earlier.inference_s)
