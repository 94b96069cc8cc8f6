"""The next revision of a decision already published: what every later agent has in common."""

import msgspec

from agents.clock import timing_after
from agents.outcomes import Incoming
from schemas.errors import InvalidEvent
from schemas.triaged import TriagedEvent

MAX_REVISION = 2**31 - 1
"""Far beyond any real one. What arrives came over a topic anyone may write to, and JSON numbers end at 64 bits."""


def successor(triaged: TriagedEvent, incoming: Incoming) -> TriagedEvent:
    """The same decision as its next revision, timed now; the caller says what has changed.

    Raises:
        InvalidEvent: the revision or the instant it was received at cannot be real.
    """
    if not 0 <= triaged.revision < MAX_REVISION:
        raise InvalidEvent(f"revision {triaged.revision} has no successor; send the one you read", stage="validate")
    try:
        timing = timing_after(triaged.timing, incoming.received_at_s)
    except (ValueError, OverflowError):
        raise InvalidEvent(
            "timing.received_at is no RFC 3339 instant; send the one you read", stage="validate"
        ) from None
    return msgspec.structs.replace(triaged, revision=triaged.revision + 1, timing=timing)
