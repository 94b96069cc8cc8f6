"""The candidate beside the served model, for the figures and for whoever promotes it."""

import asyncio
from typing import Any

from inference.errors import ModelError
from schemas.event import DOMAINS
from streams.console.figures import Part
from streams.console.services import Promote
from streams.errors import RequestRefused
from streams.models import agreement_files
from streams.models.registry import Registry

NO_CANDIDATE = "there is no candidate beside the present model"


def candidate_part(registry: Registry | None) -> Part:
    """What the workers have counted of the candidate on live events."""

    async def say() -> tuple[Any, str | None]:
        found = await asyncio.to_thread(_candidate, registry) if registry else None
        return found, None if found else NO_CANDIDATE

    return say


def promotion(registry: Registry | None) -> Promote | None:
    """Lets a model of the registry take over; None without a registry."""
    if registry is None:
        return None

    async def promote(name: str, by: str) -> None:
        try:
            await asyncio.to_thread(registry.promote, name, by=by)
        except ModelError as error:
            raise RequestRefused(409, str(error)) from None

    return promote


def _candidate(registry: Registry) -> dict[str, Any] | None:
    """The candidate of the first domain that has one."""
    try:
        state = registry.state()
    except ModelError:
        return None
    served = {domain: state.roles(domain).current for domain in DOMAINS}
    for domain in DOMAINS:
        name = state.roles(domain).candidate
        if name is None:
            continue
        counted = agreement_files.read(registry.directory, name, served).get(domain)
        return {
            "name": name,
            "domain": domain,
            "events": counted.events if counted else 0,
            "agreement": counted.share_same if counted and counted.events else None,
            "coverage": counted.candidate_coverage if counted and counted.events else None,
        }
    return None
