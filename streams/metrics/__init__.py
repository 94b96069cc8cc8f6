"""The metrics of the worker: what they are, what sets them, and what recent decisions say."""

from streams.metrics.observed import BREAKER_STATES, FINAL_OUTCOMES, Metrics
from streams.metrics.recent import RECENT_EVENTS

__all__ = ["BREAKER_STATES", "FINAL_OUTCOMES", "RECENT_EVENTS", "Metrics"]
