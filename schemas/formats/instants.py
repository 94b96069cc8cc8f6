"""Conversion of timestamps, in the forms that producers use, to RFC 3339 in UTC."""

import re
from datetime import UTC, datetime, timedelta

_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_LATEST_S = _LATEST.timestamp()
# The units of a Unix epoch (s, ms, µs and ns), each as the smallest number that is read in this
# unit, and its units per second. The milliseconds begin in 1979. The end of the year 9999 in
# seconds, which means "never", is below that and so is not read as milliseconds.
_EPOCH_UNITS = ((0, 1), (3e11, 1e3), (3e14, 1e6), (3e17, 1e9))
# Two other counts, each in units of 100 ns and with what it counts at 1970: the Windows FILETIME
# since 1601, and the ticks of .NET since year 1. They lie between the units of an epoch, except
# that the ticks of 1970 to 2100 are the nanoseconds of 1989 to 1991, which no alert is from.
_TICKS_AT_1970 = (116_444_736_000_000_000, 621_355_968_000_000_000)
_TICKS_PER_S = 10_000_000
_LONGEST_TEXT = 48
_SHORTEST_INSTANT = len("2026-01-02T03:04")
_SHORTEST_OTHER = len("1/2/2026 3:04 PM") - 2
_EPOCH_DIGITS = range(10, 20)
_HOURS_A_DAY, _HALF_A_DAY, _MINUTES_AN_HOUR = 24, 12, 60

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
# A name of UTC, an offset, or both: ``(UTC)``, ``+0000 UTC``, ``UTC+0000``, ``GMT+0100 (CET)``.
# The name of another zone does not tell the offset.
_ZONE = (
    r"(?: ?\(?(?:UTC|GMT|Z)\)?)?"
    r"(?: ?(?P<sign>[+-])(?P<off_hour>\d{2}):?(?P<off_minute>\d{2})(?: \(?[A-Z]{1,5}\)?)?)?"
)
_UTC_ONLY = r"(?: (?:UTC|GMT|Z))?"
_WEEKDAY = r"(?:[A-Za-z]{3,9},? )?"
_MONTH = r"(?P<month>[A-Za-z]{3})[a-z]{0,6}\.?"
_NUMBERS = r"(?P<first>\d{1,2})(?P<mark>[/.-])(?P<other>\d{1,2})(?P=mark)(?P<year>\d{4})"
_COMPACT = (
    r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})T?(?P<hour>\d{2})(?P<minute>\d{2})"
    r"(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?Z?"
)
_OTHER_FORMS = tuple(
    re.compile(form)
    for form in (
        # 2026-03-24 14:42:35 UTC, 2026/03/24 14:42:35 +0200
        rf"(?P<year>\d{{4}})[-/](?P<month>\d{{1,2}})[-/](?P<day>\d{{1,2}})[ T]{_CLOCK}{_ZONE}",
        # Tue, 24 Mar 2026 14:42:35 +0000; 24/Mar/2026:14:42:35 +0000; 24-Mar-2026 14:42
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})[ /-]{_MONTH}[ /-](?P<year>\d{{4}}),?[ :]{_CLOCK}{_ZONE}",
        # Mar 24, 2026 2:42 PM; Tue Mar 24 2026 14:42:35 GMT+0100 (CET)
        rf"{_WEEKDAY}{_MONTH} (?P<day>\d{{1,2}}),? (?P<year>\d{{4}}),?(?: at)? {_CLOCK}{_ZONE}",
        # Tue Mar 24 14:42:35 UTC 2026; Tue Mar 24 14:42:35 2026 UTC
        rf"{_WEEKDAY}{_MONTH} (?P<day>\d{{1,2}}) {_CLOCK}{_UTC_ONLY} (?P<year>\d{{4}}){_UTC_ONLY}",
        # 3/24/2026 2:42:35 PM, 24.03.2026 14:42
        rf"{_NUMBERS},? {_CLOCK}{_ZONE}",
        # 20260324T144235Z, 20260324144235
        _COMPACT,
    )
)
_JSON_DATE = re.compile(r"\\?/Date\((\d{1,15})(?:[+-]\d{4})?\)\\?/")
_FRACTION = re.compile(r"\d{1,13}\.\d{1,9}")


