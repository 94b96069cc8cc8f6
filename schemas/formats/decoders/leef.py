"""IBM's Log Event Extended Format (LEEF), versions 1.0 and 2.0.

https://www.ibm.com/docs/en/dsm?topic=overview-leef-event-components
"""

import re
from typing import Any

from schemas.formats.decoders.cef import read_pairs
from schemas.formats.decoders.fields import Budget, Fields
from schemas.formats.decoders.times import read_time

MARKER = re.compile(r"(?<![A-Za-z0-9])LEEF: ?[12](?:\.\d)?\|")
"""How a LEEF message begins."""

_HEADER = ("version", "vendor", "product", "product_version", "event_id")
_HEXADECIMAL = re.compile(r"(?:0x|\\?x)([0-9A-Fa-f]{1,4})")
_TAB = "\t"
# rsyslog and others write a tab inside a message as one of these, here with the key behind it.
_ESCAPED_TAB = re.compile(r"(#011|\\t)\w{1,100}=")


def decode(text: str, received_at: float | None, budget: Budget) -> dict[str, Any]:
    """The object `leef` of a message that begins with `MARKER`.

    Raises:
        LimitExceeded: the message has too many attributes.
    """
    parts = text.split("|", len(_HEADER))
    parts += [""] * (len(_HEADER) + 1 - len(parts))
    *header_parts, rest = parts
    header = dict(zip(_HEADER, (part.strip() for part in header_parts), strict=True))
    header["version"] = header["version"].removeprefix("LEEF:").strip()
    budget.take(len(header))
    delimiter, rest = _delimiter(header["version"], rest)
    attributes = _read_attributes(rest, delimiter, budget)
    time = read_time(
        attributes.values.get("devTime", ""), received_at, attributes.values.get("devTimeFormat")
    )
    if time is not None:
        header["time"] = time
    return {**header, "attributes": attributes.values}


def _delimiter(version: str, rest: str) -> tuple[str, str]:
    """What separates the attributes, and the attributes. Version 2 may name a delimiter."""
    named, bar, _ = rest[: len("0x005E|")].partition("|")
    if not version.startswith("2") or not bar:
        return _TAB, rest
    code = _HEXADECIMAL.fullmatch(named)
    if code is not None:
        named = chr(int(code[1], 16))
    if named in {"", "\\t"}:
        named = _TAB
    if len(named) != 1 or named == "=":
        return _TAB, rest
    return named, rest.partition("|")[2]


def _read_attributes(rest: str, delimiter: str, budget: Budget) -> Fields:
    """The attributes. Relays may turn tabs into spaces, so then the names separate them."""
    if delimiter == _TAB and _TAB not in rest:
        escaped = _ESCAPED_TAB.search(rest)
        if escaped is None:
            return read_pairs(rest, budget)
        delimiter = escaped[1]
    fields = Fields(budget)
    for part in rest.split(delimiter):
        name, equals, value = part.partition("=")
        if equals and name.strip():
            fields.add(name.strip(), value.strip())
    return fields
