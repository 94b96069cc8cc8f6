"""A worker that an event can kill, as a crash in native code would.

Run it as `python -m tests.faults.killed_worker worker`.
"""

import os
import signal
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from unittest.mock import patch

from agents.outcomes import Incoming, Outcome
from streams import app
from streams.cli import main
from streams.models.triage import triage

DEADLY = b"this event kills the process"


async def deadly(
    batch: Sequence[Incoming], **arguments: Any
) -> AsyncGenerator[tuple[int, Outcome], None]:
    """Triage the batch, unless one of the events is deadly."""
    if any(DEADLY in (incoming.value or b"") for incoming in batch):
        os.kill(os.getpid(), signal.SIGKILL)
    async for each in triage(batch, **arguments):
        yield each


if __name__ == "__main__":
    with patch.object(app, "triage", deadly):
        main()
