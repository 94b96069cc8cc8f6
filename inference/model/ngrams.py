"""The n-gram head: linear heads on the exact words of an event, beside the encoder's heads.

Alerts are full of exact tokens (``lsass.exe``, ``4625``, ``AssumeRole``) that a subword encoder
blurs. The features are usual in text classification: one and two words, and three to five
characters within a word. Each feature has the logarithm of its count, weighted by its inverse
document frequency. The features are hashed into a fixed number of buckets, so the table has the
same size for any vocabulary (Weinberger et al., 2009, "Feature Hashing for Large Scale Multitask
Learning").

An event with a document gives three groups of features, each in its own range of buckets:

- the text;
- the document, where a word counts separately at each path;
- text and document together, where a word is the same feature everywhere. The fields of an
  unknown vendor are unknown, but the words in them occur in the texts of other vendors.
"""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from inference.arrays import Floats
from inference.errors import ModelError
from inference.model.input_text import EventContent, Leaf, read_content
from schemas.event import Event

Hashes = npt.NDArray[np.uint64]
Buckets = npt.NDArray[np.int64]
PathWords = tuple[str, list[str]]
"""The path of a leaf, and the words of its text."""

TEXT_BUCKETS, FIELD_BUCKETS = 1 << 16, 1 << 14
WHOLE = TEXT_BUCKETS + FIELD_BUCKETS
"""The first bucket for text and document together, which have as many buckets as the text."""
BUCKETS = WHOLE + TEXT_BUCKETS

CHAR_NGRAMS = (3, 4, 5)
MAX_WORDS, MAX_WORD_CHARS = 600, 40
MAX_LEAVES, MAX_LEAF_WORDS = 256, 12

_WORD = re.compile(r"[a-z0-9_]+")
# Fields that a SIEM adds to a record (Panther's ``p_…``). ``p_log_type`` is kept, because it names
# the system that wrote the record.
_ADDED_BY_SIEM = re.compile(r"(?:^|\.)p_(?!log_type$)")
# Where the words of a name meet: ``event|Name``, ``event_name``.
_WORD_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])|_")
_SPACE = ord(" ")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_PRIME = np.uint64(1_099_511_628_211)

# Each kind of feature is hashed with its own number. Features of two kinds that are spelt alike
# then have different hashes.
_TEXT_WORD, _TEXT_PAIR, _TEXT_CHARS, _PATH, _VALUE, _VALUE_AT_PATH = (
    np.uint64(kind) for kind in range(1, 7)
)


@dataclass(frozen=True, slots=True)
class Features:
    """The features of one event: its buckets in ascending order, and the weight of each.

    The weights of each group of features have length one, or the group is empty.
    """

    buckets: Buckets
    values: Floats


class Word(NamedTuple):
    """A word of an event; of a document with the `path` of its field, if the feature knows it."""

    text: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureSources:
    """What the features of one group are made of, one item per occurrence of a feature.

    `buckets` (n,) are the buckets, and `owners` (n, 2) the indices of the `words` that each is made
    of: twice the same one, except for a pair of words.
    """

    buckets: Buckets
    owners: Buckets
    words: Sequence[Word]


