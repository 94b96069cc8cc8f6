"""The event that kills every worker is found: one at a time, noted before, and left out."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import pytest

from streams.kafka.commit_note import CommitNote, LastRecord
from streams.kafka.member import Committed
from streams.kafka.offsets import Partition
from streams.pipeline.quarantine import KILLED, LONGEST_S, SUSPECTS, SUSPICIOUS_STARTS, Quarantine
from streams.pipeline.quarantine import Turn as Turn_

P, Q, R = (Partition("t", number) for number in range(3))
LAST = LastRecord(4, 99)
SUSPICIOUS = Committed(5, CommitNote(LAST, SUSPICIOUS_STARTS))


class Bench:
    """A quarantine whose commits are kept, and events that last until the test ends them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.commits: list[dict[Partition, Committed]] = []
        self.takes_commits = True
        self.quarantine = Quarantine(self._commit, clock=lambda: self.now_s)
        self.turns: dict[tuple[Partition, int], Turn_] = {}
        self.ends: dict[tuple[Partition, int], asyncio.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def _commit(self, commits: dict[Partition, Committed]) -> bool:
        self.commits.append(commits)
        return self.takes_commits

    def read(self, partition: Partition, offset: int) -> asyncio.Task[None]:
        """Read an event, which waits for its turn and then for its end."""
        event = (partition, offset)
        self.ends[event] = asyncio.Event()

        async def process() -> None:
            async with self.quarantine.turn(partition, offset) as turn:
                self.turns[event] = turn
                await self.ends[event].wait()

        task = asyncio.create_task(process())
        self.tasks.append(task)
        return task

    async def end(self, partition: Partition, offset: int) -> None:
        """End an event."""
        self.ends[partition, offset].set()
        await settle()

    async def takes(self, partition: Partition, offset: int) -> Turn_ | None:
        """The turn of an event that is read and ended at once; None if it has to wait."""
        task = self.read(partition, offset)
        await self.end(partition, offset)
        if task.done():
            return self.turns[partition, offset]
        task.cancel()
        return None


@pytest.fixture
async def bench() -> Any:
    """A quarantine of which nothing is suspicious yet."""
    made = Bench()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def within(waiting: Awaitable[Any]) -> None:
    """Fail if it does not end."""
    await asyncio.wait_for(waiting, 5)


async def test_each_worker_notes_that_it_began(bench: Bench) -> None:
    """An event that kills workers would leave no trace."""
    committed = {P: Committed(5, CommitNote(LAST)), Q: Committed(7, CommitNote(None, 1))}
    assert bench.quarantine.begin(committed) == {
        P: Committed(5, CommitNote(LAST, 1)),
        Q: Committed(7, CommitNote(None, 2)),
    }
    for partition in (P, Q):
        assert await bench.takes(partition, 7) == Turn_()
    assert bench.commits == []


@pytest.mark.parametrize("starts", range(SUSPICIOUS_STARTS))
async def test_a_worker_or_two_may_end_without_suspicion(bench: Bench, starts: int) -> None:
    """Each node that is drained would slow down its partitions."""
    bench.quarantine.begin({P: Committed(5, CommitNote(None, starts))})
    assert await bench.takes(P, 5) == Turn_()


async def test_a_suspicious_event_is_noted_before_it_is_processed_alone(bench: Bench) -> None:
    """The event that kills the worker could not be told from those beside it."""
    bench.quarantine.begin({P: SUSPICIOUS})
    first, second = bench.read(P, 5), bench.read(P, 6)
    await settle()
    assert bench.commits == [{P: Committed(5, CommitNote(None, 0, 5))}]
    assert bench.turns == {(P, 5): Turn_(alone=True)}
    await bench.end(P, 5)
    assert first.done()
    assert bench.commits[1:] == [{P: Committed(6, CommitNote(None, 0, 6))}]
    assert bench.turns[P, 6] == Turn_(alone=True)
    await bench.end(P, 6)
    await within(second)


async def test_the_note_that_was_being_tried_stays_until_the_next_event(bench: Bench) -> None:
    """A worker that dies before its first event would clear the killer."""
    notes = bench.quarantine.begin({P: Committed(8, CommitNote(None, 0, 8))})
    assert notes == {P: Committed(8, CommitNote(None, 1, 8))}


async def test_the_event_that_killed_the_last_worker_is_left_out(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The partition would be stuck at it, and every worker that reads it be killed, for ever."""
    bench.quarantine.begin({P: Committed(8, CommitNote(None, 1, 8))})
    assert await bench.takes(P, 8) == Turn_(alone=True, outcome=KILLED)
    assert bench.commits == [], "nothing is tried"
    assert caplog.messages[-1] == "offset 8 of t[0] killed several workers: a dead letter"
    assert await bench.takes(P, 9) == Turn_(alone=True), "there may be more of them"


async def test_meanwhile_no_other_event_is_processed(bench: Bench) -> None:
    """An event of another partition that kills the worker would be blamed on this one."""
    bench.quarantine.begin({P: SUSPICIOUS, Q: SUSPICIOUS, R: Committed(0, CommitNote())})
    tasks = {partition: bench.read(partition, 5) for partition in (P, Q, R)}
    await settle()
    assert set(bench.turns) == {(P, 5)}
    await bench.end(P, 5)
    assert set(bench.turns) == {(P, 5), (Q, 5)}, "suspicious partitions take turns"
    await bench.end(Q, 5)
    bench.quarantine.caught_up(P)
    await settle()
    assert not tasks[R].done()
    assert (R, 5) not in bench.turns
    bench.quarantine.caught_up(Q)
    await bench.end(R, 5)
    await within(tasks[R])
    assert bench.turns[R, 5] == Turn_()


async def test_a_partition_without_suspicion_that_is_caught_up_ends_nothing(bench: Bench) -> None:
    """The quarantine of another partition would end at once."""
    bench.quarantine.begin({P: SUSPICIOUS, Q: Committed(0, CommitNote())})
    bench.quarantine.caught_up(Q)
    assert await bench.takes(Q, 0) is None


async def test_the_events_behind_the_suspects_are_processed_as_usual(bench: Bench) -> None:
    """A partition would stay slow for ever after three restarts."""
    bench.quarantine.begin({P: SUSPICIOUS})
    assert await bench.takes(P, 5 + SUSPECTS - 1) == Turn_(alone=True)
    assert await bench.takes(P, 5 + SUSPECTS) == Turn_()
    assert await bench.takes(Q, 0) == Turn_()


async def test_a_quarantine_ends_after_its_time(bench: Bench) -> None:
    """A long partition of slow events would hold up all others."""
    bench.quarantine.begin({P: SUSPICIOUS})
    bench.now_s = LONGEST_S - 1
    assert await bench.takes(P, 6) == Turn_(alone=True)
    bench.now_s = LONGEST_S
    assert await bench.takes(P, 7) == Turn_()
    assert await bench.takes(Q, 0) == Turn_()
    assert len(bench.commits) == 1


async def test_a_suspicious_partition_that_is_never_read_holds_up_nobody(bench: Bench) -> None:
    """With a damaged batch in it, all other partitions would wait for ever."""
    bench.quarantine.begin({P: SUSPICIOUS})
    bench.now_s = LONGEST_S
    assert await bench.takes(Q, 0) == Turn_()


async def test_a_suspicious_event_that_hangs_holds_up_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every partition of the worker, suspicious ones too, would wait for ever."""
    bench.now_s = -LONGEST_S
    bench.quarantine.begin({P: SUSPICIOUS, R: SUSPICIOUS})
    bench.now_s = -0.05  # the rest of the time really passes
    hanging = bench.read(P, 5)
    await settle()
    others = [bench.read(Q, 0), bench.read(R, 5)]
    await settle()
    assert set(bench.turns) == {(P, 5)}
    for event in ((Q, 0), (R, 5)):
        bench.ends[event].set()
    await within(asyncio.gather(*others))
    assert bench.turns[Q, 0] == bench.turns[R, 5] == Turn_()
    assert not hanging.done()


async def test_a_note_that_is_not_taken_holds_up_nobody(bench: Bench) -> None:
    """A broker that refuses a commit would stop the partition."""
    bench.quarantine.begin({P: SUSPICIOUS})
    bench.takes_commits = False
    assert await bench.takes(P, 5) == Turn_(alone=True)


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_an_event_that_gives_up_its_turn_lets_the_next_one_have_it(
    bench: Bench, how: str
) -> None:
    """After a rebalance in the middle of a suspicious event, nothing would be read any more."""
    bench.quarantine.begin({P: SUSPICIOUS})
    if how == "cancelled":
        waiting = bench.read(P, 5)
        await settle()
        waiting.cancel()
        await settle()
    else:
        with pytest.raises(ZeroDivisionError):
            async with bench.quarantine.turn(P, 5):
                raise ZeroDivisionError
    assert await bench.takes(P, 5) == Turn_(alone=True)


async def test_a_revocation_ends_the_quarantine(bench: Bench) -> None:
    """The partitions of the next assignment would wait for one of another worker."""
    bench.quarantine.begin({P: SUSPICIOUS})
    bench.quarantine.forget()
    assert await bench.takes(Q, 0) == Turn_()
    assert await bench.takes(P, 5) == Turn_()
    bench.quarantine.begin({P: SUSPICIOUS})
    assert await bench.takes(Q, 1) is None
    bench.quarantine.begin({Q: Committed(0, CommitNote())})
    assert await bench.takes(Q, 1) == Turn_()


async def test_people_are_told_of_the_suspicion(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that is suddenly slow would not say why."""
    caplog.set_level(logging.WARNING)
    bench.quarantine.begin({P: SUSPICIOUS, Q: Committed(0, CommitNote())})
    assert caplog.messages == [
        "2 workers ended at offset 5 of t[0]; its events are processed one at a time"
    ]
