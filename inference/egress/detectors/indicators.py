"""Finds e-mail, IP and hardware addresses, disguised ones too.

Attackers, analysts and encoders all write them in unusual ways.
"""

import ipaddress
import re
from collections.abc import Iterator

from inference.egress.kinds import Span

_AT = r"(?:@|%(?:25)?40|=40|[ \t]{0,3}[\[({<][ \t]{0,2}(?:at|@)[ \t]{0,2}[\])}>][ \t]{0,3})"
_DOT = (
    r"(?:\.|%(?:25)?2e|[ \t]{0,3}[\[({<][ \t]{0,2}(?:dot|\.|punkt|punto|ponto)[ \t]{0,2}[\])}>]"
    r"[ \t]{0,3})"
)
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ATOM = r"(?:[\w.+~!#$*^-]|%(?!(?:25)?40)|(?<=\w)'(?=\w))"
_LOCAL = rf"(?:(?<![\w.+%~!#$*^-])(?<!\w'){_ATOM}++|\"[\w .+'-]{{1,64}}\")"
_TOP = r"[^\W\d_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(
    rf"{_LOCAL}\n?{_AT}\n?{_LABEL}(?:{_DOT}\n?{_LABEL}){{0,8}}{_DOT}\n?{_TOP}", re.IGNORECASE
)
_SPOKEN_DOT = r"[ \t]{1,3}(?:dot|punkt|punto|ponto)[ \t]{1,3}"
_SPOKEN_EMAIL = re.compile(
    rf"(?<![\w.+-])[\w.+-]++(?:{_SPOKEN_DOT}[\w+-]+){{0,2}}"
    r"[ \t]{1,3}(?:at|arroba|chiocciola)[ \t]{1,3}"
    rf"{_LABEL}(?:(?:\.|{_SPOKEN_DOT}){_LABEL}){{0,4}}{_SPOKEN_DOT}[a-z]{{2,8}}\b",
    re.IGNORECASE,
)
_IPV4_DOT = r"(?:\.|%2e|[ \t]?[\[({][ \t]?(?:\.|dot)[ \t]?[\])}][ \t]?)"
# The French write telephone numbers as five pairs with dots, such as 06.12.34.56.78.
_IPV4 = re.compile(
    rf"(?<![\d.])(?!0\d(?:\.\d\d){{4}}(?!\d))\d{{1,3}}(?:{_IPV4_DOT}\d{{1,3}}){{3}}(?!\d)",
    re.IGNORECASE,
)
_IPV4_DASHED = re.compile(
    r"(?<![A-Za-z0-9])(?:ip|host|ec2|dhcp|pool|dyn|static)-(\d{1,3}(?:-\d{1,3}){3})(?![\d-])",
    re.IGNORECASE,
)
_IPV6 = re.compile(
    r"(?<![\w:.])(?=[0-9a-f]{0,4}\[?:)(?:[0-9a-f]|:|\[:\])++"
    r"(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3}|(?:\.\d{1,3}){3})?(?![^\W_])",
    re.IGNORECASE,
)
_MAC = re.compile(
    r"(?<![0-9a-f])(?<![0-9a-f][:.-])"
    r"(?:[0-9a-f]{2}(?P<sep>[:-])(?:[0-9a-f]{2}(?P=sep)){4}[0-9a-f]{2}"
    r"|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2})"
    r"(?![0-9a-f])(?![:.-][0-9a-f])",
    re.IGNORECASE,
)
_BARE_MAC = re.compile(
    r"\b(?:mac|hwaddr|bssid)\b[\"' \t:=]{1,4}(?P<mac>[0-9a-f]{12})(?![0-9a-z])", re.IGNORECASE
)
_MAX_OCTET = 255
_MIN_IPV6_COLONS = 2


def find_emails(text: str) -> Iterator[Span]:
    """Find addresses with ``@``, ``%40``, ``[at]``, ``(dot)`` and similar spellings."""
    yield from (Span(*match.span(), "email") for match in _EMAIL.finditer(text))
    yield from (Span(*match.span(), "email") for match in _SPOKEN_EMAIL.finditer(text))


def find_macs(text: str) -> Iterator[Span]:
    """Find hardware addresses in pairs or in Cisco's groups of four, and bare ones after "mac"."""
    yield from (Span(*match.span(), "mac") for match in _MAC.finditer(text))
    yield from (Span(*match.span("mac"), "mac") for match in _BARE_MAC.finditer(text))


def find_ips(text: str) -> Iterator[Span]:
    """Find IPv4 and IPv6 addresses, defanged or not.

    A port, a prefix length and brackets are not part of the span.
    """
    for match in _IPV6.finditer(text):
        length = _ipv6_length(match[0])
        if length:
            yield Span(match.start(), match.start() + length, "ip")
    for match in _IPV4.finditer(text):
        if _are_octets(match[0]):
            yield Span(*match.span(), "ip")
    yield from (Span(*match.span(1), "ip") for match in _IPV4_DASHED.finditer(text))


def _are_octets(address: str) -> bool:
    numbers = re.findall(r"\d+", re.sub(r"(?i)%2e", ".", address))
    return all(int(number) <= _MAX_OCTET for number in numbers)


def _ipv6_length(run: str) -> int:
    """How many characters of a run of hexadecimal digits and colons are an address.

    The last colon may belong to the sentence and not to the address.
    """
    return next((length for length in (len(run), len(run) - 1) if _is_ipv6(run[:length])), 0)


def _is_ipv6(text: str) -> bool:
    address = text.replace("[:]", ":")
    # Fewer colons are a time of day.
    if address.count(":") < _MIN_IPV6_COLONS or not address.strip(":"):
        return False
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True
