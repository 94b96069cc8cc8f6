"""Three kinds of failure: of one event, of the agent, and of the broker.

An event that its agent cannot process becomes a dead letter, and those beside it in its record do
not. An agent that can process no event stops the worker. Otherwise a broken model would turn every
event of a topic into a dead letter.
While the broker cannot be asked, the agent waits and tries again: no event is at fault.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

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
NO_EVENT_AT_FAULT = (*BROKER_FAILED, ConfigError)

RETRY_S = 5.0

Process = Callable[[Sequence[Incoming]], Awaitable[list[Outcome]]]
Read = Callable[[Incoming], Awaitable[list[Incoming]]]
"""Takes a record and gives its events, at least one."""


class FailureIsolation:
    """Runs the batches of one agent; `name` is the agent's, for the logs and the dead letters."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failed_in_a_row: set[Origin] = set()
        self.why_waiting: str | None = None
        """What the broker does not do; None if it does."""

    async def run(self, process: Process, batch: Sequence[Incoming]) -> list[Outcome]:
        """Process a batch. If it fails, process its events one by one.

        It waits while the broker cannot be asked.

        Returns:
            One outcome per record, in order.

        Raises:
            ConfigError: the configuration cannot be used, so no event is at fault.
            Exception: what the agent raised, if too many events failed in a row.
        """
        while True:
            try:
                outcomes = await self._try(process, batch)
            except BROKER_FAILED as error:
                self.why_waiting = f"{self._name} waits for the broker ({error})"
                log.warning("%s; trying again in %.0f s", self.why_waiting, RETRY_S)
                await asyncio.sleep(RETRY_S)
            else:
                self.why_waiting = None
                return outcomes

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

    async def _try(self, process: Process, batch: Sequence[Incoming]) -> list[Outcome]:
        try:
            outcomes = await process(batch)
        except NO_EVENT_AT_FAULT:
            raise
        except Exception as error:
            if len(batch) == 1:
                return list(self._dead_letters(batch, [error]))
            log.exception(
                "a batch of %d events failed in %s; trying each alone", len(batch), self._name
            )
            return await self._one_by_one(process, batch)
        self._failed_in_a_row.clear()
        if len(outcomes) != len(batch):
            raise AssertionError(
                f"{self._name} returned {len(outcomes)} outcomes for {len(batch)} events"
            )
        return outcomes

    async def _one_by_one(self, process: Process, batch: Sequence[Incoming]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        errors: list[Exception] = []
        for incoming in batch:
            try:
                outcomes += await process([incoming])
            except NO_EVENT_AT_FAULT:
                raise
            except Exception as error:  # noqa: BLE001 - becomes that event's dead letter
                errors.append(error)
                outcomes.append(self._dead_letter(error))
        # If some event could be processed, those that could not are at fault themselves.
        return list(self._dead_letters(batch, errors)) if len(errors) == len(batch) else outcomes

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
