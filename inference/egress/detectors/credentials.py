"""Finds secrets by their shape or by their place in a text.

The shapes are keys and tokens of known services. The places are headers and URLs.
"""

import re
from collections.abc import Iterator

from inference.egress.detectors.patterns import Clued, argument_span, matches
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
    # the recovery password of BitLocker
    r"|\d{6}(?:-\d{6}){7}(?!\d)"
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
_SHAPES = (
    Clued(("",), _TOKENS),
    Clued(("8q~",), _AZURE),
    Clued(("eyj",), _JWT),
    Clued(("-----begin",), _PEM),
)
KEYS_WITH_PREFIX = (_TOKENS, _AZURE, _JWT)
# The value of a long header may stand on a line of its own.
_BLANKS = r"(?:[ \t]{1,4}|[ \t]{0,4}\n[ \t]{1,8})"
_HEADERS = (
    Clued(
        ("bearer", "negotiate", "ntlm"),
        re.compile(
            rf"\b(?:bearer|negotiate|ntlm){_BLANKS}"
            r"(?P<secret>(?=[A-Za-z._~+/-]{0,80}\d|[\w.~+/-]{20})[\w.~+/-]{8,}+=*)",
            re.IGNORECASE,
        ),
    ),
    Clued(
        ("basic",),
        re.compile(
            rf"\bbasic{_BLANKS}(?P<secret>(?=[A-Za-z+/]{{0,80}}[\d=])[A-Za-z0-9+/]{{6,}}+=*)",
            re.IGNORECASE,
        ),
    ),
    Clued(
        ("authorization",),
        re.compile(
            r"\bauthorization\\{0,3}[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\{0,3}[\"']?(?:"
            rf"(?:bearer|basic|token|apikey|negotiate|ntlm){_BLANKS}"
            r"(?P<secret>[^\s\"'<>,;\x00]++)"
            r"|(?P<rest>(?:digest|aws4-[\w-]+|[\w-]+)[ \t=:][^\"'\n\x00]++))",
            re.IGNORECASE,
        ),
    ),
    Clued(
        ("cookie",),
        re.compile(
            r"\b(?:set-)?cookie2?\\{0,3}[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\{0,3}[\"']?"
            r"(?P<secret>[^\s\"'\x00][^\"'\n\x00]*+)",
            re.IGNORECASE,
        ),
    ),
)
_URLS = (
    Clued(
        ("://",),
        re.compile(
            r"://(?:(?P<user>[^\s/@:\"'<>\x00]{0,256}):)(?P<secret>[^\s/\"'<>\x00]{1,256})@"
        ),
    ),
    Clued(("://",), re.compile(r"://(?P<secret>[^\s/@:;=?&\"'<>\x00]{16,512}+)@")),
    Clued(
        ("@",),
        re.compile(
            r"(?<![\w/])[\w.-]{1,64}/(?P<user>[\w.$-]{1,64}+):(?P<secret>[^\s@\"'\x00]{1,128}+)@"
        ),
    ),
)


def find_credentials(text: str) -> Iterator[Span]:
    """Find secrets of known shapes, and secrets in URLs and headers."""
    lower = text.lower()
    for match in matches(_SHAPES, text, lower):
        yield Span(*match.span(), "secret")
    for match in matches((*_HEADERS, *_URLS), text, lower):
        yield Span(*argument_span(match), "secret")
