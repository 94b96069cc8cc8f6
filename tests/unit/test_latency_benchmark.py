"""The benchmark of latency against load: its figures are those of the sessions, and it is drawn."""

from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from benchmarks.latency.__main__ import AFTER, BARE, BEFORE, PROFILE, Turn, curves_of, rows_of
from benchmarks.latency.plot import draw
from benchmarks.latency.session import Point, Session, _point
from benchmarks.pipeline import Arrival
from schemas.triaged import Timing
from tests.records import triaged


def turn(side: str, slower: float) -> Turn:
    """A turn in which everything takes so many times as long."""
    points = [
        Point(0.0, 4.0, 4.0, 20.0 * slower, 50.0 * slower, 9.0, 40),
        Point(0.8, 160.0, 160.0 / slower, 90.0 * slower, 400.0 * slower, 9.0, 900),
    ]
    cpu_ms = {"worker": 6.0 * slower, "broker": 2.0 * slower}
    return Turn(side, 10.0, 250.0, 4.0, Session(200.0 / slower, points, cpu_ms))


def latency_rows() -> list[dict[str, Any]]:
    """The rows of a run at the shares that we aim at, as they are written to the file."""
    shares = (0.0, 0.4, 0.8, 0.85)
    points = [Point(share, 100.0, 99.0, 20.0, 50.0, 9.0, 40) for share in shares]
    session = Session(200.0, points, {"worker": 6.0})
    return [asdict(row) for row in rows_of([Turn(AFTER, 10.0, 250.0, 4.0, session)])]


def test_a_row_is_the_median_of_the_turns_of_its_side() -> None:
    """A turn in which the machine was busy would be the figure, or one side that of the other."""
    turns = [turn(side, factor) for factor in (1, 1, 9) for side in (AFTER, BEFORE)]
    turns[0], turns[2] = turn(AFTER, 1), turn(AFTER, 1)
    rows = {row.name: row for row in rows_of(turns)}
    assert rows["a backlog drains"].value == 200.0
    assert rows["a backlog drains"].ratio == 0.8
    assert (rows["alone, p50"].value, rows["alone, p50"].ratio) == (20.0, 2.0)
    assert rows["at 80% of the drain rate, p99"].value == 400.0
    assert rows["at 80% of the drain rate, p50"].note == "160 events/s, sustained in 2 of 3"
    assert rows["at 80% of the drain rate, out"].ratio == 1.0
    profile = {name: row.ratio for name, row in rows.items() if name.startswith(PROFILE)}
    assert profile == {
        f"{PROFILE}worker": 0.75,
        f"{PROFILE}broker": 0.25,
        f"{PROFILE}{BARE}": 0.5,
    }, "the model runs in the worker, so its time is not counted again"
    assert len([name for name in rows if name.startswith("before: ")]) * 2 == len(rows)


def test_the_wait_of_an_event_counts_until_a_subscriber_has_it() -> None:
    """Time in the broker would be left out, or the time before the event was on its topic."""
    timing = Timing(received_at="", triaged_at="", inference_s=0.004, total_s=0.0)
    decided = msgspec.structs.replace(triaged(), timing=timing)
    arrivals = [Arrival(decided, 100.0 + n / 50, 100.03 + n / 50) for n in range(100)]
    point = _point(0.5, 50.0, arrivals[::-1])
    assert point.p50_ms == pytest.approx(30.0)
    assert point.p99_ms == pytest.approx(30.0)
    assert point.inference_ms == pytest.approx(4.0)
    assert point.out_rate == pytest.approx(50.0)
    assert point.is_sustained
    falls_behind = [Arrival(decided, 100.0 + n / 50, 100.03 + n / 40) for n in range(100)]
    assert not _point(0.5, 50.0, falls_behind).is_sustained


def test_the_plot_has_a_line_for_each_percentile_of_each_side() -> None:
    """A side would be missing, or the file be no SVG."""
    curves = curves_of([turn(AFTER, 1), turn(BEFORE, 2)])
    assert [(curve.side, curve.percent) for curve in curves] == [
        (AFTER, 50),
        (AFTER, 99),
        (BEFORE, 50),
        (BEFORE, 99),
    ]
    assert curves[2].points == [(0.0, 40.0), (0.8, 180.0)]
    svg = ET.fromstring(draw(curves))  # noqa: S314 - our own
    lines = svg.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [2] * 4
    (first, *_), (later, *_) = (line.attrib["points"].split() for line in lines[1:3])
    assert float(first.split(",")[1]) < float(later.split(",")[1]), "50 ms lies above 40 ms"
