"""User and host names by where they stand: paths, domains, ARNs, security identifiers, the lines of sshd."""

import re
from collections.abc import Iterator

from inference.egress.detectors.values import within
from inference.egress.kinds import Found, ValueKind

_FILE = r"(?!\S{0,64}\.(?:exe|dll|ps1|bat|cmd|js|vbs|sys|lnk|dat|txt|zip|msi|docx?|xlsx?|pdf|tmp|log)\b)"
_USERS = (
    re.compile(r"/home/(?P<name>[^/\s\"'<>\x00:]{1,64})"),
    re.compile(r"/users/(?P<name>[^/\s\"'<>\x00:]{1,64})", re.IGNORECASE),
    re.compile(
        r"\\{1,4}(?:users|documents and settings)\\{1,4}(?P<name>[^\\/\"'<>\x00:\n]{1,64})",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\w\\/:.$%-])(?!hk[a-z]{{2}}\b|hkey_|system32\b|windows\b|authority\b|builtin\b|software\b|microsoft\b|files\b|program)"
        rf"[A-Za-z][\w.-]{{1,30}}\\{{1,2}}{_FILE}(?P<name>[A-Za-z_][\w.$-]{{1,63}}+)(?![\\:\w])",
        re.IGNORECASE,
    ),
    re.compile(r":user/(?:[\w.-]+/)?(?P<name>[\w+=,.@-]{1,64})"),
    re.compile(r":assumed-role/[^/\s\"']{1,64}/(?P<name>[\w+=,.@-]{1,64})"),
    re.compile(r"\b(?P<name>s-1-5-21(?:-\d{1,10}){3,4})(?!\d)", re.IGNORECASE),
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
    re.compile(r"[\x00\d] - (?P<name>[\w.@-]{2,64}+) \[\d"),
    re.compile(r"\bsystem:serviceaccount:[\w.-]{1,64}:(?P<name>[\w.-]{1,64}+)"),
    re.compile(r"\bmachine[ \t]{1,4}\S{1,128}\s{1,4}login[ \t]{1,4}(?P<name>[\w.@-]{1,64}+)"),
    re.compile(r"^(?P<name>[a-z_][\w.-]{1,63}+):(?:x:\d|\$\w{1,8}\$|\x00)", re.MULTILINE),
    re.compile(
        r"(?<![\w.@/+-])(?P<name>[a-z_][\w.-]{1,63}+)@(?:\x00|\[?\d|[\w-]+(?![\w.@-]))",
        re.IGNORECASE,
    ),
    re.compile(r"\bnet1?(?:\.exe)?[ \t]{1,4}user[ \t]{1,4}(?P<name>[\w.$-]{1,64}+)", re.IGNORECASE),
    re.compile(r"\b(?:cn|uid)=(?P<name>[^,=\n\"\x00]{1,64}),(?=[ ]?[a-z]{1,2}=)", re.IGNORECASE),
    re.compile(
        r"(?:^|[\s\"'])(?:/u(?:ser)?:|-u[ \t]{1,3}|--user(?:name)?[ =])(?P<name>[\w.@\\$-]{1,64}+)",
        re.IGNORECASE,
    ),
    re.compile(r"://(?P<name>[^\s/@:\"'<>\x00]{1,64}):?\x00*@"),
)
_HOSTS = (re.compile(r"(?<![\w:\\])\\{2,4}(?P<name>[\w-][\w.-]{0,62}+)\\"),)


def find_accounts(text: str) -> Iterator[Found]:
    """Names of users and hosts; those that every system has are left."""
    tables: tuple[tuple[ValueKind, tuple[re.Pattern[str], ...]], ...] = (
        ("user", _USERS),
        ("host", _HOSTS),
    )
    for kind, patterns in tables:
        for pattern in patterns:
            for match in pattern.finditer(text):
                yield from _named(kind, match)


def _named(kind: ValueKind, match: re.Match[str]) -> Iterator[Found]:
    name = match["name"]
    if name.upper().startswith("S-1-5-21-"):
        yield Found(*match.span("name"), kind)
    else:
        yield from within(kind, name, match.start("name"))
