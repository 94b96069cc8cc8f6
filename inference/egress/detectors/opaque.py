"""Finds strings that a reader cannot read: harmless identifiers, possible keys and encoded text."""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import unquote

from inference.egress.kinds import Span

_HARMLESS = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # UUID
    r"|(?=[0-9a-f]{0,40}[a-f])(?:[0-9a-f]{16}){1,2}"  # digests
    r"|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}"
    r"|(?:19|20)\d\d-[01]\d-[0-3]\d"  # RFC 3339
    r"(?:[t ][0-2]\d:[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?(?:z|[+-]\d\d:?\d\d)?)?"
    r"|[a-z]{1,12}(?:-[a-z]{1,10})?-[0-9a-f]{17}"  # a resource of AWS
    r"|cve-\d{4}-\d{4,7}"
    r")(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_RUN = re.compile(r"(?<![A-Za-z0-9+/_~-])[A-Za-z0-9+/_~-]{20,}+={0,2}")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{12,}+={0,2}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x)?((?:[0-9a-f]{2}){8,}+)(?![0-9A-Za-z])", re.IGNORECASE)
_PERCENT = re.compile(r"[^\s?&=;\"'<>\x00]++")
_CHANGE_OF_CLASS = re.compile(
    r"[a-z](?=[A-Z0-9])|[A-Z](?=[0-9])|[A-Z](?=[A-Z][a-z][0-9A-Z])|[0-9](?=[A-Za-z])"
)
# A random run has at least so many changes of class per letter or digit, and so much entropy per
# character.
_MIN_CHANGES, _MIN_CHANGES_WITHOUT_DIGITS, _MIN_ENTROPY_BITS = 0.2, 0.32, 3.2
_MIN_RANDOM_CHARS = 16
_SEPARATOR = re.compile(r"[-_/~+=]+")
_MIN_PART_CHARS = 16
_MIN_DECODED_CHARS = 6
_MIN_LEGIBLE_SHARE = 0.92


def find_harmless(text: str) -> Iterator[Span]:
    """Find UUIDs, hexadecimal digests of a usual length, dates and CVE numbers.

    They identify no person, and they help the model. Identifiers of AWS resources count too.
    """
    yield from (Span(*match.span(), None) for match in _HARMLESS.finditer(text))


def find_random(text: str) -> Iterator[Span]:
    """Find keys of unknown services: runs of at least 20 characters that look random.

    A run looks random if its characters change between lower case, upper case and digits as often
    as in a random string.
    """
    for match in _RUN.finditer(text):
        if _is_random(match[0]) and not _decoded_base64(match[0]):
            yield Span(*match.span(), "secret")


def encoded_runs(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and decoded text of every run in base64, hexadecimal or percent-encoding."""
    for match in _BASE64.finditer(text):
        # A dictionary keeps the order, so that every process finds the same kind of value first.
        for part in dict.fromkeys([match[0], *match[0].split("/")]):
            yield from ((*match.span(), decoded) for decoded in _decoded_base64(part))
    for match in _HEX.finditer(text):
        yield from ((*match.span(), decoded) for decoded in _texts(bytes.fromhex(match[1])))
    if "%" in text:
        yield from _percent_encoded_runs(text)


def _percent_encoded_runs(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _PERCENT.finditer(text):
        if "%" not in match[0]:
            continue
        # Percent-encoding is often nested: a URL is a parameter of another URL.
        decoded = unquote(unquote(unquote(match[0])))
        if decoded != match[0]:
            yield *match.span(), decoded


def _decoded_base64(run: str) -> list[str]:
    """The text that a run of base64 encodes; an empty list if it encodes no text."""
    plain = run.rstrip("=").replace("-", "+").replace("_", "/")
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    padding = "=" * (-len(plain) % 4)
    try:
        return _texts(base64.b64decode(plain + padding, validate=True))
    except binascii.Error:
        return []


def _texts(raw: bytes) -> list[str]:
    """The bytes as text if nearly all of them are legible, else an empty list."""
    decoded = _decoded(raw)
    if len(decoded) < _MIN_DECODED_CHARS:
        return []
    raw_size = len(raw.replace(b"\x00", b""))
    legible = sum(c.isprintable() or c in "\r\n\t" for c in decoded)
    if len(decoded.encode()) < _MIN_LEGIBLE_SHARE * raw_size:
        return []
    return [decoded] if legible >= _MIN_LEGIBLE_SHARE * len(decoded) else []


def _decoded(raw: bytes) -> str:
    pairs = raw[: len(raw) - len(raw) % 2]
    # Windows encodes commands as UTF-16. Then more than two thirds of the odd bytes are zero.
    if pairs[1::2].count(0) > len(pairs) // 3:
        return pairs.decode("utf-16-le", "ignore")
    return raw.decode("utf-8", "ignore")


def _is_random(run: str) -> bool:
    letters_and_digits = [c for c in run if c.isalnum()]
    if len(letters_and_digits) < _MIN_RANDOM_CHARS:
        return False  # a line of dashes, or a path
    if not any(c.isupper() for c in run) and _longest_part(run) < _MIN_PART_CHARS:
        return False  # the name of a pod or a file
    changes = len(_CHANGE_OF_CLASS.findall(run)) / len(letters_and_digits)
    has_digits = any(c.isdecimal() for c in letters_and_digits)
    min_changes = _MIN_CHANGES if has_digits else _MIN_CHANGES_WITHOUT_DIGITS
    return changes >= min_changes and _entropy_bits(run) >= _MIN_ENTROPY_BITS


def _longest_part(run: str) -> int:
    return max(map(len, _SEPARATOR.split(run)))


def _entropy_bits(run: str) -> float:
    """Shannon entropy in bits per character."""
    return -sum(n / len(run) * math.log2(n / len(run)) for n in Counter(run).values())
