"""What an event says letter by letter: hashed n-grams of its words and fields, for linear heads beside the encoder's.

Alerts are full of exact tokens (``lsass.exe``, ``4625``, ``AssumeRole``) that a subword encoder blurs. The features are
the usual ones of text classification (word one- and two-grams, character three- to five-grams within words, sublinear
counts weighted by inverse document frequency), hashed into a fixed number of buckets (Weinberger et al., 2009,
"Feature Hashing for Large Scale Multitask Learning"), so that the table of any vocabulary has one size.

An event with a document is read three times: its text; its document, where a word counts at its path; and the whole,
in which a word is the same wherever it stands. A vendor never seen has fields nobody knows, but the words in them are
those that texts of others use.
"""

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inference.arrays import Floats
from inference.errors import ModelError
from inference.model.input_text import leaves, plain_text
from schemas.event import Event

Hashes = npt.NDArray[np.uint64]

TEXT_BUCKETS, FIELD_BUCKETS = 1 << 16, 1 << 14
WHOLE = TEXT_BUCKETS + FIELD_BUCKETS
"""The first bucket of the whole; it has as many as the text."""
BUCKETS = WHOLE + TEXT_BUCKETS

CHAR_NGRAMS = (3, 4, 5)
MAX_WORDS, MAX_WORD_CHARS = 600, 40
MAX_LEAVES, MAX_LEAF_WORDS = 256, 12

_WORD = re.compile(r"[a-z0-9_]+")
# What a SIEM adds about the record (Panther's ``p_…``), but for whose log it is.
_ADDED = re.compile(r"(?:^|\.)p_(?!log_type$)")
# Where a name of several words is parted: ``eventName``, ``event_name``.
_SEAM = re.compile(r"(?<=[a-z])(?=[A-Z])|_")
_SPACE = ord(" ")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_PRIME = np.uint64(1_099_511_628_211)

# Kinds of feature never share a bucket by being spelt alike.
_TEXT_WORD, _TEXT_PAIR, _TEXT_CHARS, _PATH, _VALUE, _PLACED = (
    np.uint64(kind) for kind in range(1, 7)
)


@dataclass(frozen=True, slots=True)
class Features:
    """An event's buckets, ascending, and their weights; each reading has length one if it says anything."""

    buckets: npt.NDArray[np.int64]
    values: Floats


@dataclass(frozen=True, slots=True)
class NgramHead:
    """What the lexical heads of one domain know.

    `idf` has shape (BUCKETS,), or (TEXT_BUCKETS,) in a domain that was taught by no document and reads none; `weights`
    int8 of shape (len(idf), columns) with one `scales` a column, `bias` one a column. `columns` says which belong to
    which axis; an axis without any is decided by the encoder alone.
    """

    idf: npt.NDArray[np.float32]
    weights: npt.NDArray[np.int8]
    scales: Floats
    bias: Floats
    columns: Mapping[str, slice]

    @classmethod
    def load(
        cls,
        tensors: Mapping[str, npt.NDArray[Any]],
        domain: str,
        labels: Mapping[str, Sequence[str]],
    ) -> Self:
        """The lexicon of a domain from a model's tensors; `labels` are those of the axes that have columns, in order.

        Raises:
            KeyError: an array is missing.
            ModelError: an array does not have the shape the labels ask for.
        """
        idf, weights = tensors[f"{domain}.lexical.idf"], tensors[f"{domain}.lexical.weights"]
        scales, bias = tensors[f"{domain}.lexical.scales"], tensors[f"{domain}.lexical.bias"]
        width = sum(len(names) for names in labels.values())
        shaped = idf.shape in {(TEXT_BUCKETS,), (BUCKETS,)} and weights.shape == (*idf.shape, width)
        if not (shaped and len(scales) == len(bias) == width):
            raise ModelError(
                f"the lexical heads of {domain} do not have the manifest's shape; train the model again"
            )
        return cls(
            idf, weights, scales.astype(np.float64), bias.astype(np.float64), columns_of(labels)
        )

    def read(self, event: Event) -> Features:
        """The features of one event; any event, in time proportional to what is read of it."""
        text = _ngrams(_words(plain_text(event))[:MAX_WORDS])
        readings = [self._weighed(text, 0, TEXT_BUCKETS)]
        if event.event and len(self.idf) > TEXT_BUCKETS:
            told = list(_told(event.event))
            readings.append(self._weighed(_fields(told), TEXT_BUCKETS, FIELD_BUCKETS))
            whole = np.concatenate([text, _ngrams(_document_words(told))])
            readings.append(self._weighed(whole, WHOLE, TEXT_BUCKETS))
        buckets, values = zip(*readings, strict=True)
        return Features(np.concatenate(buckets), np.concatenate(values))

    def _weighed(
        self, hashes: Hashes, first: int, count: int
    ) -> tuple[npt.NDArray[np.int64], Floats]:
        """The buckets of one reading, and the weight of each: its sublinear count by its rarity, of length one."""
        buckets, counts = _counted(hashes, count)
        buckets += first
        return buckets, _unit(counts * self.idf[buckets])

    def logits(self, features: Features) -> Floats:
        """Scores of one event, shape (columns,); like the heads', they depend on nothing but the event."""
        rows = self.weights[features.buckets].astype(np.float32)
        scores = np.einsum("fc,f->c", rows, features.values.astype(np.float32))
        return np.asarray(scores * self.scales + self.bias, dtype=np.float64)


