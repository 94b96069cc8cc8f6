"""Random changes to training rows, and the batches they are trained in.

Training drops parts of a row at random: its document, its text except the first line, or single
tokens. The parts of an event can give its vendor away. With the changes, no axis depends on one
such part.
"""

import random
from collections.abc import Iterator, Sequence

import msgspec

from inference.model.input_text import render
from schemas.event import Event

# How often a row loses its document, keeps only the first line of its text, or keeps only its
# document.
WITHOUT_DOCUMENT, HEADLINE_ONLY, DOCUMENT_ONLY = 0.25, 0.20, 0.08
BUCKET_BATCHES = 32
"""How many batches of rows are sorted by length together.

Sorting keeps padding low. The batches still differ from epoch to epoch.
"""


def variant(event: Event, rng: random.Random) -> Event:
    """The event as another system might send it: without its document, or with less text."""
    dice = rng.random()
    headline = (event.text or "").partition("\n")[0]
    if event.event and dice < WITHOUT_DOCUMENT:
        return msgspec.structs.replace(event, event=None)
    if headline and dice < WITHOUT_DOCUMENT + HEADLINE_ONLY:
        return msgspec.structs.replace(event, text=headline)
    if event.event and dice > 1 - DOCUMENT_ONLY:
        document_only = msgspec.structs.replace(event, text=None)
        return document_only if render(document_only) else event
    return event


def worn(ids: Sequence[int], rng: random.Random, unknown: int, share: float) -> list[int]:
    """The token ids with about this share of them replaced by `unknown`.

    The first and the last id stay, because they are the tokens around the text.
    """
    inner = [unknown if rng.random() < share else token for token in ids[1:-1]]
    return [ids[0], *inner, ids[-1]]


def batches(lengths: Sequence[int], rows: int, rng: random.Random) -> Iterator[list[int]]:
    """Batches of at most `rows` row indexes, in random order.

    The rows of a batch have about the same length. Each call makes other batches.
    """
    order = list(range(len(lengths)))
    rng.shuffle(order)
    shuffled = []
    for start in range(0, len(order), rows * BUCKET_BATCHES):
        bucket = sorted(order[start : start + rows * BUCKET_BATCHES], key=lambda i: lengths[i])
        shuffled += [bucket[at : at + rows] for at in range(0, len(bucket), rows)]
    rng.shuffle(shuffled)
    yield from shuffled
