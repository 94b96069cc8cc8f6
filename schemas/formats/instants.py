"""Conversion of timestamps, in the forms that producers use, to RFC 3339 in UTC."""

from datetime import UTC, datetime

_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_LATEST_S = _LATEST.timestamp()
# The units of a Unix epoch (s, ms, µs and ns), each as the smallest number that is read in this
# unit, and its units per second. The milliseconds begin in 1979. The end of the year 9999 in
# seconds, which means "never", is below that and so is not read as milliseconds.
_EPOCH_UNITS = ((0, 1), (3e11, 1e3), (3e14, 1e6), (3e17, 1e9))
_LONGEST_TEXT = 40
_SHORTEST_INSTANT = len("2026-01-02T03:04")
_EPOCH_DIGITS = range(10, 20)


def to_rfc3339(value: object) -> str | None:
    """Convert an RFC 3339 / ISO 8601 instant or a Unix epoch to the form ``2026-01-02T03:04:05Z``.

    An epoch may be in s, ms, µs or ns. An instant without an offset is read as UTC, because log
    shippers write UTC in this way. The result is None for everything that is not an instant
    between 1970 and 2100: a wrong clock must not be a reason to lose an alert.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _from_epoch(value)
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
        return _from_text(value.strip())
    return None


def _from_epoch(value: float) -> str | None:
    for smallest, per_second in _EPOCH_UNITS:
        if smallest < value < _LATEST_S * per_second:
            return _format(datetime.fromtimestamp(value / per_second, UTC))
    return None


def _from_text(value: str) -> str | None:
    if value.isascii() and value.isdecimal():
        return _from_digits(value)
    if len(value) < _SHORTEST_INSTANT:
        return None
    try:
        instant = _in_utc(datetime.fromisoformat(value.upper()))
    except (ValueError, OverflowError):
        return None
    if 0 <= instant.timestamp() < _LATEST_S:
        return _format(instant)
    return None


def _from_digits(value: str) -> str | None:
    if len(value) in _EPOCH_DIGITS:
        return _from_epoch(int(value))
    return None


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    return instant.astimezone(UTC)


def _format(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
