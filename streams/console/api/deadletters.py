"""What could not be processed: a list, and sending it back."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from streams.console.access import needs
from streams.console.letters import LIST_TIMEOUT_S, MAX_LISTED, REPLAY_TIMEOUT_S
from streams.console.requests import body_of, query_of
from streams.console.responses import answer
from streams.console.services import person_of, services_of
from streams.errors import RequestRefused

ANSWER_S = 30.0


class LettersQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the list."""

    stage: str | None = None
    limit: int = MAX_LISTED


class ReplayWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which letters to send back; without `dry_run` they are sent."""

    dry_run: bool
    stage: Annotated[str, Meta(max_length=200)] | None = None
    poison: bool = False
    limit: Annotated[int, Meta(ge=1)] | None = None


async def letters(request: web.Request) -> web.StreamResponse:
    """The last dead letters, and how many there are of each reason."""
    services = services_of(request)
    query = query_of(request, LettersQuery)
    services.connections.may_last(request.transport, LIST_TIMEOUT_S + ANSWER_S)
    return answer(
        request, await services.letters.list(person_of(request), query.stage, query.limit)
    )


@needs("admin")
async def replay(request: web.Request) -> web.StreamResponse:
    """Send dead letters back to the input topics that they came from."""
    services, person = services_of(request), person_of(request)
    if person.tenants is not None:
        raise RequestRefused(
            403, "a replay is about all tenants; ask an admin who may see all of them", code="role"
        )
    wanted = await body_of(request, ReplayWanted)
    services.connections.may_last(request.transport, REPLAY_TIMEOUT_S + ANSWER_S)
    done = await services.letters.replay(
        wanted.stage, wanted.limit, poison=wanted.poison, dry_run=wanted.dry_run
    )
    return answer(request, done)


ROUTES = [("GET", "deadletters", letters), ("POST", "deadletters/replay", replay)]
