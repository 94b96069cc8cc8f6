"""Random changes to training rows: what may be dropped, and that nothing else is lost."""

import random
from collections import Counter

import msgspec
import pytest

from inference.model.input_text import render
from inference.training.augmentation import (
    BUCKET_BATCHES,
    DOCUMENT_ONLY,
    HEADLINE_ONLY,
    WITHOUT_DOCUMENT,
    batches,
    variant,
    worn,
)
from schemas.event import Event

ALERT = Event(
    id="e-1", kind="alert", text="sign-in failed\nfrom a new host", event={"product": "okta"}
)
TIMES = 4_000


def changed(event: Event) -> Counter[str]:
    """How often each change is made to an event."""
    rng = random.Random(1)
    names = {
        msgspec.json.encode(event): "nothing",
        msgspec.json.encode(msgspec.structs.replace(event, event=None)): "without document",
        msgspec.json.encode(msgspec.structs.replace(event, text="sign-in failed")): "headline only",
        msgspec.json.encode(msgspec.structs.replace(event, text=None)): "document only",
    }
    return Counter(names[msgspec.json.encode(variant(event, rng))] for _ in range(TIMES))


def test_each_change_is_made_as_often_as_intended() -> None:
    """The model would read only one part of an event, such as the name of the vendor."""
    counts = changed(ALERT)
    assert counts["without document"] / TIMES == pytest.approx(WITHOUT_DOCUMENT, abs=0.03)
    assert counts["headline only"] / TIMES == pytest.approx(HEADLINE_ONLY, abs=0.03)
    assert counts["document only"] / TIMES == pytest.approx(DOCUMENT_ONLY, abs=0.03)
    assert counts.total() == TIMES


def test_the_only_part_of_an_event_is_kept() -> None:
    """The model would be trained on empty rows."""
    only_text = msgspec.structs.replace(ALERT, event=None)
    only_document = msgspec.structs.replace(ALERT, text=None)
    unreadable_document = msgspec.structs.replace(ALERT, event={"id": "7"})
    rng = random.Random(1)
    for _ in range(500):
        assert render(variant(only_text, rng))
        assert variant(unreadable_document, rng).text
        assert variant(only_document, rng).text is None


def test_tokens_are_replaced_between_the_first_and_the_last() -> None:
    """The tokens around the text would be lost, or another share of the text."""
    ids = [1, *range(10, 2_010), 2]
    ids_worn = worn(ids, random.Random(1), unknown=0, share=0.3)
    assert (ids_worn[0], ids_worn[-1], len(ids_worn)) == (1, 2, len(ids))
    assert ids_worn.count(0) / 2_000 == pytest.approx(0.3, abs=0.04)
    assert all(after in (before, 0) for before, after in zip(ids, ids_worn, strict=True))
    assert worn(ids, random.Random(1), unknown=0, share=0.0) == ids


def test_every_row_is_in_one_batch() -> None:
    """Some rows would never be trained on, or twice as often as others."""
    rng = random.Random(1)
    lengths = [rng.randint(1, 90) for _ in range(1_001)]
    made = list(batches(lengths, 4, rng))
    assert sorted(row for batch in made for row in batch) == list(range(1_001))
    assert max(map(len, made)) == 4
    assert list(batches([], 4, rng)) == []


def test_the_rows_of_a_batch_are_about_equally_long() -> None:
    """Most of the computation would be spent on padding."""
    rng = random.Random(1)
    lengths = [rng.randint(1, 90) for _ in range(4 * BUCKET_BATCHES)]
    spans = [
        max(lengths[row] for row in batch) - min(lengths[row] for row in batch)
        for batch in batches(lengths, 4, rng)
    ]
    assert max(spans) < 15


def test_each_epoch_has_other_batches() -> None:
    """The order of the rows would be learnt, or the last steps be those of long rows only."""
    rng = random.Random(1)
    lengths = list(range(500))
    firsts = [lengths[batch[0]] for batch in batches(lengths[: 4 * BUCKET_BATCHES], 4, rng)]
    assert firsts != sorted(firsts)
    assert list(batches(lengths, 4, rng)) != list(batches(lengths, 4, rng))
    assert list(batches(lengths, 4, random.Random(2))) == list(
        batches(lengths, 4, random.Random(2))
    )
