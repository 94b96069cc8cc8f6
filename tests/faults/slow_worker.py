"""A worker that needs a second per batch, with our own commits or with those of Faust.

Run it as `python -m tests.faults.slow_worker worker`. With ACKING=faust, Faust acknowledges the
events and commits their offsets. That is the only difference, and it loses events. It shows that
the tests notice a loss.
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

SECONDS_PER_BATCH = 1.0


async def slowly(batch: Sequence[Incoming], **arguments: Any) -> list[Outcome]:
    """Wait, and then classify."""
    await asyncio.sleep(SECONDS_PER_BATCH)
    return await classify(batch, **arguments)


def route_with_faust_acking(self: GroupConsumer, topic: str, agent_pipeline: AgentPipeline) -> None:
    """`GroupConsumer.route` with the default of Faust.

    Faust acknowledges an event as soon as the agent asks for the next one.
    """
    source = self.app.topic(topic, key_serializer="raw", value_serializer="raw")
    # Faust commits as often as our own worker.
    self.app.conf.broker_commit_interval = self._settings.kafka.commit_interval_s
    self.agent_pipelines.append(agent_pipeline)

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            await self._take(event.message, agent_pipeline)

    self.app.agent(source, name=agent_pipeline.name)(agent)


if __name__ == "__main__":
    setattr(app, "classify", slowly)  # noqa: B010 - the type checker does not allow it
    if os.environ.get("ACKING") == "faust":
        GroupConsumer.route = route_with_faust_acking  # type: ignore[method-assign]
        OffsetTracker.committable = lambda _: {}  # type: ignore[method-assign,assignment]
    main()
