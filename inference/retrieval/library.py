"""Finds what can be quoted to an LLM beside one case: settled events and passages of runbooks."""

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
    """The settled events and the runbooks.

    It learns from every case and every revision. It lives in memory, and is filled again from the
    topics after a start.

    Args:
        options: what is shown and how much is kept.
        runbooks: the indexed runbooks, None to quote none.
        embed: gives the embeddings of events, float32 (events, width), each of length one.
    """

    def __init__(self, options: RetrievalOptions, runbooks: Runbooks | None, embed: Embed) -> None:
        self._options = options
        self._settled = SettledCases(options)
        self._precedents = Precedents(options)
        self._runbooks = runbooks
        self._embed = embed

    @classmethod
    def open(cls, options: RetrievalOptions, embed: Embed) -> Self:
        """Open a library with the configured runbooks and without a settled event.

        Raises:
            ConfigError: the runbooks cannot be read.
        """
        runbooks = None
        if options.runbooks and options.passages:
            runbooks = Runbooks.load(Path(options.runbooks))
        return cls(options, runbooks, embed)

    async def see(self, record: Case | TriagedEvent) -> None:
        """Note a case, or a revision that may settle one; their order does not matter.

        Raises:
            InvalidEvent: the event and the decision of a case are not about the same event.
        """
        if isinstance(record, Case):
            settled = self._settled.remember(record)
        else:
            settled = self._settled.settle(record)
        if settled is not None:
            (vector,) = await self._embed(settled.event.domain, [settled.event])
            self._precedents.add(settled, vector)

    async def precedents(self, event: Event) -> list[Precedent]:
        """Return the similar settled events of the same tenant, the most similar first."""
        if not self._options.similar or not len(self._precedents):
            return []
        (vector,) = await self._embed(event.domain, [event])
        return self._precedents.similar(event, vector)

    def passages(self, event: Event) -> list[Passage]:
        """Return the passages that share the most important words with the event's input text."""
        if self._runbooks is None:
            return []
        return self._runbooks.best(render(event), self._options.passages)
