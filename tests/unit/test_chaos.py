"""The harness of `make chaos` itself: it would prove nothing if it noticed nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from streams.local.brokers.loopback import HOST, free_ports
from tests.chaos.observer import Sample
from tests.chaos.proxy import Proxy
from tests.chaos.report import Report
from tests.chaos.row import Row
from tests.chaos.run import Run, Scenario, recovery_s
from tests.chaos.timeline import draw
from tests.conftest import settings_for


async def _nothing(_: Run) -> None:
    """A fault that does nothing."""


def _row(name: str, **changes: Any) -> Row:
    figures: dict[str, Any] = {
        "events_in": 10, "events_out": 10, "lost": 0, "lost_because": "", "duplicated": 0,
        "disagreeing": 0, "dead_lettered": 0, "refused": 0, "worker_restarts": 0, "fault_s": 1.0,
        "first_output_s": 0.1, "recovered_s": 2.0, "longest_wait_s": 0.5,
    }  # fmt: skip
    return Row(scenario=name, what="a fault", workers=2, **figures | changes)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """A run in which the brokers took two events, and one of them came out."""
    settings = settings_for("127.0.0.1:1", None)
    scenario = Scenario("nothing", "nothing happens", _nothing)
    run = Run(scenario, None, settings, tmp_path, tmp_path, Proxy(()))  # type: ignore[arg-type]
    run.sender.acknowledged |= {"here": 1.0, "away": 2.0}
    run.observer.seen_at_s["here"] = 3.5
    yield run
    await run.sender.stop()


async def test_a_lost_event_is_a_problem(run: Run) -> None:
    """A row would say that nothing was lost, whatever was."""
    row = run._row()
    assert (row.events_in, row.events_out, row.lost) == (2, 1, 1)
    assert row.longest_wait_s == 2.5
    assert row.problems == ("1 events are lost, not 0",)


async def test_an_event_that_the_fault_took_away_is_no_problem(run: Run) -> None:
    """Retention loses events; the row must say so and why, and only as many as it took."""
    run.expect_lost(1, "retention deleted it")
    assert run._row().problems == ()
    run.expect_lost(1, "retention deleted it")
    assert run._row().problems == ("1 events are lost, not 2",)


async def test_a_dead_letter_of_a_good_event_is_a_problem(run: Run) -> None:
    """A broker's fault would become the events' fault, and nobody would see it here."""
    run.observer.seen_at_s["away"] = 4.0
    run.observer.dead_ids += ["away", "away"]
    row = run._row()
    assert row.dead_lettered == 1
    assert row.problems == ("1 dead letters",)


@pytest.mark.parametrize(
    ("lags", "seconds"),
    [
        ([0, 5, 5, 5], 0.0),
        ([0, 90, 90, 3], 2.0),
        ([0, 3, 90, 3], 2.0),
        ([0, 3, None, 3], 2.0),
        ([0, 90, 90, 90], None),
        ([95, 90, 90, 90], 0.0),
    ],
    ids=["never behind", "behind", "later behind", "unknown", "never again", "as before"],
)
def test_the_time_to_recover(lags: list[int | None], seconds: float | None) -> None:
    """A lag that nobody can tell, or a first good moment of several, would count as recovered."""
    samples = [Sample(float(at_s), 0, 0, lag) for at_s, lag in enumerate(lags)]
    assert recovery_s(samples, (1.0, 2.0), 10.0) == seconds


def test_a_time_line_leaves_a_gap_where_no_broker_tells_the_lag() -> None:
    """The lag would seem to be 0 while all brokers are down."""
    lags = [0, 10, None, None, 5, 0]
    samples = [Sample(float(at_s), 10 * at_s, 5 * at_s, lag) for at_s, lag in enumerate(lags)]
    svg = ET.fromstring(draw("<a> & b", samples, (1.0, 3.0)))  # noqa: S314 - our own
    lines = svg.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [6, 6, 2, 2]
    assert svg.attrib["aria-label"] == "<a> & b"


def test_a_report_keeps_the_rows_of_earlier_runs(tmp_path: Path) -> None:
    """A scenario that is run alone would delete the others from the report."""
    first = Report.read(tmp_path)
    first.add(_row("one"), [], (0.0, 1.0))
    first.add(_row("two", lost=3, lost_because="retention took 3"), [], (0.0, 1.0))
    first.write()
    second = Report.read(tmp_path)
    second.add(_row("one", recovered_s=None), [], (0.0, 1.0))
    second.write()
    Report.read(tmp_path, ["two", "one"]).write()
    rows = Report.read(tmp_path).rows
    assert list(rows) == ["two", "one"]
    assert [rows[name]["recovered_s"] for name in ("one", "two")] == [None, 2.0]
    assert {"cpu", "kafka", "aiokafka"} <= rows["one"]["machine"].keys()
    text = (tmp_path / "chaos.md").read_text()
    assert "| never |" in text
    assert "- **two**: retention took 3." in text


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy before a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    port, behind = free_ports(2)
    proxy = Proxy([(port, behind)])
    server = await asyncio.start_server(echo, HOST, behind)
    await proxy.start()
    yield proxy
    await proxy.stop()
    server.close()


async def test_the_proxy_breaks_connections_as_it_is_told(proxy: Proxy) -> None:
    """The faults of the network would be none."""
    port = proxy._routes[0][0]
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"forwarded")
        assert await reader.readexactly(9) == b"forwarded"
        proxy.passing.clear()
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(4), 0.3)
        proxy.passing.set()
        assert await reader.readexactly(4) == b"late"
        proxy.half_close()
        assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"forwarded")
        assert await reader.readexactly(9) == b"forwarded"
        proxy.cut()
        assert await _is_broken(reader)
        writer.close()
        proxy.refusing = True
        reader, writer = await asyncio.open_connection(HOST, port)
        assert await _is_broken(reader)
        writer.close()
    assert proxy.connections == 2


async def _is_broken(reader: asyncio.StreamReader) -> bool:
    """Whether the other side has closed or reset a connection."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True
