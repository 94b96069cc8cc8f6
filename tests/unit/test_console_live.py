"""The stream of the console: complete for those who read, and bounded whatever happens."""

import gc
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from inference.llm.options import CostOptions
from streams.config import ConsoleSection
from streams.console.api import feed as feed_module
from streams.console.claims import MAX_CLAIMS, CaseKey, Claims
from streams.console.decisions import KEPT_DECISIONS, Decisions
from streams.console.figures import Figures
from streams.console.live import (
    KEPT_EVENTS,
    MAX_SUBSCRIPTIONS,
    MAX_SUBSCRIPTIONS_PER_SESSION,
    QUEUE_EVENTS,
    Filter,
    Hub,
)
from streams.console.people import Person
from streams.errors import RequestRefused
from tests.clock import Clock
from tests.console_client import serving
from tests.console_world import World
from tests.patience import until
from tests.records import triaged

ANA = Person("ana", "reviewer")
ONLY_ACME = Person("acme's", "viewer", frozenset({"acme"}))
EVERYTHING = Filter()
KEY: CaseKey = ("alerts", "acme", "a-1")


def numbers(events: Any) -> list[int]:
    """The numbers of events that carry one."""
    return [orjson.loads(event.data)["n"] for event in events]


async def test_a_browser_that_comes_back_gets_what_it_missed() -> None:
    """Decisions of the seconds without a connection would never be shown."""
    hub = Hub()
    for n in range(5):
        hub.publish("decision", {"n": n})
    back = hub.subscribe(ANA, "s", EVERYTHING, f"{hub.epoch}-2")
    assert numbers(await back.take()) == [2, 3, 4]
    fresh = hub.subscribe(ANA, "s", EVERYTHING, None)
    assert len(fresh) == 0


@pytest.mark.parametrize("last", ["", "x", "-1", "{epoch}-99", "{epoch}-x", "{epoch}-²", "other-3"])
async def test_a_browser_whose_place_is_unknown_is_told_to_ask_again(last: str) -> None:
    """It would show a list with a hole in it, for instance after a restart of the console."""
    hub = Hub()
    hub.publish("decision", {"n": 1})
    back = hub.subscribe(ANA, "s", EVERYTHING, last.format(epoch=hub.epoch))
    assert [event.kind for event in await back.take()] == ["reset"]


async def test_a_browser_that_was_away_for_long_is_told_to_ask_again() -> None:
    """What is no longer kept would be missing without a word."""
    hub = Hub()
    for n in range(KEPT_EVENTS + 10):
        hub.publish("decision", {"n": n})
    for last in (1, 9, KEPT_EVENTS - QUEUE_EVENTS):
        back = hub.subscribe(ANA, "s", EVERYTHING, f"{hub.epoch}-{last}")
        assert [event.kind for event in await back.take()] == ["reset"]
        hub.unsubscribe(back)


async def test_a_browser_that_does_not_read_is_dropped_and_nobody_waits_for_it() -> None:
    """One closed laptop would fill the memory, or hold up everybody else."""
    hub = Hub()
    slow = hub.subscribe(ANA, "slow", EVERYTHING, None)
    quick = hub.subscribe(ANA, "quick", EVERYTHING, None)
    read = 0
    for n in range(QUEUE_EVENTS + 1):
        hub.publish("decision", {"n": n})
        read += len(await quick.take())
    assert slow.dropped
    assert len(slow) == 0
    assert read == QUEUE_EVENTS + 1
    assert await slow.take() == []


async def test_a_filter_and_the_tenants_choose_what_a_browser_gets() -> None:
    """A person would be shown what they have not asked for, or may not see."""
    hub = Hub()
    filtered = hub.subscribe(ANA, "s", Filter(domain="alerts", queue="cloud"), None)
    restricted = hub.subscribe(ONLY_ACME, "t", EVERYTHING, None)
    named = hub.subscribe(Person("bob", "viewer"), "u", EVERYTHING, None)
    hub.publish("decision", {"n": 0}, tenant="acme", domain="alerts", queue="cloud")
    hub.publish("decision", {"n": 1}, tenant="acme", domain="tickets", queue="cloud")
    hub.publish("decision", {"n": 2}, tenant="globex", domain="alerts", queue="email")
    hub.publish("refused", {"n": 3}, tenant="acme", only="ana")
    hub.publish("status", {"n": 4})
    assert numbers(await filtered.take()) == [0, 3, 4]
    assert numbers(await restricted.take()) == [0, 1, 4]
    assert numbers(await named.take()) == [0, 1, 2, 4]


