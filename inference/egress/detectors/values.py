"""What may stand in a field that is named after a person, a machine or a secret, and what is only a word there."""

import re
from collections.abc import Iterator

from inference.egress.kinds import Found, ValueKind

MAX_NAME_CHARS = 128
MIN_SECRET_CHARS, MIN_ALIAS_CHARS = 3, 4

_NOBODY = {
    "root", "admin", "administrator", "administrators", "system", "guest", "user", "users", "username", "public",
    "default", "nobody", "daemon", "service", "localhost", "anonymous", "unknown", "none", "null", "nil", "true",
    "false", "test", "shared", "local", "network", "self", "all", "any", "everyone", "iamuser", "assumedrole",
    "awsservice", "application", "serviceprincipal", "managed", "host", "hostname", "device", "computer", "server",
    "client", "support", "info", "noreply", "no-reply", "sales", "security", "helpdesk", "localsystem",
    "networkservice", "localservice", "authority", "builtin", "iusr", "nt-authority", "defaultaccount",
    "wdagutilityaccount", "git", "postgres", "mysql", "nginx", "www-data", "ubuntu", "ec2-user", "ansible",
    "bucket", "s3", "themselves", "krbtgt", "people", "person", "employee", "customer", "owner", "account", "www",
    "mail", "api", "docs", "img", "shop", "intranet", "community", "static", "cdn", "portal", "login", "auth",
    "web", "app", "blog", "help", "forum", "status", "dev", "prod", "staging", "vpn", "smtp", "imap", "ftp", "dns",
    "proxy", "domain admins", "domain users", "enterprise admins", "local service", "network service",
}  # fmt: skip
_NO_SECRET = {
    "token", "digest", "negotiate", "ntlm", "apikey", "true", "false", "null", "none", "nil", "yes", "no",
    "undefined", "empty", "unknown", "n/a", "na", "required", "expired", "expires", "expiry", "reset", "forgot",
    "forgotten", "changed", "change", "incorrect", "invalid", "wrong", "failed", "failure", "not", "is", "was",
    "are", "the", "a", "an", "i", "it", "my", "me", "for", "and", "or", "to", "on", "in", "of", "at", "by", "with",
    "has", "have", "please", "policy", "self", "all", "any", "redacted", "hidden", "removed", "missing", "valid",
    "ok", "error", "bearer", "basic", "here", "but", "when", "cannot", "can't", "doesn't", "never", "new", "old",
    "blocked", "locked", "stolen", "asked", "again", "value", "string", "text", "spray", "attempt", "attempts",
    "login", "user", "used", "works", "working", "does", "did", "pass", "fail",
}  # fmt: skip
# A mask, a placeholder, a variable of a shell or of a template: where the secret would be, not the secret.
_VARIABLE = re.compile(
    r"[*•x.\-_#?]+|<[A-Za-z _-]+>|\$(?:[A-Z_][A-Z0-9_]*|\{\w+\}|\(\w+\))|%[A-Z_]+%|\{\{[^{}]*\}\}"
    r"|\[(?:[A-Z]*(?:_\d*)?\]?…?|[A-Za-z ]+\])|\W+"
)
_NAME = re.compile(r"[^\W_][\w.$' +@-]*|_[\w.$-]+")
_OPAQUE = re.compile(
    r"[x*]+|[\d.\-]+|0x[0-9a-f]+|[0-9a-f]{32,128}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"[,;|]\s*")
_MAX_WORDS = 4


def is_secret(value: str) -> bool:
    """Whether what stands where a secret belongs could be one: not a word of prose, a flag or a variable."""
    bare = value.strip().strip(".,!").casefold()
    return (
        len(bare) >= MIN_SECRET_CHARS
        and bare not in _NO_SECRET
        and not _VARIABLE.fullmatch(value.strip())
    )


def names(kind: ValueKind, value: str) -> Iterator[str]:
    r"""The names in a user's or host's field, without their domains, and a host's short name too.

    ``CORP\jdoe`` and ``jdoe@corp.example`` are known elsewhere as ``jdoe``, ``web1.corp.example`` as ``web1``. Accounts
    that every system has (root, SYSTEM) say nothing about anybody and help to decide: they stay.
    """
    if len(value) > MAX_NAME_CHARS:
        return
    for part in _SPLIT.split(value):
        whole = part.strip().strip("\"'").rstrip(".$")
        yield from (name for name in _candidates(kind, whole) if _is_name(name))


def _candidates(kind: ValueKind, whole: str) -> Iterator[str]:
    if whole.startswith("arn:") or "/" in whole:
        yield whole.rsplit("/", 1)[-1]
    elif kind == "host":
        yield (machine := whole.strip("\\[]").partition(":")[0])
        yield machine.partition(".")[0] if not _OPAQUE.fullmatch(machine) else ""
    elif whole.upper().startswith("CN="):
        yield whole[3:].partition(",")[0]
    else:
        account = re.split(r"\\+", whole)[-1]
        local, at, _ = account.partition("@")
        yield local if not at or len(local) >= MIN_ALIAS_CHARS else ""
        if at and not local:
            yield account[1:]


def _is_name(name: str) -> bool:
    return (
        bool(_NAME.fullmatch(name))
        and not _OPAQUE.fullmatch(name)
        and name.casefold() not in _NOBODY
        and len(name.split()) <= _MAX_WORDS
        and not name.isspace()
    )


def within(kind: ValueKind, value: str, start: int) -> Iterator[Found]:
    """Where the names of a field's value stand, the value beginning at `start`."""
    for name in names(kind, value):
        at = value.find(name)
        if at >= 0:
            yield Found(start + at, start + at + len(name), kind)
