"""What the handlers of the API share."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from schemas.event import Domain
from streams.config import Settings
from streams.console.access import SESSION, Access
from streams.console.claims import Claims
from streams.console.connections import Connections
from streams.console.decisions import Decisions
from streams.console.figures import Figures
from streams.console.holding import HeldVerdicts
from streams.console.journal import GivenVerdict
from streams.console.letters import DeadLetters
from streams.console.live import Hub
from streams.console.people import Person
from streams.console.visible import VisibleCases
from streams.console.why import Why

Check = Callable[[GivenVerdict], None]
"""Raises `InvalidEvent` if the labels of a verdict cannot be taken."""
Promote = Callable[[str, str], Awaitable[None]]
"""Lets the model of this name take over; the second is who has asked for it."""


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """What the page has to know about labels: for each domain and axis, label and description."""

    labels: Mapping[Domain, Mapping[str, Sequence[tuple[str, str | None]]]]
    queue_axis: Mapping[Domain, str]
    deciding: Mapping[Domain, Sequence[str]]


@dataclass(frozen=True)
class Services:
    """Everything behind the API."""

    settings: Settings
    access: Access
    connections: Connections
    cases: VisibleCases
    held: HeldVerdicts
    claims: Claims
    hub: Hub
    decisions: Decisions
    figures: Figures
    why: Why
    labels: Callable[[], LabelFacts]
    check: Check
    letters: DeadLetters
    promote: Promote | None = None


SERVICES = web.AppKey("services", Services)


def services_of(request: web.Request) -> Services:
    """The services behind a request."""
    return request.app[SERVICES]


def person_of(request: web.Request) -> Person:
    """Who asks."""
    return request[SESSION].person
