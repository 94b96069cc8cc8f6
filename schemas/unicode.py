"""Unicode normalisation in time that is linear in the text.

Normalisation sorts the combining marks of a run by their class. Python does it by insertion, which
takes time that is quadratic in the length of the run: 100,000 marks of alternating classes take
eleven seconds, and no other thread runs meanwhile. Unicode's Stream-Safe Text Format (UAX #15,
section 13) bounds a run to 30 marks, more than any language writes.
"""

import re
import unicodedata
from functools import cache

MAX_MARKS = 30
MAX_LIGATURES = 1_000
"""How many ligatures of a whole phrase are kept: each becomes eighteen letters, others at most six.

A book may hold so many, an event does not.
"""

_PHRASE = "\ufdfa"
# No character above is a mark; a test compares this with Unicode's own data.
_END_OF_MARKS = 0x1F000
# `re` looks a character up in a table only if the whole set is below. Few texts have others.
_END_OF_TABLE = 0x10000
_RARE_SCRIPT = re.compile(f"[{chr(_END_OF_TABLE)}-{chr(_END_OF_MARKS)}]")


def nfkc(text: str) -> str:
    """The text in NFKC, which is at most about six times as long.

    Of more than `MAX_MARKS` combining marks in a row, and of more than `MAX_LIGATURES` ligatures,
    the rest is left out.
    """
    if text.isascii():
        return text
    if text.count(_PHRASE) > MAX_LIGATURES:
        kept = _PHRASE.join(text.split(_PHRASE, MAX_LIGATURES)[:-1]) + _PHRASE
        text = kept + text[len(kept) :].replace(_PHRASE, "")
    if len(text) > MAX_MARKS:
        end = _END_OF_MARKS if _RARE_SCRIPT.search(text) else _END_OF_TABLE
        text = _long_runs(end).sub(_shortened, text)
    return unicodedata.normalize("NFKC", text)


def is_mark(character: str) -> bool:
    """Whether the character, fully decomposed, begins with a combining mark.

    Some characters that are no marks themselves become marks, such as the halfwidth voiced mark of
    Japanese.
    """
    if unicodedata.decomposition(character):
        character = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.combining(character) != 0


@cache
def _long_runs(end: int) -> re.Pattern[str]:
    marks = "".join(filter(is_mark, map(chr, range(0x300, end))))
    # With one mark alone at its beginning, the pattern is searched several times as fast.
    return re.compile(f"[{marks}][{marks}]{{{MAX_MARKS},}}+")


def _shortened(run: re.Match[str]) -> str:
    return run[0][:MAX_MARKS]
