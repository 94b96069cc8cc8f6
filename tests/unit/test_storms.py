"""A partition is paused when too many of its events are invalid, and goes on by itself."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from streams.config import StormsSection
from streams.kafka.offsets import Partition
from streams.pipeline import storms as module
from streams.pipeline.storms import MAX_PAUSE_FACTOR, Storms

P, Q = Partition("t", 0), Partition("t", 1)
GARBAGE, GOOD = True, False


class Bench:
    """Storms with a clock that moves only when a reader sleeps or the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.now_s = 1000.0
        sizes = {"max_run": 3, "max_share": 0.5, "window_events": 10, "pause_s": 60.0}
        self.storms = Storms(StormsSection(**sizes | options), clock=lambda: self.now_s)
        self.slept_s: list[float] = []

        async def sleep(seconds: float) -> None:
            self.slept_s.append(seconds)
            self.now_s += seconds

        # The module's own `asyncio` only, so that no other part of the test sleeps like this.
        monkeypatch.setattr(module, "asyncio", FakeAsyncio(sleep))

    def note(self, kinds: Iterable[bool], partition: Partition = P) -> None:
        """Let events of these kinds end."""
        for kind in kinds:
            self.storms.note(partition, invalid=kind)

    @property
    def is_paused(self) -> bool:
        """Whether the first partition is paused."""
        return P in self.storms.why_paused()


class FakeAsyncio:
    """`asyncio` with another clock."""

    Event = asyncio.Event

    def __init__(self, sleep: Any) -> None:
        self.sleep = sleep


async def test_a_run_of_invalid_events_pauses_their_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A producer of garbage would turn its whole topic into dead letters."""
    bench = Bench(monkeypatch)
    bench.note([GARBAGE, GARBAGE, GOOD, GARBAGE, GARBAGE])
    assert not bench.is_paused
    bench.note([GARBAGE])
    assert bench.is_paused
    assert await bench.storms.wait(P)
    assert bench.slept_s == [60.0]
    assert not await bench.storms.wait(Q), "no other partition waits"


async def test_a_share_of_invalid_events_pauses_their_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Garbage between good events would never be noticed."""
    bench = Bench(monkeypatch, max_run=0)
    bench.note([GARBAGE] * 9)
    assert not bench.is_paused, "too few events to judge by"
    bench.note([GOOD])
    assert not bench.is_paused, "a good event is no reason to pause"
    bench.note([GARBAGE])
    assert bench.is_paused


async def test_half_of_a_window_is_not_more_than_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """A share that the operator allowed would pause the partition."""
    bench = Bench(monkeypatch)
    bench.note([GOOD, GARBAGE] * 20)
    assert not bench.is_paused
    bench.note([GARBAGE])
    assert bench.is_paused


async def test_storms_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who wants every dead letter at once could not have them."""
    bench = Bench(monkeypatch, max_run=0, max_share=1)
    bench.note([GARBAGE] * 500)
    assert not bench.is_paused
    assert not await bench.storms.wait(P)


async def test_after_the_pause_one_valid_event_ends_the_storm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A partition would stay slow, or be paused again at its next invalid event."""
    bench = Bench(monkeypatch)
    bench.note([GARBAGE] * 3)
    assert await bench.storms.wait(P)
    bench.note([GOOD])
    assert caplog.messages[-1] == "t[0] goes on: its events are valid again"
    assert not bench.is_paused
    assert not await bench.storms.wait(P)
    bench.note([GARBAGE] * 2)
    assert not bench.is_paused, "it counts from the beginning"
    bench.note([GARBAGE])
    await bench.storms.wait(P)
    assert bench.slept_s == [60.0, 60.0], "the next storm begins with the first pause"


async def test_each_invalid_event_after_a_pause_doubles_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The dead letter topic would fill at a fixed rate, or the partition never be tried again."""
    bench = Bench(monkeypatch)
    bench.note([GARBAGE] * 3)
    for _ in range(7):
        assert await bench.storms.wait(P)
        bench.note([GARBAGE])
    factors = [seconds / 60.0 for seconds in bench.slept_s]
    assert factors == [1, 2, 4, 8, 16, 16, 16]
    assert factors[-1] == MAX_PAUSE_FACTOR


@pytest.mark.parametrize("late", [GARBAGE, GOOD])
async def test_events_that_were_in_flight_before_the_pause_do_not_change_it(
    monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """A pause would end before anybody looked, or grow by events that were read before it."""
    bench = Bench(monkeypatch)
    bench.note([GARBAGE] * 3)
    bench.now_s += 59.0
    bench.note([late] * 5)
    await bench.storms.wait(P)
    assert bench.slept_s == [1.0]


async def test_a_reader_that_comes_late_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that was busy for longer than the pause would wait for a negative time."""
    bench = Bench(monkeypatch)
    bench.note([GARBAGE] * 3)
    bench.now_s += 100.0
    assert await bench.storms.wait(P)
    assert bench.slept_s == [0.0]


async def test_people_are_told_which_partition_is_paused_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Readiness would go red without a reason."""
    bench = Bench(monkeypatch)
    bench.note([GARBAGE] * 3)
    sentence = (
        "t[0] is paused because too many of its events are invalid; look at "
        "`triage deadletters`, and mend their producer"
    )
    assert bench.storms.why_paused() == {P: sentence}
    assert caplog.messages == [sentence]


async def test_a_partition_that_was_taken_away_is_not_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker would be unready because of a partition of another worker."""
    bench = Bench(monkeypatch)
    bench.note([GARBAGE] * 3)
    bench.storms.forget()
    assert bench.storms.why_paused() == {}
    assert not await bench.storms.wait(P)