def columns_of(labels: Mapping[str, Sized]) -> dict[str, slice]:
    """Which columns belong to which axis: one for each of its labels, the axes one after the other."""
    ends = np.cumsum([0, *(len(names) for names in labels.values())]).tolist()
    return {axis: slice(*ends[i : i + 2]) for i, axis in enumerate(labels)}


def _told(document: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The path of every leaf, and the first words of what it says if that may be read."""
    for path, value in islice(leaves(document), MAX_LEAVES):
        if not _ADDED.search(path):
            yield path, _words(value[: MAX_LEAF_WORDS * MAX_WORD_CHARS])[:MAX_LEAF_WORDS]


def _document_words(told: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """The document as if it were text."""
    words: list[str] = []
    for path, values in told:
        words += [*_words(_SEAM.sub(" ", path))[:MAX_LEAF_WORDS], *values]
    return words[:MAX_WORDS]


def _ngrams(words: Sequence[str]) -> Hashes:
    """One 64-bit hash for each n-gram that occurs in these words."""
    if not words:
        return np.zeros(0, np.uint64)
    single = _hash_words(words)
    pairs = _mix(single[:-1] * _PRIME + single[1:], _TEXT_PAIR)
    return np.concatenate([_mix(single, _TEXT_WORD), pairs, _char_ngrams(words)])


def _fields(told: Sequence[tuple[str, Sequence[str]]]) -> Hashes:
    """One hash for each path, each word of a value, and each such word at its path."""
    paths = [path.lower() for path, _ in told]
    values = [word for _, words in told for word in words]
    placed = [f"{path.lower()}={word}" for path, words in told for word in words]
    return np.concatenate([
        _mix(_hash_words(paths), _PATH), _mix(_hash_words(values), _VALUE), _mix(_hash_words(placed), _PLACED)
    ])  # fmt: skip


def _counted(hashes: Hashes, buckets: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The buckets that occur, ascending, and for each 1 + ln(how often)."""
    found, counts = np.unique(hashes & np.uint64(buckets - 1), return_counts=True)
    return found.astype(np.int64), 1.0 + np.log(counts)


def _words(text: str) -> list[str]:
    return [word[:MAX_WORD_CHARS] for word in _WORD.findall(text.lower())]


def _hash_words(words: Sequence[str]) -> Hashes:
    return np.fromiter(
        (zlib.crc32(word.encode("utf-8", "replace")) for word in words), np.uint64, len(words)
    )


def _char_ngrams(words: Sequence[str]) -> Hashes:
    spelt = np.frombuffer((" " + " ".join(words) + " ").encode(), np.uint8)
    gap = spelt == _SPACE
    found = []
    for size in CHAR_NGRAMS:
        count = len(spelt) - size + 1
        if count <= 0:
            continue
        hashed = np.zeros(count, np.uint64)
        crosses = np.zeros(count, np.bool_)
        for offset in range(size):
            hashed = hashed * _PRIME + spelt[offset : offset + count]
            if 0 < offset < size - 1:
                crosses |= gap[offset : offset + count]
        found.append(_mix(hashed[~crosses] + np.uint64(size), _TEXT_CHARS))
    return np.concatenate(found)


def _mix(hashes: Hashes, kind: np.uint64) -> Hashes:
    """Spread over all 64 bits: the low ones choose the bucket."""
    spread = (hashes + kind * _PRIME) * _MULTIPLIER
    spread ^= spread >> np.uint64(29)
    spread = spread * _MULTIPLIER
    return np.asarray(spread ^ (spread >> np.uint64(32)), dtype=np.uint64)


def _unit(values: Floats) -> Floats:
    length = float(np.sqrt(np.einsum("f,f->", values, values)))
    return values / length if length else values