async def test_so_many_browsers_may_follow_and_no_more() -> None:
    """One script would take all memory with streams that it opens."""
    hub = Hub()
    for _ in range(MAX_SUBSCRIPTIONS_PER_SESSION):
        hub.subscribe(ANA, "one", EVERYTHING, None)
    with pytest.raises(RequestRefused, match="close one"):
        hub.subscribe(ANA, "one", EVERYTHING, None)
    while len(hub) < MAX_SUBSCRIPTIONS:
        hub.subscribe(ANA, f"another {len(hub)}", EVERYTHING, None)
    with pytest.raises(RequestRefused):
        hub.subscribe(ANA, "one more", EVERYTHING, None)


async def test_what_is_kept_stays_the_same_however_long_the_stream_is() -> None:
    """A console that is left open over night would end out of memory.

    Twenty minutes of 50 decisions a second, with a claim on every tenth: everything that is kept is
    counted, and so is every object of Python, in the middle and at the end.
    """
    hub, clock = Hub(), Clock(1_800_000_000.0)
    decisions, figures = Decisions(), Figures(CostOptions(), dict, {}, clock.monotonic)
    claims = Claims(hub, 300.0, clock.monotonic)
    subscription = hub.subscribe(ANA, "s", EVERYTHING, None)
    stuck = hub.subscribe(ANA, "stuck", EVERYTHING, None)
    events = [triaged(f"e-{n}", tenant="acme") for n in range(1_000)]
    counts = []
    for n in range(60_000):
        clock.now_s += 1 / 50
        decision = decisions.add(events[n % len(events)])
        figures.note(decision)
        hub.publish("decision", {"n": n}, tenant="acme")
        if n % 10 == 0:
            claims.claim(("alerts", "acme", f"e-{n}"), "ana")
            claims.expire()
        if n % 100 == 0:
            await subscription.take()
        if n in (30_000, 59_999):
            gc.collect()
            objects = len(gc.get_objects()) // 2_000
            counts.append((len(decisions), hub.kept, len(claims), objects))
    assert stuck.dropped
    assert counts[0] == counts[1]
    assert counts[1][:2] == (KEPT_DECISIONS, KEPT_EVENTS)
    assert len(figures) <= 2 + 1_200 // 900


async def test_figures_are_kept_of_so_many_events_and_tenants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever makes up tenants or ids would fill the memory."""
    monkeypatch.setattr("streams.console.figures.MAX_CELLS", 20)
    monkeypatch.setattr("streams.console.figures.MAX_LATEST", 30)
    decisions, figures = Decisions(), Figures(CostOptions(), dict, {}, Clock(1.8e9).monotonic)
    for n in range(100):
        figures.note(decisions.add(triaged(f"e-{n}", tenant=f"tenant {n}")))
    assert (len(figures), len(figures._latest)) == (20, 30)


async def test_a_stream_says_that_it_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would close a stream on which nothing happens, and a page could not tell."""
    monkeypatch.setattr(feed_module, "HEARTBEAT_S", 0.01)
    world = World(tmp_path, ConsoleSection(port=0))
    async with serving(world, None) as (browser,):
        async with browser.request("GET", "stream") as response:
            assert response.content_type == "text/event-stream"
            told = b""
            while told.count(feed_module.HEARTBEAT) < 3:
                told += await response.content.readany()
            assert told.startswith(feed_module.RECONNECT)
            world.accept("e-1", title="line one\nline two")
            while b"e-1" not in told:
                told += await response.content.readany()
        decision = told.split(b"event: decision\ndata: ")[1].split(b"\n\n")[0]
        assert orjson.loads(decision)["title"] == "line one\nline two"
        await until(lambda: len(world.hub) == 0)


