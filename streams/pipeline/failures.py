"""Three kinds of failure: of one event, of the agent, and of the broker.

An event that its agent cannot process becomes a dead letter, and those beside it in its record do
not. An agent that can process no event stops the worker. Otherwise a broken model would turn every
event of a topic into a dead letter.
While the broker cannot be asked, the agent waits and tries again: no event is at fault.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from aiokafka.errors import KafkaError

from agents.outcomes import DeadLettered, Element, Incoming, Outcome
from inference.errors import ConfigError
from schemas.event import Origin
from streams.errors import StreamError

log = logging.getLogger(__name__)

MAX_FAILURES_IN_A_ROW = 3
"""The events of so many records may fail without any success in the same batch before the agent is
taken to be broken. A lone bad record on a quiet topic must not stop every worker that reads it,
however many events it holds."""

BROKER_FAILED = (StreamError, KafkaError)
"""The events stay as they are, and are processed when the broker answers again."""

RETRY_S = 5.0


class _WrongOutcomes(AssertionError):  # noqa: N818 - what the agent gave
    """An agent did not give each event of a batch one outcome; the agent is at fault."""


NO_EVENT_AT_FAULT = (*BROKER_FAILED, ConfigError, _WrongOutcomes)


Process = Callable[[Sequence[Incoming]], Awaitable[list[Outcome]]]
"""Takes a batch and gives one outcome per event, in order."""
ProcessEach = Callable[[Sequence[Incoming]], AsyncGenerator[tuple[int, Outcome], None]]
"""Takes a batch and gives each outcome, with its place in the batch, as soon as it is known."""
Read = Callable[[Incoming], Awaitable[list[Incoming]]]
"""Takes a record and gives its events, at least one."""


class FailureIsolation:
    """Runs the batches of one agent; `name` is the agent's, for the logs and the dead letters."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failed_in_a_row: set[Origin] = set()
        self.why_waiting: str | None = None
        """What the broker does not do; None if it does."""

    async def run(
        self, process: ProcessEach, batch: Sequence[Incoming]
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        """Process a batch. If it fails, process its events without an outcome one by one.

        It waits while the broker cannot be asked.

        Yields:
            The outcome of each event with its place in the batch, as soon as it is known.

        Raises:
            ConfigError: the configuration cannot be used, so no event is at fault.
            Exception: what the agent raised, if too many events failed in a row.
        """
        rows = list(range(len(batch)))
        while rows:
            known = self._try(process, [batch[row] for row in rows])
            ended: set[int] = set()
            try:
                async with aclosing(known):
                    async for place, outcome in known:
                        ended.add(place)
                        yield rows[place], outcome
            except BROKER_FAILED as error:
                self.why_waiting = f"{self._name} waits for the broker ({error})"
                log.warning("%s; trying again in %.0f s", self.why_waiting, RETRY_S)
                await asyncio.sleep(RETRY_S)
            else:
                self.why_waiting = None
            rows = [row for place, row in enumerate(rows) if place not in ended]

    async def read(self, read: Read, record: Incoming) -> list[Incoming]:
        """The events of a record. A record that cannot even be refused becomes one dead letter.

        Raises:
            Exception: what `read` raised, if too many records failed in a row.
        """
        try:
            return await read(record)
        except Exception as error:  # noqa: BLE001 - becomes the record's dead letter
            (letter,) = self._dead_letters([record], [error])
            return [replace(record, element=Element(letter))]

    async def _try(
        self, process: ProcessEach, batch: Sequence[Incoming]
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        ended: set[int] = set()
        try:
            async with aclosing(_once_each(process, batch)) as outcomes:
                async for place, outcome in outcomes:
                    ended.add(place)
                    yield place, outcome
        except NO_EVENT_AT_FAULT:
            raise
        except Exception as error:
            rest = [place for place in range(len(batch)) if place not in ended]
            if len(batch) == 1:
                for letter in self._dead_letters(batch, [error]):
                    yield 0, letter
                return
            log.exception(
                "%d events of a batch of %d failed in %s; trying each alone",
                len(rest),
                len(batch),
                self._name,
            )
            alone = self._one_by_one(process, batch, rest)
            async with aclosing(alone):
                async for place, outcome in alone:
                    yield place, outcome
        else:
            self._failed_in_a_row.clear()

    async def _one_by_one(
        self, process: ProcessEach, batch: Sequence[Incoming], places: Sequence[int]
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        """Process these events of a batch, each alone.

        If some event of the batch could be processed, those that could not are at fault themselves.
        """
        errors: dict[int, Exception] = {}
        for place in places:
            try:
                async with aclosing(_once_each(process, [batch[place]])) as outcomes:
                    async for _, outcome in outcomes:
                        yield place, outcome
            except NO_EVENT_AT_FAULT:
                raise
            except Exception as error:  # noqa: BLE001 - becomes that event's dead letter
                errors[place] = error
        letters = [self._dead_letter(error) for error in errors.values()]
        if len(errors) == len(batch):
            letters = self._dead_letters(batch, list(errors.values()))
        for place, letter in zip(errors, letters, strict=True):
            yield place, letter

    def _dead_letters(
        self, batch: Sequence[Incoming], errors: Sequence[Exception]
    ) -> list[DeadLettered]:
        """Dead letters for a batch in which every event failed.

        Raises:
            Exception: the first of `errors`, if too many records have failed in a row.
        """
        self._failed_in_a_row.update(incoming.origin for incoming in batch)
        if len(self._failed_in_a_row) > MAX_FAILURES_IN_A_ROW:
            raise errors[0]
        log.error(
            "%d events failed in %s and become dead letters",
            len(errors),
            self._name,
            exc_info=errors[0],
        )
        return [self._dead_letter(error) for error in errors]

    def _dead_letter(self, error: Exception) -> DeadLettered:
        return DeadLettered(self._name, type(error).__name__, str(error), "retryable")


@dataclass(frozen=True, slots=True)
class AtOnce:
    """An agent that ends the events of a batch together, in the form of `ProcessEach`."""

    process: Process

    async def __call__(
        self, batch: Sequence[Incoming]
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        """Process a batch, and give all of its outcomes."""
        outcomes = await self.process(batch)
        if len(outcomes) != len(batch):
            raise _WrongOutcomes(f"there are {len(outcomes)} outcomes for {len(batch)} events")
        for place, outcome in enumerate(outcomes):
            yield place, outcome


async def _once_each(
    process: ProcessEach, batch: Sequence[Incoming]
) -> AsyncGenerator[tuple[int, Outcome], None]:
    """What `process` gives, which must be one outcome for each event."""
    missing = set(range(len(batch)))
    outcomes = process(batch)
    async with aclosing(outcomes):
        async for place, outcome in outcomes:
            if place not in missing:
                raise _WrongOutcomes(f"event {place} of {len(batch)} has a second outcome")
            missing.discard(place)
            yield place, outcome
    if missing:
        raise _WrongOutcomes(f"{len(missing)} of {len(batch)} events have no outcome")
