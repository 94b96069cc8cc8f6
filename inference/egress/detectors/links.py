"""Finds the parts of a link that let whoever has the link sign in.

They are the parameters of links that are sent by mail to sign in, to verify an address, to reset a
password or to join, and such a part of the path.
"""

import re
from collections.abc import Iterator

from inference.egress.kinds import Span

_ACCESS_WORDS = (
    "magic|passwordless|sign-?in|signin|log-?in|logon|verif|confirm|reset|recover|forgot|invit"
    "|activat|one-?time|otp|sso|auth|session|unlock|onboard|callback|redeem|register|enroll|join"
    "|accept|password|share"
)
_ACCESS = re.compile(_ACCESS_WORDS, re.IGNORECASE)
_URL = re.compile(
    r"(?:h(?:tt|xx)ps?://|(?<![^\s\"'=(>])/)[^\s\"'<>\x00]{8,2000}+|(?<=://)[^\s\"'<>\x00]{8,2000}+",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"[?&;#](?P<key>[\w.\[\]-]{1,40}+)=(?P<secret>[^\s&;#\"'<>\x00]{8,}+)")
_PART = re.compile(
    rf"(?<=/)[\w.-]{{0,30}}?(?:{_ACCESS_WORDS})[\w.-]{{0,30}}(?:/(?:[a-z]{{1,2}}|\d{{1,10}}))?"
    r"/(?P<secret>[\w.~%=-]{8,}+)",
    re.IGNORECASE,
)
_HARMLESS_PARAMETERS = re.compile(
    r"(?:utm_\w+|client_?id|redirect_?ur[il]|response_\w+|scope|lang\w*|locale|tenant\w*|next|return\w*"
    r"|continue|dest\w*|from\w*|app_?id|version|ver|page|type|mode|prompt|resource|audience|realm"
    r"|domain|date\w*|time\w*|rev\w*|build|region)",
    re.IGNORECASE,
)
_MIN_CHARS = 8
_MAX_READ_CHARS = 200
"""So much of a value tells whether it is readable."""
_OPAQUE = re.compile(r"\A(?=[^\d]*\d)(?=[^A-Za-z]*[A-Za-z])[\w.~%+/=:-]+")
_UPPER_AND_LOWER = re.compile(r"\A(?=.*[a-z][A-Z]+[a-z]+[A-Z])[A-Za-z~%=_-]{12,}")
_READABLE = re.compile(
    r"\A(?:[a-z]{0,20}[-_.]?v?\d{1,4}(?:\.\d{1,4}){0,3}|\d{4}-\d\d-\d\d.*|\d{1,3}(?:\.\d{1,3}){3}.*"
    r"|[\w-]+\.(?:html?|php|aspx?|jsp|js|css|png|jpe?g|gif|svg|exe|zip|pdf|json|xml|com|net|org)"
    r"|.*(?:%2f%2f|://).*|[a-z]+(?:[-_.][a-z]+){0,6}[-_.]?\d{0,4})",
    re.IGNORECASE,
)


def find_links(text: str) -> Iterator[Span]:
    """Find the parameters and parts of links that give access."""
    if "/" not in text or not _ACCESS.search(text):
        return
    for url in _URL.finditer(text):
        if _ACCESS.search(url[0]):
            yield from _secrets_of(url)


def _secrets_of(url: re.Match[str]) -> Iterator[Span]:
    text, bounds = url.string, url.span()
    for match in _PARAMETER.finditer(text, *bounds):
        if not _HARMLESS_PARAMETERS.fullmatch(match["key"]) and _is_opaque(match["secret"]):
            yield Span(*match.span("secret"), "secret")
    for match in _PART.finditer(text, *bounds):
        if _is_opaque(match["secret"]):
            yield Span(*match.span("secret"), "secret")


def _is_opaque(value: str) -> bool:
    """Whether a part of a URL is made for a program: it mixes digits, letters or cases."""
    beginning = value[:_MAX_READ_CHARS]
    if len(value) < _MIN_CHARS or _READABLE.fullmatch(beginning):
        return False
    return bool(_OPAQUE.fullmatch(beginning) or _UPPER_AND_LOWER.fullmatch(beginning))
