"""A candidate beside the model that is served: what both do on live events, and who is right."""

from collections.abc import Sequence

import msgspec

from inference.errors import InferenceError
from inference.learning.agreement import Agreement
from inference.learning.comparison import Comparison
from schemas.event import DOMAINS, Domain
from schemas.label_record import LabelRecord
from streams.config import Settings
from streams.errors import StreamError
from streams.labels_topic import read_believed_rows
from streams.learning.trial import Trial
from streams.models import agreement_files
from streams.models.registry import Registry
from streams.wiring.model import require_registry


class ComparedModels(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate in one domain.

    `served` is the name of the served model; None for that of `[model] path`. `live` counts live
    events, None if the candidate has answered none. `decided` is about events that people have
    decided; if it is None, `reason` says why there is no such comparison.
    """

    candidate: str
    domain: Domain
    served: str | None
    live: Agreement | None
    decided: Comparison | None
    reason: str = ""


async def compare_models(settings: Settings, name: str | None) -> list[ComparedModels]:
    """Compare a model of the registry, or without a name each candidate, with what is served.

    Raises:
        ConfigError: no registry is configured.
        ModelError: there is no such model.
    """
    registry = require_registry(settings)
    wanted = _wanted(registry, name)
    if not wanted:
        return []
    records: list[LabelRecord] = []
    unreadable = ""
    try:
        records = (await read_believed_rows(settings)).rows
    except StreamError as error:
        unreadable = f"the labelled rows cannot be read: {error}"
    trial = Trial(settings, registry)
    return [
        await _compare(trial, registry, candidate, domain, records, unreadable)
        for candidate, domain in wanted
    ]


def _wanted(registry: Registry, name: str | None) -> list[tuple[str, Domain]]:
    """The models to compare, each with the domain.

    Raises:
        ModelError: there is no model of this name.
    """
    if name is not None:
        domains = registry.manifest(name).domains
        return [(name, domain) for domain in DOMAINS if domain in domains]
    state = registry.state()
    candidates = ((state.roles(domain).candidate, domain) for domain in DOMAINS)
    return [(candidate, domain) for candidate, domain in candidates if candidate is not None]


async def _compare(
    trial: Trial,
    registry: Registry,
    candidate: str,
    domain: Domain,
    records: Sequence[LabelRecord],
    unreadable: str,
) -> ComparedModels:
    served = {each: roles.current for each, roles in registry.state().domains.items()}
    live = agreement_files.read(registry.directory, candidate, served).get(domain)
    decided, reason = None, unreadable
    if not unreadable:
        try:
            decided = await trial.compare(candidate, domain, records)
        except InferenceError as error:
            reason = str(error)
    return ComparedModels(
        candidate=candidate,
        domain=domain,
        served=served.get(domain),
        live=live,
        decided=decided,
        reason=reason,
    )
