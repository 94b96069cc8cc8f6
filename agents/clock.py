"""Instants as they are written on the wire."""

import time
from datetime import UTC, datetime

from schemas.triaged import Timing


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
