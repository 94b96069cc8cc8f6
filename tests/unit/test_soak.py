"""What a soak reports: a figure that grows is seen, and one that only jumps about is not."""

import random

import pytest

from benchmarks.soak import Moment, slope, trends


def moments(memory_per_hour: float) -> list[Moment]:
    """Sixty half minutes with noise, in which the memory grows by so many MB an hour."""
    draw = random.Random(7)
    return [
        Moment(
            at_s=30.0 * number,
            memory_mb=200 + memory_per_hour * number / 120 + draw.uniform(-2, 2),
            descriptors=40,
            threads=12,
            in_flight=draw.randint(0, 9),
            p50_ms=20 + draw.uniform(-3, 3),
            p99_ms=60 + draw.uniform(-20, 20),
        )
        for number in range(60)
    ]


@pytest.mark.parametrize(("per_hour", "low", "high"), [(0, -5, 5), (60, 50, 70)])
def test_growth_is_seen_through_the_noise(per_hour: float, low: float, high: float) -> None:
    """A leak of a megabyte a minute would pass for flat, or a flat line for a leak."""
    [row] = [row for row in trends(moments(per_hour)) if row.name == "memory_mb"]
    assert low <= float(row.note.split()[0]) <= high


def test_one_outlier_is_no_trend() -> None:
    """A single pause of the machine would be told as a trend."""
    assert slope([0, 1, 2, 3, 4], [5, 5, 5, 500, 5]) == 0
