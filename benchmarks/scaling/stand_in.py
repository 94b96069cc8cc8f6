"""A worker whose model is replaced by a stand-in of fixed cost per event.

Run it as `python -m benchmarks.scaling.stand_in worker`. Only the model is replaced: records are
read, decided, published, audited and committed as in any worker. The stand-in sleeps, so that more
workers than cores can be measured on one machine. It decides one batch at a time, as a model that
has one processor for itself. `TRIAGE_STAND_IN_MS` is the cost of an event in milliseconds.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.model.artifact import DEFAULT_MODEL, load_artifact
from schemas.event import Domain, Event
from schemas.triaged import Label, ModelInfo
from streams.cli import main

COST = "TRIAGE_STAND_IN_MS"


@dataclass(frozen=True, slots=True)
class Role:
    """What one worker of several in a process does.

    `name` is the name of the model in its answers, which tells who answered.
    """

    name: str = "stand-in"
    cost_ms: float = field(default_factory=lambda: float(os.environ.get(COST, "0")))


role: ContextVar[Role] = ContextVar("role")


def current_role() -> Role:
    """The role of the worker whose task this is."""
    return role.get(Role())


class StandIn(Classifier):
    """Accepts every event with the same labels, after `cost_s` seconds per event."""

    @classmethod
    def open(cls, *_: Any, terms: Any = None, **__: Any) -> "StandIn":
        """The stand-in, with the labels and the promise of the shipped model."""
        encoder: Any = SimpleNamespace(compute_type="stand-in")
        engine: Any = SimpleNamespace(close=asyncio.sleep)
        stand_in = cls(load_artifact(DEFAULT_MODEL), engine, encoder, terms or {})
        stand_in.model = ModelInfo(
            name=current_role().name, digest="stand-in", compute_type="stand-in"
        )
        stand_in.cost_s = current_role().cost_ms / 1000
        stand_in.turn = asyncio.Lock()
        return stand_in

    cost_s: float
    turn: asyncio.Lock

    async def classify_each(
        self, domain: Domain, events: Sequence[Event]
    ) -> AsyncGenerator[tuple[int, Decision], None]:
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
        for row in range(len(events)):
            yield row, Decision(labels, 0.0, 0.0, True, "stand-in", "", elapsed_s)

    async def close(self) -> None:
        """There is nothing to close."""


@contextmanager
def stand_ins() -> Iterator[None]:
    """Workers that start in this block have a stand-in instead of a model."""
    with patch.object(Classifier, "open", StandIn.open):
        yield


if __name__ == "__main__":
    with stand_ins():
        main()
