"""The account of one scenario, as a row of the report."""

from dataclasses import asdict, dataclass
from typing import Any

Span = tuple[float, float]
"""Begin and end, in seconds since the run's start."""


@dataclass(frozen=True, slots=True)
class Row:
    """What went in and came out while a fault was injected.

    Attributes:
        scenario: the name.
        what: what happened.
        workers: how many workers ran when the fault began.
        events_in: the events that the brokers took.
        events_out: those of them with an output, a dead letter included.
        lost: events without an output, and events that were escalated and never ended.
        lost_because: why they are lost, if the fault itself took them away.
        duplicated: copies of one revision with the same content, beyond the first.
        disagreeing: ids with two copies of one revision that differ.
        dead_lettered: ids with a dead letter.
        refused: events that the brokers did not confirm to their sender; they are in no figure.
        worker_restarts: how often a worker ended by itself and was started again.
        fault_s: how long the fault lasted.
        first_output_s: from the fault's begin to the first output of an event that was sent after
            it; -1 if there is none.
        recovered_s: from the fault's begin until the lag is as before; None if it never was.
        longest_wait_s: the longest time between the sending of an event and its first output.
        notes: what else was seen.
        problems: what should not be so.
    """

    scenario: str
    what: str
    workers: int
    events_in: int
    events_out: int
    lost: int
    lost_because: str
    duplicated: int
    disagreeing: int
    dead_lettered: int
    refused: int
    worker_restarts: int
    fault_s: float
    first_output_s: float
    recovered_s: float | None
    longest_wait_s: float
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)
