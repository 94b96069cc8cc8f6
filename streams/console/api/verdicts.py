"""Deciding: verdicts of one person, held for some seconds in which they may be undone."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from schemas.errors import InvalidEvent
from schemas.event import MAX_ID_CHARS, Domain
from streams.console.access import needs
from streams.console.claims import CaseKey
from streams.console.journal import GivenVerdict
from streams.console.people import Person
from streams.console.requests import body_of
from streams.console.responses import answer
from streams.console.services import Services, person_of, services_of
from streams.console.standing import Refusal, overtaken
from streams.errors import RequestRefused

MAX_VERDICTS = 1_000
MAX_COMMENT_CHARS = 10_000
MAX_AXES = 32
Label = Annotated[str, Meta(max_length=500)]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A verdict as the page sends it. Who gives it is known from the session."""

    id: Annotated[str, Meta(max_length=2 * MAX_ID_CHARS)]
    domain: Domain
    tenant: Annotated[str, Meta(max_length=MAX_ID_CHARS)]
    labels: Annotated[dict[Label, Label], Meta(min_length=1, max_length=MAX_AXES)]
    comment: Annotated[str, Meta(max_length=MAX_COMMENT_CHARS)] | None = None
    about: Annotated[int, Meta(ge=0)] | None = None

    @property
    def key(self) -> CaseKey:
        """Which case it is about."""
        return self.domain, self.tenant, self.id


class Verdicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Some verdicts. With `dry_run`, nothing is sent, and the answer says what would be."""

    verdicts: Annotated[list[Wanted], Meta(min_length=1, max_length=MAX_VERDICTS)]
    hold_s: Annotated[float, Meta(ge=0)] | None = None
    dry_run: bool = False


class Undo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was held together."""

    undo: Annotated[str, Meta(max_length=200)]


@needs("reviewer")
async def post(request: web.Request) -> web.StreamResponse:
    """Take verdicts: those that can be given are held, and the others are refused with a reason."""
    services, person = services_of(request), person_of(request)
    asked = await body_of(request, Verdicts)
    accepted, refused = await _sort(services, person, asked.verdicts)
    undo, until = None, None
    if accepted and not asked.dry_run:
        accepted, refused, undo, until = await _hold(services, accepted, refused, asked.hold_s)
    document = {
        "accepted": [_about(verdict.key) for verdict in accepted],
        "refused": [{**_about(key), **_why(refusal)} for key, refusal in refused.items()],
        "undo": undo,
        "until": until,
    }
    if accepted or asked.dry_run:
        return answer(request, document)
    first = next(iter(refused.values()))
    overtaken_all = all(refusal.by is not None for refusal in refused.values())
    status = 409 if overtaken_all else 400
    return answer(request, {"error": first.reason, **document}, status)


@needs("reviewer")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take back what is still held."""
    token = (await body_of(request, Undo)).undo
    undone = await services_of(request).held.undo(token, person_of(request).name)
    return answer(request, {"undone": undone})


async def _hold(
    services: Services,
    accepted: list[GivenVerdict],
    refused: dict[CaseKey, Refusal],
    hold_s: float | None,
) -> tuple[list[GivenVerdict], dict[CaseKey, Refusal], str | None, str | None]:
    """Hold what nobody else holds. Nothing else runs between this look and the taking."""
    free = []
    for verdict in accepted:
        if (by := services.held.held_by(verdict.key)) is None:
            free.append(verdict)
        else:
            refused[verdict.key] = _held_already(by, verdict.by)
    if not free:
        return free, refused, None, None
    longest_s = services.settings.console.hold_s
    held_s = longest_s if hold_s is None else min(hold_s, longest_s)
    undo_token, until = await services.held.hold(free, held_s)
    for verdict in free:
        services.claims.release(verdict.key, verdict.by)
    return free, refused, undo_token, until


async def _sort(
    services: Services, person: Person, wanted: list[Wanted]
) -> tuple[list[GivenVerdict], dict[CaseKey, Refusal]]:
    """Which verdicts can be given, and why the others cannot."""
    accepted: dict[CaseKey, GivenVerdict] = {}
    refused: dict[CaseKey, Refusal] = {}
    for each in wanted:
        judged = await _judge(services, person, each)
        if each.key in accepted or each.key in refused:
            refused[each.key] = Refusal("this event came twice; send one verdict for each")
            accepted.pop(each.key, None)
        elif isinstance(judged, Refusal):
            refused[each.key] = judged
        else:
            accepted[each.key] = judged
    return list(accepted.values()), refused


async def _judge(services: Services, person: Person, wanted: Wanted) -> GivenVerdict | Refusal:
    """The verdict that can be given, or why it cannot."""
    domain, tenant, id_ = wanted.key
    if by := services.held.held_by(wanted.key):
        return _held_already(by, person.name)
    try:
        known = await services.cases.find(person, id_, domain, tenant)
        verdict = GivenVerdict(
            id=id_,
            domain=domain,
            tenant=tenant,
            labels=wanted.labels,
            by=person.name,
            comment=wanted.comment or None,
            # Only a person's decision has to be corrected knowingly. The LLM may answer while the
            # verdict is held, and a person's word counts for more than its answer.
            about=wanted.about if known.current.decided_by == "human" else None,
        )
        services.check(verdict)
    except (RequestRefused, InvalidEvent) as error:
        return Refusal(str(error))
    return overtaken(known, verdict) or verdict


def _held_already(by: str, person: str) -> Refusal:
    if by == person:
        return Refusal("you have just decided this; undo that first", by)
    return Refusal(f"{by} has just decided this, and may still undo it; take another case", by)


def _about(key: CaseKey) -> dict[str, Any]:
    domain, tenant, id_ = key
    return {"id": id_, "domain": domain, "tenant": tenant}


def _why(refusal: Refusal) -> dict[str, Any]:
    return {"reason": refusal.reason, "by": refusal.by, "at": refusal.at}


ROUTES = [("POST", "verdicts", post), ("POST", "undo", undo)]
