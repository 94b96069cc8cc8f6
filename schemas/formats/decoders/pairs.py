"""Structure inside the message of a syslog line: pairs, columns and Cisco's mnemonics."""

import csv
import re

from schemas.formats.decoders.fields import Budget, Fields
from schemas.formats.decoders.times import read_time

# Looking behind keeps the search linear: only the first character of a word can begin a key.
_KEY = re.compile(r"(?<![\w.\-/@])([A-Za-z_][\w.\-/@]{0,99})=([^\s,;|\"][^\s,;|]*)?")
# A message of pairs begins with one, or with a few words such as Meraki's kind of event. The
# repeats are possessive: words and white space can be told apart in one way only.
_START = re.compile(r"(?:[^\s=\"]{1,100}+\s{1,3}+){0,5}+[A-Za-z_][\w.\-/@]{0,99}=")
_BRACKET_KEY = re.compile(r'(?<![\w.\-/@])([A-Za-z_][\w.\-/@]{0,99}):(?=")')
# A column that is no word of a sentence; a comma and a space make a sentence.
_COLUMNS = re.compile(r'[\w./:-]{0,64}(?:,(?! )[\w./:@ "-]{0,64}){8}')
_MNEMONIC = re.compile(r"%([A-Z][A-Z0-9_]{1,24}(?:-[A-Z0-9_]{1,40}){1,3}):")
_FEWEST_PAIRS = 3


def read_key_values(text: str, budget: Budget) -> dict[str, str] | None:
    """The pairs of ``key=value key="quoted value" …``, or None if the message is something else.

    The message must begin with a pair, or a few words and a pair, and have at least three pairs.
    Words between them are passed over.

    Raises:
        LimitExceeded: there are too many pairs.
    """
    if _START.match(text) is None:
        return None
    return _read(text, 0, _KEY, budget)


def time_of(fields: dict[str, str], received_at: float | None) -> str | None:
    """The time that the pairs themselves state, for a line whose header has none."""
    date, clock = fields.get("date", ""), fields.get("time", "")
    texts = (f"{date} {clock}{fields.get('tz', '')}", f"{date} {clock}")
    for text in (*texts, fields.get("timestamp", ""), clock):
        time = read_time(text, received_at)
        if time is not None:
            return time
    return None


def read_bracketed(text: str, budget: Budget) -> dict[str, str] | None:
    """The pairs of Check Point's ``[key:"value"; key:"value"]``, or None.

    Raises:
        LimitExceeded: there are too many pairs.
    """
    if not text.startswith("[") or _BRACKET_KEY.match(text, 1) is None:
        return None
    return _read(text, 1, _BRACKET_KEY, budget)


def read_columns(text: str, budget: Budget) -> list[str] | None:
    """The columns of CSV, such as a Palo Alto firewall writes, or None if it is something else.

    Raises:
        LimitExceeded: there are too many columns.
    """
    if _COLUMNS.match(text) is None:
        return None
    try:
        row: list[str] = next(csv.reader([text.replace("\n", " ").replace("\r", " ")]))
    except csv.Error:  # a column is longer than the csv module allows
        return None
    budget.take(len(row))
    return row


def is_telling(text: str) -> bool:
    """Whether a text is known by its first characters: a pair, or the mnemonic of Cisco."""
    return _KEY.match(text) is not None or _MNEMONIC.match(text) is not None


def read_mnemonic(text: str) -> str | None:
    """The mnemonic of a Cisco message, such as ASA-4-106023 of ``%ASA-4-106023: …``, or None."""
    match = _MNEMONIC.match(text)
    return None if match is None else match[1]


def _read(text: str, position: int, key: re.Pattern[str], budget: Budget) -> dict[str, str] | None:
    fields = Fields(budget)
    while (match := key.search(text, position)) is not None:
        value, position = match[match.lastindex or 1], match.end()
        if match.lastindex == 1:  # no bare value behind the key
            value, position = _read_quoted(text, position)
        fields.add(match[1], value)
    return fields.values if len(fields.values) >= _FEWEST_PAIRS else None


def _read_quoted(text: str, start: int) -> tuple[str, int]:
    """The value in quotes at `start`, which may be missing, and the position behind it.

    A quote that is not closed ends with the text, so that no second search for it is needed.
    """
    if not text.startswith('"', start):
        return "", start
    end = text.find('"', start + 1)
    while end > 0 and _is_escaped(text, end):
        end = text.find('"', end + 1)
    if end < 0:
        return text[start + 1 :], len(text)
    return text[start + 1 : end].replace('\\"', '"'), end + 1


def _is_escaped(text: str, position: int) -> bool:
    """Whether a backslash that is not itself escaped stands before the position."""
    return text[position - 1] == "\\" and text[position - 2] != "\\"
