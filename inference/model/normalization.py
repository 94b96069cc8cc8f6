"""Texts without what is no language: links, addresses, paths, codes and long names.

A link, an e-mail address, a cloud resource name or an order number says nothing about the queue of
an event, but costs many tokens and looks like another language. It is taken out before anything is
read or counted. So an event with such a thing added gets the same decision. Of a path the words
stay. The work is linear in the length of a text.
"""

import re

# Words that need a look: with a sign of an address, a path or a code. The first part cannot match
# the second, and a match starts only where a word does: so the search takes linear time.
# What only says which code follows, at the beginning or after a comma: ``, order 4837-2291-AX``.
NAMES_OF_CODES = (
    "order", "error", "case", "ticket", "invoice", "tracking", "reference", "ref", "number",
)  # fmt: skip
_NAMES_A_CODE = rf"(?:(?<![^\n])|(?<=[,;(] ))(?:{'|'.join(NAMES_OF_CODES)})[.:#]*[ \t]"
_SUSPICIOUS = re.compile(
    rf"((?:{_NAMES_A_CODE})?)(?<!\S)([^\s@:/\\\d]*[@:/\\\d]\S*|www\.\S+)", re.IGNORECASE
)
_LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{1,20}\[?:\]?//|(?<![\w.])www\.", re.ASCII)
_RESOURCE = re.compile(r"\barn:[a-z-]{2,20}:", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\\/:]+")
_EDGES = " \t.,;:!?\"'`()[]{}<>*#=|&%$€£~^+-_…“”\u2018\u2019"
_DIGITS = re.compile(r"\d")
_DIGIT_RUNS = re.compile(r"\d+")
_LONG_LETTER_RUN = re.compile(r"[^\W\d_]{4}")
# Names of weaknesses, techniques and patches look like codes, but tell what happened.
_NAMED = re.compile(
    r"^(?:CVE-\d{4}-\d+|CWE-\d+|T\d{4}(?:\.\d{3})?|KB\d+|MS\d\d-\d+)$", re.IGNORECASE
)
_HEXADECIMAL = re.compile(
    r"^(?:(?:0x)?[0-9a-f][0-9a-f:\-]{6,}[0-9a-f]|0x[0-9a-f]+)$", re.IGNORECASE
)
_CLOUD_ID = re.compile(r"^[a-z]{1,8}-[0-9a-f]{8,17}$")
_RANDOM = re.compile(r"^[A-Za-z0-9+/_=.\-]{20,}$")
_NAME = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")

MIN_DIGITS, MIN_DIGITS_IN_GROUPS, MIN_RANDOM_DIGITS = 6, 4, 3


def normalize(text: str) -> str:
    """The text without links, addresses and codes, and with the words of each path.

    A word that only says what a code is goes with it: ``order 4837-2291-AX``. Lines stay lines.
    """
    return _SUSPICIOUS.sub(_replaced, text)


def split_names(text: str) -> str:
    """The text with the words of each name apart: ``AssumeRole``, ``file_event``."""
    return _NAME.sub(" ", text)


def _replaced(match: re.Match[str]) -> str:
    words = _words_of(match[2])
    return match[1] + words if words else ""


def _words_of(token: str) -> str:
    """What stays of one word that has a sign of an address, a path or a code."""
    if link := _LINK.search(token):
        before = token[: link.start()]
        return _words_of(before) if before.strip(_EDGES) else ""
    core = token.strip(_EDGES)
    if _is_mail_address(core) or _RESOURCE.search(core) or is_code(core):
        return ""
    if _SEPARATORS.search(core):
        return " ".join(part for part in _SEPARATORS.split(core) if part and not is_code(part))
    return token


def _is_mail_address(word: str) -> bool:
    name, _, host = word.partition("@")
    return bool(name) and "." in host


def is_code(word: str) -> bool:
    """Whether a word is a number, a hash, an id or a code, and no name of something."""
    digits = len(_DIGITS.findall(word))
    if not digits or _NAMED.match(word):
        return False
    if digits >= MIN_DIGITS_IN_GROUPS and not _LONG_LETTER_RUN.search(word):
        return digits >= MIN_DIGITS or len(_DIGIT_RUNS.findall(word)) > 1
    if _HEXADECIMAL.match(word) or _CLOUD_ID.match(word):
        return True
    return digits >= MIN_RANDOM_DIGITS and bool(_RANDOM.match(word))
