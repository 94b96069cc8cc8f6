"""Server-sent events: what happens, sent to every browser that may see it.

Everything here is bounded. The last `KEPT_EVENTS` are kept for browsers that come back. Each
browser has a queue of `QUEUE_EVENTS`, and one whose queue is full is dropped. It reconnects by
itself, and gets what it missed, or the event ``reset`` if that is no longer there.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from schemas.event import Domain
from streams.console.people import Person
from streams.errors import RequestRefused

Kind = Literal["decision", "case", "claim", "held", "refused", "status", "models", "reset"]

KEPT_EVENTS = 2_000
QUEUE_EVENTS = 1_000
MAX_SUBSCRIPTIONS = 200
MAX_SUBSCRIPTIONS_PER_SESSION = 8


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One event as browsers get it, and what decides who gets it.

    `tenant` None is for everybody. With `only`, the event is for the person of that name.
    """

    number: int
    kind: Kind
    data: bytes
    tenant: str | None = None
    domain: Domain | None = None
    queue: str | None = None
    decided_by: str | None = None
    only: str | None = None

    def encoded(self, epoch: str) -> bytes:
        """The event on the wire. JSON holds no line end, so one line of data is enough."""
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (
            epoch.encode(),
            self.number,
            self.kind.encode(),
            self.data,
        )


@dataclass(frozen=True, slots=True)
class Filter:
    """What one browser wants to see; None takes everything."""

    domain: str | None = None
    queue: str | None = None
    tenant: str | None = None
    decided_by: str | None = None

    def takes(self, event: LiveEvent) -> bool:
        """Whether an event fits. What an event does not say, is not asked for."""
        pairs = (
            (self.domain, event.domain),
            (self.tenant, event.tenant),
            (self.queue, event.queue),
            (self.decided_by, event.decided_by),
        )
        return all(wanted is None or has is None or wanted == has for wanted, has in pairs)


class Subscription:
    """The events of one browser."""

    def __init__(self, person: Person, session: str, wanted: Filter) -> None:
        self.person = person
        self.session = session
        self._wanted = wanted
        self._queue: deque[LiveEvent] = deque()
        self._ready = asyncio.Event()
        self.dropped = False

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, event: LiveEvent) -> None:
        """Queue an event if this browser may see it and wants it."""
        if self.dropped or not self._may_see(event) or not self._wanted.takes(event):
            return
        if len(self._queue) >= QUEUE_EVENTS:
            self.drop()
            return
        self._queue.append(event)
        self._ready.set()

    def drop(self) -> None:
        """End the subscription; the browser has to connect again."""
        self.dropped = True
        self._queue.clear()
        self._ready.set()

    async def take(self) -> list[LiveEvent]:
        """All queued events, as soon as there is one; none if the subscription was dropped."""
        await self._ready.wait()
        events = list(self._queue)
        self._queue.clear()
        if not self.dropped:
            self._ready.clear()
        return events

    def _may_see(self, event: LiveEvent) -> bool:
        if event.only is not None and event.only != self.person.name:
            return False
        return event.tenant is None or self.person.sees(event.tenant)


class Hub:
    """Sends every event to the browsers that are connected."""

    def __init__(self) -> None:
        # Another process counts from one again; with this, its numbers are not taken for ours.
        self.epoch = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[LiveEvent] = deque(maxlen=KEPT_EVENTS)
        self._subscriptions: set[Subscription] = set()
        self._latest_status: LiveEvent | None = None

    def __len__(self) -> int:
        return len(self._subscriptions)

    @property
    def kept(self) -> int:
        """How many events are kept for browsers that come back."""
        return len(self._kept)

    def publish(self, kind: Kind, data: Any, **about: Any) -> None:
        """Send an event; `about` are the fields of `LiveEvent` that decide who gets it."""
        self._number += 1
        event = LiveEvent(self._number, kind, msgspec.json.encode(data), **about)
        if kind == "status":
            self._latest_status = event
        self._kept.append(event)
        for subscription in self._subscriptions:
            subscription.offer(event)

    def subscribe(
        self, person: Person, session: str, wanted: Filter, last_id: str | None
    ) -> Subscription:
        """Add a browser. `last_id` is the header `Last-Event-ID` of one that comes back.

        Raises:
            RequestRefused: too many browsers are connected.
        """
        of_session = sum(each.session == session for each in self._subscriptions)
        full = len(self._subscriptions) >= MAX_SUBSCRIPTIONS
        if full or of_session >= MAX_SUBSCRIPTIONS_PER_SESSION:
            raise RequestRefused(429, "too many pages follow the stream; close one of them")
        subscription = Subscription(person, session, wanted)
        for event in self._missed(last_id):
            subscription.offer(event)
        if self._latest_status is not None:
            subscription.offer(self._latest_status)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a browser."""
        self._subscriptions.discard(subscription)

    def drop_session(self, session: str) -> None:
        """End the subscriptions of a session that has ended."""
        for subscription in self._subscriptions:
            if subscription.session == session:
                subscription.drop()

    def close(self) -> None:
        """End every subscription."""
        for subscription in self._subscriptions:
            subscription.drop()

    def _missed(self, last_id: str | None) -> Sequence[LiveEvent]:
        """What a browser has missed since the event `last_id`; a `reset` if that is not known."""
        if last_id is None:
            return []
        epoch, _, digits = last_id.partition("-")
        oldest = self._kept[0].number if self._kept else self._number + 1
        known = epoch == self.epoch and digits.isascii() and digits.isdigit()
        number = int(digits[:18]) if known else -1
        if not known or not oldest - 1 <= number <= self._number:
            return [LiveEvent(self._number, "reset", b"{}")]
        missed = [event for event in self._kept if event.number > number]
        # More would fill its queue, and the browser would be dropped again and again.
        if len(missed) >= QUEUE_EVENTS:
            return [LiveEvent(self._number, "reset", b"{}")]
        return missed
