"""All detectors over one text, each seeing only what the ones before it have left."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from inference.egress.detectors.accounts import find_accounts
from inference.egress.detectors.assignments import find_assignments
from inference.egress.detectors.credentials import find_credentials
from inference.egress.detectors.indicators import find_emails, find_ips, find_macs
from inference.egress.detectors.opaque import encoded_runs, find_harmless, find_random
from inference.egress.detectors.personal import (
    PhoneFinder,
    find_announced,
    find_cards,
    find_ibans,
    find_ssns,
)
from inference.egress.kinds import Found, ValueKind
from inference.egress.normalization import PLACEHOLDER, normalise, plain
from inference.egress.options import PHONE_REGIONS

Finder = Callable[[str], Iterable[Found]]

MAX_ENCODINGS = 2
"""How often an encoded run within an encoded run is opened."""

# No detector reads across a NUL, and no normalised text has one.
_WALL = "\n\x00\n"


class Detection:
    """Finds what is of a kind.

    `keep` holds the kinds that may leave, `known` finds values seen elsewhere in the event, `regions` are the ISO 3166
    codes whose national telephone numbers are recognised, `check` is called between detectors and may raise.
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
        self._seen: dict[str, list[Found]] = {}
        self._before: tuple[Finder, ...] = (_find_secrets, find_emails)
        # A secret may have any shape, so it goes first; an announced number before what only looks like one.
        self._after: tuple[Finder, ...] = (
            find_harmless, find_macs, find_ips, find_ibans, find_announced, find_cards, find_ssns, find_accounts,
            PhoneFinder(regions), find_random,
        )  # fmt: skip

    def find(self, text: str, depth: int = 0) -> list[Found]:
        """What must not leave of a normalised text, in order and without overlap; placeholders are passed over."""
        placeholders = [Found(*match.span(), None) for match in PLACEHOLDER.finditer(text)]
        found = self._seen.get(text)
        if found is None:
            found = self._seen[text] = self._scan(mask(plain(text), placeholders), depth)
        else:
            # Of all detectors only this one depends on what has been learned since.
            found = [*found, *self._find_encoded(mask(text, [*found, *placeholders]), depth + 1)]
        leaving = apart(one for one in found if one.kind and one.kind not in self._keep)
        # Known values are looked for in what was allowed too: a user's name within an address that may leave.
        return apart([*leaving, *self._known(mask(text, [*leaving, *placeholders]))])

    def _scan(self, hidden: str, depth: int) -> list[Found]:
        found: list[Found] = []
        for finder in (
            *self._before,
            lambda rest: self._find_encoded(rest, depth + 1),
            *self._after,
        ):
            self._check()
            new = apart(finder(hidden))
            hidden = mask(hidden, new)
            found += new
        return found

    def _find_encoded(self, text: str, depth: int) -> Iterator[Found]:
        """Runs that say something which must not leave: the whole run.

        All of them are read as one text, since a hostile event may have a hundred thousand.
        """
        runs = list(encoded_runs(text)) if depth <= MAX_ENCODINGS else []
        parts = [normalise(decoded) + _WALL for _, _, decoded in runs]
        starts = [0, *accumulate(map(len, parts))]
        for found in self.find("".join(parts), depth) if parts else ():
            start, end, _ = runs[bisect_right(starts, found.start) - 1]
            yield Found(start, end, found.kind)


def _find_secrets(text: str) -> Iterator[Found]:
    """Together: a password may hold what ends a URL's, and a URL's what ends a field's."""
    yield from find_credentials(text)
    yield from find_assignments(text)


def mask(text: str, found: Sequence[Found]) -> str:
    """The text with what was found as NULs."""
    pieces, done = [], 0
    for one in sorted(found):
        pieces += [text[done : one.start], "\x00" * (one.end - max(one.start, done))]
        done = max(done, one.end)
    return "".join([*pieces, text[done:]])


def apart(found: Iterable[Found]) -> list[Found]:
    """In order, overlapping ones as one, so that no end of any stays behind: a secret if one is, else as the first."""
    result: list[Found] = []
    for one in sorted(found, key=lambda each: (each.start, -each.end)):
        if result and one.start < result[-1].end:
            last = result[-1]
            kind = "secret" if "secret" in {last.kind, one.kind} else last.kind or one.kind
            result[-1] = Found(last.start, max(last.end, one.end), kind)
        else:
            result.append(one)
    return result
