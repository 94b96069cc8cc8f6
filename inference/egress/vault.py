"""Keeps the values that were taken out of one event, and their placeholders."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from inference.egress.kinds import NEVER_SENT, VALUE_KINDS, Span, ValueKind
from inference.egress.normalization import PLACEHOLDER, fold

MAX_VALUES = 2_000
# A shorter value is replaced only where a detector recognised it: in other places the same
# characters mean something else.
MIN_KNOWN_CHARS: dict[ValueKind, int] = dict.fromkeys(VALUE_KINDS, 5) | {
    "secret": 4,
    "user": 3,
    "host": 3,
}
# From this length on, a known secret is also found inside a longer word.
_MIN_INSIDE_CHARS = 8
_PLACES_PER_CHECK = 64
_KEY_CHARS = 3
"""Learned values are indexed by this many first characters; no learned value is shorter."""
# An address is found with at most three blanks and a line break in each of these places.
_AT = re.compile(
    r"%(?:25)?40|=40|\s{0,4}[\[({<]\s{0,4}(?:at|@)\s{0,4}[\])}>]\s{0,4}|\s{1,4}at\s{1,4}"
)
_DOT = re.compile(
    r"%(?:25)?2e|\s{0,4}[\[({<]\s{0,4}(?:dot|\.)\s{0,4}[\])}>]\s{0,4}|\s{1,4}dot\s{1,4}"
)


class Vault:
    """The values of one event and their placeholders; ``[EMAIL_1]`` is the first address.

    The same value always gets the same placeholder.

    Args:
        check: called again and again while a text is searched; it may raise to stop the work.

    Raises:
        OverflowError: from `learn` and `placeholder`, if there are more than `MAX_VALUES` different
            values. No model could follow such a text.
    """

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._placeholders: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._known: dict[str, ValueKind] = {}
        self._lengths: dict[str, list[int]] = {}
        self._first_characters: re.Pattern[str] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many different values of each kind have a placeholder."""
        return dict(self._counts)

    def learn(self, kind: ValueKind, value: str) -> None:
        """Let `known` find the value everywhere from now on, unless it is too short for that."""
        for spelling in {_canonical(kind, value), fold(value)}:
            if len(spelling) >= MIN_KNOWN_CHARS[kind] and spelling not in self._known:
                self._known[spelling] = kind
                self._first_characters = None
        if len(self._known) > 2 * MAX_VALUES:
            raise OverflowError

    def placeholder(self, kind: ValueKind, value: str) -> str:
        """Return the placeholder of the value; a new value gets the next number of its kind."""
        canonical = _canonical(kind, value)
        if canonical not in self._placeholders:
            if len(self._values) >= MAX_VALUES:
                raise OverflowError
            self._counts[kind] += 1
            placeholder = f"[{kind.upper()}_{self._counts[kind]}]"
            self._placeholders[canonical] = placeholder
            self._values[placeholder] = value
        return self._placeholders[canonical]

    def known(self, text: str) -> Iterator[Span]:
        """Find the learned values in a text, in upper or lower case.

        They must be whole words. Only long secrets are found inside a word too.
        """
        if not self._known:
            return
        first_characters = self._first_characters or self._index()
        folded = fold(text)
        for place, match in enumerate(first_characters.finditer(folded)):
            # At each place a thousand values may have to be compared.
            if place % _PLACES_PER_CHECK == 0:
                self._check()
            span = self._longest_known(folded, match.start())
            if span:
                yield span

    def restore(self, text: str) -> str:
        """Put the values back in place of their placeholders, except kinds in `NEVER_SENT`.

        A value that looks like a placeholder itself is not replaced again.
        """
        return PLACEHOLDER.sub(self._restored, text)

    def _index(self) -> re.Pattern[str]:
        """Index the learned values by their first characters, with the lengths in falling order.

        So a search for two thousand values takes hardly longer than a search for one.
        """
        lengths: dict[str, set[int]] = defaultdict(set)
        for value in self._known:
            lengths[value[:_KEY_CHARS]].add(len(value))
        self._lengths = {key: sorted(sizes, reverse=True) for key, sizes in lengths.items()}
        first_characters = {key[0] for key in lengths}
        self._first_characters = re.compile("[" + "".join(map(re.escape, first_characters)) + "]")
        return self._first_characters

    def _longest_known(self, folded: str, start: int) -> Span | None:
        for length in self._lengths.get(folded[start : start + _KEY_CHARS], ()):
            kind = self._kind_of(folded, start, start + length)
            if kind:
                return Span(start, start + length, kind)
        return None

    def _kind_of(self, folded: str, start: int, end: int) -> ValueKind | None:
        kind = self._known.get(folded[start:end])
        if kind == "secret" and end - start >= _MIN_INSIDE_CHARS:
            return kind
        return kind if kind and _is_whole_word(folded, start, end) else None

    def _restored(self, match: re.Match[str]) -> str:
        placeholder = match[0]
        if match[1].lower() in NEVER_SENT:
            return placeholder
        return self._values.get(placeholder, placeholder)


def _is_whole_word(text: str, start: int, end: int) -> bool:
    continues_before = start > 0 and text[start].isalnum() and text[start - 1].isalnum()
    continues_after = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not continues_before and not continues_after


def _canonical(kind: ValueKind, value: str) -> str:
    """One spelling for all spellings of a value; only secrets depend on upper and lower case."""
    folded = fold(value)
    if kind == "secret":
        return value
    if kind in {"card", "ssn", "phone"}:
        return "".join(filter(str.isdecimal, folded)) or folded
    if kind in {"iban", "mac"}:
        return "".join(filter(str.isalnum, folded))
    if kind in {"email", "ip"}:
        return _DOT.sub(".", _AT.sub("@", folded)).replace("[:]", ":").removeprefix("::ffff:")
    return folded
