"""Finds secrets that a person tells in a sentence.

Examples are ``my password is …``, ``the password was changed to …`` and ``密码是…``.
"""

import re
from collections.abc import Iterator

from inference.egress.detectors.patterns import Clued, matches
from inference.egress.detectors.secret_words import (
    COPULAS,
    ENGLISH,
    KEY_CONTENTS,
    NETWORK_CLUES,
    NETWORK_KEYS,
    OTHER_SCRIPTS,
    SPACED,
    SPACED_CLUES,
)
from inference.egress.detectors.values import NO_WORD, could_be_secret, is_no_word
from inference.egress.kinds import Span

# A value ends at a blank, a quote or a bracket. It ends at a separator only if another field or
# nothing follows, because passwords contain commas and ampersands. NUL stands for what another
# detector has already replaced.
CHARACTER = r"(?:[^\s\"'<>&,;\x00]|[&,;](?!\s|$|\x00|[\w.$-]{1,40}\s{0,4}[=:]))"
_VALUE = rf"(?P<quote>[\"'`]?)(?P<value>{CHARACTER}++)"
# A value that is in quotes or no word. It is part of the pattern, so that the search goes on behind
# a word that is neither.
_NO_WORD_VALUE = (
    rf"(?=[\"'`]\S|[^\s\"'<>\x00]{{0,80}}?(?:{NO_WORD}))(?P<quote>[\"'`]?)(?P<value>{CHARACTER}++)"
)
_BLANK = r"(?:[ \t]{1,4}|[ \t]{0,4}\n[ \t>]{0,8})"
_ENGLISH = "|".join(ENGLISH)
_ADJACENT = re.compile(
    rf"\b(?:{_ENGLISH}|secret|token|api key)\b"
    r"[ \t]{0,4}(?:(?:(?:do|da|de|del|of)[ \t]\w{1,20}[ \t]{1,3})?"
    r"(?:is now|is|was|are|es|e|era|ist|war|lautet|est)\b(?:[ \t]{0,2}\n[ \t>]{0,4})?)?"
    rf"[ \t:=>-]{{0,6}}{_VALUE}",
    re.IGNORECASE,
)
# A word, up to eight other words, "to" or "is", and the value.
_TOLD_LATER = re.compile(
    rf"\b(?:(?P<word>{_ENGLISH}|pin)|credentials?|secret)s?\b"
    rf"(?P<gap>(?:{_BLANK}(?![*-])[^\s:;=\"'\x00]{{1,40}}){{0,8}}?){_BLANK}"
    r"(?:(?P<to>to|into|as|with)|(?P<now>will be|became|becomes|is now|are now|now)|is|was)"
    rf"(?:{_BLANK}|[ \t]{{0,2}}:[ \t]{{0,4}}){_NO_WORD_VALUE}",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"\b(?:chang|reset|re-set|set|updat|rotat|modif|switch|replac|assign|turn|revert|roll)\w*",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    rf"{_BLANK}(?:for|of|on|to|at|in|from|you|we|they|i|that|which)\b", re.IGNORECASE
)
_PASSWORD_LIKE = re.compile(r"\d|[a-z][A-Z]|[!#$%&@*^~]")
_MAX_CHARS_BEFORE = 40
_CHANGED_TO_WORD = re.compile(
    rf"\b(?:{_ENGLISH})\b(?:{_BLANK}[^\s:;=.\"'\x00]{{1,40}}){{0,6}}?{_BLANK}"
    rf"(?:changed|reset|set|updated)(?:[ \t]back)?{_BLANK}to{_BLANK}(?P<value>[a-z]{{5,}})"
    r"(?=[.!]?[ \t]{0,4}(?:\n|$))",
    re.IGNORECASE,
)
_STATES = {"default", "blank", "empty", "expire", "never expire", "expired", "never"}
_BEFORE_COLON = re.compile(
    rf"\b(?:{_ENGLISH})\b[ \t]{{0,4}}"
    r"(?:\([^()\n\x00]{1,40}\)|(?:for|of|on|to)\b(?:[^\n\x00:=;.\"']|\.(?=\w)){1,60}?)"
    rf"[ \t]{{0,4}}(?:[:=]|->|=>)[ \t]{{0,4}}{_NO_WORD_VALUE}",
    re.IGNORECASE,
)
_SPACED = Clued(
    SPACED_CLUES,
    re.compile(
        rf"(?<![^\W_])(?<!</)(?:{SPACED})(?![^\W\d_])(?P<gap>[^\n\x00\d:=;\"'<>]{{0,50}}?)"
        r"(?:[ \t]{0,20}(?:[:=]|->|=>|-)[ \t]{0,8}\n?[ \t]{0,8}"
        rf"|{_BLANK}(?:(?:{COPULAS})(?:{_BLANK}|[ \t]{{0,4}}:[ \t]{{0,4}}))?){_NO_WORD_VALUE}",
        re.IGNORECASE,
    ),
)
# Other scripts need no blank before and after a password. So the value is a run of ASCII signs.
_SCRIPT = re.compile(r"[\u0530-\u1fff\u3040-\uffdc]")
_OTHER_SCRIPTS = re.compile(
    rf"(?<!</)(?:{OTHER_SCRIPTS})[\"']?(?P<cue>[^\n\x00!-~]{{0,30}}[:=>(-]{{0,2}}"
    r"[ \t]{0,4}(?:[|>][+-]?)?\n?[ \t]{0,4})"
    r"(?P<quote>[\"'`「『《【〈]?)(?P<value>[!#-&*+/-9<-~-][!#-&(-~]{2,}+)"
)
_TELLS = re.compile("是|为|為|改成|:|=|คือ|هي|هو|היא")
_KEY_CONTENT = re.compile(
    rf"(?<![^\W_])(?:{KEY_CONTENTS})[\"']?[ \t]{{0,40}}[:=][ \t]{{0,20}}"
    r"(?P<value>[^\s\"'<>\x00][^\n\"'<>\x00]{1,127}+)",
    re.IGNORECASE,
)
_NETWORK_KEY = re.compile(
    rf"(?<![^\W_])(?:{NETWORK_KEYS})(?:{_BLANK}is)?[\"']?"
    rf"[ \t]{{0,40}}[:= ][ \t]{{0,20}}{_NO_WORD_VALUE}",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"\b(?:pin|cvv2?|cvc2?|otp|passcode|security code|verification code|one.time code|m?tan)\b"
    r"(?:[ \t]{1,4}(?:code|number|no|is|was|es|e|ist|est|now)\b){0,3}[ \t:=#.\"']{0,6}"
    r"(?P<value>\d{3,8})(?!\w)",
    re.IGNORECASE,
)
_CLOSING = ")]};,\\"
_DATE_OR_COUNT = re.compile(r"\d{1,5}[.,]?|\d{4}-\d\d-\d\d.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*")
_ENGLISH_CLUES = ("pass", "pwd", "pw")


