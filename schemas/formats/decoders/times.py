"""The times of log lines, which `schemas.formats.instants` cannot read, as RFC 3339 in UTC.

A time without a zone is read as UTC. A time without a year is in the year that brings it nearest to
the moment when the record was received, so that a redelivery reads the same. The wall clock is
never asked.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import starmap

from schemas.formats.instants import to_rfc3339

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}
# The zones of RFC 5322, and the European ones that have one meaning. In hours from UTC.
_ZONE_HOURS = {
    **dict.fromkeys(("z", "utc", "gmt", "ut", "wet"), 0),
    **dict.fromkeys(("cet", "west"), 1),
    **dict.fromkeys(("cest", "eet"), 2),
    "eest": 3,
    "edt": -4,
    **dict.fromkeys(("est", "cdt"), -5),
    **dict.fromkeys(("cst", "mdt"), -6),
    **dict.fromkeys(("mst", "pdt"), -7),
    "pst": -8,
}
_LONGEST = 48
_WEEKDAY = r"(?:[A-Z][a-z]{2},? )?"
_YEAR = r"(?P<year>\d{4})"
_LAST_YEAR = r"(?P<last_year>\d{4})"
_DAY = r"(?P<day>\d{1,2})"
_MONTH = r"(?P<month>[A-Za-z]{3})[a-z]{0,6}\.?"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
_ZONE = r"(?: ?(?P<zone>Z|[A-Z][A-Za-z]{1,4}|(?:UTC|GMT)?[+-]\d\d:?\d\d))?"
_FORMS = tuple(
    re.compile(form)
    for form in (
        # May  2 2031 10:11:12.123 UTC, May 02 10:11:12, Fri May 02 10:11:12 UTC 2031
        rf"{_WEEKDAY}{_MONTH} {{1,2}}{_DAY}(?:,? {_YEAR})?,? {_CLOCK}{_ZONE}(?: {_LAST_YEAR})?",
        # Fri, 2 May 2031 10:11:12 +0000, 02/May/2031:10:11:12 +0000
        rf"{_WEEKDAY}{_DAY}[ /-]{_MONTH}[ /-]{_YEAR}[ :T]{_CLOCK}{_ZONE}",
        # 2031 May  2 10:11:12
        rf"{_YEAR} {_MONTH} {{1,2}}{_DAY} {_CLOCK}{_ZONE}",
        # 2031/05/02 10:11:12, 2031:05:02-10:11:12, 2031-05-02 10:11:12 UTC
        rf"{_YEAR}[-/:.](?P<number>\d\d)[-/:.]{_DAY}[ T-]{_CLOCK}{_ZONE}",
    )
)
_EPOCH_WITH_FRACTION = re.compile(r"\d{10}\.\d{1,9}")
_PATTERN_PART = re.compile(r"'([^']*)'|([A-Za-z])\2*|[^A-Za-z']")
# The letters of Java's SimpleDateFormat, which LEEF names, as strptime's directives.
_DIRECTIVES = {
    "yyyy": "%Y",
    "yy": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    **dict.fromkeys(("MM", "M"), "%m"),
    **dict.fromkeys(("dd", "d"), "%d"),
    **dict.fromkeys(("HH", "H"), "%H"),
    **dict.fromkeys(("hh", "h"), "%I"),
    "mm": "%M",
    "ss": "%S",
    "a": "%p",
    **dict.fromkeys(("Z", "X", "XX", "XXX"), "%z"),
    **dict.fromkeys(("E", "EEE"), "%a"),
    **dict.fromkeys(("S", "SS", "SSS", "SSSSSS"), "%f"),
}


def read_time(text: str, received_at: float | None, pattern: str | None = None) -> str | None:
    """The instant that a log line states, or None if it cannot be told.

    Args:
        text: the time as it was sent.
        received_at: when the record was received, in seconds since 1970; only for a time that has
            no year. Without it such a time is not read.
        pattern: the format of the time in the letters of Java's SimpleDateFormat, if it is known.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if _EPOCH_WITH_FRACTION.fullmatch(text):
        return to_rfc3339(float(text))
    return _by_pattern(text, pattern) or to_rfc3339(text) or _by_form(text, received_at)


def _by_pattern(text: str, pattern: str | None) -> str | None:
    """Read a time by its own format. A format without a year or with zone names is not used."""
    if pattern is None or len(pattern) > _LONGEST:
        return None
    parts = []
    for part in _PATTERN_PART.finditer(pattern):
        letters = part[0]
        if letters[0].isalpha() and letters not in _DIRECTIVES:
            return None
        literal = (part[1] if letters[0] == "'" else letters).replace("%", "%%")
        parts.append(_DIRECTIVES.get(letters, literal))
    if not {"%Y", "%y"} & {*parts}:
        return None
    try:
        return to_rfc3339(datetime.strptime(text, "".join(parts)).isoformat())  # noqa: DTZ007 - UTC
    except (ValueError, OverflowError, re.error):  # re.error: a letter occurs twice
        return None


def _by_form(text: str, received_at: float | None) -> str | None:
    for form in _FORMS:
        match = form.fullmatch(text)
        if match is not None:
            instant = _instant(match.groupdict(), received_at)
            return None if instant is None else to_rfc3339(instant.isoformat())
    return None


def _instant(parts: dict[str, str | None], received_at: float | None) -> datetime | None:
    zone = _zone(parts["zone"])
    month = _month(parts)
    if zone is None or month is None:
        return None
    fraction = (parts["fraction"] or "0")[:6].ljust(6, "0")
    clock = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    moment = (month, int(parts["day"] or 0), *clock, int(fraction))
    year = parts["year"] or parts.get("last_year")
    if year is not None:
        return _date(int(year), moment, zone)
    return _nearest(moment, zone, received_at)


def _nearest(moment: tuple[int, ...], zone: timezone, received_at: float | None) -> datetime | None:
    """The moment in the year that brings it nearest to when the record was received."""
    if received_at is None:
        return None
    try:
        received = datetime.fromtimestamp(received_at, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    years = (received.year - 1, received.year, received.year + 1)
    dates = starmap(_date, ((year, moment, zone) for year in years))
    return min(
        (date for date in dates if date is not None),
        key=lambda date: abs(date - received),
        default=None,
    )


def _date(year: int, moment: tuple[int, ...], zone: timezone) -> datetime | None:
    try:
        return datetime(year, *moment, tzinfo=zone)  # type: ignore[misc, arg-type]
    except (ValueError, OverflowError):
        return None


def _month(parts: dict[str, str | None]) -> int | None:
    number = parts.get("number")
    if number is not None:
        return int(number)
    return _MONTH_NUMBERS.get((parts["month"] or "").lower())


def _zone(text: str | None) -> timezone | None:
    """The zone, UTC if there is none, or None if the name is not known."""
    if text is None:
        return UTC
    offset = text.removeprefix("UTC").removeprefix("GMT")
    if offset[:1] in {"+", "-"}:
        digits = offset[1:].replace(":", "")
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        if minutes >= 24 * 60:
            return None
        return timezone(timedelta(minutes=minutes if offset[0] == "+" else -minutes))
    hours = _ZONE_HOURS.get(text.lower())
    return None if hours is None else timezone(timedelta(hours=hours))
