"""What was taken out of one event, and what stands for it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice

from inference.egress.kinds import GUARDED, VALUE_KINDS, Found, ValueKind
from inference.egress.normalization import PLACEHOLDER, fold

MAX_VALUES = 2_000
# A shorter one is replaced where it was recognised, and means something else in other places.
MIN_SPREAD_CHARS: dict[ValueKind, int] = dict.fromkeys(VALUE_KINDS, 5) | {
    "secret": 4,
    "user": 3,
    "host": 3,
}
_MIN_INSIDE_CHARS = 8
_KEY_CHARS = 3
"""No value that spreads is shorter."""
_AT = re.compile(r"%(?:25)?40|=40|\s*[\[({<]\s*(?:at|@)\s*[\])}>]\s*|\s+at\s+")
_DOT = re.compile(r"%(?:25)?2e|\s*[\[({<]\s*(?:dot|\.)\s*[\])}>]\s*|\s+dot\s+")


class Vault:
    """Placeholders of the values of one event, `[EMAIL_1]` for the first address; the same value has the same one.

    Raises:
        OverflowError: more than `MAX_VALUES` different values; nobody could follow such a text anyway.
    """

    def __init__(self) -> None:
        self._placeholders: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._spread: dict[str, ValueKind] = {}
        self._lengths: dict[str, list[int]] = {}
        self._starts: re.Pattern[str] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Different values by kind."""
        return dict(self._counts)

    def learn(self, kind: ValueKind, value: str) -> None:
        """From now on `value` is known wherever it occurs, unless it is too short to mean it everywhere."""
        for spelling in {_canonical(kind, value), fold(value)}:
            if len(spelling) >= MIN_SPREAD_CHARS[kind] and spelling not in self._spread:
                self._spread[spelling] = kind
                self._starts = None
        if len(self._spread) > 2 * MAX_VALUES:
            raise OverflowError

    def placeholder(self, kind: ValueKind, value: str) -> str:
        """What stands for `value`."""
        canonical = _canonical(kind, value)
        if canonical not in self._placeholders:
            if len(self._values) >= MAX_VALUES:
                raise OverflowError
            self._counts[kind] += 1
            name = f"[{kind.upper()}_{self._counts[kind]}]"
            self._placeholders[canonical] = name
            self._values[name] = value
        return self._placeholders[canonical]

    def known(self, text: str) -> Iterator[Found]:
        """Where values seen before occur, whatever their case: as whole words, long secrets within words too."""
        if not self._spread:
            return
        starts = self._starts or self._index()
        folded = fold(text)
        for start in starts.finditer(folded):
            at = start.start()
            lengths = self._lengths.get(folded[at : at + _KEY_CHARS], ())
            yield from islice(
                (Found(at, at + n, k) for n in lengths if (k := self._kind(folded, at, at + n))), 1
            )

    def _index(self) -> re.Pattern[str]:
        """By their first characters, longest first: looking for two thousand values costs hardly more than for one."""
        lengths: dict[str, set[int]] = defaultdict(set)
        for value in self._spread:
            lengths[value[:_KEY_CHARS]].add(len(value))
        self._lengths = {key: sorted(sizes, reverse=True) for key, sizes in lengths.items()}
        self._starts = re.compile(
            "[" + "".join(re.escape(first) for first in {key[0] for key in lengths}) + "]"
        )
        return self._starts

    def _kind(self, folded: str, start: int, end: int) -> ValueKind | None:
        kind = self._spread.get(folded[start:end])
        inside = kind == "secret" and end - start >= _MIN_INSIDE_CHARS
        return kind if kind and (inside or _is_whole(folded, start, end)) else None

    def restore(self, text: str) -> str:
        """The text with the values that may be seen inside; once, so that a value cannot bring another one in."""
        return PLACEHOLDER.sub(self._restored, text)

    def _restored(self, match: re.Match[str]) -> str:
        return match[0] if match[1].lower() in GUARDED else self._values.get(match[0], match[0])


def _is_whole(text: str, start: int, end: int) -> bool:
    before = start > 0 and text[start].isalnum() and text[start - 1].isalnum()
    after = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not before and not after


def _canonical(kind: ValueKind, value: str) -> str:
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
