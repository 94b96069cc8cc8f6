"""Finds the values of fields that are written inside a text.

Examples are ``user=jdoe``, ``"api_key": "…"``, ``?token=…``, ``my password is …`` and
``--password …``.
"""

import re
from collections.abc import Iterator

from inference.egress.detectors.field_names import QUERY_SECRETS, kind_of
from inference.egress.detectors.values import MAX_NAME_CHARS, could_be_secret, name_spans
from inference.egress.kinds import Span, ValueKind

# A value ends at a blank, a quote or a bracket. It ends at a separator only if another field or
# nothing follows, because passwords contain commas and ampersands. NUL stands for what another
# detector has already replaced.
_CHARACTER = r"(?:[^\s\"'<>&,;\x00]|[&,;](?!\s|$|\x00|[\w.$-]{1,40}\s{0,4}[=:]))"
_OPERATOR = r"\\{0,3}[\"'\]]?[ \t]{0,8}(?P<op>=>|:=|==|[=:>])[ \t]{0,8}(?:\n[ \t]{0,8})?"
_KEYS = (
    # A line of a diff begins with a sign.
    re.compile(rf"(?:(?<![\w.$@-])|(?<=^-))(?P<key>[^\W\d][\w.$@-]*+){_OPERATOR}", re.MULTILINE),
    # A tuple of Python: ('password', 'x').
    re.compile(
        r"\([bru]?[\"'](?P<key>[^\W\d][\w.-]{0,60}+)[\"'](?P<op>,)[ \t]{0,4}(?=[bru]?[\"'])"
    ),
    # A setter: setPassword("x").
    re.compile(r"\bset_?(?P<key>[A-Za-z]\w{0,40}+)(?P<op>\()(?=[bru]?[\"'])"),
    # XML: <add key="password" value="x" />.
    re.compile(
        r"\b(?:key|name)=[\"'](?P<key>[\w.:-]{1,80}+)[\"'][ \t]{1,4}value(?P<op>=)", re.IGNORECASE
    ),
    # Names of several words.
    re.compile(
        r"\b(?P<key>mot de passe|parola d'ordine"
        r"|(?:account|user|logon|login|host|computer|machine|workstation|server|client) name"
        rf"|(?:api|access|secret|private) key){_OPERATOR}",
        re.IGNORECASE,
    ),
)
# What may stand before the value: a block of YAML, a section of XML, or a prefix or the second and
# third quote of a Python string.
_OPENING = r"(?:[|>][+-]?[ ]{0,2}\n[ ]{1,16}|<!\[CDATA\[|[bru]{1,2}(?=[\"'])|\"\"(?=\")|''(?='))?"
_SECRET = re.compile(rf"{_OPENING}\\{{0,3}}(?:\"([^\"\x00\n]++)|'([^'\x00\n]++)|({_CHARACTER}++))")
_NAME = re.compile(
    rf"\\{{0,3}}(?:\"([^\"\x00\n]{{1,{MAX_NAME_CHARS}}}?)\\{{0,3}}\""
    rf"|'([^'\x00\n]{{1,{MAX_NAME_CHARS}}}?)\\{{0,3}}'"
    rf"|({_CHARACTER}{{1,{MAX_NAME_CHARS}}}+))"
)
_PROSE = re.compile(
    r"\b(?:password|passwd|passphrase|passcode|pwd|pw|pass word|contraseña|senha|passwort|kennwort"
    r"|mot de passe|secret|token|api key)\b"
    r"[ \t]{0,4}(?:(?:(?:do|da|de|del|of)[ \t]\w{1,20}[ \t]{1,3})?"
    r"(?:is now|is|was|are|es|é|era|ist|war|lautet|est)\b)?[ \t:=>-]{0,6}(?P<quote>[\"']?)"
    rf"(?P<value>{_CHARACTER}++)",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"\b(?:pin|cvv2?|cvc2?|otp|passcode|security code|verification code|one.time code|m?tan)\b"
    r"(?:[ \t]{1,4}(?:code|number|no|is|was|es|é|e|ist|est|now)\b){0,3}[ \t:=#.\"']{0,6}"
    r"(?P<value>\d{3,8})(?!\w)",
    re.IGNORECASE,
)
_FLAG = re.compile(
    r"(?<![\w/.:-])(?:--?|/)"
    r"(?:[\w-]{0,30}"
    r"(?:password|passwd|passphrase|pass|pwd|token|secret|api-?key|access-?key)|pw|rp)"
    r"(?:[ \t]{1,4}|=|:)",
    re.IGNORECASE,
)
_END_OF_FIELD = re.compile(r"[ \t]*+(?:$|[\n,;|]|[\w.-]{1,40}[ ]?[=:])")
_MIN_QUERY_CHARS = 12
_END_OF_QUERY = re.compile(r"[\s\"'<>&\x00]")
_CLOSING = ")]};,\\"
# What a password or a user name has and a word of prose has not: a digit, a sign, an inner capital.
_NOT_PROSE = re.compile(r"\d|[^\W_][._$\\@!#%&+*/-]+[^\W_]|[a-z][A-Z]|[!#$%&@*]\w")


def find_assignments(text: str) -> Iterator[Span]:
    """Find the values of fields and flags that are named in a text.

    Prose contains many colons. So a user or host after a colon must look like a name, not like a
    word.
    """
    for pattern in _KEYS:
        yield from _field_spans(pattern, text)
    for match in _FLAG.finditer(text):
        yield from _secret_spans(text, match.end())
    for match in _PROSE.finditer(text):
        if _is_secret_in_prose(match):
            yield _value_span(match, "value")
    for match in _CODE.finditer(text):
        yield _value_span(match, "value")


def _is_secret_in_prose(match: re.Match[str]) -> bool:
    value = match["value"]
    if not could_be_secret(value) or value[0] in "/~([":
        return False
    return bool(match["quote"] or _NOT_PROSE.search(value))


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


def _is_field(key: str, value: str) -> bool:
    """Whether the key is a field's name: two words before a colon may belong to a sentence."""
    if key == "PWD" and value[0] in "/~":
        return False  # the working directory of a shell
    return " " not in key or bool(_NOT_PROSE.search(value))


def _secret_spans(text: str, start: int) -> Iterator[Span]:
    match = _SECRET.match(text, start)
    if match and could_be_secret(match[_value_group(match)]):
        yield _value_span(match, _value_group(match))


def _account_spans(field: re.Match[str], kind: ValueKind) -> Iterator[Span]:
    match = _NAME.match(field.string, field.end())
    if not match:
        return
    span = _value_span(match, _value_group(match))
    name = field.string[span.start : span.end]
    unquoted = match.lastindex == len(match.groups())
    if (
        not (unquoted and field["op"] == ":")
        or _NOT_PROSE.search(name)
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


def _value_span(match: re.Match[str], group: str | int) -> Span:
    start, end = match.span(group)
    while end > start + 1 and match.string[end - 1] in _CLOSING:
        end -= 1
    return Span(start, end, "secret")
