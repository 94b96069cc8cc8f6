"""Dead letters as one person may see them.

A dead letter is what somebody sent, of whichever tenant. Who may see only some tenants sees the
letters whose events can be read and are all of these tenants.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from agents.revision import rfc3339
from schemas.deadletter import original_headers
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Event, Kind
from schemas.formats import read_events
from schemas.visible_text import printable
from streams.config import Settings
from streams.console.people import Person
from streams.deadletters import (
    MAX_HEADER_CHARS,
    MAX_REASONS,
    PREVIEW_CHARS,
    Letter,
    Reason,
    Replay,
    Selection,
    replay,
)
from streams.errors import RequestRefused
from streams.kafka.reader import reading, seek_recent, until_quiet
from streams.topics import Topics

MAX_LETTERS = 5_000
"""So many of the last letters of each partition are read."""
MAX_LISTED = 200
MAX_REPLAYED = 1_000
"""In one request; the next one goes on behind them."""
REPLAY_RATE = 100.0
CACHE_S = 5.0
QUIET_S = 1.0
LIST_TIMEOUT_S = 20.0
REPLAY_TIMEOUT_S = 120.0


@dataclass(slots=True)
class _Listed:
    """One reading of the topic."""

    letters: deque[Letter] = field(default_factory=lambda: deque(maxlen=MAX_LETTERS))
    total: int = 0
    ended: bool = False


class DeadLetters:
    """Lists and replays dead letters. The topic is read once at a time, and for all who ask."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = Topics(settings.topics.prefix)
        self._reading = asyncio.Lock()
        self._listed: _Listed | None = None
        self._read_s = 0.0

    async def list(self, person: Person, stage: str | None, limit: int) -> dict[str, Any]:
        """The last letters with their reasons, the newest first.

        Raises:
            BrokerUnreachable: no broker answers.
        """
        async with self._reading:
            if self._listed is None or time.monotonic() - self._read_s > CACHE_S:
                self._listed = await self._read()
                self._read_s = time.monotonic()
            listed = self._listed
        return await asyncio.to_thread(self._document, listed, person, stage, limit)

    async def replay(
        self, stage: str | None, limit: int | None, *, poison: bool, dry_run: bool
    ) -> dict[str, Any]:
        """Send letters back to the input topics; a `dry_run` says what would be sent.

        Raises:
            BrokerUnreachable, DeliveryFailed: as `streams.deadletters.replay`.
            RequestRefused: another replay is running.
        """
        if self._reading.locked():
            raise RequestRefused(409, "dead letters are being read or replayed; try again soon")
        async with self._reading:
            self._listed = None
            done: Replay = await replay(
                self._settings,
                Selection(stage=stage, poison=poison),
                limit=min(limit or MAX_REPLAYED, MAX_REPLAYED),
                rate=REPLAY_RATE,
                dry_run=dry_run,
            )
        return {"dry_run": dry_run, **_document_of(done)}

    async def _read(self) -> _Listed:
        listed = _Listed()
        try:
            async with (
                asyncio.timeout(LIST_TIMEOUT_S),
                reading(
                    self._settings.kafka, [self._topics.deadletter], from_beginning=True
                ) as consumer,
            ):
                await seek_recent(consumer, MAX_LETTERS)
                async for record in until_quiet(consumer, QUIET_S):
                    listed.letters.append(Letter(record))
                    listed.total += 1
                listed.ended = True
        except TimeoutError:
            pass  # what was read so far is shown, and said to be a part
        return listed

    def _document(
        self, listed: _Listed, person: Person, stage: str | None, limit: int
    ) -> dict[str, Any]:
        visible = [
            letter
            for letter in sorted(listed.letters, key=_received_s, reverse=True)
            if (person.tenants is None or self._is_of(letter, person))
            and stage in (None, letter.headers.stage)
        ]
        return {
            "letters": [_line(letter) for letter in visible[: max(1, min(limit, MAX_LISTED))]],
            "reasons": list(_reasons(visible)),
            "total": len(visible),
            "truncated": not listed.ended or listed.total >= MAX_LETTERS,
        }

    def _is_of(self, letter: Letter, person: Person) -> bool:
        tenants = set(self._tenants(letter))
        return bool(tenants) and all(person.sees(tenant) for tenant in tenants)

    def _tenants(self, letter: Letter) -> Iterator[str]:
        """The tenants of the events of a letter; none if one of them cannot be read."""
        domain = next(
            (each for each in DOMAINS if self._topics.input(each) == letter.headers.topic), None
        )
        if domain is None:
            return
        admission = self._settings.topics.admission(domain)
        kind: Kind = KIND_OF_DOMAIN[domain]
        record = letter.record
        try:
            events = read_events(
                record.value,
                headers=original_headers(record.headers),
                origin=record.origin,
                kind=kind,
                limits=self._settings.limits,
                mappings=self._settings.mappings,
            )
        except InvalidEvent:
            return
        if all(isinstance(event, Event) for event in events):
            for event in events:
                assert isinstance(event, Event)  # noqa: S101 - for the type checker
                yield admission.tenant or event.tenant


def _received_s(letter: Letter) -> float:
    return letter.record.received_at_s


def _line(letter: Letter) -> dict[str, Any]:
    headers = letter.headers
    preview = (letter.record.value or b"")[: 4 * PREVIEW_CHARS].decode("utf-8", "replace")
    return {
        "place": str(letter.place),
        "original_place": letter.original_place[:MAX_HEADER_CHARS],
        "topic": headers.topic[:MAX_HEADER_CHARS],
        "stage": headers.stage[:MAX_HEADER_CHARS],
        "error": headers.error[:MAX_HEADER_CHARS],
        "message": printable(headers.message, MAX_HEADER_CHARS),
        "disposition": headers.disposition[:MAX_HEADER_CHARS],
        "title": letter.title,
        "at": rfc3339(letter.record.received_at_s),
        "preview": printable(preview[:PREVIEW_CHARS]),
    }


def _reasons(letters: list[Letter]) -> Iterator[dict[str, Any]]:
    counts: Counter[Reason] = Counter()
    for letter in letters:
        counts[Reason(*(text[:MAX_HEADER_CHARS] for text in letter.reason))] += 1
    for reason, count in islice(counts.most_common(), MAX_REASONS):
        yield {**reason._asdict(), "count": count}


def _document_of(done: Replay) -> dict[str, Any]:
    return {
        "replayed": done.replayed,
        "left": done.left,
        "internal": done.internal,
        "topics": dict(done.topics),
    }
