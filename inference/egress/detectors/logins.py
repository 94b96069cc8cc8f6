"""Finds passwords that stand in a line beside their user, in files and in the arguments of Oracle.

The files are those of PostgreSQL, netrc, PPP, Docker and npm.
"""

import base64
import binascii
import re
from collections.abc import Iterator

from inference.egress.detectors.patterns import Clued, argument_span, matches
from inference.egress.detectors.values import could_be_secret, is_no_word
from inference.egress.kinds import Span

# Host, port, database, user and password, with a colon between them (.pgpass).
_PGPASS = re.compile(
    r"(?<![\w.:*/-])(?:[a-z0-9][\w.-]{0,80}+|\*):(?P<port>\d{1,5}|\*):(?:[a-z_][\w-]{0,63}+|\*)"
    r":(?:[a-z_][\w.@-]{0,63}+|\*):(?P<secret>(?:\\:|[^\s:\"'\x00]){3,128}+)(?![:\w])",
    re.IGNORECASE,
)
_PORTS_OF_POSTGRESQL = {"5432", "5433", "5434", "6432", "*"}
_FILES = (
    # .netrc
    Clued(
        ("login",),
        re.compile(
            r"\blogin[ \t\n]{1,8}\S{1,64}+[ \t\n]{1,8}password[ \t\n]{1,8}"
            r"(?P<secret>[^\s\"'\x00]++)"
        ),
    ),
    # chap-secrets and pap-secrets
    Clued(
        ("*",),
        re.compile(
            r"^[ \t]{0,4}[\"']?[\w.@\\-]{1,64}+[\"']?[ \t]{1,20}(?:\*|[\w.-]{1,64}+)[ \t]{1,20}"
            r"[\"']?(?P<secret>[^\s\"'*\x00]{3,128}+)[\"']?[ \t]{1,20}\*[ \t]*$",
            re.MULTILINE,
        ),
    ),
)
# Base64 of user and password, as Docker and npm keep it.
_AUTH = re.compile(
    r"(?<![A-Za-z0-9])_?auth\\{0,3}[\"']?[ \t]{0,8}[:=][ \t]{0,8}(?:\n[ \t]{0,16})?\\{0,3}[\"']?"
    r"(?P<secret>[\w+/-]{8,}+={0,2})",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"[\w.@+\\$-]{1,128}:[^\n]{3,256}")
# Oracle writes user/password@database. The user of GitHub's actions and of packages looks the same,
# so without the name of a tool the password must look like one, and the rest like no version.
_ORACLE = Clued(
    (
        "sqlplus", "sqlcl", "expdp", "impdp", "sqlldr", "rman", "dgmgrl", "oracle:", "userid",
        "conn", "exp ", "imp ",
    ),
    re.compile(
        r"(?:\b(?:sqlplus|sqlcl|expdp|impdp|sqlldr|rman|dgmgrl)(?:\.exe)?\b"
        r"[^\n\x00/@]{0,120}?[ \t\"']|\boracle:(?:thin|oci8?):|\buserid[ \t]{0,3}=[ \t]{0,3}[\"']?"
        r"|\bconn(?:ect)?[ \t]{1,4}(?=[^\s@/]{1,64}/[^\s@]{1,128}@)"
        r"|\b(?:exp|imp)[ \t]{1,4}(?=[^\s@/]{1,64}/[^\s@]{1,128}@))"
        r"(?P<user>[\w.$#]{1,64}+(?:\[[\w.$#]{1,64}\])?)/"
        r"(?:\\?\"(?P<quoted>[^\"\n\x00]{3,128}?)\\?\"|(?P<secret>[^\s\"'@\x00]{3,128}+))"
        r"(?=[@ \t\"'\n;]|$)",
        re.IGNORECASE,
    ),
)  # fmt: skip
_BARE_ORACLE = re.compile(
    r"(?<![\w/.:@\\-])(?P<user>[A-Za-z][\w$#]{0,30}+)/(?P<secret>[^\s/\"'@<>\x00]{3,64}+)@"
    r"(?!v?\d[\w.-]*(?![\w.:-])|sha\d|[0-9a-f]{7,40}\b|latest|main|master|next|beta|stable)"
    r"(?=//|\(|[a-z\d\x00[])",
    re.IGNORECASE,
)
_DIGIT_AND_LETTER = re.compile(r"\A(?:(?=.*\d)(?=.*[A-Za-z])|[^\w.-])")


def find_logins(text: str) -> Iterator[Span]:
    """Find passwords in lines that hold a user and a password without a word for it."""
    lower = text.lower()
    for match in matches((*_FILES, _ORACLE), text, lower):
        yield from _span_of_secret(match)
    if "auth" in lower:
        yield from _encoded_logins(text)
    if text.count(":") > 3:  # noqa: PLR2004 - a line of .pgpass has four
        yield from _lines_of_pgpass(text)
    if "@" in text and "/" in text:
        for match in _BARE_ORACLE.finditer(text):
            if _DIGIT_AND_LETTER.match(match["secret"]):
                yield from _span_of_secret(match)


def encodes_login(value: str) -> bool:
    """Whether a value is base64 of a user and a password with a colon between them."""
    plain = value.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return bool(_LOGIN.fullmatch(decoded))


def _encoded_logins(text: str) -> Iterator[Span]:
    for match in _AUTH.finditer(text):
        if encodes_login(match["secret"]):
            yield Span(*match.span("secret"), "secret")


def _lines_of_pgpass(text: str) -> Iterator[Span]:
    for match in _PGPASS.finditer(text):
        # A place in a program is written with colons too, such as app.py:120:error:main:failed.
        value = match["secret"]
        if could_be_secret(value) and (match["port"] in _PORTS_OF_POSTGRESQL or is_no_word(value)):
            yield Span(*match.span("secret"), "secret")


def _span_of_secret(match: re.Match[str]) -> Iterator[Span]:
    start, end = argument_span(match)
    if could_be_secret(match.string[start:end]):
        yield Span(start, end, "secret")
