"""Finds passwords in the arguments of commands, by the words of the command."""

import re
from collections.abc import Iterator

from inference.egress.detectors.flags import find_flags
from inference.egress.detectors.patterns import QUOTED_OR, Clued, argument_span, matches
from inference.egress.detectors.values import could_be_secret
from inference.egress.kinds import Span

_ARGUMENT = rf"{QUOTED_OR}(?P<secret>[^\s\"'/\x00][^\s\"'\x00]*+))"
_ANY_ARGUMENT = rf"{QUOTED_OR}(?P<secret>[^\s\"'\x00]++))"
_B = r"[ \t]{1,4}"
_WORD = rf"{_B}(?:\"[^\"\n]{{1,64}}\"|[^\s\"]{{1,128}}+)"
_SETTING = r"(?:password|passwd|secret|token|api_?key|access_?key|_pass|_auth|_pw)"
_READERS = (
    "sudo|passwd|chpasswd|kinit|cryptsetup|openssl|gpg|docker|podman|smbpasswd|su"  # from its input
)
# Commands that take the password without a flag, up to the argument before it.
_BEFORE_PASSWORD = (
    rf"htpasswd(?:{_B}-\w{{1,8}}+){{0,3}}?{_B}-\w{{0,6}}(?:nb|bn)\w{{0,6}}{_WORD}",
    rf"htpasswd(?:{_B}-[a-mo-zB-Z]{{1,8}}+){{1,4}}{_WORD}{_WORD}",
    rf"wpa_passphrase{_WORD}",
    rf"rasdial(?:\.exe)?{_WORD}{_WORD}",
    rf"smbclient{_B}[\"']?(?://|\\\\)[^\s\"']{{1,128}}+[\"']?(?={_B}[^\s-])",
    rf"setcredentials{_WORD}{_WORD}{_WORD}{_WORD}",
    rf"connect{_B}to{_WORD}{_B}user{_WORD}{_B}using",
    r"(?:mysqladmin|nmcli)[ \t][^\n\x00]{0,100}?[ \t]password",
    r"schtasks(?:\.exe)?[ \t][^\n\x00]{0,200}?[ \t]/p",
    rf"bw{_B}(?:login{_WORD}|unlock)",
    rf"vault{_B}login",
    rf"(?:(?:configure|config){_B}set|setx|setenv){_B}(?:--?[\w-]{{1,20}}{_B})?[\w.:/-]{{0,64}}?"
    + _SETTING,
    rf"/v{_B}[\"']?\w{{0,30}}password[\"']?[ \t][^\n\x00]{{0,60}}?/d",
)
_CLUES_BEFORE_PASSWORD = (
    "htpasswd", "wpa_passphrase", "rasdial", "smbclient", "setcredentials", "using", "password",
    "bw ", "schtasks", "vault", " set", "setx", "setenv",
)  # fmt: skip


def _command(clues: tuple[str, ...], pattern: str, flags: int = re.IGNORECASE) -> Clued:
    return Clued(clues, re.compile(pattern, flags))


