"""Finds texts that are nearly alike without comparing each with each.

Texts are cut into short pieces. How alike two texts are is the share of their common pieces (the
Jaccard index). MinHash (Broder, 1997) with locality-sensitive hashing names the texts that are
worth comparing: they have a band of hashes in common.
"""

import re
import zlib

import numpy as np

SHINGLE_CHARS = 5

_VARIABLE = re.compile(r"[\d@]|://")
_NOT_WORD = re.compile(r"[\W_]+")
_HALF = np.uint64(32)


def masked(text: str) -> str:
    """The words of a text in small letters, without what differs from event to event."""
    words = (word for word in text.lower().split() if not _VARIABLE.search(word))
    return " ".join(_NOT_WORD.sub(" ", " ".join(words)).split())


def shingles(text: str) -> frozenset[int]:
    """The pieces of a masked text: a hash of each `SHINGLE_CHARS` bytes in a row."""
    data = f" {text} ".encode("utf-8", "replace")
    count = max(1, len(data) - SHINGLE_CHARS + 1)
    return frozenset(zlib.crc32(data[at : at + SHINGLE_CHARS]) for at in range(count))


def likeness(some: frozenset[int], others: frozenset[int]) -> float:
    """The share of common pieces, in [0, 1]."""
    return len(some & others) / max(1, len(some | others))


class Bands:
    """Makes the bands of a text: `count` of them, each of so many `rows`.

    Two texts with the likeness j have a band in common with the probability
    1 - (1 - j ** rows) ** count. The same text always has the same bands.
    """

    def __init__(self, count: int, rows: int) -> None:
        self._shape = (count, rows)
        generator = np.random.default_rng(1997)
        size = (2, count * rows, 1)
        self._factors, self._terms = generator.integers(
            0, (1 << 64) - 1, size=size, dtype=np.uint64, endpoint=True
        )
        self._factors |= np.uint64(1)

    def of(self, pieces: frozenset[int]) -> list[tuple[int, ...]]:
        """The smallest hash of the pieces under each of many hash functions, in numbered bands."""
        hashes = np.fromiter(pieces, np.uint64, len(pieces))
        # Multiply and shift (Dietzfelbinger et al., 1997). Without the overflow, every function
        # would put the pieces into the same order, and all of them would be one.
        every = (hashes[None, :] * self._factors + self._terms) >> _HALF
        bands = every.min(axis=1).reshape(self._shape).tolist()
        return [(number, *band) for number, band in enumerate(bands)]
