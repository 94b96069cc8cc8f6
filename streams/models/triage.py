"""The classify agent with the models that are served at the time of a batch."""

from collections.abc import Sequence

from agents.classify import classify
from agents.outcomes import Incoming, Outcome
from agents.spot_checks import NO_SPOT_CHECKS, SpotChecks
from inference.rules.ruling import Rules
from streams.models.served import ServedModels


async def triage(
    batch: Sequence[Incoming],
    *,
    models: ServedModels,
    rules: Rules,
    spot_checks: SpotChecks = NO_SPOT_CHECKS,
) -> list[Outcome]:
    """Triage a batch; see `agents.classify`.

    The whole batch is decided by one choice of models, whatever is promoted meanwhile.
    """
    with models.use() as serving:
        outcomes = await classify(batch, classifier=serving, rules=rules, spot_checks=spot_checks)
    for tell in models.on_decided:
        tell(batch, outcomes)
    return outcomes
