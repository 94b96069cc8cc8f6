"""What can be asked of the view of cases, and what it answers."""

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import orjson

from schemas.errors import InvalidEvent
from schemas.event import Domain
from schemas.triaged import DecidedBy, Status

State = Literal["open", "decided", "all"]
Order = Literal["urgency", "risk", "age", "stated", "queue"]

MAX_LIMIT = 1_000
MAX_WORDS = 16
"""So many words of a text are looked for, and so many parts of each; the rest is left out."""
WORD = re.compile(r"\w+")
DIMENSIONS = ("domain", "queue", "severity", "tenant", "source", "escalation", "disagreement")
"""By these a query filters, and by these cases are counted."""
DISAGREEMENT = "yes"
"""The value of the dimension of that name; a case without a disagreement has none."""


class CaseSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One case as a list shows it, or one decision as the feed does.

    `severity` and `priority` are our labels, `stated` is the severity or priority that the sender
    states. `risk` is the small model's estimate in [0, 1], and `escalation` the reason why a person
    is asked; both are None for a decision about an event that never was a case. `revision`,
    `status` and `decided_by` are those of the current decision. `disagreement` is whether one
    person has changed what another one had decided. `received_at` is an RFC 3339 instant.
    Everything that the sender chose (`id`, `title`, `source`, `link`) is plain text.
    """

    id: str
    domain: Domain
    tenant: str
    source: str | None
    title: str | None
    queue: str
    severity: str | None
    priority: str | None
    risk: float | None
    escalation: str | None
    stated: str | None
    received_at: str
    revision: int
    status: Status
    decided_by: DecidedBy
    disagreement: bool
    link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseQuery:
    """Which cases, and in which order.

    A filter that is None lets everything pass. `severity` is that of an alert, or the priority of a
    ticket. `tenants` is what the asker may see; None is everything. `disagreement` is
    `DISAGREEMENT` or None. `text` holds words that the case must have: in its title, its text, its
    id, its source or the values of its document. `after` is the `next` of the page before.

    The orders: ``urgency`` is what is stated as critical or urgent first, then the riskiest, then
    the oldest; ``risk`` and ``age`` the riskiest and the oldest first; ``stated`` by what the
    sender states, then by risk; ``queue`` by the name of the queue, then by urgency.
    """

    state: State = "open"
    domain: str | None = None
    queue: str | None = None
    severity: str | None = None
    tenant: str | None = None
    source: str | None = None
    escalation: str | None = None
    disagreement: str | None = None
    tenants: Collection[str] | None = None
    text: str | None = None
    order: Order = "urgency"
    limit: int = 50
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the cases of a query, in its order.

    `next` asks for the page behind this one as `CaseQuery.after`; None if there is none. `total`
    counts all cases of the query.
    """

    cases: list[CaseSummary]
    next: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """One decision in the order in which they came; `seq` only grows."""

    seq: int
    summary: CaseSummary


def words_of(text: str) -> str:
    """A text that a person typed as a query of SQLite's full-text search; empty without words.

    Each word is quoted, so none of them is an operator. The last one may go on. Of a word such as
    10.0.0.7, the parts have to stand in this order, with nothing between them.
    """
    parts = (WORD.findall(word)[:MAX_WORDS] for word in text.split())
    words = [" ".join(found) for found in parts if found][:MAX_WORDS]
    return " ".join(f'"{word}"' for word in words) + "*" if words else ""


def write_cursor(order: Order, keys: list[Any]) -> str:
    """The place behind a row, for `CaseQuery.after`."""
    return base64.urlsafe_b64encode(orjson.dumps([order, *keys])).decode().rstrip("=")


def read_cursor(order: Order, cursor: str, keys: int) -> list[Any]:
    """The `keys` values of `write_cursor`.

    Raises:
        InvalidEvent: it is not a cursor of this order.
    """
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        values = None
    is_ours = isinstance(values, list) and len(values) == keys + 1 and values[0] == order
    if not is_ours or not all(isinstance(value, str | int | float) for value in values[1:]):
        raise InvalidEvent(
            "after is not what a page of this order gave as next; leave it out to begin again",
            stage="validate",
        )
    return list(values[1:])
