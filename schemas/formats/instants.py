"""Timestamps as people write them, to RFC 3339 in UTC."""

from datetime import UTC, datetime

_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_LATEST_S = _LATEST.timestamp()
# Seconds, milliseconds, microseconds and nanoseconds since 1970, each with the least number it is read from. The
# end of year 9999 in seconds, which means "never", lies below the milliseconds (which begin in 1979).
_EPOCH_UNITS = ((0, 1), (3e11, 1e3), (3e14, 1e6), (3e17, 1e9))
_LONGEST_TEXT = 40
_SHORTEST_INSTANT = len("2026-01-02T03:04")
_EPOCH_DIGITS = range(10, 20)


def to_rfc3339(value: object) -> str | None:
    """An RFC 3339 / ISO 8601 instant, or a Unix epoch in s, ms, µs or ns, as ``2026-01-02T03:04:05Z``.

    An instant without an offset is taken as UTC, which is what log shippers mean by it. None for anything that is
    not an instant between 1970 and 2100: a wrong clock must not cost an alert.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _from_epoch(value)
    return (
        _from_text(value.strip())
        if isinstance(value, str) and len(value) <= _LONGEST_TEXT
        else None
    )


def _from_epoch(value: float) -> str | None:
    for least, per_second in _EPOCH_UNITS:
        if least < value < _LATEST_S * per_second:
            return _format(datetime.fromtimestamp(value / per_second, UTC))
    return None


def _from_text(value: str) -> str | None:
    if value.isascii() and value.isdecimal():
        return _from_epoch(int(value)) if len(value) in _EPOCH_DIGITS else None
    if len(value) < _SHORTEST_INSTANT:
        return None
    try:
        instant = datetime.fromisoformat(value.upper())
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return _format(instant) if 0 <= instant.timestamp() < _LATEST_S else None


def _format(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
