"""The W3C trace context in the headers of a record.

See W3C, 2021, "Trace Context". Whoever writes a record may put anything into its headers, so what
is not exactly of the form is as good as missing. Its companion `tracestate` is free text of the
sender; it is neither read nor passed on.
"""

import re

from schemas.event import Headers
from schemas.signing import header

TRACEPARENT_HEADER = "traceparent"
MAX_BYTES = 256
"""Longer values are not looked at."""
_IDS = r"(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
# A later version may append fields, which are separated by a dash.
_FORM = re.compile(
    rf"(?:00-{_IDS}|(?!00|ff)[0-9a-f]{{2}}-{_IDS.replace('?P<', '?P<later_')}(?:-.*)?)"
)


def traceparent_of(headers: Headers) -> str | None:
    """The trace context of a record, in version 00; None if there is none, or several, or no valid.

    Returns:
        ``00-TRACE-SPAN-FLAGS`` with 32, 16 and 2 hexadecimal digits. Of the flags only the one is
        kept that says that the trace is sampled.
    """
    value = header(headers, TRACEPARENT_HEADER)
    if value is None or len(value) > MAX_BYTES:
        return None
    match = _FORM.fullmatch(value.decode("ascii", "replace"))
    if match is None:
        return None
    ids = [match[name] or match[f"later_{name}"] for name in ("trace", "span", "flags")]
    return f"00-{ids[0]}-{ids[1]}-{int(ids[2], 16) & 1:02x}"
