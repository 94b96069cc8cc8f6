"""Finds the values of fields that are written inside a text.

Examples are ``user=jdoe``, ``"api_key": "…"``, ``?token=…``, ``my password is …`` and
``--password …``.
"""

import re
from collections.abc import Iterator

from inference.egress.detectors.field_names import QUERY_SECRETS, kind_of, may_name_secret
from inference.egress.detectors.prose import CHARACTER, value_span
from inference.egress.detectors.values import (
    MAX_NAME_CHARS,
    could_be_secret,
    is_no_word,
    name_spans,
)
from inference.egress.kinds import Span, ValueKind

_OPERATOR = r"\\{0,3}[\"'\]]?[ \t]{0,32}(?P<op>=>|:=|==|[=:>])[ \t]{0,8}(?:\n[ \t]{0,8})?"
_KEYS = (
    # A line of a diff begins with a sign, a variable with another one.
    re.compile(
        rf"(?<!</)(?:(?<![\w.$@-])|(?<=^-)|(?<=^[$@])|(?<=[\s;({{\"'][$@]))(?P<key>[^\W\d][\w.$@-]*+){_OPERATOR}",
        re.MULTILINE,
    ),
    # A tuple of Python: ('password', 'x').
    re.compile(
        r"\([bru]?[\"'](?P<key>[^\W\d][\w.-]{0,60}+)[\"'](?P<op>,)[ \t]{0,4}(?=[bru]?[\"'])"
    ),
    # A setter: setPassword("x").
    re.compile(r"\bset_?(?P<key>[A-Za-z]\w{0,40}+)(?P<op>\()(?=[bru]?[\"'])"),
    # XML: <password value="x" /> and <add key="password" value="x" />.
    re.compile(r"<(?P<key>[^\s<>=/\"'\x00]{1,80}+)[ \t]{1,4}value(?P<op>=)", re.IGNORECASE),
    re.compile(
        r"\b(?:key|name)=[\"'](?P<key>[^\s<>=\"'\x00]{1,80}+)[\"'][ \t]{1,4}value(?P<op>=)",
        re.IGNORECASE,
    ),
    # Names of several words.
    re.compile(
        r"\b(?P<key>mot de passe|parola d'ordine|palavra[- ]passe|kata (?:sandi|laluan)|mat khau"
        r"|(?:account|user|logon|login|host|computer|machine|workstation|server|client) name"
        rf"|(?:api|access|secret|private) key){_OPERATOR}",
        re.IGNORECASE,
    ),
)
# What may stand before the value: a block of YAML, a section of XML, or a prefix or the second and
# third quote of a Python string.
_OPENING = r"(?:[|>][+-]?[ ]{0,2}\n[ ]{1,16}|<!\[CDATA\[|[bru]{1,2}(?=[\"'])|\"\"(?=\")|''(?='))?"
_SECRET = re.compile(
    rf"{_OPENING}(?:"
    # In quotes, over the end of a line, or with quotes inside.
    r"\"([^\"\x00\n]{1,200}(?:\n[^\"\x00\n]{0,200}){1,2})(?=\"(?:[\s,;)}\]]|$))"
    r"|'([^'\x00\n]{1,200}(?:\n[^'\x00\n]{0,200}){1,2})(?='(?:[\s,;)}\]]|$))"
    r"|\"((?:[^\"\\\x00\n]|\\[^\x00\n])++)(?=\")"
    rf"|\\{{0,3}}(?:\"([^\"\x00\n]++)|'([^'\x00\n]++)|({CHARACTER}++)))"
)
# The rest of a value without quotes that is broken over the end of a line stands alone in its line.
_REST = re.compile(
    r"\\?[ \t]?\n[ \t]{0,16}(?P<rest>"
    r"(?=[^\s\"'<>,;:=\x00]{0,80}?(?:\d[^\s\d.]|[A-Za-z]\d|[!#$%&@*^]))"
    r"[^\s/\"'<>,;:=\x00-][^\s\"'<>,;:=\x00]{1,127}+)[ \t]*+(?=\n|$)"
)
_NAME = re.compile(
    rf"\\{{0,3}}(?:\"([^\"\x00\n]{{1,{MAX_NAME_CHARS}}}?)\\{{0,3}}\""
    rf"|'([^'\x00\n]{{1,{MAX_NAME_CHARS}}}?)\\{{0,3}}'"
    rf"|({CHARACTER}{{1,{MAX_NAME_CHARS}}}+))"
)
_FLAG = re.compile(
    r"(?<![\w/.:-])(?:--?|/)"
    r"(?:[\w-]{0,30}"
    r"(?:password|passwd|passphrase|pass|pwd|token|secret|(?:api|access|account|secret|shared)[-_]?key)"
    r"|pw|rp|pin|psk)(?:[ \t]{1,4}|=|:)(?:[\\`^]\n[ \t]{0,16})?",
    re.IGNORECASE,
)
_END_OF_FIELD = re.compile(r"[ \t]*+(?:$|[\n,;|]|[\w.-]{1,40}[ ]?[=:])")
_MIN_QUERY_CHARS = 12
_END_OF_QUERY = re.compile(r"[\s\"'<>&\x00]")


