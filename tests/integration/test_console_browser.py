"""The pages of the console in a real Chromium, over the real server and a view in memory."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from streams.cases.query import CaseQuery, CaseSummary
from streams.cases.query import Page as CasePage
from streams.config import ConsoleSection
from streams.console.web_server import WebServer
from tests.axe import barriers, fetch_axe
from tests.chromium import DevTools, Page, chromium, find_chromium
from tests.console_client import TOKENS, write_people
from tests.console_world import World
from tests.figures import FIGURES
from tests.patience import until

CI = os.environ.get("CI") == "true"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        find_chromium() is None and not CI,
        reason="needs Chromium (Debian: apt-get install chromium)",
    ),
]

MANY = 100_000
HOSTILE_TITLE = '\u202egnp.exe <img src=x onerror="window.owned=1"> \x1b[31mred\x1b[0m'
HOSTILE_TEXT = "<script>window.owned=1</script>\x1b[2J\u2066abc " + "many words and more. " * 50_000
SHORT_HOLD_S = 0.2
PAGES = {
    "queue": "#/queue",
    "case": "#/case/alerts/acme/one",
    "stream": "#/stream",
    "event": "#/event/one",
    "dead letters": "#/dead-letters",
    "figures": "#/figures",
}
LOADED = "document.querySelector('main h1') && !document.querySelector('main .loading')"


@dataclass
class Console:
    """A console that runs, and the browser to look at it with."""

    world: World
    url: str
    browser: DevTools

    async def page(self, who: str = "abe", where: str = "#/queue") -> Page:
        """A page in a browser of its own, on which somebody has signed in with the keyboard."""
        page = await self.browser.new_page()
        await page.open(f"{self.url}/{where}")
        await page.until("document.activeElement?.name === 'token'")
        await page.type(TOKENS[who])
        await page.press("Enter")
        await page.until("document.querySelector('[data-connection=live]')")
        return page


Start = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[DevTools]:
    """One Chromium for all tests of this module."""
    async with chromium() as devtools:
        yield devtools


@asynccontextmanager
async def served(world: World, section: ConsoleSection) -> AsyncIterator[str]:
    """The console of a world on a port, and its address."""
    server = WebServer(section, world.app, world.connections)
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def start(browser: DevTools, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a console whose world `fill` has filled."""
    async with AsyncExitStack() as stack:

        async def start_console(
            fill: Callable[[World], object], *, hold_s: float = SHORT_HOLD_S
        ) -> Console:
            world, section = new_world(tmp_path, hold_s=hold_s)
            fill(world)
            url = await stack.enter_async_context(served(world, section))
            report_status(world, "up")
            return Console(world, url, browser)

        yield start_console


def new_world(folder: Path, *, hold_s: float = SHORT_HOLD_S, port: int = 0) -> Any:
    """A world without cases, and the section that it is served with."""
    section = ConsoleSection(
        port=port, tokens_file=write_people(folder), hold_s=hold_s, requests_per_second=1000
    )
    return World(folder, section), section


def report_status(world: World, broker: str, sentence: str | None = None) -> None:
    """Tell the pages how the broker is."""
    status = {"broker": broker, "sentence": sentence, "behind": 0, "waiting": 0}
    world.hub.publish("status", status)


def five_cases(world: World) -> None:
    """Five cases, the riskiest first. Two of one tenant look the same but for a number."""
    world.add("one", title="Port scan from host 17", risk=0.9, source="ids")
    world.add("two", title="Port scan from host 18", risk=0.8, source="ids")
    world.add("three", title="Port scan from host 19", risk=0.7, source="ids", tenant="globex")
    world.add("four", title="Strange mail", text="please open the invoice", risk=0.6)
    world.add("five", title="Card is lost", domain="tickets", risk=0.5, escalation="unfamiliar")


def sent(console: Console) -> list[tuple[str, dict[str, str]]]:
    """Which verdicts have left the console."""
    return [(verdict.id, dict(verdict.labels)) for verdict in console.world.sent]


