"""What can be quoted to an LLM: settled events of the same tenant and passages of runbooks, found for one case."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Self

from inference.arrays import Vectors
from inference.model.input_text import render
from inference.retrieval.options import RetrievalOptions
from inference.retrieval.precedents import Precedent, Precedents
from inference.retrieval.runbooks import Passage, Runbooks
from inference.retrieval.settled import SettledCases
from schemas.event import Domain, Event
from schemas.triaged import Case, TriagedEvent

Embed = Callable[[Domain, Sequence[Event]], Awaitable[Vectors]]


class Library:
    """Grows with every case seen and every verdict on one; lives in memory and is refilled from the topics.

    `embed` gives float32 (events, width) of length one each.
    """

    def __init__(self, options: RetrievalOptions, runbooks: Runbooks | None, embed: Embed) -> None:
        self._options = options
        self._settled = SettledCases(options)
        self._precedents = Precedents(options)
        self._runbooks = runbooks
        self._embed = embed

    @classmethod
    def open(cls, options: RetrievalOptions, embed: Embed) -> Self:
        """A library with the configured runbooks and no settled event yet.

        Raises:
            ValueError: the runbooks cannot be read; one sentence.
        """
        runbooks = (
            Runbooks.load(Path(options.runbooks)) if options.runbooks and options.passages else None
        )
        return cls(options, runbooks, embed)

    async def see(self, record: Case | TriagedEvent) -> None:
        """Note a case, or a revision that may settle one; their order does not matter."""
        settled = (
            self._settled.remember(record)
            if isinstance(record, Case)
            else self._settled.settle(record)
        )
        if settled is not None:
            (vector,) = await self._embed(settled.event.domain, [settled.event])
            self._precedents.add(settled, vector)

    async def precedents(self, event: Event) -> list[Precedent]:
        """Settled events of the same tenant like this one, the likest first."""
        if not self._options.similar or not len(self._precedents):
            return []
        (vector,) = await self._embed(event.domain, [event])
        return self._precedents.similar(event, vector)

    def passages(self, event: Event) -> list[Passage]:
        """The runbook passages that share most with the event's words."""
        return self._runbooks.best(render(event), self._options.passages) if self._runbooks else []
