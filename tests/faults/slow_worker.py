"""A worker that needs a second per batch, with our own commits or with commits as Faust makes them.

Run it as `python -m tests.faults.slow_worker worker`. With ACKING=faust, an event counts as ended
as soon as it is read, which is the default of Faust. That is the only difference, and it loses
events. It shows that the tests notice a loss.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from unittest.mock import patch

from agents.outcomes import Incoming, Outcome
from streams import app
from streams.cli import main
from streams.kafka.offsets import OffsetTracker, PendingOffset
from streams.models.triage import triage

SECONDS_PER_BATCH = 1.0

take = OffsetTracker.take


async def slowly(
    batch: Sequence[Incoming], **arguments: Any
) -> AsyncGenerator[tuple[int, Outcome], None]:
    """Wait, and then triage the batch."""
    await asyncio.sleep(SECONDS_PER_BATCH)
    async for each in triage(batch, **arguments):
        yield each


def take_and_settle(self: OffsetTracker, *arguments: Any, **options: Any) -> PendingOffset:
    """`OffsetTracker.take` as the default of Faust: an event is acknowledged when it is read."""
    pending_offset = take(self, *arguments, **options)
    self.settle([pending_offset])
    return pending_offset


if __name__ == "__main__":
    with patch.object(app, "triage", slowly):
        if os.environ.get("ACKING") == "faust":
            OffsetTracker.take = take_and_settle  # type: ignore[method-assign]
        main()
