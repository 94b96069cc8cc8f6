"""The arithmetic of the scaling benchmark: pauses, possible rates, slopes, and rows that stay."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.rows import Measurement, write
from benchmarks.scaling import __main__ as command
from benchmarks.scaling import backlog, curve, pause
from benchmarks.scaling.pause import Answer, Observer
from benchmarks.scaling.plot import draw
from benchmarks.scaling.stand_in import COST, StandIn
from benchmarks.scaling.workers import PARTITIONS, rate_between, short_tickets
from schemas.event import Origin
from schemas.formats import read_event
from streams.config import Settings


def answered(*answers: tuple[float, str]) -> Observer:
    """An observer that has seen these answers for partition 0."""
    observer = Observer(Settings())
    observer.answers[0] = [Answer(*answer) for answer in answers]
    return observer


def test_a_pause_is_the_longest_time_without_an_answer() -> None:
    """A standstill before the change, or a short one within it, would be reported instead."""
    observer = answered((0, "a"), (9, "a"), (10, "a"), (12, "a"), (16, "a"), (17, "a"))
    assert observer.pauses("", 10.5, 18) == pause.Pause("", (4.0,), ())


def test_a_pause_that_has_not_ended_counts() -> None:
    """A partition that nobody reads any more would look best of all."""
    assert answered((9, "a"), (11, "a")).pauses("", 10, 30).untouched == (19.0,)


def test_a_partition_is_moved_if_another_worker_answers_or_its_worker_was_restarted() -> None:
    """Pauses that cannot be avoided would be blamed on partitions that did not move, or hidden."""
    assert answered((9, "a"), (11, "b"), (12, "b")).pauses("", 10, 12).moved == (1.0,)
    assert answered((9, "a"), (11, "a"), (12, "a")).pauses("", 10, 12, {0}).moved == (1.0,)


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_the_possible_rate_is_that_of_the_busiest_worker(workers: int) -> None:
    """A group would look slow although its partitions allow no more."""
    counts = Counter(curve.uneven(6_000))
    shares = [
        sum(counts[partition] for partition in range(first, PARTITIONS, workers))
        for first in range(workers)
    ]
    busiest = max(shares) / 6_000
    possible = curve.possible_per_s(workers, is_uneven=True)
    assert possible == pytest.approx(1000 / curve.COST_MS / busiest, rel=0.01)
    even = curve.possible_per_s(workers, is_uneven=False)
    assert even == pytest.approx(1000 / curve.COST_MS * workers)


def test_a_rate_is_measured_between_shares_of_the_events() -> None:
    """The time in which workers start, or have nothing left, would count."""
    counts = [(0.0, 0), (10.0, 100), (11.0, 500), (12.0, 900), (60.0, 1000)]
    assert rate_between(counts, 0.1, 0.9) == pytest.approx(400)


def test_growth_leaves_out_the_first_part() -> None:
    """What a worker loads once would look like a leak."""
    parts = [backlog.Part(100_000 * number, 1.0, 2.0, 200.0 + number) for number in range(2, 6)]
    assert backlog.growth_mb([backlog.Part(100_000, 1.0, 2.0, 20.0), *parts]) == pytest.approx(1.0)
    assert backlog.growth_mb(parts[:2]) == 0.0


def test_rows_of_other_measures_stay(tmp_path: Path) -> None:
    """One part that is measured again would remove all others, or change their machine."""
    file = tmp_path / "rows.ndjson"
    other = Measurement("pause usual; 1 to 2; moved", 4.0, "s", machine={"cpu": "another one"})
    write([other, Measurement("pause static; 1 to 2; moved", 9.0, "s")], file)
    again = Measurement("pause static; 1 to 2; moved", 1.0, "s", other.name)
    command._keep([again], file)
    first, second = command._known(file)
    assert first == other
    assert (second.value, second.ratio) == (1.0, 0.25)


def test_the_plot_has_a_line_for_each_kind_of_partitions() -> None:
    """The page would show an empty picture."""
    rates = [
        curve.Rate(workers, is_uneven, 20.0 * workers, 25.0 * workers)
        for workers in (1, 2)
        for is_uneven in (False, True)
    ]
    assert draw(rates).count("<polyline") == 4


async def test_the_stand_in_takes_the_time_of_its_events_one_batch_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More batches at once would make one worker as quick as several."""
    slept: list[float] = []
    pause_a_moment = asyncio.sleep

    async def sleep(seconds: float) -> None:
        assert stand_in.turn.locked()
        slept.append(seconds)
        await pause_a_moment(0)

    monkeypatch.setenv(COST, "20")
    stand_in = StandIn.open()
    monkeypatch.setattr("benchmarks.scaling.stand_in.asyncio.sleep", sleep)
    tickets = [
        read_event(value, origin=Origin(topic="t", partition=0, offset=0), kind="ticket")
        for _, value in short_tickets(range(3))
    ]
    decided = await asyncio.gather(*(stand_in.classify("tickets", tickets) for _ in range(2)))
    assert slept == pytest.approx([0.06, 0.06])
    assert all(decision.accepted for decisions in decided for decision in decisions)
