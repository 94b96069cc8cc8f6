"""Rows that are nearly alike: the same text with another number, name of a file, or word.

Near-duplicates must be on one side of every division of the rows. Otherwise a model is measured on
what it has learnt by heart.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from inference.labelled import LabelledRow
from inference.minhash import Bands, likeness, masked, shingles
from inference.model.input_text import render

MAX_CHARS = 2_000
"""How much of a text is compared."""
MIN_LIKENESS = 0.7
"""Two texts are near-duplicates from this share of common pieces on (the Jaccard index)."""
BANDS = Bands(16, 4)
MIN_FAMILY_ROWS = 10
"""So many rows of a cluster may be most of a label; fewer say nothing about it."""
MAX_COMPARED = 50
"""With how many texts that came before a text is compared at most."""


def with_clusters(rows: Sequence[LabelledRow]) -> list[LabelledRow]:
    """The rows, each with the cluster that it has already, or that of its near-duplicates.

    Near-duplicates that make up most of a label are only together if their texts are equal: see
    `_families`. The same rows have the same clusters in any order.
    """
    texts = [render(row.event)[:MAX_CHARS] for row in rows]
    words = [masked(text) for text in texts]
    clusters = clusters_of([each for row, each in zip(rows, words, strict=True) if not row.cluster])
    clusters |= {"": ""}
    named = [
        replace(row, cluster=row.cluster or clusters[each] or row.event.id)
        for row, each in zip(rows, words, strict=True)
    ]
    families = _families(named)
    return [
        replace(row, cluster=f"{row.cluster} {_name(text)}")
        if row.cluster in families and not before.cluster
        else row
        for before, row, text in zip(rows, named, texts, strict=True)
    ]


def _families(rows: Sequence[LabelledRow]) -> frozenset[str]:
    """The clusters that hold most rows of one of their labels.

    A system writes such a label's events, always with the same words, and a new event of the label
    is such a one again. A model that has seen none of them says nothing about that.
    """
    places = [
        (row.cluster, (row.domain, axis, label))
        for row in rows
        for axis, gold in row.gold.items()
        for label in gold
    ]
    of_label = Counter(place for _, place in places)
    return frozenset(
        cluster
        for (cluster, place), count in Counter(places).items()
        if count >= MIN_FAMILY_ROWS and 2 * count > of_label[place]
    )


def clusters_of(texts: Sequence[str]) -> dict[str, str]:
    """The cluster of each of these masked texts.

    Texts are compared by MinHash (Broder, 1997) with locality-sensitive hashing: of all texts, only
    those that have a band of hashes in common. A text joins the first cluster whose first text it
    is like. So a cluster is no chain of texts of which each is only like the next.
    """
    # By their hash: neither the order of the rows nor the alphabet decides what comes first.
    distinct = sorted(set(texts), key=_name)
    firsts: dict[tuple[int, ...], list[int]] = {}
    known: dict[int, frozenset[int]] = {}
    clusters: dict[str, str] = {}
    for number, text in enumerate(distinct):
        pieces = shingles(text)
        bands = BANDS.of(pieces)
        candidates = dict.fromkeys(first for band in bands for first in firsts.get(band, ()))
        for first in list(candidates)[:MAX_COMPARED]:
            if likeness(pieces, known[first]) >= MIN_LIKENESS:
                clusters[text] = clusters[distinct[first]]
                break
        else:
            clusters[text] = _name(text)
            known[number] = pieces
            for band in bands:
                firsts.setdefault(band, []).append(number)
    return clusters


def _name(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