async def test_the_queue_shows_the_riskiest_case_first_and_filters(start: Start) -> None:
    """A filter that hides the wrong cases makes people miss an alert."""
    console = await start(five_cases)
    page = await console.page()
    await page.sees("5 cases open")
    titles = await page.texts(".row-title a")
    assert titles[0] == "Port scan from host 17"
    assert titles[-1] == "Card is lost"
    await page.click("[data-facet=domain][data-value=tickets]")
    await page.sees("1 case found")
    assert await page.texts(".row-title a") == ["Card is lost"]
    assert "domain=tickets" in await page.ask("location.hash")
    await page.click("[data-facet=domain][data-value=tickets]")
    await page.sees("5 cases open")
    await page.press("/")
    await page.type("invoice")
    await page.sees("1 case found")
    assert await page.texts(".row-title a") == ["Strange mail"]
    await page.type(" nowhere")
    await page.sees("No open case fits these filters")
    await page.click("main .state button")
    await page.sees("5 cases open")
    assert page.problems == []


async def test_cases_are_decided_with_the_keyboard_alone(start: Start) -> None:
    """Who triages all day must not need the mouse: one key accepts, two choose an alternative."""
    console = await start(five_cases)
    page = await console.page()
    await page.sees("5 cases open")
    await page.press("j", "Enter")
    await page.until("document.querySelector('.case h1')?.innerText.includes('host 17')")
    await page.press("a")
    await page.until("document.querySelector('.case h1')?.innerText.includes('host 18')")
    await page.press("1", "a")
    await page.until("document.querySelector('.case h1')?.innerText.includes('host 19')")
    await page.press("l")
    await page.until("document.activeElement?.getAttribute('role') === 'combobox'")
    await page.type("netw")
    await page.until("document.querySelectorAll('[role=option]').length === 1")
    await page.press("Enter")
    await page.until("document.querySelector('[data-value=network][aria-pressed=true]')")
    await page.press("a")
    await page.until("document.querySelector('.case h1')?.innerText.includes('Strange mail')")
    await page.press("s")
    await page.until("document.querySelector('.case h1')?.innerText.includes('Card is lost')")
    await until(lambda: len(console.world.sent) == 3)
    queues = {id_: labels["queue"] for id_, labels in sent(console)}
    assert queues == {"one": "endpoint", "two": "cloud", "three": "network"}
    assert page.problems == []


async def test_a_decision_is_undone_within_ten_seconds(start: Start) -> None:
    """A slip of the finger must not become what a model learns from."""
    console = await start(five_cases, hold_s=10)
    page = await console.page(where=PAGES["case"])
    await page.sees("Accept proposal")
    await page.press("a")
    await page.sees("Undo")
    await page.press("u")
    await page.sees("Undone")
    await page.until("document.querySelector('.case h1')?.innerText.includes('host 17')")
    await page.press("q")
    await page.sees("5 cases open")
    assert console.world.sent == []


async def test_many_are_decided_at_once_after_a_preview(start: Start) -> None:
    """What a bulk decision will touch must be seen, and can be narrowed, before it is sent."""
    console = await start(five_cases)
    page = await console.page()
    await page.sees("5 cases open")
    await page.press("j", "x", "j", "x", "j", "x")
    await page.sees("3 cases chosen")
    await page.press("b")
    await page.sees("Decide 3 cases")
    assert await page.count("dialog tbody tr") == 3
    assert console.world.sent == []
    await page.click("dialog tbody tr:nth-child(3) input")
    await page.sees("Decide 2 cases")
    await page.ask(
        "(s => { s.value = 'network'; s.dispatchEvent(new Event('change', {bubbles: true})); })"
        "(document.querySelector('dialog select'))"
    )
    await page.until("[...document.querySelectorAll('dialog tbody strong')]"
                     ".every(each => each.innerText === 'network')")
    await page.click("[data-action=decide-all]")
    await until(lambda: len(console.world.sent) == 2)
    assert sorted(sent(console)) == [("one", {"queue": "network"}), ("two", {"queue": "network"})]


async def test_cases_that_are_alike_are_decided_with_the_open_one(start: Start) -> None:
    """The same alert a hundred times must not be a hundred decisions."""
    console = await start(five_cases)
    page = await console.page(where=PAGES["case"])
    await page.sees("Decide with")
    await page.press("2", "b")
    await page.until("document.querySelectorAll('dialog tbody tr').length === 2")
    await page.click("[data-action=decide-all]")
    await until(lambda: len(console.world.sent) == 2)
    assert {id_ for id_, _ in sent(console)} == {"one", "two"}
    assert {labels["queue"] for _, labels in sent(console)} == {"identity"}


