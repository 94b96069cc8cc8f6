"""Finds secrets by their shape or by their place in a text.

The shapes are keys and tokens of known services. The places are headers, URLs and commands.
"""

import re
from collections.abc import Iterator

from inference.egress.detectors.values import could_be_secret
from inference.egress.kinds import Span

# The services publish these prefixes for secret scanning. After an unbounded run, no pattern needs
# a character that could begin the run again: so the time of each pattern stays linear.
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    # AWS, Google
    r"(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{30,}|ya29\.[\w.-]{16,}|1//0[\w-]{20,}|GOCSPX-[\w-]{20,}"
    # GitHub, GitLab
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
    r"|gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|oas)-[\w.-]{16,}"
    # Slack, Discord, Microsoft Teams
    r"|xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|hooks\.slack\.com/[^\s\"'<>\x00]+"
    r"|discord(?:app)?\.com/api/webhooks/[^\s\"'<>\x00]+"
    r"|IncomingWebhook/[0-9a-f]{32}(?:/[\w-]+)?"
    # Stripe, OpenAI, Hugging Face
    r"|(?:sk|rk|pk)_(?:live|test)_\w{8,}|whsec_[\w+/=]{16,}|sk-[\w-]{16,}|hf_[A-Za-z0-9]{20,}"
    # npm, PyPI, Twilio, SendGrid
    r"|npm_[A-Za-z0-9]{16,}|pypi-[\w-]{16,}|(?:SK|AC)[0-9a-f]{32}|SG\.[\w-]{10,64}+\.[\w-]{10,}"
    # Telegram, DigitalOcean, Shopify, HashiCorp Vault, Databricks
    r"|\d{6,12}:AA[\w-]{30,}|dop_v1_\w{32,}|shp(?:at|ca|pa|ss)_\w{16,}|hv[sbr]\.[\w-]{20,}"
    r"|dapi[0-9a-f]{32}"
    # Postman, Square, Atlassian, age, Mailgun
    r"|PMAK-[\w-]{20,}|sq0(?:atp|csp)-[\w-]{16,}|ATATT3[\w=-]{20,}|AGE-SECRET-KEY-\w{20,}"
    r"|key-[0-9a-f]{32}"
    # password hashes
    r"|\$(?:1|2[abxy]?|5|6|7|y|apr1|argon2\w{0,3}|scrypt|pbkdf2[\w-]{0,10})\$[^\s\"':<>\x00]{8,}"
    # LM and NT hash, which open an account as the password does
    r"|[0-9a-fA-F]{32}:[0-9a-fA-F]{32}(?![0-9a-fA-F])"
    r")"
)
_AZURE = re.compile(r"[\w~.-]{3}8Q~[\w~.-]{31,34}")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+){0,3}")
_PEM = re.compile(
    r"-----BEGIN[A-Z0-9 ]{0,30}PRIVATE KEY[A-Z ]{0,10}-----(?:.*?-----END[^-\n]{0,60}-----|.*)",
    re.DOTALL | re.IGNORECASE,
)
_SHAPES = (_TOKENS, _AZURE, _JWT, _PEM)
_HEADERS = (
    re.compile(
        r"\b(?:bearer|negotiate|ntlm)[ \t]{1,4}"
        r"(?P<secret>(?=[A-Za-z._~+/-]{0,80}\d|[\w.~+/-]{20})[\w.~+/-]{8,}+=*)",
        re.IGNORECASE,
    ),
    re.compile(
        r"\bbasic[ \t]{1,4}(?P<secret>(?=[A-Za-z+/]{0,80}[\d=])[A-Za-z0-9+/]{6,}+=*)", re.IGNORECASE
    ),
    re.compile(
        r"\bauthorization\\{0,3}[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\{0,3}[\"']?(?:"
        r"(?:bearer|basic|token|apikey|negotiate|ntlm)"
        r"[ \t]{1,4}(?P<secret>[^\s\"'<>,;\x00]++)"
        r"|(?P<rest>(?:digest|aws4-[\w-]+|[\w-]+)[ \t=:][^\"'\n\x00]++))",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:set-)?cookie2?\\{0,3}[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\{0,3}[\"']?"
        r"(?P<secret>[^\s\"'\x00][^\"'\n\x00]*+)",
        re.IGNORECASE,
    ),
)
_URLS = (
    re.compile(r"://(?:(?P<user>[^\s/@:\"'<>\x00]{0,256}):)(?P<secret>[^\s/\"'<>\x00]{1,256})@"),
    re.compile(r"://(?P<secret>[^\s/@:;=?&\"'<>\x00]{16,512}+)@"),
    re.compile(
        r"(?<![\w/])[\w.-]{1,64}/(?P<user>[\w.$-]{1,64}+):(?P<secret>[^\s@\"'\x00]{1,128}+)@"
    ),
)
_ARGUMENT = (
    r"(?:\"(?P<quoted>[^\"\n\x00]{1,200})\"|'(?P<single>[^'\n\x00]{1,200})'"
    r"|(?P<secret>[^\s\"'/\x00][^\s\"'\x00]*+))"
)
_COMMANDS = (
    re.compile(
        r"\bnet1?(?:\.exe)?[ \t]{1,4}user[ \t]{1,4}(?P<user>[^\s\"'/]{1,64}+)"
        rf"[ \t]{{1,4}}{_ARGUMENT}",
        re.IGNORECASE,
    ),
    re.compile(
        r"\bnet1?(?:\.exe)?[ \t]{1,4}use[ \t][^\n\x00]{0,200}?[ \t]"
        r"(?P<secret>[^\s/\\:*\"'\x00][^\s\"'\x00]{0,100}+)[ \t]{1,4}/u(?:ser)?:",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\bconvertto-securestring[ \t]{{1,4}}(?:-string[ \t]{{1,4}})?{_ARGUMENT}", re.IGNORECASE
    ),
    re.compile(
        r"\becho[ \t]{1,4}[\"']?(?P<secret>[^\"'|\n\x00]{1,100}?)[\"']?[ \t]{0,4}\|"
        r"[ \t]{0,4}(?:sudo|passwd|chpasswd)\b"
    ),
    re.compile(
        r"(?<!\S)(?:-u|--user|--proxy-user)[ \t=]{0,3}[\"']?"
        r"(?P<user>[^\s:\"'\x00]{1,128}+):(?P<secret>[^\s\"'\x00]++)"
    ),
    re.compile(
        r"\b(?:mysql\w{0,8}|mariadb|sshpass|7za?|rar|unrar)\b[^\n\x00]{0,200}?[ \t]-p[ \t]{0,2}"
        r"[\"']?(?P<secret>[^\s\"'\x00]++)"
    ),
    re.compile(r"[ \t]/p:(?P<secret>[^\s\"'\x00]++)"),
    re.compile(
        r"\b(?:identified[ \t]{1,4}(?:with[ \t]{1,4}\w{1,40}[ \t]{1,4})?by|requirepass|masterauth)"
        rf"[ \t]{{1,4}}{_ARGUMENT}",
        re.IGNORECASE,
    ),
    re.compile(rf"\bredis-cli\b[^\n\x00]{{0,200}}?[ \t]-a[ \t]{{1,4}}{_ARGUMENT}"),
    re.compile(
        r"^[ \t]{0,4}(?:PASS|AUTH)[ \t]{1,4}(?!LOGIN\b|PLAIN\b|CRAM|NTLM\b|XOAUTH|TLS\b|SSL\b)"
        rf"{_ARGUMENT}",
        re.MULTILINE,
    ),
    re.compile(
        r"\b(?:snmp-server[ \t]{1,4}community|key-string|(?:password|secret)[ \t]{1,4}[57]|wpa-psk)"
        rf"[ \t]{{1,4}}{_ARGUMENT}"
    ),
)
# ``-p`` is also the port of ssh and docker, and an option of mkdir.
_DASH_P = re.compile(rf"(?<!mkdir)[ \t]-p[ \t]{{1,4}}{_ARGUMENT}")
_PORTS_OR_PATH = re.compile(r"[\d:,/.-]+(?:/(?:tcp|udp))?[;,)]?|[./~\\-].*|\w:\\.*")


def find_credentials(text: str) -> Iterator[Span]:
    """Find secrets of known shapes, and secrets in URLs, headers and commands."""
    for pattern in _SHAPES:
        yield from (Span(*match.span(), "secret") for match in pattern.finditer(text))
    for pattern in (*_HEADERS, *_URLS):
        yield from map(_secret_span, pattern.finditer(text))
    for pattern in (*_COMMANDS, _DASH_P):
        for match in pattern.finditer(text):
            span = _secret_span(match)
            if _is_argument_secret(pattern, text[span.start : span.end]):
                yield span


def _is_argument_secret(pattern: re.Pattern[str], value: str) -> bool:
    if pattern is _DASH_P and _PORTS_OR_PATH.fullmatch(value):
        return False
    return could_be_secret(value)


def _secret_span(match: re.Match[str]) -> Span:
    """The span of the group that holds the secret: a pattern has one per way of quoting."""
    group = next(
        name for name, value in match.groupdict().items() if value is not None and name != "user"
    )
    return Span(*match.span(group), "secret")
