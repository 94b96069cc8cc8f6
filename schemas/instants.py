"""The instants of our own records, which are RFC 3339."""

from datetime import datetime


def seconds_of(instant: str, default: float) -> float:
    """An RFC 3339 instant in seconds since the epoch; `default` for what is none."""
    try:
        return datetime.fromisoformat(instant).timestamp()
    except (ValueError, OverflowError):
        return default
