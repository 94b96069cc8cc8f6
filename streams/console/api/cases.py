"""The queue: lists and counts of cases, one case with all about it, and claims."""

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from agents.cases import Known
from schemas.event import Domain
from schemas.triaged import TriagedEvent
from streams.cases.entries import summary_of
from streams.cases.query import CaseQuery, CaseSummary
from streams.cases.rows import decided_labels
from streams.console.access import needs
from streams.console.claims import CaseKey
from streams.console.requests import case_key, query_of
from streams.console.responses import answer, nothing
from streams.console.services import Services, person_of, services_of
from streams.errors import RequestRefused

MAX_LIST = 500
MAX_ALIKE = 1_000


class CasesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the list."""

    state: Literal["open", "decided", "all"] = "open"
    domain: Domain | None = None
    queue: str | None = None
    severity: str | None = None
    tenant: str | None = None
    source: str | None = None
    escalation: str | None = None
    disagreement: Literal["yes"] | None = None
    text: str | None = None
    order: Literal["urgency", "risk", "age", "stated", "queue"] = "urgency"
    limit: int = 50
    after: str | None = None

    def asked(self) -> CaseQuery:
        """The query of the view."""
        fields = msgspec.structs.asdict(self)
        return CaseQuery(**fields | {"limit": max(1, min(self.limit, MAX_LIST))})


class EventQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of an event's page."""

    domain: Domain | None = None
    tenant: str | None = None
    id: str | None = None


async def cases(request: web.Request) -> web.StreamResponse:
    """A page of the list."""
    services = services_of(request)
    page = await services.cases.list(person_of(request), query_of(request, CasesQuery).asked())
    listed = [listing(services, case) for case in page.cases]
    return answer(request, {"cases": listed, "next": page.next, "total": page.total})


async def counts(request: web.Request) -> web.StreamResponse:
    """How many cases there are by each filter."""
    query = query_of(request, CasesQuery).asked()
    return answer(request, await services_of(request).cases.counts(person_of(request), query))


async def case(request: web.Request) -> web.StreamResponse:
    """One case with everything about it."""
    services = services_of(request)
    domain, tenant, id_ = case_key(request)
    known = await services.cases.find(person_of(request), id_, domain, tenant)
    return answer(request, await _whole(request, known))


async def events(request: web.Request) -> web.StreamResponse:
    """Everything of an id; several tenants may use it."""
    query = query_of(request, EventQuery)
    id_ = query.id or request.match_info["id"]
    found = await services_of(request).cases.find_all(
        person_of(request), id_, query.domain, query.tenant
    )
    if not found:
        raise RequestRefused(404, "there is no event of this id that you may see; check the id")
    return answer(request, {"events": [await _whole(request, known) for known in found]})


async def alike(request: web.Request) -> web.StreamResponse:
    """The open cases that a decision about many may touch: the same ones, and those near to it."""
    services = services_of(request)
    domain, tenant, id_ = case_key(request)
    found = await services.cases.alike(person_of(request), id_, domain, tenant)
    same = [listing(services, each) for each in found.same[:MAX_ALIKE]]
    near = [listing(services, each.summary) | {"likeness": each.likeness} for each in found.near]
    return answer(request, {"cases": same, "near": near, "total": len(found.same)})


@needs("reviewer")
async def claim(request: web.Request) -> web.StreamResponse:
    """Mark a case as being looked at."""
    services, person = services_of(request), person_of(request)
    key = await _visible_key(request)
    made = services.claims.claim(key, person.name)
    return answer(request, {"by": made.by, "until": made.until})


@needs("reviewer")
async def release(request: web.Request) -> web.StreamResponse:
    """Take the mark away."""
    services_of(request).claims.release(await _visible_key(request), person_of(request).name)
    return nothing()


def listing(services: Services, summary: CaseSummary) -> dict[str, Any]:
    """A case of a list, with who looks at it and who has decided it."""
    key: CaseKey = (summary.domain, summary.tenant, summary.id)
    claimed = services.claims.of(key)
    return {
        **msgspec.structs.asdict(summary),
        "claimed_by": claimed.by if claimed else None,
        "held_by": services.held.held_by(key),
    }


async def _visible_key(request: web.Request) -> CaseKey:
    domain, tenant, id_ = case_key(request)
    await services_of(request).cases.find(person_of(request), id_, domain, tenant)
    return domain, tenant, id_


async def _whole(request: web.Request, known: Known) -> dict[str, Any]:
    services, person = services_of(request), person_of(request)
    current, case_ = known.current, known.case
    revisions = list(known.revisions) or [current]
    proposal = proposed(revisions)
    key: CaseKey = (current.domain, current.tenant, current.id)
    claimed = services.claims.of(key)
    why = await services.why.of(proposal, case_)
    neighbours, note = await services.why.neighbours(case_)
    found = await services.cases.alike(person, current.id, current.domain, current.tenant)
    enrichment = current.enrichment
    return {
        "case": listing(services, summary_of(current, case_, revisions)),
        "event": case_.event if case_ else None,
        "triaged": current,
        "revisions": [revision_document(each) for each in revisions],
        "proposal": proposal.labels,
        "why": why,
        "neighbours": neighbours,
        "neighbours_note": note,
        "summary": enrichment.summary if enrichment else None,
        "rationale": enrichment.rationale if enrichment else None,
        "alike": len(found.same),
        "near": len(found.near),
        "claimed_by": claimed.by if claimed else None,
        "claimed_until": claimed.until if claimed else None,
        "held_by": services.held.held_by(key),
        "model": proposal.model,
        "calibration": proposal.calibration,
        "link": link_document(current.link),
    }


def proposed(revisions: Sequence[TriagedEvent]) -> TriagedEvent:
    """The last answer that no person gave: what a person is asked to accept or to correct."""
    return next((each for each in reversed(revisions) if each.decided_by != "human"), revisions[-1])


def revision_document(triaged: TriagedEvent) -> dict[str, Any]:
    """One revision in the history of a case; of a person's, only the labels that they decided."""
    labels = {axis: label.value for axis, label in triaged.labels.items()}
    return {
        "revision": triaged.revision,
        "status": triaged.status,
        "decided_by": triaged.decided_by,
        "labels": decided_labels(triaged) if triaged.decided_by == "human" else labels,
        "queue": triaged.queue,
        "reasons": triaged.reasons,
        "triaged_at": triaged.timing.triaged_at,
    }


def link_document(link: str | None) -> dict[str, str] | None:
    """A link that a page may show, with its host; only of http and https."""
    if link is None:
        return None
    try:
        url = urlsplit(link)
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not url.hostname or url.username is not None:
        return None
    return {"href": link, "host": url.hostname}


ROUTES = [
    ("GET", "cases", cases),
    ("GET", "cases/counts", counts),
    ("GET", "cases/{domain}/{tenant}/{id}", case),
    ("GET", "cases/{domain}/{tenant}/{id}/alike", alike),
    ("POST", "cases/{domain}/{tenant}/{id}/claim", claim),
    ("DELETE", "cases/{domain}/{tenant}/{id}/claim", release),
    ("GET", "events/{id}", events),
]
