"""Fields inside a text: ``user=jdoe``, ``"api_key": "…"``, ``?token=…``, ``my password is …``, ``--password …``."""

import re
from collections.abc import Iterator

from inference.egress.detectors.keys import QUERY_SECRETS, kind_of
from inference.egress.detectors.values import MAX_NAME_CHARS, is_secret, within
from inference.egress.kinds import Found, ValueKind

# A value ends at a blank, a quote or a bracket, and at a separator only where another field or nothing follows:
# passwords have commas and ampersands in them. NUL stands for what another detector has already taken.
_CHARACTER = r"(?:[^\s\"'<>&,;\x00]|[&,;](?!\s|$|\x00|[\w.$-]{1,40}\s{0,4}[=:]))"
_GLUE = r"\\{0,3}[\"'\]]?[ \t]{0,8}(?P<op>=>|:=|==|[=:>])[ \t]{0,8}(?:\n[ \t]{0,8})?"
_KEYS = (
    # A line of a diff begins with a sign.
    re.compile(rf"(?:(?<![\w.$@-])|(?<=^-))(?P<key>[^\W\d][\w.$@-]*+){_GLUE}", re.MULTILINE),
    re.compile(
        r"\([bru]?[\"'](?P<key>[^\W\d][\w.-]{0,60}+)[\"'](?P<op>,)[ \t]{0,4}(?=[bru]?[\"'])"
    ),
    re.compile(r"\bset_?(?P<key>[A-Za-z]\w{0,40}+)(?P<op>\()(?=[bru]?[\"'])"),
    re.compile(
        r"\b(?:key|name)=[\"'](?P<key>[\w.:-]{1,80}+)[\"'][ \t]{1,4}value(?P<op>=)", re.IGNORECASE
    ),
    re.compile(
        r"\b(?P<key>mot de passe|parola d'ordine|(?:account|user|logon|login|host|computer|machine|workstation|server"
        rf"|client) name|(?:api|access|secret|private) key){_GLUE}",
        re.IGNORECASE,
    ),
)
# Before the value itself: a block of YAML, a section of XML, a prefix or a second and third quote of Python.
_OPENING = r"(?:[|>][+-]?[ ]{0,2}\n[ ]{1,16}|<!\[CDATA\[|[bru]{1,2}(?=[\"'])|\"\"(?=\")|''(?='))?"
_SECRET = re.compile(rf"{_OPENING}\\{{0,3}}(?:\"([^\"\x00\n]++)|'([^'\x00\n]++)|({_CHARACTER}++))")
_NAME = re.compile(
    rf"\\{{0,3}}(?:\"([^\"\x00\n]{{1,{MAX_NAME_CHARS}}}?)\\{{0,3}}\"|'([^'\x00\n]{{1,{MAX_NAME_CHARS}}}?)\\{{0,3}}'"
    rf"|({_CHARACTER}{{1,{MAX_NAME_CHARS}}}+))"
)
_SAID = re.compile(
    r"\b(?:password|passwd|passphrase|passcode|pwd|pw|pass word|contraseña|senha|passwort|kennwort|mot de passe|secret"
    r"|token|api key)\b[ \t]{0,4}(?:(?:(?:do|da|de|del|of)[ \t]\w{1,20}[ \t]{1,3})?"
    r"(?:is now|is|was|are|es|é|era|ist|war|lautet|est)\b)?[ \t:=>-]{0,6}(?P<quote>[\"']?)"
    rf"(?P<value>{_CHARACTER}++)",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"\b(?:pin|cvv2?|cvc2?|otp|passcode|security code|verification code|one.time code|m?tan)\b"
    r"(?:[ \t]{1,4}(?:code|number|no|is|was|es|é|e|ist|est|now)\b){0,3}[ \t:=#.\"']{0,6}(?P<value>\d{3,8})(?!\w)",
    re.IGNORECASE,
)
_FLAG = re.compile(
    r"(?<![\w/.:-])(?:--?|/)(?:[\w-]{0,30}(?:password|passwd|passphrase|pass|pwd|token|secret|api-?key|access-?key)|pw|rp)"
    r"(?:[ \t]{1,4}|=|:)",
    re.IGNORECASE,
)
_ALONE = re.compile(r"[ \t]*+(?:$|[\n,;|]|[\w.-]{1,40}[ ]?[=:])")
_MIN_QUERY_CHARS = 12
_CLOSING = ")]};,\\"
_ODD = re.compile(r"\d|[^\W_][._$\\@!#%&+*/-]+[^\W_]|[a-z][A-Z]|[!#$%&@*]\w")


def find_assignments(text: str) -> Iterator[Found]:
    """Values of the fields and flags that a text names.

    Prose is full of colons: after one a user or host must look like a name rather than a word.
    """
    for pattern in _KEYS:
        yield from _fields(pattern, text)
    for match in _FLAG.finditer(text):
        yield from _secret(text, match.end())
    for match in _SAID.finditer(text):
        if (
            is_secret(match["value"])
            and match["value"][0] not in "/~(["
            and (match["quote"] or _ODD.search(match["value"]))
        ):
            yield _found(match, "value")
    for match in _CODE.finditer(text):
        yield _found(match, "value")


def _fields(pattern: re.Pattern[str], text: str) -> Iterator[Found]:
    done = 0
    for match in pattern.finditer(text):
        if match.end() < done:
            continue
        kind = kind_of((match["key"],))
        if kind in {"user", "host"}:
            yield from _names(match, kind)
        elif kind == "secret" or _opens(match):
            # What a secret's value holds is the secret's, whatever else it looks like; it also keeps this linear.
            for found in _secret(text, match.end()):
                done = found.end
                if _is_meant(match["key"], text[found.start : found.end]):
                    yield found


def _is_meant(key: str, value: str) -> bool:
    """Two words before a colon may be a sentence's, and a shell's PWD is where it works."""
    if key == "PWD" and value[0] in "/~":
        return False
    return " " not in key or bool(_ODD.search(value))


def _secret(text: str, start: int) -> Iterator[Found]:
    value = _SECRET.match(text, start)
    if value and is_secret(value[value.lastindex or 0]):
        yield _found(value, value.lastindex or 0)


def _names(field: re.Match[str], kind: ValueKind) -> Iterator[Found]:
    value = _NAME.match(field.string, field.end())
    if not value:
        return
    spoken = value.lastindex == len(value.groups()) and field["op"] == ":"
    found = _found(value, value.lastindex or 0)
    name = field.string[found.start : found.end]
    if (
        not spoken
        or _ODD.search(name)
        or "name" in field["key"].lower()
        or _ALONE.match(field.string, found.end)
    ):
        yield from within(kind, name, found.start)


def _opens(field: re.Match[str]) -> bool:
    """Whether it is a parameter of a URL that opens what the URL names."""
    before = field.string[max(0, field.start() - 1) : field.start()]
    after = field.string[field.end() : field.end() + _MIN_QUERY_CHARS]
    return (
        before in {"?", "&", ";"}
        and field["key"].lower() in QUERY_SECRETS
        and not re.search(r"[\s\"'<>&\x00]", after)
        and len(after) == _MIN_QUERY_CHARS
    )


def _found(match: re.Match[str], group: str | int) -> Found:
    start, end = match.span(group)
    while end > start + 1 and match.string[end - 1] in _CLOSING:
        end -= 1
    return Found(start, end, "secret")