def to_rfc3339(value: object) -> str | None:
    """Convert an instant in any usual form to the form ``2026-01-02T03:04:05Z``.

    It may be in RFC 3339 or ISO 8601, in the forms of mails, of web servers and of the date
    functions of the usual languages, a Unix epoch in s, ms, µs or ns, a Windows FILETIME, or the
    ticks of .NET. An instant without an offset is read as UTC, because log shippers write UTC in
    this way. In ``3/4/2026 2:42 PM`` the month is first, as in American English; without AM or PM
    nobody knows which is the month, unless one of the two is larger than 12.

    The result is None for everything that is not an instant between 1970 and 2100: a wrong clock
    must not be a reason to lose an alert.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _from_epoch(value)
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
        return _from_text(value.strip())
    return None


def _from_epoch(value: float) -> str | None:
    for at_1970 in _TICKS_AT_1970:
        if at_1970 < value < at_1970 + _LATEST_S * _TICKS_PER_S:
            return _format(datetime(1970, 1, 1, tzinfo=UTC) + _ticks(value - at_1970))
    for smallest, per_second in _EPOCH_UNITS:
        if smallest < value < _LATEST_S * per_second:
            return _format(datetime.fromtimestamp(value / per_second, UTC))
    return None


def _ticks(value: float) -> timedelta:
    return timedelta(microseconds=value // 10)


def _from_text(value: str) -> str | None:
    if value.isascii() and value.isdecimal():
        return _from_digits(value)
    if len(value) >= _SHORTEST_INSTANT:
        try:
            return _in_range(_in_utc(datetime.fromisoformat(value.upper())))
        except (ValueError, OverflowError):
            pass
    if (json_date := _JSON_DATE.fullmatch(value)) is not None:
        return _from_epoch(int(json_date[1]))
    if _FRACTION.fullmatch(value):
        return _from_epoch(float(value)) if len(value.partition(".")[0]) in _EPOCH_DIGITS else None
    return _from_other_form(" ".join(value.split())) if len(value) >= _SHORTEST_OTHER else None


def _from_other_form(value: str) -> str | None:
    if not value.isascii():
        return None
    for form in _OTHER_FORMS:
        match = form.fullmatch(value)
        if match is not None:
            try:
                return _in_range(_from_parts(match.groupdict()))
            except (ValueError, OverflowError):
                return None
    return None


def _from_parts(parts: dict[str, str | None]) -> datetime:
    """The instant in the named parts of a form.

    Raises:
        ValueError: they are not a date or a time, or the order of day and month is not known.
        OverflowError: the instant is beyond the calendar.
    """
    hour = int(parts["hour"] or 0)
    if half := parts.get("half"):
        if not 1 <= hour <= _HALF_A_DAY:
            raise ValueError("no hour of a half day")
        hour = hour % _HALF_A_DAY + (_HALF_A_DAY if half in "Pp" else 0)
    month, day = _month_and_day(parts)
    fraction = (parts.get("fraction") or "")[:6].ljust(6, "0")
    instant = datetime(
        int(parts["year"] or 0),
        month,
        day,
        hour,
        int(parts["minute"] or 0),
        int(parts.get("second") or 0),
        int(fraction),
        tzinfo=UTC,
    )
    off_hour, off_minute = int(parts.get("off_hour") or 0), int(parts.get("off_minute") or 0)
    if off_hour >= _HOURS_A_DAY or off_minute >= _MINUTES_AN_HOUR:
        raise ValueError("no offset")
    offset = timedelta(hours=off_hour, minutes=off_minute)
    return instant + offset if parts.get("sign") == "-" else instant - offset


def _month_and_day(parts: dict[str, str | None]) -> tuple[int, int]:
    month = parts.get("month")
    if month is not None:
        number = int(month) if month.isdecimal() else _MONTHS.get(month.lower(), 0)
        return number, int(parts["day"] or 0)
    first, other = int(parts["first"] or 0), int(parts["other"] or 0)
    if parts["mark"] == ".":
        return other, first
    if first > len(_MONTHS):
        return other, first
    if other > len(_MONTHS) or parts.get("half"):
        return first, other
    raise ValueError("nobody knows which is the month")


def _from_digits(value: str) -> str | None:
    if len(value) == len("20260324144235") and value[:2] in ("19", "20"):
        return _from_other_form(value)
    if len(value) in _EPOCH_DIGITS:
        return _from_epoch(int(value))
    return None


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    return instant.astimezone(UTC)


def _in_range(instant: datetime) -> str | None:
    return _format(instant) if 0 <= instant.timestamp() < _LATEST_S else None


def _format(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
