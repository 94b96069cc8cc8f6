"""The classify agent with the models that are served at the time of a batch."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from agents.classify import classify_each
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
) -> AsyncGenerator[tuple[int, Outcome], None]:
    """Triage a batch; see `agents.classify.classify_each`.

    The whole batch is decided by one choice of models, whatever is promoted meanwhile.
    """
    outcomes: dict[int, Outcome] = {}
    with models.use() as serving:
        decided = classify_each(batch, classifier=serving, rules=rules, spot_checks=spot_checks)
        async with aclosing(decided):
            async for row, outcome in decided:
                outcomes[row] = outcome
                yield row, outcome
    for tell in models.on_decided:
        tell(batch, [outcomes[row] for row in range(len(batch))])
