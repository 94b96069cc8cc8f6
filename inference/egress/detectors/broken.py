"""Finds keys that are broken over the end of a line.

Mail programs, terminals and log collectors break long words.
"""

import re
from collections.abc import Iterator

from inference.egress.detectors.credentials import KEYS_WITH_PREFIX
from inference.egress.detectors.opaque import find_harmless, find_random
from inference.egress.detectors.splicing import Spliced
from inference.egress.kinds import Span

# The sign of a broken line, in a shell or in quoted-printable, and the indentation or the quotation
# mark of the next line.
_BREAK = re.compile(r"(?<=[\w+/.~=-])[\\=]?\n[ \t]{0,16}(?:>[ \t]{0,4}|\|[ ])?(?=[\w+/.~-])")
_TOKEN_BEFORE, _TOKEN = re.compile(r"[\w+/.~=-]+\Z"), re.compile(r"[\w+/.~=-]+")
_MIN_PART_CHARS, _MAX_TOKEN_CHARS = 4, 100
_DIGIT_AND_LETTER = re.compile(r"\A(?=[^\d]*\d)(?=[^A-Za-z]*[A-Za-z])")


def find_broken(text: str) -> Iterator[Span]:
    """Find keys of known shape or random look that go on in the next line."""
    if "\n" not in text:
        return
    joined = Spliced(text, _BREAK, _joined)
    for key in _keys(joined.text):
        parts = list(joined.parts(key.start, key.end))
        # A key without a break in it is found without this detector.
        if len(parts) > 1 and all(map(_is_part, parts)):
            yield joined.back(key)


def _joined(line_end: re.Match[str]) -> str:
    """Nothing, if what stands around the end of a line looks like the parts of a key."""
    text, (start, end) = line_end.string, line_end.span()
    before = _TOKEN_BEFORE.search(text, max(0, start - _MAX_TOKEN_CHARS), start)
    after = _TOKEN.match(text, end, end + _MAX_TOKEN_CHARS)
    is_key = before and after and _is_part(before[0]) and _is_part(after[0])
    return "" if is_key else line_end[0]


def _keys(joined: str) -> Iterator[Span]:
    for pattern in KEYS_WITH_PREFIX:
        yield from (Span(*match.span(), "secret") for match in pattern.finditer(joined))
    yield from find_random(joined)


def _is_part(text: str) -> bool:
    """Whether a text looks like a part of a key, and is no identifier of its own."""
    if len(text) < _MIN_PART_CHARS or not _DIGIT_AND_LETTER.match(text):
        return False
    return not any(span.end - span.start == len(text) for span in find_harmless(text))
