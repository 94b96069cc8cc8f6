"""Rows as another system might have sent them, and the batches they are taught in.

They lose their document, their body or their words at random, so that no axis hangs on the one part by which a vendor
can be told.
"""

import random
from collections.abc import Iterator, Sequence

import msgspec

from inference.model.input_text import render
from schemas.event import Event

# How often a row is read without its document, with its first line only, or by its document alone.
WITHOUT_DOCUMENT, HEADLINE_ONLY, DOCUMENT_ONLY = 0.25, 0.20, 0.08
BUCKET_BATCHES = 32
"""Batches whose rows are sorted by length together: little padding, and still a different mix every epoch."""


def variant(event: Event, rng: random.Random) -> Event:
    """The event as another system might have sent it: without its document, or with less text."""
    dice = rng.random()
    headline = (event.text or "").partition("\n")[0]
    if event.event and dice < WITHOUT_DOCUMENT:
        return msgspec.structs.replace(event, event=None)
    if headline and dice < WITHOUT_DOCUMENT + HEADLINE_ONLY:
        return msgspec.structs.replace(event, text=headline)
    if event.event and dice > 1 - DOCUMENT_ONLY:
        alone = msgspec.structs.replace(event, text=None)
        return alone if render(alone) else event
    return event


def worn(ids: Sequence[int], rng: random.Random, unknown: int, share: float) -> list[int]:
    """The ids with a share of the pieces unreadable, never the ones around the text."""
    inner = [unknown if rng.random() < share else one for one in ids[1:-1]]
    return [ids[0], *inner, ids[-1]]


def batches(lengths: Sequence[int], rows: int, rng: random.Random) -> Iterator[list[int]]:
    """Indexes of rows of about the same length, in a different mix every time."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    found = []
    for start in range(0, len(order), rows * BUCKET_BATCHES):
        bucket = sorted(order[start : start + rows * BUCKET_BATCHES], key=lambda i: lengths[i])
        found += [bucket[at : at + rows] for at in range(0, len(bucket), rows)]
    rng.shuffle(found)
    yield from found
