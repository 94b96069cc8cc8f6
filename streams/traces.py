"""What the pipeline calls so that an event can be followed; here nothing follows it.

`streams/spans.py` has the class that makes spans of OpenTelemetry. It is imported only if
`[traces] enabled` is true.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from agents.outcomes import Incoming, Outcome
from streams.kafka.producer import Receipt
from streams.kafka.record import Record

Read = Callable[[Incoming], Awaitable[list[Incoming]]]
ProcessEach = Callable[[Sequence[Incoming]], AsyncGenerator[tuple[int, Outcome], None]]


class Traces:
    """Follows no event. Every method gives back what it was given."""

    def reading(self, read: Read) -> Read:
        """The same `read`, after which each event of a record is followed."""
        return read

    def processing(self, agent: str, process: ProcessEach) -> ProcessEach:
        """The same `process` of an agent, in the traces of its events."""
        _ = agent
        return process

    def sending(
        self, incoming: Incoming, outcome: Outcome, records: Sequence[Record]
    ) -> Sequence[Record]:
        """The outputs of an event, with the trace in their headers."""
        _ = incoming, outcome
        return records

    def settled(self, incoming: Incoming, outcome: Outcome, receipts: Sequence[Receipt]) -> None:
        """Note that the broker has answered for every output of an event."""

    def calling(self, endpoint: Any) -> Any:
        """The same endpoint of an LLM, whose calls are in the trace of the event in question."""
        return endpoint

    async def stop(self) -> None:
        """Send what has not been sent, within about a second."""


NO_TRACES = Traces()
