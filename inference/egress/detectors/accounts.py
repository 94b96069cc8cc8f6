"""Finds user names and host names by their place in a text.

The places are paths, Windows domains, ARNs, security identifiers, log lines, commands and URLs.
"""

import re
from collections.abc import Iterator

from inference.egress.detectors.values import name_spans
from inference.egress.kinds import Span, ValueKind

_NOT_A_FILE = (
    r"(?!\S{0,64}\.(?:exe|dll|ps1|bat|cmd|js|vbs|sys|lnk|dat|txt|zip|msi|docx?|xlsx?|pdf|tmp|log)"
    r"\b)"
)
# These words before a backslash name a registry hive or a folder, not a Windows domain.
_NOT_A_DOMAIN = (
    r"(?!hk[a-z]{2}\b|hkey_|system32\b|windows\b|authority\b|builtin\b|software\b|microsoft\b"
    r"|files\b|program)"
)
_PATHS_AND_DOMAINS = (
    re.compile(r"/home/(?P<name>[^/\s\"'<>\x00:]{1,64})"),
    re.compile(r"/users/(?P<name>[^/\s\"'<>\x00:]{1,64})", re.IGNORECASE),
    re.compile(
        r"\\{1,4}(?:users|documents and settings)\\{1,4}(?P<name>[^\\/\"'<>\x00:\n]{1,64})",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\w\\/:.$%-]){_NOT_A_DOMAIN}[A-Za-z][\w.-]{{1,30}}\\{{1,2}}{_NOT_A_FILE}"
        r"(?P<name>[A-Za-z_][\w.$-]{1,63}+)(?![\\:\w])",
        re.IGNORECASE,
    ),
)
_IDENTIFIERS = (
    re.compile(r":user/(?:[\w.-]+/)?(?P<name>[\w+=,.@-]{1,64})"),
    re.compile(r":assumed-role/[^/\s\"']{1,64}/(?P<name>[\w+=,.@-]{1,64})"),
    re.compile(r"\b(?P<name>s-1-5-21(?:-\d{1,10}){3,4})(?!\d)", re.IGNORECASE),
)
_LOG_LINES = (
    re.compile(r"\bfor (?:invalid user |user )?(?P<name>[\w.@$-]{1,64}+) from\b"),
    re.compile(
        r"\b(?:user|account|usuario|login)[ \t]{1,3}[\"'](?P<name>[^\"'\n\x00]{1,64})[\"']",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:user|account)[ \t](?P<name>(?=[\w.-]{0,40}[\d._]\w)[a-z][\w.-]{2,63}+)(?![\w(])",
        re.IGNORECASE,
    ),
    re.compile(r"\bsudo(?:\[\d{1,9}\])?:[ \t]{1,4}(?P<name>[\w.-]{1,64}) : "),
    re.compile(r"\bsession (?:opened|closed) for (?:user )?(?P<name>[\w.-]{1,64})"),
    re.compile(r"\bsession opened for (?:user )?\S{1,64} by (?P<name>[\w.-]{1,64}+)\(uid="),
    # The common log format of web servers.
    re.compile(r"[\x00\d] - (?P<name>[\w.@-]{2,64}+) \[\d"),
    re.compile(r"\bsystem:serviceaccount:[\w.-]{1,64}:(?P<name>[\w.-]{1,64}+)"),
)
_FILES_AND_COMMANDS = (
    # .netrc
    re.compile(r"\bmachine[ \t]{1,4}\S{1,128}\s{1,4}login[ \t]{1,4}(?P<name>[\w.@-]{1,64}+)"),
    # /etc/passwd and /etc/shadow
    re.compile(r"^(?P<name>[a-z_][\w.-]{1,63}+):(?:x:\d|\$\w{1,8}\$|\x00)", re.MULTILINE),
    # ssh and scp
    re.compile(
        r"(?<![\w.@/+-])(?P<name>[a-z_][\w.-]{1,63}+)@(?:\x00|\[?\d|[\w-]+(?![\w.@-]))",
        re.IGNORECASE,
    ),
    re.compile(r"\bnet1?(?:\.exe)?[ \t]{1,4}user[ \t]{1,4}(?P<name>[\w.$-]{1,64}+)", re.IGNORECASE),
    # LDAP
    re.compile(r"\b(?:cn|uid)=(?P<name>[^,=\n\"\x00]{1,64}),(?=[ ]?[a-z]{1,2}=)", re.IGNORECASE),
    re.compile(
        r"(?:^|[\s\"'])(?:/u(?:ser)?:|-u[ \t]{1,3}|--user(?:name)?[ =])(?P<name>[\w.@\\$-]{1,64}+)",
        re.IGNORECASE,
    ),
    # The user of a URL; another detector has already replaced the password with NULs.
    re.compile(r"://(?P<name>[^\s/@:\"'<>\x00]{1,64}):?\x00*@"),
)
_USERS = (*_PATHS_AND_DOMAINS, *_IDENTIFIERS, *_LOG_LINES, *_FILES_AND_COMMANDS)
_HOSTS = (re.compile(r"(?<![\w:\\])\\{2,4}(?P<name>[\w-][\w.-]{0,62}+)\\"),)
_TABLES: tuple[tuple[ValueKind, tuple[re.Pattern[str], ...]], ...] = (
    ("user", _USERS),
    ("host", _HOSTS),
)


def find_accounts(text: str) -> Iterator[Span]:
    """Find names of users and hosts; names that every system has, such as root, stay."""
    for kind, patterns in _TABLES:
        for pattern in patterns:
            for match in pattern.finditer(text):
                yield from _spans(kind, match)


def _spans(kind: ValueKind, match: re.Match[str]) -> Iterator[Span]:
    name = match["name"]
    if name.upper().startswith("S-1-5-21-"):
        yield Span(*match.span("name"), kind)
    else:
        yield from name_spans(kind, name, match.start("name"))
