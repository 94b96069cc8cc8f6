"""ArcSight's Common Event Format (CEF), versions 0 and 1.

https://www.microfocus.com/documentation/arcsight/arcsight-smartconnectors-8.4/pdfdoc/cef-implementation-standard/cef-implementation-standard.pdf
"""

import re
from typing import Any

from schemas.formats.decoders.fields import Budget, Fields
from schemas.formats.decoders.times import read_time

MARKER = re.compile(r"(?<![A-Za-z0-9])CEF: ?\d{1,2}(?:\.\d{1,2})?\|")
"""How a CEF message begins."""

_HEADER = (
    "device_vendor",
    "device_product",
    "device_version",
    "signature_id",
    "name",
    "severity",
)
# Possessive repeats never go back, so that each character is looked at once.
_HEADER_FIELD = re.compile(r"((?:[^|\\]++|\\.?)*+)(?:\||\Z)", re.DOTALL)
# A key follows white space. The `=` in `?page=2` of an address is not behind a key, because senders
# often forget to escape it.
_KEY = re.compile(r"(?:\A|(?<=\s))([\w.\-\[\]/]{1,100})=")
_UNESCAPED_PATH = re.compile(r"[A-Za-z]:\\(?!\\)|\A\\\\[^\\\s]+\\(?!\\)|\A[\w.-]+\\[\w.$-]+\Z")
_TIMES = ("start", "rt", "end", "deviceReceiptTime", "startTime", "endTime")
_LONGEST_LABEL = 100


def decode(text: str, received_at: float | None, budget: Budget) -> dict[str, Any]:
    """The object `cef` of a message that begins with `MARKER`.

    Header fields that the sender left out are empty.

    Raises:
        LimitExceeded: the message has too many fields.
    """
    version, _, rest = text.partition("|")
    header = {"version": version.removeprefix("CEF:").strip()}
    position = 0
    for name in _HEADER:
        field = _HEADER_FIELD.match(rest, position)
        header[name] = "" if field is None else _unescape(field[1]).strip()
        position = len(rest) if field is None else field.end()
    budget.take(len(header))
    extension = read_pairs(rest[position:], budget)
    _resolve_labels(extension)
    times = (read_time(extension.values.get(name, ""), received_at) for name in _TIMES)
    time = next((time for time in times if time is not None), None)
    if time is not None:
        header["time"] = time
    return {**header, "extension": extension.values}


def read_pairs(text: str, budget: Budget) -> Fields:
    """The ``key=value`` pairs, separated by white space, whose values may hold white space.

    Raises:
        LimitExceeded: there are too many.
    """
    fields = Fields(budget)
    name, start = None, 0
    for key in _KEY.finditer(text):
        if name is not None:
            fields.add(name, _unescape(text[start : key.start()].strip()))
        name, start = key[1], key.end()
    if name is not None:
        fields.add(name, _unescape(text[start:].strip()))
    return fields


def _unescape(text: str) -> str:
    r"""Replace ``\\``, ``\|``, ``\=``, ``\n`` and ``\r``; other backslashes stay.

    Many senders do not escape the backslashes of Windows' paths and accounts: in
    ``C:\Windows\notepad.exe`` is no line end.
    """
    if "\\" not in text:
        return text
    if _UNESCAPED_PATH.search(text) is not None:
        return text.replace("\\|", "|").replace("\\=", "=")
    return "\\".join(
        part.replace("\\|", "|").replace("\\=", "=").replace("\\n", "\n").replace("\\r", "\n")
        for part in text.split("\\\\")
    )


def _resolve_labels(extension: Fields) -> None:
    """Add each custom field under its label. What was sent under that name itself stays."""
    for name, label in list(extension.values.items()):
        field = name.removesuffix("Label")
        if field == name or field not in extension.values or not label:
            continue
        if len(label) <= _LONGEST_LABEL and label not in extension.values:
            extension.add(label, extension.values[field])
