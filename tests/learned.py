"""Made-up decisions about made-up tickets, from which a tiny model can learn."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.event import Event
from schemas.label_record import LabelRecord

WORDS = {
    "top_up": "top up failed on my account when loading the balance again",
    "refunds_disputes": "refund please for this wrong payment and the disputed charge",
    "cash_atm": "cash machine kept my money at the withdrawal by a till",
}
FILLERS = (
    *("today", "yesterday", "hello", "since", "morning", "urgently"),
    *("help", "nobody", "answered", "please", "thanks", "sorry"),
)
CHOSEN_WORDS = 6
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def text(number: int) -> str:
    """The text of a ticket: some words of its queue, in an order of its own, and others."""
    rng = random.Random(number)
    words = rng.sample(WORDS[queue(number)].split(), CHOSEN_WORDS) + rng.sample(FILLERS, 3)
    rng.shuffle(words)
    return " ".join(words)


def queue(number: int) -> str:
    """The queue of a ticket."""
    return list(WORDS)[number % len(WORDS)]


def instant(number: int) -> str:
    """An RFC 3339 instant; a larger number is later."""
    return (BEGIN + timedelta(minutes=number)).isoformat()


def decided(number: int, **fields: Any) -> LabelRecord:
    """The row of one ticket, whose words tell its queue; `number` says which, and when."""
    event = Event(id=f"t-{number}", kind="ticket", text=text(number))
    about: dict[str, Any] = {
        "id": event.id,
        "domain": "tickets",
        "tenant": event.tenant,
        "source": "desk",
        "labels": {"queue": queue(number)},
        "decided_by": "human",
        "by": "ann",
        "decided_at": instant(number),
        "chosen": "escalated",
        "event": event,
    }
    return LabelRecord(**about | fields)


def rows(count: int, start: int = 0, **fields: Any) -> Sequence[LabelRecord]:
    """The rows of so many tickets, one after the other."""
    return [decided(number, **fields) for number in range(start, start + count)]