async def test_two_people_on_one_case_are_told_of_each_other(start: Start) -> None:
    """The first decision stands, and the second person is told who was faster, and loses nothing."""
    console = await start(five_cases, hold_s=10)
    rae = await console.page("rae", PAGES["case"])
    await rae.sees("Accept proposal")
    abe = await console.page("abe", PAGES["case"])
    await abe.sees("rae is looking at this case too")
    queue = await console.page("abe")
    await queue.sees("rae is looking at it")
    await abe.press("1")
    await rae.press("a")
    await rae.until("document.querySelector('.case h1')?.innerText.includes('host 18')")
    await abe.sees("rae has just decided this case")
    await abe.press("a")
    await abe.sees("was a little faster")
    assert "host 17" in await abe.ask("document.querySelector('.case h1').innerText")


async def test_a_decision_of_another_person_is_overruled_only_on_purpose(start: Start) -> None:
    """A key that is pressed a moment too late must not replace what somebody else decided."""
    console = await start(five_cases, hold_s=0)
    abe = await console.page("abe", PAGES["case"])
    await abe.sees("Accept proposal")
    await abe.press("1")
    rae = await console.page("rae", PAGES["case"])
    await rae.sees("Accept proposal")
    await rae.press("a")
    await abe.sees("A person has decided this case")
    await abe.press("a")
    await abe.press("e", "2")
    await abe.until("document.querySelector('.actions .primary')?.innerText.startsWith('Correct')")
    assert len(console.world.sent) == 1
    await abe.press("a")
    await until(lambda: len(console.world.sent) == 2)
    correction = console.world.sent[-1]
    assert (correction.labels["queue"], correction.about, correction.by) == ("identity", 1, "abe")


async def test_what_a_person_decides_is_in_the_feed_at_once(start: Start) -> None:
    """The stream is live: what it does not show, nobody believes."""
    console = await start(five_cases, hold_s=0)
    stream = await console.page("abe", PAGES["stream"])
    await stream.until("document.querySelectorAll('.feed-row').length === 5")
    page = await console.page("rae", PAGES["case"])
    await page.sees("Accept proposal")
    started_s = time.perf_counter()
    await page.press("a")
    await stream.until("[...document.querySelectorAll('.feed-row')]"
                       ".some(row => row.innerText.includes('Person'))")
    FIGURES.append(f"console: a verdict is in the feed after {time.perf_counter() - started_s:.2f} s")
    console.world.accept("by itself")
    await stream.sees("Small model")
    await stream.click("[data-facet=decided_by][data-value=human]")
    await stream.until("document.querySelectorAll('.feed-row').length === 1")
    await stream.press("p")
    console.world.accept("unseen while paused")
    await stream.sees("paused")
    assert stream.problems == []


async def test_an_event_is_text_and_never_a_page(start: Start) -> None:
    """An attacker writes alerts: script, terminal codes, reversed letters and a megabyte."""

    def fill(world: World) -> None:
        world.add(
            "bad/<b>id</b>",
            title=HOSTILE_TITLE,
            text=HOSTILE_TEXT,
            source="<i>x</i>",
            link="javascript:window.owned=1",
            document={"<b>": {"__proto__": "<svg onload=window.owned=1>"}},
        )
        world.add("..", title="An id that leads up")

    console = await start(fill)
    page = await console.page()
    await page.sees("2 cases open")
    await page.sees("<img src=x onerror=")
    await page.press("j")
    await page.ask("[...document.querySelectorAll('.row-title a')]"
                   ".find(a => a.innerText.includes('img')).click()")
    await page.sees("<script>window.owned=1</script>")
    await page.sees("of 1,0")
    assert await page.texts("h1 .unseen") == ["RLO", "ESC", "ESC"]
    assert await page.count("main img, main script, main b, main i, main svg[onload]") == 0
    assert await page.ask("[...document.querySelectorAll('main a')].every("
                          "a => ['http:', 'https:'].includes(a.protocol))")
    await page.click(".cut-note button")
    await page.until("document.querySelector('.passage').innerText.length > 1_000_000")
    assert await page.ask("window.owned") is None
    assert await page.ask("document.querySelector('.passage').scrollWidth <= innerWidth")
    await page.ask("location.hash = '#/case/alerts/acme/..'")
    await page.sees("An id that leads up")
    await page.press("a")
    await until(lambda: [id_ for id_, _ in sent(console)] == [".."])
    assert page.problems == []


