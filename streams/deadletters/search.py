"""Find dead letters on their topic, and count them by reason."""

from collections import Counter
from collections.abc import AsyncIterator

from streams.config import Settings
from streams.deadletters.letter import MAX_HEADER_CHARS, Letter, PlaceOfRecord, Reason
from streams.errors import StreamError
from streams.kafka.reader import reading, until_quiet
from streams.topics import Topics

MAX_REASONS = 1_000
"""Anybody who may write to the topic chooses reasons. Those after so many are counted as one."""
OTHER_REASONS = "(other)"


async def find(settings: Settings, *, stage: str | None = None) -> AsyncIterator[Letter]:
    """Yield every dead letter on the topic, oldest first; with `stage` only those of that stage.

    Raises:
        BrokerUnreachable: no broker answers.
    """
    topics = Topics(settings.topics.prefix)
    async with reading(settings.kafka, [topics.deadletter], from_beginning=True) as consumer:
        async for record in until_quiet(consumer):
            letter = Letter(record)
            if stage in (None, letter.headers.stage):
                yield letter


async def count_reasons(settings: Settings) -> Counter[Reason]:
    """Count the dead letters by reason.

    Raises:
        BrokerUnreachable: no broker answers.
    """
    counts: Counter[Reason] = Counter()
    other = Reason(*[OTHER_REASONS] * len(Reason._fields))
    async for letter in find(settings):
        reason = Reason(*(text[:MAX_HEADER_CHARS] for text in letter.reason))
        known = reason in counts or len(counts) < MAX_REASONS
        counts[reason if known else other] += 1
    return counts


async def find_at(settings: Settings, place: PlaceOfRecord) -> list[Letter]:
    """The letters at a place: that of the original record or event, or that of the letter itself.

    There may be several letters of one original record: it may hold several events, and anybody may
    have written letters.

    Raises:
        BrokerUnreachable: no broker answers.
        StreamError: there is none.
    """
    letters = [
        letter
        async for letter in find(settings)
        if place == letter.place or str(place) in (letter.original_record, letter.original_place)
    ]
    if not letters:
        raise StreamError(
            f"no dead letter is from {place}; `triage deadletters list` prints their places"
        )
    return letters