async def test_a_stream_ends_with_its_session(tmp_path: Path) -> None:
    """Whoever has logged out would still be told everything."""
    world = World(tmp_path, ConsoleSection(port=0))
    async with serving(world, None) as (browser,):
        async with browser.request("GET", "stream") as response:
            await until(lambda: len(world.hub) == 1)
            assert await browser.delete("session") == 204
            with suppress(aiohttp.ClientError):
                while await response.content.readany():
                    pass
        await until(lambda: len(world.hub) == 0)


async def test_a_stream_ends_when_its_session_is_over_although_something_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy stream nobody would ever be logged out."""
    monkeypatch.setattr(feed_module, "HEARTBEAT_S", 0.001)
    clock = Clock(1_800_000_000.0)
    world = World(tmp_path, ConsoleSection(port=0, session_s=60.0), clock=clock.monotonic)
    async with serving(world, None) as (browser,), browser.request("GET", "stream") as response:
        await until(lambda: len(world.hub) == 1)
        clock.now_s += 61
        with suppress(aiohttp.ClientError):
            while True:
                world.hub.publish("status", {})
                if not await response.content.readany():
                    break
        await until(lambda: len(world.hub) == 0)


async def test_a_stream_does_not_last_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody whom the proxy no longer lets in would go on reading for days."""
    monkeypatch.setattr(feed_module, "MAX_STREAM_S", 0.0)
    world = World(tmp_path, ConsoleSection(port=0))
    async with serving(world, None) as (browser,), browser.request("GET", "stream") as response:
        with suppress(aiohttp.ClientError):
            while await response.content.readany():
                pass
        await until(lambda: len(world.hub) == 0)


async def test_a_claim_marks_a_case_until_it_is_over() -> None:
    """Two people would read one case, or a case would stay marked for ever."""
    hub, clock = Hub(), Clock(1_800_000_000.0)
    claims = Claims(hub, 300.0, clock.monotonic)
    watching = hub.subscribe(ANA, "s", EVERYTHING, None)
    claims.claim(KEY, "ana")
    with pytest.raises(RequestRefused, match="ana is looking") as raised:
        claims.claim(KEY, "bob")
    assert raised.value.more["by"] == "ana"
    clock.now_s += 200
    claims.claim(KEY, "ana")
    clock.now_s += 200
    claims.expire()
    assert claims.of(KEY) is not None
    claims.release(KEY, "bob")
    assert claims.of(KEY) is not None
    clock.now_s += 100
    assert claims.of(KEY) is None
    claims.expire()
    claims.claim(KEY, "bob")
    claims.release(KEY, "bob")
    told = [orjson.loads(event.data)["by"] for event in await watching.take()]
    assert told == ["ana", "ana", None, "bob", None]


async def test_so_many_claims_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One script would fill the memory with claims."""
    assert MAX_CLAIMS >= 1_000
    monkeypatch.setattr("streams.console.claims.MAX_CLAIMS", 10)
    claims = Claims(Hub(), 300.0, Clock(1_800_000_000.0).monotonic)
    for n in range(30):
        claims.claim(("alerts", "acme", f"e-{n}"), "ana")
    assert len(claims) == 10
    assert claims.of(("alerts", "acme", "e-29")) is not None


async def test_claims_go_over_the_api(tmp_path: Path) -> None:
    """A page could not mark what is being looked at."""
    world = World(tmp_path, ConsoleSection(port=0))
    world.add("a-1")
    async with serving(world, None) as (browser,):
        status, document = await browser.post("cases/alerts/acme/a-1/claim")
        assert status == 200
        assert document["until"]
        listed = (await browser.get("cases"))[1]["cases"][0]
        assert listed["claimed_by"] == document["by"]
        assert (await browser.get("cases/alerts/acme/a-1"))[1]["claimed_until"] == document["until"]
        assert await browser.delete("cases/alerts/acme/a-1/claim") == 204
        world.claims.claim(KEY, "somebody else")
        assert (await browser.post("cases/alerts/acme/a-1/claim"))[0] == 409
        assert (await browser.post("cases/alerts/acme/none/claim"))[0] == 404