async def test_the_page_comes_back_when_the_server_does(
    browser: DevTools, tmp_path: Path
) -> None:
    """A restart of the console must not ask people to load the page again."""
    world, section = new_world(tmp_path)
    section = replace_options(section, tokens_file=None)
    world = World(tmp_path, section)
    five_cases(world)
    page = await browser.new_page()
    async with served(world, section) as url:
        await page.open(url)
        await page.sees("5 cases open")
        await page.until("document.querySelector('[data-connection=live]')")
    await page.sees("server does not answer")
    (folder := tmp_path / "again").mkdir()
    section = replace_options(section, port=int(url.rpartition(":")[2]))
    world = World(folder, section)
    five_cases(world)
    world.add("six", title="Came while away")
    async with served(world, section):
        await page.sees("The connection is back")
        await page.sees("6 cases open")
        assert await page.count(".banner-top") == 0


def replace_options(section: ConsoleSection, **changes: Any) -> ConsoleSection:
    """The section with other values."""
    return msgspec.structs.replace(section, **changes)


async def test_a_broker_that_is_away_is_said_until_it_is_back(start: Start) -> None:
    """Old numbers that look like new ones lead people to wait for nothing."""
    console = await start(five_cases)
    page = await console.page()
    await page.sees("5 cases open")
    report_status(console.world, "away", "Kafka does not answer at 127.0.0.1:9092.")
    await page.sees("Kafka does not answer at 127.0.0.1:9092.")
    await page.sees("What you see may be old")
    report_status(console.world, "up")
    await page.sees("The connection is back")
    await page.until("!document.querySelector('.banner-top')")


async def test_a_wrong_token_is_refused_in_a_sentence(start: Start) -> None:
    """Who mistypes a token must learn that, and a stranger must learn nothing else."""
    console = await start(five_cases)
    page = await console.browser.new_page()
    await page.open(f"{console.url}/#/figures")
    await page.until("document.activeElement?.name === 'token'")
    await page.type("not a token")
    await page.press("Enter")
    await page.until("document.querySelector('[role=alert]')?.innerText.length > 10")
    assert await page.count("nav a") == 0
    await page.type(TOKENS["vic"])
    await page.press("Enter")
    await page.sees("How it is going")


async def test_a_viewer_looks_and_does_not_decide(start: Start) -> None:
    """A role that only the buttons know of is none: the server must refuse as well."""
    console = await start(five_cases)
    page = await console.page("vic", PAGES["case"])
    await page.sees("your role is viewer")
    assert await page.count(".actions") == 0
    await page.press("1", "a", "b")
    answer = await page.ask(
        "fetch('api/v1/session').then(r => r.json()).then(({csrf}) => fetch('api/v1/verdicts',"
        " {method: 'POST', headers: {'Content-Type': 'application/json', 'X-CSRF-Token': csrf},"
        " body: JSON.stringify({verdicts: [{id: 'one', domain: 'alerts', tenant: 'acme',"
        " labels: {queue: 'cloud'}}]})})).then(r => r.status)"
    )
    assert answer == 403
    assert console.world.sent == []
    await page.press("q")
    await page.sees("5 cases open")
    assert await page.count(".row-choose input") == 0


async def test_a_hundred_thousand_cases_scroll(start: Start) -> None:
    """The list must stay small in the page however long it is, and its end must be reached."""
    console = await start(lambda world: many_cases(world, MANY))
    page = await console.page()
    await page.sees("100,000 cases open")
    frames = await page.ask(SCROLL)
    frames_ms = sorted(frames["ms"])
    FIGURES.append(
        f"console: scrolling {MANY} cases, {len(frames_ms)} frames: half within "
        f"{frames_ms[len(frames_ms) // 2]:.0f} ms, 95 of 100 within "
        f"{frames_ms[int(len(frames_ms) * 0.95)]:.0f} ms; at most {frames['rows']} rows at once"
    )
    assert frames["rows"] < 150
    await page.ask("scrollTo(0, document.documentElement.scrollHeight)")
    await page.sees(f"case number {MANY - 1}", limit_s=120)
    assert await page.count(".row-place") < 150
    await page.ask("scrollTo(0, 0)")
    await page.sees("case number 0")


SCROLL = """new Promise(done => {
  const ms = []; let rows = 0; let steps = 0; let before = performance.now();
  const step = now => {
    ms.push(now - before); before = now; steps += 1;
    rows = Math.max(rows, document.querySelectorAll('.row-place').length);
    scrollBy(0, 170);
    if (steps < 240) requestAnimationFrame(step); else done({ms: ms.slice(1), rows});
  };
  requestAnimationFrame(step);
})"""


