"""E-mail, IP and hardware addresses in the disguises that attackers, analysts and encoders give them."""

import ipaddress
import re
from collections.abc import Iterator

from inference.egress.kinds import Found

_AT = r"(?:@|%(?:25)?40|=40|[ \t]{0,3}[\[({<][ \t]{0,2}(?:at|@)[ \t]{0,2}[\])}>][ \t]{0,3})"
_DOT = r"(?:\.|%(?:25)?2e|[ \t]{0,3}[\[({<][ \t]{0,2}(?:dot|\.|punkt|punto|ponto)[ \t]{0,2}[\])}>][ \t]{0,3})"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ATOM = r"(?:[\w.+~!#$*^-]|%(?!(?:25)?40)|(?<=\w)'(?=\w))"
_LOCAL = rf"(?:(?<![\w.+%~!#$*^-]){_ATOM}++|\"[\w .+'-]{{1,64}}\")"
_TOP = r"[^\W\d_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(
    rf"{_LOCAL}\n?{_AT}\n?{_LABEL}(?:{_DOT}\n?{_LABEL}){{0,8}}{_DOT}\n?{_TOP}", re.IGNORECASE
)
_SAID_DOT = r"[ \t]{1,3}(?:dot|punkt|punto|ponto)[ \t]{1,3}"
_SPOKEN = re.compile(
    rf"(?<![\w.+-])[\w.+-]++(?:{_SAID_DOT}[\w+-]+){{0,2}}[ \t]{{1,3}}(?:at|arroba|chiocciola)[ \t]{{1,3}}"
    rf"{_LABEL}(?:(?:\.|{_SAID_DOT}){_LABEL}){{0,4}}{_SAID_DOT}[a-z]{{2,8}}\b",
    re.IGNORECASE,
)
_IPV4_DOT = r"(?:\.|%2e|[ \t]?[\[({][ \t]?(?:\.|dot)[ \t]?[\])}][ \t]?)"
# Five pairs with dots are how the French write a telephone number.
_IPV4 = re.compile(
    rf"(?<![\d.])(?!0\d(?:\.\d\d){{4}}(?!\d))\d{{1,3}}(?:{_IPV4_DOT}\d{{1,3}}){{3}}(?!\d)",
    re.IGNORECASE,
)
_IPV4_DASHED = re.compile(
    r"(?<![A-Za-z0-9])(?:ip|host|ec2|dhcp|pool|dyn|static)-(\d{1,3}(?:-\d{1,3}){3})(?![\d-])",
    re.IGNORECASE,
)
_IPV6 = re.compile(
    r"(?<![\w:.])(?=[0-9a-f]{0,4}\[?:)(?:[0-9a-f]|:|\[:\])++(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3}|(?:\.\d{1,3}){3})?(?![^\W_])",
    re.IGNORECASE,
)
_MAC = re.compile(
    r"(?<![0-9a-f])(?<![0-9a-f][:.-])(?:[0-9a-f]{2}(?P<sep>[:-])(?:[0-9a-f]{2}(?P=sep)){4}[0-9a-f]{2}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2})"
    r"(?![0-9a-f])(?![:.-][0-9a-f])",
    re.IGNORECASE,
)
_BARE_MAC = re.compile(
    r"\b(?:mac|hwaddr|bssid)\b[\"' \t:=]{1,4}(?P<mac>[0-9a-f]{12})(?![0-9a-z])", re.IGNORECASE
)
_MAX_OCTET = 255


def find_emails(text: str) -> Iterator[Found]:
    """Addresses with ``@``, ``%40``, ``[at]``, ``(dot)`` and the like."""
    yield from (Found(*match.span(), "email") for match in _EMAIL.finditer(text))
    yield from (Found(*match.span(), "email") for match in _SPOKEN.finditer(text))


def find_macs(text: str) -> Iterator[Found]:
    """Hardware addresses in pairs, in Cisco's fours, and bare ones after a word that says so."""
    yield from (Found(*match.span(), "mac") for match in _MAC.finditer(text))
    yield from (Found(*match.span("mac"), "mac") for match in _BARE_MAC.finditer(text))


def find_ips(text: str) -> Iterator[Found]:
    """Addresses of both families, defanged or not; a port, a prefix length and brackets stay where they are."""
    for match in _IPV6.finditer(text):
        end = _ipv6_end(match[0])
        if end:
            yield Found(match.start(), match.start() + end, "ip")
    for match in _IPV4.finditer(text):
        if all(
            int(octet) <= _MAX_OCTET
            for octet in re.findall(r"\d+", re.sub(r"(?i)%2e", ".", match[0]))
        ):
            yield Found(*match.span(), "ip")
    yield from (Found(*match.span(1), "ip") for match in _IPV4_DASHED.finditer(text))


def _ipv6_end(run: str) -> int:
    """How much of a run of hexadecimal digits and colons is an address: a sentence may go on with a colon."""
    for end in (len(run), len(run) - 1):
        address = run[:end].replace("[:]", ":")
        if address.count(":") >= 2 and address.strip(":"):  # noqa: PLR2004 - a clock's time has fewer
            try:
                ipaddress.IPv6Address(address)
            except ValueError:
                continue
            return end
    return 0