def find_assignments(text: str) -> Iterator[Span]:
    """Find the values of fields and flags that are named in a text.

    Prose contains many colons. So a user or host after a colon must look like a name, not like a
    word.
    """
    for pattern in _KEYS:
        yield from _field_spans(pattern, text)
    if "-" in text or "/" in text:
        for match in _FLAG.finditer(text):
            yield from _secret_spans(text, match.end())


def _field_spans(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    end_of_secret = 0
    for match in pattern.finditer(text):
        # A field inside the value of a secret is part of the secret. Skipping it also keeps the
        # time linear.
        if match.end() < end_of_secret:
            continue
        kind = kind_of((match["key"],))
        if kind in {"user", "host"}:
            yield from _account_spans(match, kind)
        elif kind == "secret" or _is_query_secret(match):
            for span in _secret_spans(text, match.end()):
                end_of_secret = span.end
                if _is_field(match["key"], text[span.start : span.end]):
                    yield span
        elif kind is None and may_name_secret(match["key"]):
            spans = _secret_spans(text, match.end())
            yield from (span for span in spans if is_no_word(text[span.start : span.end]))


def _is_field(key: str, value: str) -> bool:
    """Whether the key is a field's name: two words before a colon may belong to a sentence."""
    if key == "PWD" and value[0] in "/~":
        return False  # the working directory of a shell
    return " " not in key or is_no_word(value)


def _secret_spans(text: str, start: int) -> Iterator[Span]:
    match = _SECRET.match(text, start)
    if not match or not could_be_secret(match[_value_group(match)]):
        return
    span = value_span(match, _value_group(match))
    rest = _REST.match(text, match.end()) if match.lastindex == len(match.groups()) else None
    yield span._replace(end=rest.end("rest")) if rest else span


def _account_spans(field: re.Match[str], kind: ValueKind) -> Iterator[Span]:
    match = _NAME.match(field.string, field.end())
    if not match:
        return
    span = value_span(match, _value_group(match))
    name = field.string[span.start : span.end]
    unquoted = match.lastindex == len(match.groups())
    if (
        not (unquoted and field["op"] == ":")
        or is_no_word(name)
        or "name" in field["key"].lower()
        or _END_OF_FIELD.match(field.string, span.end)
    ):
        yield from name_spans(kind, name, span.start)


def _is_query_secret(field: re.Match[str]) -> bool:
    """Whether the field is a parameter of a URL that gives access to what the URL names."""
    before = field.string[max(0, field.start() - 1) : field.start()]
    value = field.string[field.end() : field.end() + _MIN_QUERY_CHARS]
    return (
        before in {"?", "&", ";"}
        and field["key"].lower() in QUERY_SECRETS
        and not _END_OF_QUERY.search(value)
        and len(value) == _MIN_QUERY_CHARS
    )


def _value_group(match: re.Match[str]) -> int:
    """The number of the group that holds the value: each pattern has one per way of quoting."""
    return match.lastindex or 0
