"""Records of the review and triaged topics as entries of the view of cases."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.cases import Reading, reading_of
from agents.label_rows import changed_by_people
from agents.outcomes import Incoming
from agents.revision import MAX_REVISION
from schemas.agreement import check_case
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, Origin, Stated
from schemas.limits import LIMITS, Limits
from schemas.signing import VERDICT_HEADER, header
from schemas.traceparent import traceparent_of
from schemas.triaged import Case, TriagedEvent
from streams.cases.query import CaseSummary
from streams.topics import Topics
from streams.trust import Trust

RANKS = {
    "informational": 1,
    "low": 2,
    "medium": 3,
    "normal": 3,
    "high": 4,
    "critical": 5,
    "urgent": 5,
}
"""How serious a severity or priority is; a word that is not here is 0."""
STATED_WEIGHT = 10
"""A rank that is stated counts this many times as much as one that the model proposes."""
URGENT = 5
MAX_TEXT_CHARS = 8_000
"""So much of the text of a case is searched for words."""
MAX_VALUES_CHARS = 4_000
"""So much of the values of its document is searched, too."""
MAX_VERDICT_CHARS = 400
_DIGITS_OR_HEX = re.compile(r"\b(?=\w*\d)[\w:.-]+|\d+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision that a record carries.

    `value` is the JSON of the record. `case` is given if the record is one of the review topic;
    otherwise it is one of a triaged topic, and `origin` its place. `verdict` is the place of the
    verdict that made this decision, if a person did. `reading` is where the event was read, and
    `trace` the trace context of the record.
    """

    triaged: TriagedEvent
    value: bytes
    origin: Origin
    reading: Reading
    case: Case | None = None
    verdict: str | None = None
    trace: str | None = None

    @property
    def by_human(self) -> bool:
        """Whether a person made this decision."""
        return self.triaged.decided_by == "human"

    @property
    def id_hash(self) -> int:
        """See `hash_of`."""
        return hash_of(self.triaged.id)

    @property
    def content(self) -> int:
        """What the event says, as a hash: the same id may be sent again with another text.

        Events of the first release have no digest; they are told apart by where they came from.
        """
        triaged = self.triaged
        said = triaged.input_digest or str(triaged.origin)
        return hash_of(f"{triaged.source}\0{said}")


class EntryReader:
    """Reads the records of the review and triaged topics that are believed."""

    def __init__(self, topics: Topics, trust: Trust | None = None, limits: Limits = LIMITS) -> None:
        self._review = topics.review
        self._triaged = {topics.triaged(domain): domain for domain in DOMAINS}
        self._trust = trust or Trust()
        self._limits = limits

    @property
    def topics(self) -> list[str]:
        """The topics that the view is made of."""
        return [self._review, *self._triaged]

    def read(self, record: Incoming) -> Entry | None:
        """What a record says; None if it is not one of ours, or cannot be read."""
        topic, value = record.origin.topic, record.value or b""
        if not value or not self._trust.believes(record):
            return None
        try:
            if topic == self._review:
                case = decode(value, Case, self._limits)
                check_case(case)
                triaged, verdict = case.triaged, None
            else:
                case, triaged = None, decode(value, TriagedEvent, self._limits)
                if triaged.domain != self._triaged.get(topic):
                    return None
                verdict = _verdict_of(record)
            reading = reading_of(triaged)
        except (InvalidEvent, ValueError, OverflowError):
            return None
        if not 0 <= triaged.revision <= MAX_REVISION:
            return None
        trace = traceparent_of(record.headers)
        return Entry(triaged, value, record.origin, reading, case, verdict, trace)


def hash_of(text: str) -> int:
    """64 bits of a text, as SQLite stores an integer."""
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def fingerprint_of(triaged: TriagedEvent) -> int | None:
    """The same number for events that are alike; None if nothing is known to compare.

    Alike are events of one domain, tenant and source whose titles differ only in words with a
    digit: numbers, addresses, dates, hashes and ids.
    """
    if not triaged.title:
        return None
    masked = _DIGITS_OR_HEX.sub("#", triaged.title.casefold())
    return hash_of("\0".join([triaged.domain, triaged.tenant, triaged.source or "", masked]))


def stated_of(stated: Stated | None, domain: str) -> str | None:
    """The severity or priority that a sender states, the domain's own axis first."""
    if stated is None:
        return None
    words = [stated.severity, stated.priority]
    if domain == "tickets":
        words.reverse()
    return next((word for word in words if word), None)


def rank_of(summary: CaseSummary) -> int:
    """How serious a case is: as its sender states it, else, and far below that, as proposed."""
    stated = RANKS.get(summary.stated or "", 0)
    return STATED_WEIGHT * stated or RANKS.get(summary.severity or summary.priority or "", 0)


def summary_of(
    triaged: TriagedEvent, case: Case | None, revisions: Sequence[TriagedEvent] = ()
) -> CaseSummary:
    """What a list shows of a decision, and of its case if it has one.

    `revisions` are those that are known of the event, in any order.
    """
    severity, priority = (triaged.labels.get(axis) for axis in ("severity", "priority"))
    return CaseSummary(
        id=triaged.id,
        domain=triaged.domain,
        tenant=triaged.tenant,
        source=triaged.source,
        title=triaged.title,
        queue=triaged.queue,
        severity=severity.value if severity else None,
        priority=priority.value if priority else None,
        risk=case.risk if case else None,
        escalation=case.escalation if case else None,
        stated=stated_of(triaged.stated, triaged.domain),
        received_at=triaged.timing.received_at,
        revision=triaged.revision,
        status=triaged.status,
        decided_by=triaged.decided_by,
        disagreement=bool(changed_by_people(revisions)),
        link=triaged.link,
    )


def text_of(case: Case) -> tuple[str, str]:
    """The title and the text of a case."""
    event = case.event
    texts = [text for text in (event.text, event.body) if text]
    title = " ".join(text for text in (case.triaged.title, event.title) if text)
    return title[:MAX_TEXT_CHARS], "\n".join(texts)[:MAX_TEXT_CHARS]


def searched_of(case: Case) -> tuple[str, str]:
    """What a case is found by: its title; its id, its source, its text and its document's values.

    People look for what they have at hand: the id of a ticket, a host, an account, an address.
    """
    title, text = text_of(case)
    return title, "\n".join([case.triaged.id, case.triaged.source or "", text, _values_of(case)])


def _values_of(case: Case) -> str:
    """The words and numbers of a document in its order, without the names of its fields."""
    waiting: list[Any] = [case.event.attributes, case.event.event]
    values, left = [], MAX_VALUES_CHARS
    while waiting and left > 0:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting += reversed(node.values())
        elif isinstance(node, list):
            waiting += reversed(node)
        elif node is not None:
            values.append(str(node)[:left])
            left -= len(values[-1]) + 1
    return "\n".join(values)


def _verdict_of(record: Incoming) -> str | None:
    place = header(record.headers, VERDICT_HEADER)
    if place is None or len(place) > MAX_VERDICT_CHARS:
        return None
    return place.decode("utf-8", "replace")
