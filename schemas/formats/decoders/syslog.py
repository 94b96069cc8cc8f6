"""Syslog: RFC 5424, RFC 3164 and what devices make of it, and octet-counted frames (RFC 6587)."""

import re
from typing import Any

from schemas.formats.decoders.fields import Budget, Fields, without_blanks
from schemas.formats.decoders.times import read_time

_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
_SEVERITIES = (
    *("emergency", "alert", "critical", "error"),
    *("warning", "notice", "informational", "debug"),
)
_PRIORITY = re.compile(r"<(\d{1,3})>[ \t]*")
_RFC5424 = re.compile(
    r"\d{1,2} (-|\d{4}-\d\d-\d\dT\S{5,40}) (\S{1,255}) (\S{1,128}) (\S{1,128}) (\S{1,64})(?: |\Z)"
)
# Cisco Meraki: a version and an epoch, then only the host and the kind of the log.
_EPOCH = re.compile(r"\d (\d{10}(?:\.\d{1,9})?) (\S{1,255}) (\S{1,128})(?: |\Z)")
_TIME = re.compile(
    # Cisco's counts, the host between them, and the mark of a clock that is not set
    r"(?:\d{1,10}: )?(?:([\w.-]{1,255}): )?(?:\d{1,10}: )?[*.]?"
    r"("
    r"(?:[A-Z][a-z]{2} )?[A-Z][a-z]{2} {1,2}\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"(?: (?:UTC|GMT|Z|[A-Z]{2,3}T|CET|CEST|[+-]\d\d:?\d\d)(?=[: ]))?(?: 20\d\d(?=[: ]))?"
    r"|\d{4} [A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d(?:\.\d{1,9})?"
    r"|\d{4}[-/:]\d\d[-/:]\d\d[T -]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
    r")(?= ?:|\s|\Z)"
)
# A line of a log file has no priority, and must begin with one of the two usual times.
_FILE_TIME = re.compile(
    r"[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d |\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S* "
)
_AFTER_TIME = re.compile(r"[ \t]*(?::[ \t]+)?")
_NAME = r"(?!CEF:|LEEF:|%)[^\s:=\[\]{}<>\"',|%;]"
# An address of IPv6 has colons, so a host may have them, but not at its end.
_HOST = re.compile(r"((?!CEF:|LEEF:)[\w.:/@%-]{0,254}[\w.@-])[ \t]+(?::[ \t]+)?")
# Vectra writes "vectra_json -: {…}" and "vectra_json - :{…}", F5 "ASM:unit_hostname=…".
_TAG = re.compile(
    rf"(?!\d{{1,9}}:)({_NAME}{{1,128}})(?:\[([^\]\s]{{1,128}})\])?"
    r"(?: ?- ?)?:(?:[ \t]{1,64}|\Z|(?=\{|[a-z_]{1,64}=\"))"
)
_ELEMENT = re.compile(r'\[([^\s=\]"]{1,128})(?=[ \]])')
_PARAMETER = re.compile(r'(?<! ) +([^\s=\]"]{1,128})="((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_FRAME = re.compile(rb"(\d{1,8}) (?=<\d{1,3}>)")
_BYTE_ORDER_MARK = "\ufeff"
_NIL = "-"
_FACILITY_SIZE = 8


def frames(data: bytes) -> list[bytes] | None:
    """The messages of octet-counted frames, or None if the data is not framed so.

    A last frame that was cut short is given as far as it goes.
    """
    found = []
    position = 0
    while (frame := _FRAME.match(data, position)) is not None:
        end = frame.end() + int(frame[1])
        found.append(data[frame.end() : end])
        position = end
    if not found or data[position:].strip():
        return None
    return found


def without_count(data: bytes) -> bytes:
    """The message without the count in front of it, which may be wrong."""
    frame = _FRAME.match(data)
    return data if frame is None else data[frame.end() :]


def read_header(
    text: str, received_at: float | None, budget: Budget
) -> tuple[dict[str, Any], str] | None:
    """The object `syslog` and the message, or None if the text has no syslog header.

    A line from a log file has no priority; it begins with a time.

    Raises:
        LimitExceeded: the structured data has too many parameters.
    """
    priority = _PRIORITY.match(text)
    position = 0
    header: dict[str, Any] = {}
    if priority is not None:
        position = priority.end()
        header = _read_priority(int(priority[1]))
        fields, message = _read_fields(text, position, budget)
    else:
        if _FILE_TIME.match(text) is None:
            return None
        fields, message = _read_rfc3164(text, position)
    time = read_time(fields.get("timestamp_text") or "", received_at)
    header = without_blanks({**header, "timestamp": time, **fields})
    budget.take(len(header))
    return header, message.removeprefix(_BYTE_ORDER_MARK).strip("\x00\r\n ")


def _read_priority(number: int) -> dict[str, Any]:
    facility, severity = divmod(number, _FACILITY_SIZE)
    if facility >= len(_FACILITIES):
        return {"priority": number}
    return {
        "facility": _FACILITIES[facility],
        "severity": _SEVERITIES[severity],
        "priority": number,
    }


def _read_fields(text: str, position: int, budget: Budget) -> tuple[dict[str, Any], str]:
    """The fields behind the priority, and the message."""
    standard = _RFC5424.match(text, position)
    if standard is not None:
        fields = _named(standard)
        data, end = _read_structured_data(text, standard.end(), budget)
        return {**fields, "structured_data": data}, text[end:]
    epoch = _EPOCH.match(text, position)
    if epoch is not None:
        return _named(epoch), text[epoch.end() :]
    return _read_rfc3164(text, position)


def _named(match: re.Match[str]) -> dict[str, Any]:
    names = ("timestamp_text", "host", "app", "procid", "msgid")
    return {
        name: None if value == _NIL else value
        for name, value in zip(names, match.groups(), strict=False)
    }


def _read_structured_data(text: str, start: int, budget: Budget) -> tuple[dict[str, Any], int]:
    """The elements by name, and the position behind them.

    What is not as RFC 5424 says is part of the message: it ends the reading once and for all, so
    the work is linear.
    """
    if text.startswith(_NIL, start) and not text[start + 1 : start + 2].strip():
        return {}, start + 1
    elements = Fields(budget)
    position = start
    while (element := _ELEMENT.match(text, position)) is not None:
        parameters = Fields(budget)
        at = element.end()
        while (parameter := _PARAMETER.match(text, at)) is not None:
            parameters.add(parameter[1], _unescape(parameter[2]))
            at = parameter.end()
        if not text.startswith("]", at):
            return elements.values, position
        elements.add(element[1], parameters.values)
        position = at + 1
    return elements.values, position


def _unescape(text: str) -> str:
    return "\\".join(part.replace('\\"', '"').replace("\\]", "]") for part in text.split("\\\\"))


def _read_rfc3164(text: str, position: int) -> tuple[dict[str, Any], str]:
    """Time, host, program and process id, as far as they are there."""
    fields: dict[str, Any] = {}
    time = _TIME.match(text, position)
    if time is not None:
        fields["host"], fields["timestamp_text"] = time.groups()
        position = time.end()
        after = _AFTER_TIME.match(text, position)
        if after is not None:
            position = after.end()
        host = None if time[1] else _HOST.match(text, position)
        if host is not None:
            fields["host"] = host[1]
            position = host.end()
    tag = _TAG.match(text, position)
    if tag is not None:
        fields["app"], fields["procid"] = tag[1], tag[2]
        position = tag.end()
    return fields, text[position:]
