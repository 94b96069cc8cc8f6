"""The next revision of a decision already published: what every later agent has in common."""

import time
from datetime import UTC, datetime

import msgspec

from agents.outcomes import Incoming
from schemas.errors import InvalidEvent
from schemas.triaged import Timing, TriagedEvent

MAX_REVISION = 2**31 - 1
"""Far beyond any real one. What arrives came over a topic anyone may write to, and JSON numbers end at 64 bits."""


def successor(triaged: TriagedEvent, incoming: Incoming) -> TriagedEvent:
    """The same decision as its next revision, timed now; the caller says what has changed.

    Raises:
        InvalidEvent: the revision or the instant it was received at cannot be real.
    """
    if not 0 <= triaged.revision < MAX_REVISION:
        raise InvalidEvent(
            f"revision {triaged.revision} has no successor; send the one you read", stage="validate"
        )
    try:
        timing = timing_after(triaged.timing, incoming.received_at_s)
    except (ValueError, OverflowError):
        raise InvalidEvent(
            "timing.received_at is no RFC 3339 instant; send the one you read", stage="validate"
        ) from None
    return msgspec.structs.replace(triaged, revision=triaged.revision + 1, timing=timing)


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC with milliseconds."""
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def timing(received_at_s: float, inference_s: float) -> Timing:
    """Timing of a decision made now."""
    now_s = time.time()
    return Timing(
        received_at=rfc3339(received_at_s),
        triaged_at=rfc3339(now_s),
        inference_s=round(inference_s, 6),
        total_s=round(max(0.0, now_s - received_at_s), 6),
    )


def timing_after(earlier: Timing, received_at_s: float) -> Timing:
    """Timing of a later revision: received when the event first was, `inference_s` still the small model's."""
    first_s = datetime.fromisoformat(earlier.received_at).timestamp()
    return timing(min(first_s, received_at_s), earlier.inference_s)