def many_cases(world: World, count: int) -> None:
    """Let the view answer as if it held this many cases, without the minutes to fill it."""
    world.add("pattern", title="a case")
    pattern = world.store.list(CaseQuery()).cases[0]

    def summary(number: int) -> CaseSummary:
        return msgspec.structs.replace(pattern, id=f"n{number}", title=f"case number {number}")

    def page_of(query: CaseQuery) -> CasePage:
        first = int(query.after or 0)
        last = min(first + query.limit, count)
        following = str(last) if last < count else None
        return CasePage([summary(number) for number in range(first, last)], following, count)

    world.store.list = page_of  # type: ignore[method-assign]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_serious_barrier(start: Start, scheme: str) -> None:
    """People who see little or nothing, or use no mouse, must be able to do this work."""
    axe = await asyncio.to_thread(fetch_axe)
    console = await start(five_cases)
    page = await console.page()
    await page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    found = []
    for name, where in PAGES.items():
        await page.ask(f"location.hash = '{where}'")
        await asyncio.sleep(0)
        await page.until(f"location.hash === '{where}' && (({LOADED})"
                         " || document.querySelector('main .failure'))")
        found += [f"{name}: {line}" for line in await barriers(page, axe)]
    await page.ask("location.hash = '#/queue'")
    await page.until("document.querySelector('.row-place input')")
    await page.press("j", "x", "b")
    await page.until("document.querySelector('dialog tbody tr')")
    found += [f"bulk: {line}" for line in await barriers(page, axe)]
    stranger = await console.browser.new_page()
    await stranger.open(console.url)
    await stranger.sees("Sign in")
    found += [f"sign in: {line}" for line in await barriers(stranger, axe)]
    FIGURES.append(f"console: axe in {scheme} on {len(PAGES) + 2} views: {len(found)} serious")
    assert found == []


async def test_narrow_windows_and_great_zoom_lose_nothing(start: Start) -> None:
    """At 400 % zoom a window is 320 pixels wide: nothing may then be cut off at its side."""
    console = await start(five_cases)
    page = await console.page()
    for width in (320, 640):
        await page.resize(width, 700)
        for name, where in PAGES.items():
            await page.ask(f"location.hash = '{where}'")
            await page.until(f"location.hash === '{where}' && (({LOADED})"
                             " || document.querySelector('main .failure'))")
            beyond = await page.ask(
                "Math.max(0, document.documentElement.scrollWidth - innerWidth)"
            )
            assert beyond == 0, f"{name} is {beyond} pixels too wide at {width}"


async def test_the_first_page_needs_little(start: Start) -> None:
    """A page that loads much is slow to come: the first paint takes under a second on loopback."""
    console = await start(five_cases)
    page = await console.page()
    await page.open(f"{console.url}/#/queue")
    await page.sees("5 cases open")
    loaded = await page.ask(
        "performance.getEntriesByType('resource')"
        ".map(one => [one.name, one.decodedBodySize]).filter(([name]) => !name.includes('/api/'))"
    )
    paint_ms = await page.ask("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    size = sum(bytes_ for _, bytes_ in loaded)
    FIGURES.append(f"console: first paint after {paint_ms:.0f} ms, {len(loaded)} files, {size} bytes")
    assert len(loaded) < 45
    assert size < 200_000
    assert not [name for name, _ in loaded if "uplot" in name]


async def test_the_theme_and_the_single_keys_are_a_choice(start: Start) -> None:
    """Single keys harm people who speak to their computer; they can be switched off for good."""
    console = await start(five_cases)
    page = await console.page(where=PAGES["case"])
    await page.sees("Accept proposal")
    await page.click(".menu summary")
    await page.ask(
        "(s => { s.value = 'dark'; s.dispatchEvent(new Event('change', {bubbles: true})); })"
        "(document.querySelector('.menu select'))"
    )
    await page.until("document.documentElement.dataset.theme === 'dark'")
    await page.click(".menu input[type=checkbox]")
    await page.until("!document.querySelector('.actions kbd')")
    await page.press("Escape", "a")
    await page.open(f"{console.url}/#/queue")
    await page.sees("5 cases open")
    assert await page.ask("document.documentElement.dataset.theme") == "dark"
    assert console.world.sent == []
