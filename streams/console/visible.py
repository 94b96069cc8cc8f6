"""The view of cases as one person may see it: every query goes through here.

A case of a tenant that a person may not see does not exist for them: the answer is the same as for
an id that was never there.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from agents.cases import Cases, Known
from schemas.event import DOMAINS, Domain
from streams.cases.near import NearCase
from streams.cases.query import Arrival, CaseQuery, CaseSummary, Page
from streams.console.people import Person
from streams.errors import RequestRefused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Alike:
    """The open cases that are the same as one but for numbers and names, and those near to it."""

    same: Sequence[CaseSummary]
    near: Sequence[NearCase]


NO_TENANT = "there is no event of this id that you may see; check the id, or ask an admin"
MAX_TENANTS = 50
"""In how many tenants an id is looked for."""


class Store(Protocol):
    """The view of cases (`streams.cases.store.CaseStore`), which may block for milliseconds."""

    def list(self, query: CaseQuery) -> Page:
        """The cases of a query, in its order."""

    def counts(self, query: CaseQuery) -> dict[str, dict[str, int]]:
        """How many cases of a query there are of each value of each dimension."""

    def find(
        self, id_: str, *, domain: Domain | None = None, tenant: str | None = None
    ) -> Known | None:
        """What is stored of an event."""

    def alike(self, id_: str, *, domain: Domain, tenant: str) -> Sequence[CaseSummary]:
        """The open cases that look the same."""

    def near(self, id_: str, *, domain: Domain, tenant: str) -> Sequence[NearCase]:
        """The open cases that look nearly the same."""

    def recent(
        self, query: CaseQuery | None = None, after_seq: int | None = None
    ) -> Sequence[Arrival]:
        """The decisions behind `after_seq`, or the last ones, in the order in which they came."""


class VisibleCases:
    """Asks the view for one person at a time: lists in a thread, single events through `finder`."""

    def __init__(self, store: Store, finder: Cases) -> None:
        self._store = store
        self._finder = finder
        self._threads = ThreadPoolExecutor(2, "cases")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)

    async def list(self, person: Person, query: CaseQuery) -> Page:
        """The cases of a query that this person may see.

        Raises:
            InvalidEvent: the query cannot be meant.
        """
        asked = self._for(person, query)
        return Page([], None, 0) if asked is None else await self._ask(self._store.list, asked)

    async def counts(self, person: Person, query: CaseQuery) -> dict[str, dict[str, int]]:
        """How many cases this person may see, by the values of each dimension."""
        asked = self._for(person, query)
        return {} if asked is None else await self._ask(self._store.counts, asked)

    async def find(self, person: Person, id_: str, domain: Domain, tenant: str) -> Known:
        """What is known about an event.

        Raises:
            RequestRefused: nothing, or this person may not see it.
        """
        known = None
        if person.sees(tenant):
            known = await self.find_any(id_, domain, tenant)
        if known is None:
            raise RequestRefused(404, NO_TENANT)
        return known

    async def find_all(
        self, person: Person, id_: str, domain: Domain | None, tenant: str | None
    ) -> Sequence[Known]:
        """Everything that this person may see under an id, which several tenants may use."""
        domains = DOMAINS if domain is None else (domain,)
        tenants: Sequence[str | None] = [tenant]
        if tenant is None and person.tenants is not None:
            tenants = sorted(person.tenants)[:MAX_TENANTS]
        found = []
        for each in domains:
            for of_tenant in tenants:
                known = await self._finder.find(id_, domain=each, tenant=of_tenant)
                if known is not None and person.sees(known.current.tenant):
                    found.append(known)
        return found

    async def find_any(self, id_: str, domain: Domain, tenant: str) -> Known | None:
        """What is known about an event, for the console itself."""
        known = await self._finder.find(id_, domain=domain, tenant=tenant)
        if known is None or (known.current.domain, known.current.tenant) != (domain, tenant):
            return None
        return known

    async def alike(self, person: Person, id_: str, domain: Domain, tenant: str) -> Alike:
        """The open cases that look like this one, without it.

        Raises:
            RequestRefused: this person may not see the event.
        """
        await self.find(person, id_, domain, tenant)
        same = await self._ask(self._store.alike, id_, domain=domain, tenant=tenant)
        near = await self._ask(self._store.near, id_, domain=domain, tenant=tenant)
        return Alike(
            [each for each in same if person.sees(each.tenant)],
            [each for each in near if person.sees(each.summary.tenant)],
        )

    async def find_stored(self, id_: str, domain: Domain, tenant: str) -> Known | None:
        """What is stored of an event, without asking the broker."""
        return await self._ask(self._store.find, id_, domain=domain, tenant=tenant)

    async def list_all(self, query: CaseQuery) -> Page:
        """The cases of a query, of everybody, for the console itself."""
        return await self._ask(self._store.list, query)

    async def recent(self, after_seq: int | None, limit: int) -> Sequence[Arrival]:
        """The next decisions of everybody, for the console itself; None asks for the last ones."""
        return await self._ask(self._store.recent, CaseQuery(state="all", limit=limit), after_seq)

    def _for(self, person: Person, query: CaseQuery) -> CaseQuery | None:
        """The query as this person may ask it; None if nothing is left of it."""
        if person.tenants is None:
            return query
        if not person.tenants or (query.tenant is not None and not person.sees(query.tenant)):
            return None
        return replace(query, tenants=person.tenants)

    async def _ask(self, question: Callable[..., T], *args: Any, **options: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(question, *args, **options))
