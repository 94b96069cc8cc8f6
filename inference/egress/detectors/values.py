"""Decides whether the value of a user's, host's or secret's field is a real one or only a word."""

import re
from collections.abc import Iterator

from inference.egress.kinds import Span, ValueKind

MAX_NAME_CHARS = 128
MIN_SECRET_CHARS, MIN_ALIAS_CHARS = 3, 4
_MIN_CHARS_OF_NUMBER = {"card": 12, "ssn": 9, "iban": 8, "phone": 7, "mac": 12}

_COMMON_NAMES = {
    "root", "admin", "administrator", "administrators", "system", "guest", "user", "users",
    "username", "public", "default", "nobody", "daemon", "service", "localhost", "anonymous",
    "unknown", "none", "null", "nil", "true", "false", "test", "shared", "local", "network",
    "self", "all", "any", "everyone", "iamuser", "assumedrole", "awsservice", "application",
    "serviceprincipal", "managed", "host", "hostname", "device", "computer", "server", "client",
    "support", "info", "noreply", "no-reply", "sales", "security", "helpdesk", "localsystem",
    "networkservice", "localservice", "authority", "builtin", "iusr", "nt-authority",
    "defaultaccount", "wdagutilityaccount", "git", "postgres", "mysql", "nginx", "www-data",
    "ubuntu", "ec2-user", "ansible", "bucket", "s3", "themselves", "krbtgt", "people", "person",
    "employee", "customer", "owner", "account", "www", "mail", "api", "docs", "img", "shop",
    "intranet", "community", "static", "cdn", "portal", "login", "auth", "web", "app", "blog",
    "help", "forum", "status", "dev", "prod", "staging", "vpn", "smtp", "imap", "ftp", "dns",
    "proxy", "domain admins", "domain users", "enterprise admins", "local service",
    "network service",
}  # fmt: skip
_NOT_SECRETS = {
    "token", "digest", "negotiate", "ntlm", "apikey", "true", "false", "null", "none", "nil",
    "yes", "no", "undefined", "empty", "unknown", "n/a", "na", "required", "expired", "expires",
    "expiry", "reset", "forgot", "forgotten", "changed", "change", "incorrect", "invalid",
    "wrong", "failed", "failure", "not", "is", "was", "are", "the", "a", "an", "i", "it", "my",
    "me", "for", "and", "or", "to", "on", "in", "of", "at", "by", "with", "has", "have", "please",
    "policy", "self", "all", "any", "redacted", "hidden", "removed", "missing", "valid", "ok",
    "error", "bearer", "basic", "here", "but", "when", "cannot", "can't", "doesn't", "never",
    "new", "old", "blocked", "locked", "stolen", "asked", "again", "value", "string", "text",
    "spray", "attempt", "attempts", "login", "user", "used", "works", "working", "does", "did",
    "pass", "fail",
}  # fmt: skip
# A mask, a placeholder, or a variable of a shell or a template: it is not the secret itself.
_VARIABLE = re.compile(
    r"[*•x.\-_#?]+|<[A-Za-z _-]+>|\$(?:[A-Z_][A-Z0-9_]*|\{\w+\}|\(\w+\))|%[A-Z_]+%|\{\{[^{}]*\}\}"
    r"|\[(?:[A-Z]*(?:_\d*)?\]?…?|[A-Za-z ]+\])|\W+"
)
# What a password or a user name has and a word of prose has not: a digit, a sign, an inner capital.
NO_WORD = r"\d|[^\W_][._$\\@!#%&+*/-]+[^\W_]|(?-i:[a-z][A-Z])|[!#$%&@*]\w"
_NO_WORD = re.compile(NO_WORD)
_NAME = re.compile(r"[^\W_][\w.$' +@-]*|_[\w.$-]+")
# Masks, numbers, addresses, digests and UUIDs are no names.
_OPAQUE = re.compile(
    r"[x*]+|[\d.\-]+|0x[0-9a-f]+|[0-9a-f]{32,128}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[,;|]\s*")
_MAX_WORDS = 4


def could_be_secret(value: str) -> bool:
    """Whether a value in the place of a secret could be one.

    A word of prose, a flag, a mask and a variable are not secrets.
    """
    stripped = value.strip()
    word = stripped.strip(".,!").casefold()
    return (
        len(word) >= MIN_SECRET_CHARS
        and word not in _NOT_SECRETS
        and not _VARIABLE.fullmatch(stripped)
    )


def could_be_number(kind: ValueKind, value: str) -> bool:
    """Whether a value in the place of a card's, a person's or an account's number could be one."""
    characters = sum(c.isalnum() for c in value)
    return characters >= _MIN_CHARS_OF_NUMBER[kind] and any(c.isdecimal() for c in value)


def is_no_word(value: str) -> bool:
    """Whether a value has what a word of prose has not, such as a digit or an inner capital."""
    return bool(_NO_WORD.search(value))


def names_in(kind: ValueKind, value: str) -> Iterator[str]:
    r"""Yield the names in the value of a user's or host's field.

    Domains are left out: ``CORP\jdoe`` and ``jdoe@corp.example`` both give ``jdoe``, because that
    is how the user appears in other places. A host such as ``web1.corp.example`` gives its full
    name and ``web1``. Accounts that every system has (root, SYSTEM) are left out too: they
    identify nobody, and the model needs them to decide.
    """
    if len(value) > MAX_NAME_CHARS:
        return
    for part in _SEPARATOR.split(value):
        qualified = part.strip().strip("\"'").rstrip(".$")
        yield from filter(_is_name, _candidates(kind, qualified))


def name_spans(kind: ValueKind, value: str, offset: int) -> Iterator[Span]:
    """Yield the spans of the names in a field's value; the value begins at `offset` of the text."""
    for name in names_in(kind, value):
        position = value.find(name)
        if position >= 0:
            start = offset + position
            yield Span(start, start + len(name), kind)


def _candidates(kind: ValueKind, qualified: str) -> Iterator[str]:
    if qualified.startswith("arn:") or "/" in qualified:
        yield qualified.rsplit("/", 1)[-1]
    elif kind == "host":
        yield from _host_candidates(qualified)
    elif qualified.upper().startswith("CN="):
        yield qualified[3:].partition(",")[0]
    else:
        yield from _user_candidates(qualified)


def _host_candidates(qualified: str) -> Iterator[str]:
    host = qualified.strip("\\[]").partition(":")[0]
    yield host
    if not _OPAQUE.fullmatch(host):
        yield host.partition(".")[0]


def _user_candidates(qualified: str) -> Iterator[str]:
    account = re.split(r"\\+", qualified)[-1]
    local, at, _ = account.partition("@")
    if not at or len(local) >= MIN_ALIAS_CHARS:
        yield local
    if at and not local:
        yield account[1:]


def _is_name(candidate: str) -> bool:
    return (
        bool(_NAME.fullmatch(candidate))
        and not _OPAQUE.fullmatch(candidate)
        and candidate.casefold() not in _COMMON_NAMES
        and len(candidate.split()) <= _MAX_WORDS
        and not candidate.isspace()
    )
