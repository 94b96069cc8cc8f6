"""Strings that mean nothing to a reader: those that are surely harmless, and those too random to be let out."""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import unquote

from inference.egress.kinds import Found

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
_RUN = re.compile(r"(?<![A-Za-z0-9+/_=~-])[A-Za-z0-9+/_~-]{20,}+={0,2}")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{12,}+={0,2}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x)?((?:[0-9a-f]{2}){8,}+)(?![0-9A-Za-z])", re.IGNORECASE)
_PERCENT = re.compile(r"[^\s?&=;\"'<>\x00]++")
_CHANGE = re.compile(
    r"[a-z](?=[A-Z0-9])|[A-Z](?=[0-9])|[A-Z](?=[A-Z][a-z][0-9A-Z])|[0-9](?=[A-Za-z])"
)
_MIN_CHANGES, _MIN_CHANGES_LETTERS, _MIN_BITS = 0.2, 0.32, 3.2
_SEPARATOR = re.compile(r"[-_/~+=]+")
_MIN_STRETCH = 16
_MIN_DECODED = 6
_MIN_LEGIBLE = 0.92


def find_harmless(text: str) -> Iterator[Found]:
    """UUIDs, hexadecimal digests of a usual length, dates and CVE numbers: no person's, and worth showing."""
    yield from (Found(*match.span(), None) for match in _HARMLESS.finditer(text))


def find_random(text: str) -> Iterator[Found]:
    """Runs of 20 and more characters that change class as often as chance would: keys of unknown services."""
    for match in _RUN.finditer(text):
        if _is_random(match[0]) and not _decoded_base64(match[0]):
            yield Found(*match.span(), "secret")


def encoded_runs(text: str) -> Iterator[tuple[int, int, str]]:
    """Where base64, hexadecimal or percent-encoding stands, and what it says."""
    for match in _BASE64.finditer(text):
        yield from (
            (*match.span(), decoded)
            for part in {match[0], *match[0].split("/")}
            for decoded in _decoded_base64(part)
        )
    for match in _HEX.finditer(text):
        yield from ((*match.span(), decoded) for decoded in _texts(bytes.fromhex(match[1])))
    for match in _PERCENT.finditer(text) if "%" in text else ():
        if "%" in match[0] and (decoded := unquote(unquote(unquote(match[0])))) != match[0]:
            yield *match.span(), decoded


def _decoded_base64(run: str) -> list[str]:
    """What a run of base64 says, where it says anything."""
    plain = run.rstrip("=").replace("-", "+").replace("_", "/")
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    try:
        return _texts(base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True))
    except binascii.Error:
        return []


def _texts(raw: bytes) -> list[str]:
    wide = raw[: len(raw) - len(raw) % 2]
    decoded = (
        wide.decode("utf-16-le", "ignore")
        if wide[1::2].count(0) > len(wide) // 3
        else raw.decode("utf-8", "ignore")
    )
    legible = sum(c.isprintable() or c in "\r\n\t" for c in decoded)
    enough = len(decoded) >= _MIN_DECODED and len(decoded.encode()) >= _MIN_LEGIBLE * len(
        raw.replace(b"\x00", b"")
    )
    return [decoded] if enough and legible >= _MIN_LEGIBLE * len(decoded) else []


def _is_random(run: str) -> bool:
    letters = [c for c in run if c.isalnum()]
    if len(letters) < 16:  # noqa: PLR2004 - the rest is dashes: a ruler, a path
        return False
    if not any(c.isupper() for c in run) and max(map(len, _SEPARATOR.split(run))) < _MIN_STRETCH:
        return False  # a pod's or a file's name
    changes = len(_CHANGE.findall(run)) / len(letters)
    has_digit = any(c.isdecimal() for c in letters)
    return (
        changes >= (_MIN_CHANGES if has_digit else _MIN_CHANGES_LETTERS)
        and _entropy_bits(run) >= _MIN_BITS
    )


def _entropy_bits(run: str) -> float:
    return -sum(n / len(run) * math.log2(n / len(run)) for n in Counter(run).values())
