"""A worker whose agents take a second a batch, under our discipline or, with ACKING=faust, under Faust's own.

Run as `python -m tests.faults.slow_worker worker`. The second variant exists to show that the tests see what they
are there to see: it differs from the real worker in nothing but who acks.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from agents.classify import classify
from agents.outcomes import Incoming, Outcome
from streams import app
from streams.cli import main
from streams.kafka.offsets import OffsetTracker
from streams.pipeline.agent_pipeline import AgentPipeline
from streams.pipeline.consumer import GroupConsumer

SECONDS_A_BATCH = 1.0


async def slowly(batch: Sequence[Incoming], **arguments: Any) -> list[Outcome]:
    """Classify, later."""
    await asyncio.sleep(SECONDS_A_BATCH)
    return await classify(batch, **arguments)


def route_with_faust_acking(self: GroupConsumer, topic: str, lane: AgentPipeline) -> None:
    """`GroupConsumer.route` with Faust's default acking: an event is acked when the agent asks for the next one."""
    source = self.app.topic(topic, key_serializer="raw", value_serializer="raw")
    self.app.conf.broker_commit_interval = (
        self._settings.kafka.commit_interval_s
    )  # as often as ours
    self.lanes.append(lane)

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            await self._take(event.message, lane)

    self.app.agent(source, name=lane.name)(agent)


if __name__ == "__main__":
    app.classify = slowly  # type: ignore[assignment]
    if os.environ.get("ACKING") == "faust":
        GroupConsumer.route = route_with_faust_acking  # type: ignore[method-assign]
        OffsetTracker.committable = lambda _: {}  # type: ignore[method-assign,assignment]
    main()
