"""How often a member asks a broker for records."""

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher

from streams.kafka import fetching
from streams.kafka.fetching import FETCH_PAUSE_S, paced


class Broker:
    """Answers fetches with records or without, by a clock that only the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: bool) -> None:
        self.answers = list(answers)
        self.now_s = 100.0
        self.slept_s: list[float] = []
        stand_in = SimpleNamespace(sleep=self.sleep, CancelledError=asyncio.CancelledError)
        monkeypatch.setattr(fetching, "asyncio", stand_in)
        self.fetch = paced(self.answer, lambda: self.now_s)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept_s.append(round(seconds, 6))
        self.now_s += seconds

    async def answer(self, *_: Any) -> bool:
        """Whether there were records."""
        return self.answers.pop(0)


async def test_only_a_broker_that_has_just_given_records_is_asked_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under load each event would cost a request, or an event that comes alone would wait."""
    broker = Broker(monkeypatch, True, True, False, False, True)
    for node in (1, 1, 1, 1, 2):
        await broker.fetch(None, node, None)
    assert broker.slept_s == [0.0, FETCH_PAUSE_S, FETCH_PAUSE_S, 0.0, 0.0]
    broker.now_s += 1.0
    broker.answers = [True]
    await broker.fetch(None, 2, None)
    assert broker.slept_s[-1] == 0.0


async def test_a_fetch_that_is_cancelled_in_its_pause_ends_like_one_of_aiokafka() -> None:
    """A worker could not leave the group, because aiokafka awaits the fetches that it cancels."""

    async def answer(*_: Any) -> bool:
        return True

    fetch = paced(answer)
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