@dataclass(frozen=True, slots=True)
class NgramHead:
    """The n-gram head of one domain.

    `idf` has shape (BUCKETS,). It has shape (TEXT_BUCKETS,) in a domain that was trained without
    documents; documents are then not read, but the fields that a mapping chose are read as text.
    `weights` is int8 of shape (len(idf), columns). `scales` and `bias` have shape (columns,).
    `columns` maps an axis to its columns. An axis without columns is decided by the encoder alone.
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
        """The n-gram head of a domain from the arrays of a model.

        `labels` are those of the axes that have columns, in the order of the columns.

        Raises:
            KeyError: An array is missing.
            ModelError: An array does not have the shape that the labels require.
        """
        idf, weights = tensors[f"{domain}.lexical.idf"], tensors[f"{domain}.lexical.weights"]
        scales, bias = tensors[f"{domain}.lexical.scales"], tensors[f"{domain}.lexical.bias"]
        columns = sum(len(names) for names in labels.values())
        has_table = idf.shape in {(TEXT_BUCKETS,), (BUCKETS,)}
        has_table = has_table and weights.shape == (*idf.shape, columns)
        if not has_table or not len(scales) == len(bias) == columns:
            raise ModelError(
                f"the n-gram head of {domain} does not have the manifest's shape; train the model "
                "again"
            )
        return cls(
            idf, weights, scales.astype(np.float64), bias.astype(np.float64), columns_of(labels)
        )

    def features(self, content: EventContent) -> Features:
        """The features of any event. The work is bounded, however large the event is."""
        reads_documents = len(self.idf) > TEXT_BUCKETS
        words = _words(content.plain_text)
        if not reads_documents:
            words += [word for _, value in content.key_fields for word in _words(value)]
        text = _text_hashes(words[:MAX_WORDS])
        groups = [self._weighted(text, 0, TEXT_BUCKETS)]
        if content.has_document and reads_documents:
            leaves = list(_path_words([*content.key_fields, *content.leaves]))
            groups.append(self._weighted(_field_hashes(leaves), TEXT_BUCKETS, FIELD_BUCKETS))
            together = np.concatenate([text, _text_hashes(_document_words(leaves))])
            groups.append(self._weighted(together, WHOLE, TEXT_BUCKETS))
        buckets, values = zip(*groups, strict=True)
        return Features(np.concatenate(buckets), np.concatenate(values))

    def read(self, event: Event) -> Features:
        """The features of an event whose content is read for them alone."""
        return self.features(read_content(event))

    def sources(self, content: EventContent) -> list[FeatureSources]:
        """For each group of `features`, in the same order: which words each feature is made of.

        `features` counts the hashes and forgets the words, because it is on the way of every event.
        This is for one event at a time, to explain its logits.
        """
        reads_documents = len(self.idf) > TEXT_BUCKETS
        words = _words(content.plain_text)
        if not reads_documents:
            words += [word for _, value in content.key_fields for word in _words(value)]
        words = words[:MAX_WORDS]
        text = _text_hashes(words), _text_owners(words)
        groups = [_sources(*text, [Word(word) for word in words], 0, TEXT_BUCKETS)]
        if content.has_document and reads_documents:
            leaves = list(_path_words([*content.key_fields, *content.leaves]))
            fields, owners = _field_words(leaves)
            hashes = _field_hashes(leaves)
            groups.append(_sources(hashes, owners, fields, TEXT_BUCKETS, FIELD_BUCKETS))
            of_document = _document_words(leaves)
            both = np.concatenate([text[0], _text_hashes(of_document)])
            together = np.concatenate([text[1], _text_owners(of_document) + len(words)])
            named = [Word(word) for word in [*words, *of_document]]
            groups.append(_sources(both, together, named, WHOLE, TEXT_BUCKETS))
        return groups

    def logits(self, features: Features) -> Floats:
        """The logits of one event, shape (columns,). They depend on the event alone."""
        rows = self.weights[features.buckets].astype(np.float32)
        scores = np.einsum("fc,f->c", rows, features.values.astype(np.float32))
        return np.asarray(scores * self.scales + self.bias, dtype=np.float64)

    def _weighted(self, hashes: Hashes, first: int, count: int) -> tuple[Buckets, Floats]:
        """The buckets of one group, from bucket `first` on, and the weight of each."""
        buckets, log_counts = _counted(hashes, count)
        buckets += first
        return buckets, _unit(log_counts * self.idf[buckets])


def text_buckets(text: str, bucket_count: int) -> tuple[Buckets, Floats]:
    """The buckets of the n-grams of a text, and 1 + ln(count) of each; the work is bounded.

    `bucket_count` is a power of two.
    """
    return _counted(_text_hashes(_words(text)[:MAX_WORDS]), bucket_count)


def columns_of(labels: Mapping[str, Sized]) -> dict[str, slice]:
    """The columns of each axis: one column per label, axis after axis."""
    ends = np.cumsum([0, *(len(names) for names in labels.values())]).tolist()
    return {axis: slice(*ends[i : i + 2]) for i, axis in enumerate(labels)}


def _path_words(leaves: Iterable[Leaf]) -> Iterator[PathWords]:
    """The path of each leaf, and the first words of its text."""
    for path, value in islice(leaves, MAX_LEAVES):
        if not _ADDED_BY_SIEM.search(path):
            yield path, _words(value[: MAX_LEAF_WORDS * MAX_WORD_CHARS])[:MAX_LEAF_WORDS]


def _document_words(leaves: Sequence[PathWords]) -> list[str]:
    """The words of a document as if it were text: of each path, then of the text at the path."""
    words: list[str] = []
    for path, values in leaves:
        words += [*_words(_WORD_BOUNDARY.sub(" ", path))[:MAX_LEAF_WORDS], *values]
    return words[:MAX_WORDS]


def _text_hashes(words: Sequence[str]) -> Hashes:
    """One 64-bit hash for each n-gram of these words."""
    if not words:
        return np.zeros(0, np.uint64)
    single = _hash_words(words)
    pairs = _mix(single[:-1] * _PRIME + single[1:], _TEXT_PAIR)
    return np.concatenate([_mix(single, _TEXT_WORD), pairs, _char_hashes(words)])


def _text_owners(words: Sequence[str]) -> Buckets:
    """For each hash of `_text_hashes`, the indices of its words; shape (n, 2)."""
    if not words:
        return np.zeros((0, 2), np.int64)
    single = np.arange(len(words))
    pairs = np.stack([single[:-1], single[1:]], axis=1)
    return np.concatenate([np.stack([single, single], axis=1), pairs, _char_owners(words)])


def _char_owners(words: Sequence[str]) -> Buckets:
    """For each hash of `_char_hashes`, the index of its word, twice."""
    is_space, windows = _char_windows(words)
    # A run that begins with the space before a word belongs to that word.
    word_at = np.cumsum(is_space) - 1
    owners = [word_at[: len(crosses)][~crosses] for _, crosses in windows]
    joined = np.concatenate([np.zeros(0, np.int64), *owners])
    return np.stack([joined, joined], axis=1)


def _field_words(leaves: Sequence[PathWords]) -> tuple[list[Word], Buckets]:
    """The words of `_field_hashes`, and for each hash the index of its word, twice."""
    paths = [Word(path, path) for path, _ in leaves]
    values = [Word(word, path) for path, words in leaves for word in words]
    # A word is hashed alone, and then once more with its path.
    of_values = np.arange(len(paths), len(paths) + len(values))
    owners = np.concatenate([np.arange(len(paths)), of_values, of_values])
    return [*paths, *values], np.stack([owners, owners], axis=1)


def _sources(
    hashes: Hashes, owners: Buckets, words: Sequence[Word], first: int, count: int
) -> FeatureSources:
    buckets = (hashes & np.uint64(count - 1)).astype(np.int64) + first
    return FeatureSources(buckets, owners, words)


def _field_hashes(leaves: Sequence[PathWords]) -> Hashes:
    """One hash for each path, for each word of a text, and for each such word at its path."""
    paths = [path.lower() for path, _ in leaves]
    values = [word for _, words in leaves for word in words]
    values_at_path = [f"{path.lower()}={word}" for path, words in leaves for word in words]
    return np.concatenate([
        _mix(_hash_words(paths), _PATH),
        _mix(_hash_words(values), _VALUE),
        _mix(_hash_words(values_at_path), _VALUE_AT_PATH),
    ])  # fmt: skip


def _counted(hashes: Hashes, bucket_count: int) -> tuple[Buckets, Floats]:
    """The buckets that occur, in ascending order, and 1 + ln(count) of each."""
    buckets, counts = np.unique(hashes & np.uint64(bucket_count - 1), return_counts=True)
    return buckets.astype(np.int64), 1.0 + np.log(counts)


def _words(text: str) -> list[str]:
    return [word[:MAX_WORD_CHARS] for word in _WORD.findall(text.lower())]


def _hash_words(words: Sequence[str]) -> Hashes:
    return np.fromiter(
        (zlib.crc32(word.encode("utf-8", "replace")) for word in words), np.uint64, len(words)
    )


def _char_hashes(words: Sequence[str]) -> Hashes:
    """One hash for each run of 3 to 5 characters that has no space between its ends."""
    chars = _joined(words)
    hashes = []
    for size, crosses_words in _char_windows(words)[1]:
        count = len(crosses_words)
        hashed = np.zeros(count, np.uint64)
        for offset in range(size):
            hashed = hashed * _PRIME + chars[offset : offset + count]
        hashes.append(_mix(hashed[~crosses_words] + np.uint64(size), _TEXT_CHARS))
    return np.concatenate(hashes)


def _joined(words: Sequence[str]) -> npt.NDArray[np.uint8]:
    """The words as bytes, with a space around each."""
    return np.frombuffer((" " + " ".join(words) + " ").encode(), np.uint8)


def _char_windows(
    words: Sequence[str],
) -> tuple[npt.NDArray[np.bool_], list[tuple[int, npt.NDArray[np.bool_]]]]:
    """Where the spaces are; and for each size of run, which of the runs lie in several words."""
    is_space = _joined(words) == _SPACE
    windows = []
    for size in CHAR_NGRAMS:
        count = len(is_space) - size + 1
        if count <= 0:
            continue
        crosses_words = np.zeros(count, np.bool_)
        for offset in range(1, size - 1):
            crosses_words |= is_space[offset : offset + count]
        windows.append((size, crosses_words))
    return is_space, windows


def _mix(hashes: Hashes, kind: np.uint64) -> Hashes:
    """Spread hashes of one kind over all 64 bits. The low bits choose the bucket."""
    spread = (hashes + kind * _PRIME) * _MULTIPLIER
    spread ^= spread >> np.uint64(29)
    spread = spread * _MULTIPLIER
    return np.asarray(spread ^ (spread >> np.uint64(32)), dtype=np.uint64)


def _unit(values: Floats) -> Floats:
    length = float(np.sqrt(np.einsum("f,f->", values, values)))
    if not length:
        return values
    return values / length