def find_in_prose(text: str) -> Iterator[Span]:
    """Find secrets that are told in a sentence.

    In a sentence most words after "password" are no password. So a value must be in quotes, or have
    what a word has not.
    """
    lower = text.lower()
    if any(
        clue in lower
        for clue in (*_ENGLISH_CLUES, "secret", "token", "api key", "credential", "pin")
    ):
        yield from _in_english(text, lower)
    for match in matches((_SPACED,), text, lower):
        yield from _value(match)
    if not text.isascii() and _SCRIPT.search(text):
        yield from _in_other_scripts(text)
    if any(clue in lower for clue in NETWORK_CLUES):
        yield from map(value_span, _KEY_CONTENT.finditer(text))
        for match in _NETWORK_KEY.finditer(text):
            yield from _value(match)
    for match in _CODE.finditer(text):
        yield value_span(match)


def value_span(match: re.Match[str], group: str | int = "value") -> Span:
    """The span of a value, without the signs of the sentence after it."""
    start, end = match.span(group)
    while end > start + 1 and match.string[end - 1] in _CLOSING:
        end -= 1
    return Span(start, end, "secret")


def _in_english(text: str, lower: str) -> Iterator[Span]:
    for match in _ADJACENT.finditer(text):
        value = match["value"]
        if could_be_secret(value) and value[0] not in "/~([":
            yield from _value(match)
    for match in _TOLD_LATER.finditer(text):
        if _tells(match) and not _DATE_OR_COUNT.fullmatch(match["value"]):
            yield from _value(match)
    if not any(clue in lower for clue in _ENGLISH_CLUES):
        return
    for match in _BEFORE_COLON.finditer(text):
        yield from _value(match)
    for match in _CHANGED_TO_WORD.finditer(text):
        if match["value"].lower() not in _STATES:
            yield value_span(match)


def _tells(match: re.Match[str]) -> bool:
    """Whether the words before a value tell a password, and not something about passwords."""
    if not match["quote"] and not _PASSWORD_LIKE.search(match["value"]):
        return False
    if not match["to"]:
        if match["now"]:
            return True
        return bool(match["word"]) and bool(
            _ABOUT.match(match["gap"]) or _CHANGE.search(match["gap"])
        )
    before = match.string[max(0, match.start() - _MAX_CHARS_BEFORE) : match.start()]
    return bool(_CHANGE.search(match["gap"]) or _CHANGE.search(before))


def _value(match: re.Match[str]) -> Iterator[Span]:
    value = match["value"]
    if could_be_secret(value) and (match["quote"] or is_no_word(value)):
        yield value_span(match)


def _in_other_scripts(text: str) -> Iterator[Span]:
    for match in _OTHER_SCRIPTS.finditer(text):
        value = match["value"]
        tells = match["quote"] or is_no_word(value) or _TELLS.search(match["cue"])
        if could_be_secret(value) and tells:
            yield value_span(match)
