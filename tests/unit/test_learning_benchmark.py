"""The benchmark of learning: a desk is lived through as it says, and its plot is drawn."""

from dataclasses import replace as changed
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import orjson
import pytest

from benchmarks.learning import __main__ as benchmark
from benchmarks.learning import replay
from benchmarks.learning.plot import draw
from benchmarks.learning.replay import Line, Replay
from benchmarks.learning.streams import Desk, Stream
from benchmarks.learning.summary import summarize
from tests.unit.test_crossfit import LABELS, rows_of, vectors_of

DESK = Desk("three labels", "", "tickets", "queue", 100, 30, 300)


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """A desk with 3,000 events of three labels."""
    rows = rows_of("abc" * 1_000)
    vectors = vectors_of(rows)
    stream = Stream(DESK, LABELS["queue"], [], vectors[:0], rows, vectors)
    patch = pytest.MonkeyPatch()
    patch.setattr(replay, "LEARN_AT", (60, 150))
    patch.setattr(replay, "STATIC_FROM", 150)
    patch.setattr(replay, "EVERY", 100)
    lines = Replay(stream, seed=0).run()
    patch.undo()
    return lines


def test_nothing_is_accepted_before_anything_is_learned(lines: list[Line]) -> None:
    """The first line would be better than what a desk sees."""
    assert lines[0].verdicts == 100
    assert lines[0].windows["learning"].share() < 0.7
    assert lines[0].llm_calls >= 100
    assert lines[-1].windows["learning"].share() > lines[0].windows["learning"].share()
    calls = [line.llm_calls for line in lines]
    assert calls == sorted(calls)


def test_every_event_is_accepted_or_goes_to_the_llm(lines: list[Line]) -> None:
    """The cost would be that of some of the events only."""
    for line in lines:
        assert line.totals["learning"].accepted + line.llm_calls == line.totals["learning"].events


def test_the_plot_has_a_panel_for_each_desk(lines: list[Line]) -> None:
    """The plot would be no picture, or would lack a desk."""
    figures = summarize(DESK, [lines, lines])
    assert [row.verdicts for row in figures] == [line.verdicts for line in lines]
    assert figures[0].replays == 2
    svg = ET.fromstring(draw(figures))  # noqa: S314 - it was made here
    titles = [node.text for node in svg.iter() if node.get("class") == "title"]
    assert titles == ["three labels"]
    points = next(
        node for node in svg.iter() if node.get("class") == "learning" and "points" in node.attrib
    )
    assert np.isfinite(
        [float(number) for number in points.get("points", "").replace(",", " ").split()]
    ).all()


def test_a_run_goes_on_and_keeps_the_other_desks(
    lines: list[Line], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was interrupted would begin anew, or one desk would replace all others."""
    monkeypatch.setattr(benchmark, "DESKS", (changed(DESK, name="other"), DESK))
    out, plot, cache = (tmp_path / name for name in ("rows.ndjson", "plot.svg", "cache"))
    other = summarize(changed(DESK, name="other"), [lines])
    out.write_bytes(b"".join(orjson.dumps(row.document()) + b"\n" for row in other))
    (cache / "three-labels").mkdir(parents=True)
    for seed in range(2):
        (cache / "three-labels" / f"{seed}.json").write_bytes(msgspec.json.encode(lines))
    # No rows and no encoder are there: a replay that is not in the cache would fail.
    files = ("--cache", str(cache), "--out", str(out), "--plot", str(plot))
    benchmark.main(["--desk", "three", "--seeds", "2", "--data", str(tmp_path), *files])
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [row["desk"] for row in rows] == ["other"] * len(other) + [DESK.name] * len(lines)
    assert {row["replays"] for row in rows[len(other) :]} == {2}
    assert rows[-1]["machine"]["load"] >= 0
    assert DESK.name in plot.read_text("utf-8")
    assert "other" in plot.read_text("utf-8")


def test_the_last_line_has_the_events_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk that accepts most events would never show what its last model accepts."""
    rows = rows_of("abc" * 150)
    vectors = vectors_of(rows)
    stream = Stream(changed(DESK, verdicts=10_000), LABELS["queue"], [], vectors[:0], rows, vectors)
    monkeypatch.setattr(replay, "LEARN_AT", (60,))
    monkeypatch.setattr(replay, "EVERY", 70)
    lines = Replay(stream, seed=0).run()
    assert lines[-1].totals["learning"].events == 400
    assert sum(line.windows["learning"].events for line in lines) == 400
    assert lines[-1].verdicts == 70 * len(lines)