_COMMANDS = (
    _command(
        ("net",),
        rf"\bnet1?(?:\.exe)?{_B}user{_B}(?P<user>[^\s\"'/]{{1,64}}+){_B}{_ARGUMENT}",
    ),
    _command(
        ("net",),
        rf"\bnet1?(?:\.exe)?{_B}use[ \t][^\n\x00]{{0,200}}?[ \t]"
        rf"(?P<secret>[^\s/\\:*\"'\x00][^\s\"'\x00]{{0,100}}+){_B}/u(?:ser)?:",
    ),
    _command(("securestring",), rf"\bconvertto-securestring{_B}(?:-string{_B})?{_ARGUMENT}"),
    _command(
        ("credential",),
        rf"\b(?:network|ps)credential\b[ \t]{{0,4}}(?:-argumentlist{_B})?\(?[ \t]{{0,4}}"
        r"[\"'][^\"'\n\x00]{1,64}[\"'][ \t]{0,4},[ \t]{0,4}"
        r"[\"'](?P<secret>[^\"'\n\x00]{1,128})[\"']",
    ),
    _command(
        ("echo", "printf"),
        rf"\b(?:echo|printf){_B}(?:-n{_B})?[\"']?(?P<secret>[^\"'|\n\x00]{{1,100}}?)[\"']?"
        rf"[ \t]{{0,4}}\|[ \t]{{0,4}}(?:{_READERS})\b",
        0,
    ),
    _command(
        ("<<<",),
        r"\b(?:sudo|passwd|kinit|cryptsetup|gpg|docker)\b[^\n\x00]{0,100}?<<<[ \t]{0,4}"
        + _ARGUMENT,
        0,
    ),
    _command(
        ("-u", "--user", "--proxy-user", "creds"),
        r"(?<!\S)(?:-u|-U|--user|--proxy-user|--(?:src-|dest-)?creds)[ \t=]{0,3}[\"']?"
        r"(?P<user>[^\s:\"'\x00]{1,128}+):(?P<secret>[^\s\"'\x00]++)",
        0,
    ),
    _command(
        ("ftp",),
        r"\b(?:lftp|ncftp\w{0,4})\b[^\n\x00]{0,100}?[ \t]-u[ \t]{0,3}[\"']?"
        r"(?P<user>[^\s,\"'\x00]{1,64}+),(?P<secret>[^\s\"'\x00]++)",
        0,
    ),
    _command(("/p:", "-p:"), rf"[ \t][/-]p:{_ANY_ARGUMENT}", 0),
    _command(("pass:",), rf"-pass(?:in|out|word)?{_B}[\"']?pass:(?P<secret>[^\s\"'\x00]++)", 0),
    _command(
        ("identified", "requirepass", "masterauth"),
        rf"\b(?:identified{_B}(?:with{_B}\w{{1,40}}{_B})?by|requirepass|masterauth){_B}{_ARGUMENT}",
    ),
    _command(
        ("password",),
        rf"\b(?:with|alter|create|set)\b[^\n\x00;]{{0,100}}?\bpassword{_B}(?:for{_WORD}[ \t])?"
        r"=?[ \t]{0,4}'(?P<secret>[^'\n\x00]{1,128})'",
    ),
    _command(
        ("pass", "auth"),
        rf"(?:^|(?<=[\"']))[ \t]{{0,4}}(?:PASS|AUTH){_B}"
        rf"(?!LOGIN\b|PLAIN\b|CRAM|NTLM\b|XOAUTH|TLS\b|SSL\b){_ARGUMENT}",
        re.MULTILINE,
    ),
    _command(
        ("snmp-server", "key-string", "password", "secret", "wpa-psk"),
        rf"\b(?:snmp-server{_B}community|key-string(?:[ \t][07])?|(?:password|secret){_B}\d"
        r"|(?:(?:(?<=^)|(?<=[\"']))enable|username[ \t]\S{1,64}+(?:[ \t]privilege[ \t]\d{1,2})?)"
        rf"[ \t](?:secret|password)(?:[ \t]\d)?|wpa-psk(?:[ \t]ascii)?(?:[ \t]\d)?){_B}{_ARGUMENT}",
        re.MULTILINE,
    ),
    _command(_CLUES_BEFORE_PASSWORD, rf"(?<!\w)(?:{'|'.join(_BEFORE_PASSWORD)}){_B}{_ARGUMENT}"),
)
# ``-p`` is also the port of ssh and docker, and an option of mkdir.
_DASH_P = re.compile(rf"(?<!mkdir)[ \t]-p{_B}{_ARGUMENT}")
_PORTS_OR_PATH = re.compile(r"[\d:,/.-]+(?:/(?:tcp|udp))?[;,)]?|[./~\\-].*|\w:\\.*")
# The sign before the end of a line after which the command goes on.
_LINE_GOES_ON = re.compile(r"(?<=[ \t])[\\`^]\n")


def find_arguments(text: str) -> Iterator[Span]:
    """Find passwords in the arguments of commands."""
    text = _LINE_GOES_ON.sub("  ", text)
    for match in matches(_COMMANDS, text, text.lower()):
        yield from _span(match)
    for match in _DASH_P.finditer(text) if "-p" in text else ():
        if not _PORTS_OR_PATH.fullmatch(text[slice(*argument_span(match))]):
            yield from _span(match)
    yield from find_flags(text)


def _span(match: re.Match[str]) -> Iterator[Span]:
    start, end = argument_span(match)
    if could_be_secret(match.string[start:end]):
        yield Span(start, end, "secret")
