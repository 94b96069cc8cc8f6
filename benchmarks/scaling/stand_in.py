"""A worker whose model is replaced by a stand-in of fixed cost per event.

Run it as `python -m benchmarks.scaling.stand_in worker`. Only the model is replaced: records are
read, decided, published, audited and committed as in any worker. The stand-in sleeps, so that more
workers than cores can be measured on one machine. It decides one batch at a time, as a model that
has one processor for itself. `TRIAGE_STAND_IN_MS` is the cost of an event in milliseconds, and
`TRIAGE_STAND_IN_NAME` the name of the model in its answers, which tells who answered. With
`TRIAGE_STAND_IN_EAGER`, partitions are assigned as aiokafka does it, for comparison.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.model.artifact import DEFAULT_MODEL, load_artifact
from schemas.event import Domain, Event
from schemas.triaged import Label, ModelInfo
from streams.cli import main
from streams.kafka.assignment import StickyAssignor

COST = "TRIAGE_STAND_IN_MS"
NAME = "TRIAGE_STAND_IN_NAME"
EAGER = "TRIAGE_STAND_IN_EAGER"


class StandIn(Classifier):
    """Accepts every event with the same labels, after `cost_s` seconds per event."""

    @classmethod
    def open(cls, *_: Any, terms: Any = None, **__: Any) -> "StandIn":
        """The stand-in, with the labels and the promise of the shipped model."""
        encoder: Any = SimpleNamespace(compute_type="stand-in")
        engine: Any = SimpleNamespace(close=asyncio.sleep)
        stand_in = cls(load_artifact(DEFAULT_MODEL), engine, encoder, terms or {})
        stand_in.model = ModelInfo(
            name=os.environ.get(NAME, "stand-in"), digest="stand-in", compute_type="stand-in"
        )
        stand_in.cost_s = float(os.environ.get(COST, "0")) / 1000
        stand_in.turn = asyncio.Lock()
        return stand_in

    cost_s: float
    turn: asyncio.Lock

    async def classify(self, domain: Domain, events: Sequence[Event]) -> list[Decision]:
        """Wait for the turn, sleep, and accept."""
        started_s = time.perf_counter()
        if events and self.cost_s:
            async with self.turn:
                await asyncio.sleep(self.cost_s * len(events))
        elapsed_s = time.perf_counter() - started_s
        labels = {
            # One in the middle: a high severity or priority would send the event to a person.
            axis: Label(value=values[len(values) // 2], confidence=1.0)
            for axis, values in self.labels(domain).items()
        }
        return [Decision(labels, 0.0, 0.0, True, "stand-in", "", elapsed_s) for _ in events]

    async def close(self) -> None:
        """There is nothing to close."""


if __name__ == "__main__":
    assign: Any = StickyAssignor.assign
    if os.environ.get(EAGER):
        assign = staticmethod(RoundRobinPartitionAssignor.assign)
    with (
        patch.object(Classifier, "open", StandIn.open),
        patch.object(StickyAssignor, "assign", assign),
    ):
        main()
