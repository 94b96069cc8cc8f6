"""Runs all detectors over a text.

Each detector sees only what the detectors before it have left.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate

from inference.egress.detectors.accounts import find_accounts
from inference.egress.detectors.assignments import find_assignments
from inference.egress.detectors.broken import find_broken
from inference.egress.detectors.commands import find_arguments
from inference.egress.detectors.credentials import find_credentials
from inference.egress.detectors.indicators import find_emails, find_ips, find_macs
from inference.egress.detectors.links import find_links
from inference.egress.detectors.logins import find_logins
from inference.egress.detectors.opaque import encoded_runs, find_harmless, find_random
from inference.egress.detectors.personal import (
    PhoneFinder,
    find_announced,
    find_cards,
    find_ibans,
    find_ssns,
)
from inference.egress.detectors.prose import find_in_prose
from inference.egress.detectors.splicing import Spliced
from inference.egress.detectors.tables import find_in_tables
from inference.egress.kinds import Span, ValueKind
from inference.egress.letters import plain_letters
from inference.egress.normalization import PLACEHOLDER, normalise, plain_punctuation
from inference.egress.options import PHONE_REGIONS

Finder = Callable[[str], Iterable[Span]]

MAX_ENCODINGS = 2
"""How many encodings within each other are decoded."""

# No detector matches across a NUL, and no normalised text contains one.
_BOUNDARY = "\n\x00\n"
_JSON_ESCAPE = re.compile(r'\\(["\\/nrt])')
# The quotes around a text in JSON are the ends of its first and its last line.
_END_OF_STRING = re.compile(rf"{_JSON_ESCAPE.pattern}|\"")
_WHITESPACE_ESCAPES = {"n": "\n", "r": "\n", "t": "\t", None: "\n"}


class Detection:
    """Finds the values that must not be sent.

    Args:
        keep: the kinds that may be sent.
        known: finds the values that were recognised elsewhere in the event.
        regions: ISO 3166 codes of the countries whose national telephone numbers are recognised.
        check: called before each detector; it may raise to stop the work.
    """

    def __init__(
        self,
        keep: frozenset[ValueKind],
        known: Finder,
        regions: Sequence[str] = PHONE_REGIONS,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._keep = keep
        self._known = known
        self._check = check
        self._cached: dict[str, list[Span]] = {}
        self._before_decoding: tuple[Finder, ...] = (find_secrets, find_emails)
        # Secrets come first, because a secret may have any shape. A number with its kind before it
        # comes before one that only looks like that kind.
        self._after_decoding: tuple[Finder, ...] = (
            find_harmless, find_macs, find_ips, find_ibans, find_announced, find_cards, find_ssns,
            find_accounts, PhoneFinder(regions), find_random,
        )  # fmt: skip

    def find(self, text: str, depth: int = 0) -> list[Span]:
        """Find what must not be sent in a normalised text.

        `depth` is the number of encodings that were decoded to get the text.

        Returns:
            Spans in the order of the text, without overlap. Placeholders are not in them.
        """
        placeholders = [Span(*match.span(), None) for match in PLACEHOLDER.finditer(text)]
        spans = self._cached.get(text)
        if spans is None:
            spans = self._scan(mask(plain_letters(plain_punctuation(text)), placeholders), depth)
            self._cached[text] = spans
        else:
            # Of all detectors, only this one depends on values that were learned since the scan.
            rest = mask(text, [*spans, *placeholders])
            spans = [*spans, *self._find_encoded(rest, depth + 1)]
        forbidden = merge_overlaps(
            span for span in spans if span.kind and span.kind not in self._keep
        )
        # Known values are also searched in what may be sent: the name of a user can be part of an
        # address that is kept.
        rest = mask(text, [*forbidden, *placeholders])
        return merge_overlaps([*forbidden, *self._known(rest)])

    def _scan(self, masked: str, depth: int) -> list[Span]:
        decode: Finder = partial(self._find_encoded, depth=depth + 1)
        spans: list[Span] = []
        for finder in (*self._before_decoding, decode, *self._after_decoding):
            self._check()
            new_spans = merge_overlaps(finder(masked))
            masked = mask(masked, new_spans)
            spans += new_spans
        return spans

    def _find_encoded(self, text: str, depth: int) -> Iterator[Span]:
        """Find encoded runs whose decoded text contains a value; the span is the whole run.

        All decoded texts are searched as one, because a hostile event may have a hundred thousand.
        """
        runs = list(encoded_runs(text)) if depth <= MAX_ENCODINGS else []
        if not runs:
            return
        parts = [normalise(decoded) + _BOUNDARY for _, _, decoded in runs]
        offsets = [0, *accumulate(map(len, parts))]
        for span in self.find("".join(parts), depth):
            start, end, _ = runs[bisect_right(offsets, span.start) - 1]
            yield Span(start, end, span.kind)


_FINDERS_OF_SECRETS: tuple[Finder, ...] = (
    find_credentials, find_logins, find_links, find_arguments, find_assignments, find_in_prose,
    find_in_tables, find_broken,
)  # fmt: skip

_FINDERS_IN_LINES: tuple[Finder, ...] = (find_in_tables, find_logins, find_arguments)


def find_secrets(text: str, depth: int = 0) -> Iterator[Span]:
    """Run all detectors of secrets over the same text.

    A password in a field may contain what ends the password of a URL, and the other way round. So
    neither may see what the other has left. A text that holds JSON as a text is searched once more
    with its escapes resolved, because lines and quotes in it are only visible then.
    """
    for finder in _FINDERS_OF_SECRETS:
        yield from finder(text)
    if depth < MAX_ENCODINGS and _JSON_ESCAPE.search(text):
        unescaped = Spliced(text, _JSON_ESCAPE, _unescaped)
        yield from map(unescaped.back, find_secrets(unescaped.text, depth + 1))
        strings = Spliced(text, _END_OF_STRING, _unescaped)
        for finder in _FINDERS_IN_LINES:
            yield from map(strings.back, finder(strings.text))


def _unescaped(match: re.Match[str]) -> str:
    return _WHITESPACE_ESCAPES.get(match[1], match[1])


def mask(text: str, spans: Sequence[Span]) -> str:
    """Return the text with every character of the spans replaced by NUL."""
    pieces, done = [], 0
    for span in sorted(spans):
        pieces += [text[done : span.start], "\x00" * (span.end - max(span.start, done))]
        done = max(done, span.end)
    return "".join([*pieces, text[done:]])


def merge_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Sort the spans and merge those that overlap, so that no part of a value is left.

    A merged span is a secret if one of its parts is a secret. Otherwise it has the kind of the
    first part that has one.
    """
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        last = merged[-1] if merged else None
        if last and span.start < last.end:
            merged[-1] = Span(last.start, max(last.end, span.end), _merged_kind(last, span))
        else:
            merged.append(span)
    return merged


def _merged_kind(first: Span, second: Span) -> ValueKind | None:
    if "secret" in {first.kind, second.kind}:
        return "secret"
    return first.kind or second.kind
