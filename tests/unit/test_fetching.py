"""How often a member asks a broker for records."""

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.fetcher import Fetcher

from streams.kafka.fetching import FETCH_PAUSE_S, announce, paced


class Broker:
    """Answers fetches with records or without, by a clock that only the test moves."""

    def __init__(self, *answers: bool, after: int = 1) -> None:
        self.answers = list(answers)
        self.now_s = 100.0
        self.slept_s: list[float] = []
        self.fetch = paced(
            self.answer, FETCH_PAUSE_S, after=after, wait=self.sleep, clock=lambda: self.now_s
        )

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept_s.append(round(seconds, 6))
        self.now_s += seconds

    async def answer(self, *_: Any) -> bool:
        """Whether there were records."""
        return self.answers.pop(0)


async def test_only_a_broker_that_has_just_given_records_is_asked_later() -> None:
    """Under load each event would cost a request, or an event that comes alone would wait."""
    broker = Broker(True, True, False, False, True)
    for node in (1, 1, 1, 1, 2):
        await broker.fetch(None, node, None)
    assert broker.slept_s == [0.0, FETCH_PAUSE_S, FETCH_PAUSE_S, 0.0, 0.0]
    broker.now_s += 1.0
    broker.answers = [True]
    await broker.fetch(None, 2, None)
    assert broker.slept_s[-1] == 0.0


async def test_a_member_is_paced_only_when_many_responses_bring_records() -> None:
    """Each event would wait for the pause, although the worker has time enough for its request."""
    broker = Broker(*[True] * 8, after=3)
    for _ in range(4):
        broker.now_s += 0.06
        await broker.fetch(None, 1, None)
    assert broker.slept_s == [0.0] * 4, "seventeen responses a second"
    for _ in range(4):
        await broker.fetch(None, 1, None)
    assert broker.slept_s[-2:] == [FETCH_PAUSE_S] * 2


async def test_only_the_reader_of_a_partition_is_told_of_its_records() -> None:
    """The readers of all partitions would wake up for each record, and the event loop be late."""

    async def answer(*_: Any) -> bool:
        return bool(fetcher._records)

    fetcher = SimpleNamespace(_proc_fetch_request=answer, _records={})
    told: list[Any] = []
    announce(SimpleNamespace(_fetcher=fetcher), told.append)
    assert await fetcher._proc_fetch_request(None, 1, None) is False
    fetcher._records = {("alerts", 3): "records", ("alerts", 5): "an error"}
    assert await fetcher._proc_fetch_request(None, 1, None) is True
    assert told == [("alerts", 3), ("alerts", 5)]
    assert "_records" in Fetcher.__init__.__code__.co_names, "aiokafka renamed it"


async def test_a_fetch_that_is_cancelled_in_its_pause_ends_like_one_of_aiokafka() -> None:
    """A worker could not leave the group, because aiokafka awaits the fetches that it cancels."""

    async def answer(*_: Any) -> bool:
        return True

    fetch = paced(answer, FETCH_PAUSE_S)
    await fetch(None, 1, None)
    waits = asyncio.ensure_future(fetch(None, 1, None))
    await asyncio.sleep(0)
    waits.cancel()
    assert await waits is False


def test_aiokafka_still_fetches_by_this_method() -> None:
    """A new version of aiokafka would never be paced, and nobody would notice."""
    assert list(inspect.signature(Fetcher._proc_fetch_request).parameters) == [
        "self",
        "assignment",
        "node_id",
        "request",
    ]
    assert "_proc_fetch_request" in Fetcher._fetch_requests_routine.__code__.co_names
