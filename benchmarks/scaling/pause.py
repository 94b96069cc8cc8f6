"""How long partitions stand still while workers come and go.

A ticket is sent to each partition ten times a second, and each answer names the worker that gave
it. The pause of a partition is the longest time between two of its answers during a change. A
partition is untouched if the same worker answers for it before and after the change.
"""

import asyncio
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.scaling.workers import Workers, producing, short_tickets
from schemas.codec import decode
from schemas.triaged import TriagedEvent
from streams.config import Settings
from streams.kafka.reader import reading
from streams.topics import Topics

PER_PARTITION_PER_S = 10
CALM_S = 4.0
"""So long nothing is changed before and after a change."""
SETTLE_TIMEOUT_S = 120.0
RESTART = "rolling restart of 2"


@dataclass(frozen=True, slots=True)
class Pause:
    """The longest pauses of the partitions in one change, in seconds."""

    change: str
    untouched: tuple[float, ...]
    moved: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """When an answer was seen, in seconds of a monotonic clock, and who gave it."""

    at_s: float
    worker: str


class Observer:
    """Sends tickets at a steady rate, and notes when each partition was answered, and by whom."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.answers: dict[int, list[Answer]] = defaultdict(list)
        self.sent = 0
        self.copies = 0
        self._ids: set[str] = set()

    @property
    def lost(self) -> int:
        """How many tickets have no answer."""
        return self.sent - len(self._ids)

    async def send(self) -> None:
        """Send until it is cancelled."""
        topic = Topics(self._settings.topics.prefix).input("tickets")
        count = self._settings.topics.partitions
        started_s = time.monotonic()
        async with producing(self._settings) as producer:
            tickets = short_tickets(itertools.cycle(range(count)))
            for number, (partition, value) in enumerate(tickets):
                due_s = started_s + number / (count * PER_PARTITION_PER_S)
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                await producer.send(topic, value, partition=partition)
                self.sent += 1

    async def read(self) -> None:
        """Read answers until it is cancelled."""
        topic = Topics(self._settings.topics.prefix).triaged("tickets")
        async with reading(self._settings.kafka, [topic], from_beginning=True) as consumer:
            while True:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        self._note(decode(record.value, TriagedEvent))

    def _note(self, triaged: TriagedEvent) -> None:
        self.copies += triaged.id in self._ids
        self._ids.add(triaged.id)
        answer = Answer(time.monotonic(), triaged.model.name)
        self.answers[triaged.origin.partition].append(answer)

    def owners(self, since_s: float) -> dict[int, set[str]]:
        """Who has answered for each partition since then."""
        return {
            partition: {answer.worker for answer in answers if answer.at_s >= since_s}
            for partition, answers in self.answers.items()
        }

    def pauses(
        self, change: str, started_s: float, ended_s: float, restarted: Collection[int] = ()
    ) -> Pause:
        """The longest pause of each partition between these times."""
        untouched: list[float] = []
        moved: list[float] = []
        for partition, answers in self.answers.items():
            before = [each for each in answers if each.at_s < started_s][-1]
            during = [each for each in answers if started_s <= each.at_s <= ended_s]
            times_s = [max(before.at_s, started_s), *(each.at_s for each in during)]
            longest_s = max(
                later - earlier for earlier, later in itertools.pairwise([*times_s, ended_s])
            )
            workers = {before.worker, *(each.worker for each in during)}
            stayed = len(workers) == 1 and partition not in restarted
            (untouched if stayed else moved).append(longest_s)
        return Pause(change, tuple(untouched), tuple(moved))

    async def answered(self, timeout_s: float) -> None:
        """Wait until every ticket has an answer, at most so long."""
        deadline_s = time.monotonic() + timeout_s
        while self.lost and time.monotonic() < deadline_s:  # noqa: ASYNC110 - what it waits for is counted
            await asyncio.sleep(0.2)

    async def settled(self, workers: Workers) -> None:
        """Wait until every partition is answered by one worker that runs, and all of them answer.

        Raises:
            TimeoutError: that did not happen.
        """
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while True:
                began_s = time.monotonic()
                await asyncio.sleep(1.0)
                owners = self.owners(began_s)
                names = set().union(*owners.values())
                if names == set(workers.running) and all(map(len, owners.values())):
                    return


async def measure(settings: Settings, workers: Workers) -> tuple[list[Pause], Observer]:
    """The pauses with 1, 2, 4, 2 and 1 workers, and in a rolling restart of two of them."""
    async with _observed(settings, workers, "w0") as observer:
        pauses = [
            await _change("1 to 2 workers", observer, workers, lambda: workers.start("w1")),
            await _change("2 to 4 workers", observer, workers, lambda: workers.start("w2", "w3")),
            await _change("4 to 2 workers", observer, workers, lambda: workers.stop("w2", "w3")),
            await _change(RESTART, observer, workers, lambda: _restart(workers)),
            await _change("2 to 1 workers", observer, workers, lambda: workers.stop("w1")),
        ]
    return pauses, observer


async def measure_restart(settings: Settings, workers: Workers) -> tuple[Pause, Observer]:
    """The pauses while one of two workers is restarted.

    The partitions of the worker that is restarted are called moved, although it gets them again.
    """
    async with _observed(settings, workers, "w0", "w1") as observer:
        owners = observer.owners(time.monotonic() - CALM_S)
        restarted = {partition for partition, names in owners.items() if names == {"w1"}}

        async def restart() -> None:
            await workers.stop("w1")
            await workers.start("w1")

        return await _change("restart of 1 of 2", observer, workers, restart, restarted), observer


@asynccontextmanager
async def _observed(settings: Settings, workers: Workers, *names: str) -> AsyncIterator[Observer]:
    """Send tickets while the block runs, and read answers until each of them has one."""
    observer = Observer(settings)
    await workers.start(*names)
    sending, reading_ = (asyncio.create_task(each) for each in (observer.send(), observer.read()))
    try:
        await observer.settled(workers)
        await asyncio.sleep(CALM_S)
        yield observer
        sending.cancel()
        await observer.answered(SETTLE_TIMEOUT_S)
    finally:
        sending.cancel()
        reading_.cancel()
        await asyncio.gather(sending, reading_, return_exceptions=True)


async def _change(
    name: str,
    observer: Observer,
    workers: Workers,
    change: Callable[[], Awaitable[None]],
    moved: Collection[int] = (),
) -> Pause:
    await asyncio.sleep(CALM_S)
    started_s = time.monotonic()
    await change()
    await observer.settled(workers)
    await asyncio.sleep(CALM_S)
    return observer.pauses(name, started_s, time.monotonic(), moved)


async def _restart(workers: Workers) -> None:
    for name in sorted(workers.running):
        await workers.stop(name)
        await workers.start(name)


def worst(pauses: tuple[float, ...]) -> float:
    """The longest pause; 0 if there is none."""
    return max(pauses, default=0.0)


def usual(pauses: tuple[float, ...]) -> float:
    """The median pause; 0 if there is none."""
    return statistics.median(pauses) if pauses else 0.0
