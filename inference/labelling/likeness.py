"""How alike texts are, by their n-grams: deterministic, and without a model.

The features are those of the n-gram head, with TF-IDF weights over the texts that are compared.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.arrays import Floats
from inference.model.ngrams import Buckets, text_buckets

BUCKETS = 1 << 14
MAX_CHARS = 2_000
"""How much of a text is read."""
MAX_ROWS, MAX_ROWS_OF_LABEL, MIN_ROWS_OF_LABEL = 10_000, 100, 5
MIN_CONFUSED_ROWS = 3
MIN_CONFUSED_SHARE = 0.3
"""From this share on, two labels are told apart badly by their rows.

No pair of the labels of CLINC, Banking77 and the alerts reaches 0.27. Ten intents that were divided
into two labels at random reach 0.32 to 0.56.
"""
MIN_COSINE = 0.85
"""From this cosine on, two descriptions are told apart badly.

Two that differ in the one word that matters, "by card" and "by bank transfer", may reach 0.8.
"""


@dataclass(frozen=True, slots=True)
class AlikeLabels:
    """Two labels that are told apart badly, and how badly, from 0 to 1.

    `rows` are the rows of both labels that were compared, and `confused` those of them that read
    like rows of the other label. Both are 0 for descriptions.
    """

    label: str
    other: str
    likeness: float
    rows: int = 0
    confused: int = 0


class TextVectors:
    """The TF-IDF vectors of texts, each of length one, or zero for a text without a word."""

    def __init__(self, texts: Sequence[str]) -> None:
        counted = [text_buckets(text[:MAX_CHARS], BUCKETS) for text in texts]
        found_in = np.zeros(BUCKETS)
        for buckets, _ in counted:
            found_in[buckets] += 1
        idf = np.log((1 + len(texts)) / (1 + found_in)) + 1
        self.vectors: list[tuple[Buckets, Floats]] = [
            (buckets, _unit(log_counts * idf[buckets])) for buckets, log_counts in counted
        ]

    def sums(self, groups: Sequence[int], group_count: int) -> Floats:
        """The sum of the vectors of each group, of shape (BUCKETS, groups)."""
        sums = np.zeros((BUCKETS, group_count))
        for group, (buckets, values) in zip(groups, self.vectors, strict=True):
            sums[buckets, group] += values
        return sums


def alike_descriptions(descriptions: Sequence[tuple[str, str]]) -> list[AlikeLabels]:
    """The pairs of (label, description) whose descriptions have a cosine of `MIN_COSINE` or more.

    The most alike come first.
    """
    vectors = TextVectors([text for _, text in descriptions])
    columns = vectors.sums(range(len(descriptions)), len(descriptions))
    alike = []
    for index, (buckets, values) in enumerate(vectors.vectors):
        cosines = values @ columns[buckets]
        for other in range(index + 1, len(descriptions)):
            if cosines[other] >= MIN_COSINE:
                names = descriptions[index][0], descriptions[other][0]
                alike.append(AlikeLabels(*names, likeness=round(float(cosines[other]), 3)))
    return sorted(alike, key=_most_alike)


def alike_rows(rows: Sequence[tuple[str, str]]) -> list[AlikeLabels]:
    """The labels of (label, text) whose rows read like rows of each other, the most alike first.

    A row reads like the label whose other rows it is nearest to: cosine with the sum of their
    vectors, of which the row itself is no part. Of each label so many rows are compared that the
    work is bounded.
    """
    labels = sorted({label for label, _ in rows})
    if len(labels) < 2:  # noqa: PLR2004 - a pair
        return []
    compared = _compared_rows(rows, len(labels))
    numbers = {label: number for number, label in enumerate(labels)}
    groups = [numbers[label] for label, _ in compared]
    vectors = TextVectors([text for _, text in compared])
    nearest = _nearest(vectors, groups, len(labels))
    sizes = Counter(groups)
    confused = Counter(
        (min(pair), max(pair)) for pair in zip(groups, nearest, strict=True) if pair[0] != pair[1]
    )
    alike = []
    for (first, second), count in confused.items():
        total = sizes[first] + sizes[second]
        if count >= MIN_CONFUSED_ROWS and count / total >= MIN_CONFUSED_SHARE:
            share = round(count / total, 3)
            alike.append(AlikeLabels(labels[first], labels[second], share, total, count))
    return sorted(alike, key=_most_alike)


def _nearest(vectors: TextVectors, groups: Sequence[int], group_count: int) -> list[int]:
    """The group whose other rows each row is nearest to; its own if it has no word."""
    sums = vectors.sums(groups, group_count)
    squared = np.einsum("bg,bg->g", sums, sums)
    nearest = []
    for group, (buckets, values) in zip(groups, vectors.vectors, strict=True):
        dots, lengths = values @ sums[buckets], squared.copy()
        if not len(buckets):
            nearest.append(group)
            continue
        # The sum of the row's own group without the row, whose length is one.
        lengths[group] += 1 - 2 * dots[group]
        dots[group] -= 1
        cosines = dots / np.sqrt(np.maximum(lengths, 1e-12))
        best = int(np.argmax(cosines))
        # Of two groups that are equally near, its own is taken.
        nearest.append(group if cosines[group] >= cosines[best] else best)
    return nearest


def _compared_rows(rows: Sequence[tuple[str, str]], labels: int) -> list[tuple[str, str]]:
    """At most so many rows of each label, evenly from the whole of its rows."""
    most = max(MIN_ROWS_OF_LABEL, min(MAX_ROWS_OF_LABEL, MAX_ROWS // labels))
    by_label: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        by_label.setdefault(row[0], []).append(row)
    compared: list[tuple[str, str]] = []
    for of_label in by_label.values():
        step = max(1, -(-len(of_label) // most))
        compared += of_label[::step]
    return compared


def _most_alike(alike: AlikeLabels) -> tuple[float, str, str]:
    return -alike.likeness, alike.label, alike.other


def _unit(values: Floats) -> Floats:
    length = float(np.sqrt(values @ values))
    return values / length if length else values
