"""The pages of the console in a real Chromium: what they withstand, and whom they serve."""

import asyncio
import json
from pathlib import Path

import pytest

from schemas.event import Stated
from tests.axe import barriers, fetch_axe
from tests.chromium import NEEDS_CHROMIUM, DevTools, Page
from tests.console_client import TOKENS
from tests.console_pages import (
    PAGES,
    Start,
    answer_with,
    five_cases,
    go_to,
    many_cases,
    new_world,
    replace_options,
    report_status,
    sent,
    served,
    some_figures,
)
from tests.console_world import World
from tests.figures import FIGURES
from tests.patience import until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    NEEDS_CHROMIUM,
]

MANY = 100_000
HOSTILE_TITLE = '\u202egnp.exe <img src=x onerror="window.owned=1"> \x1b[31mred\x1b[0m'
HOSTILE_TEXT = "<script>window.owned=1</script>\x1b[2J\u2066abc " + "many words and more. " * 50_000


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
    await page.ask(
        "[...document.querySelectorAll('.row-title a')]"
        ".find(a => a.innerText.includes('img')).click()"
    )
    await page.sees("<script>window.owned=1</script>")
    await page.sees("of 1,0")
    assert await page.texts("h1 .unseen") == ["RLO", "ESC", "ESC"]
    assert await page.count("main img, main script, main b, main i, main svg[onload]") == 0
    assert await page.ask(
        "[...document.querySelectorAll('main a')].every("
        "a => ['http:', 'https:'].includes(a.protocol))"
    )
    await page.click(".cut-note button")
    await page.until("document.querySelector('.passage').innerText.length > 1_000_000")
    assert await page.ask("window.owned") is None
    assert await page.ask("document.querySelector('.passage').scrollWidth <= innerWidth")
    await page.ask("location.hash = '#/case/alerts/acme/..'")
    await page.sees("An id that leads up")
    await page.press("a")
    await until(lambda: [id_ for id_, _ in sent(console)] == [".."])
    assert page.problems == []


async def test_the_page_comes_back_when_the_server_does(browser: DevTools, tmp_path: Path) -> None:
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
    await page.ask(
        "void new MutationObserver(() => { window.fewest = Math.min(window.fewest ?? 9,"
        " document.querySelectorAll('.row-title a').length); })"
        ".observe(document.body, {childList: true, subtree: true})"
    )
    (folder := tmp_path / "again").mkdir()
    section = replace_options(section, port=int(url.rpartition(":")[2]))
    world = World(folder, section)
    five_cases(world)
    world.add("six", title="Came while away")
    async with served(world, section):
        await page.sees("The connection is back")
        await page.sees("6 cases open")
        assert await page.count(".banner-top") == 0
        assert await page.ask("window.fewest") == 5, "rows vanished, and clicks with them"


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_serious_barrier(start: Start, scheme: str) -> None:
    """People who see little or nothing, or use no mouse, must be able to do this work."""
    axe = await asyncio.to_thread(fetch_axe)
    console = await start(five_cases)
    page = await console.page()
    await page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    found = []
    for name, where in PAGES.items():
        await go_to(page, where)
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

    def fill(world: World) -> None:
        five_cases(world)
        world.add("six", title="Ransomware", stated=Stated(severity="critical"))

    console = await start(fill)
    page = await console.page()
    for width in (320, 640):
        await page.resize(width, 700)
        for name, where in PAGES.items():
            await go_to(page, where)
            beyond = await page.ask("document.documentElement.scrollWidth - innerWidth")
            assert beyond <= 0, f"{name} is {beyond} pixels too wide at {width}"
        await go_to(page, PAGES["queue"])
        await page.sees("stated critical")


STATES = [
    ("#/queue", "cases", "No open cases"),
    ("#/stream", "feed", "No decision yet"),
    ("#/dead-letters", "deadletters", "No dead letters"),
    ("#/figures", "figures", "How it is going"),
    ("#/event/one", "events/one", "No such event"),
    ("#/case/alerts/acme/one", "cases/alerts/acme/one", "This could not be loaded"),
]
EMPTY = {
    "cases": {"cases": [], "next": None, "total": 0},
    "feed": {"decisions": [], "next": None, "last": 0},
    "deadletters": {"letters": [], "reasons": [], "total": 0, "truncated": False},
    "figures": {"notes": {}, "as_of": "2026-01-01T00:00:00Z"},
}
HELD_BACK = """(path => {
  const real = window.fetch; window.release = null;
  window.fetch = (url, options = {}) => {
    if (String(url).replace(/^api\\/v1\\//, '').split('?')[0] !== path) return real(url, options);
    return new Promise(answer => {
      window.release = (status, document) => answer(Response.json(document, {status}));
    });
  };
})"""
"""The answers of one path come when the test says so, and what it says."""


@pytest.mark.parametrize(("where", "path", "empty"), STATES, ids=lambda part: part)
async def test_every_page_says_that_it_loads_has_failed_or_is_empty(
    start: Start, where: str, path: str, empty: str
) -> None:
    """A page that stays white looks like a page on which nothing waits."""
    console = await start(lambda _: None)
    page = await console.page(where="#/none")
    await page.sees("There is no such page")
    await page.ask(f"{HELD_BACK}({json.dumps(path)})")
    await page.ask(f"location.hash = '{where}'")
    await page.until("window.release && document.querySelector('main .loading')")
    fault = {"error": "no Kafka broker answers; the console tries again"}
    await page.ask(f"(r => {{ release = null; r(503, {json.dumps(fault)}); }})(release)")
    await page.sees("o Kafka broker answers; the console tries again")
    await page.until("document.querySelector('main .failure, main [role=alert]')")
    await page.click("main .failure button, main [role=alert] button")
    await page.until("window.release")
    found = EMPTY.get(path)
    status, document = (200, found) if found else (404, {"error": "it is not known"})
    await page.ask(f"release({status}, {json.dumps(document)})")
    await page.sees(empty)
    await page.until("!document.querySelector('main .loading')")
    assert page.problems == []


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
    FIGURES.append(
        f"console: first paint after {paint_ms:.0f} ms, {len(loaded)} files, {size} bytes"
    )
    assert len(loaded) < 45
    assert size < 200_000
    assert not [name for name, _ in loaded if "uplot" in name]


async def test_dead_letters_are_sent_again_only_after_a_try(start: Start) -> None:
    """Who sends a thousand records again must have seen before which and where to."""
    console = await start(five_cases)
    page = await console.page("abe", where=PAGES["figures"])
    await page.sees("How it is going")
    letter = {
        "place": "dead/0/7",
        "original_place": "triage.alerts.v1/0/12",
        "topic": "triage.alerts.v1",
        "stage": "decode",
        "error": "InvalidEvent",
        "message": "is not JSON \x1b[2J",
        "disposition": "retryable",
        "title": None,
        "at": "2026-01-01T00:00:00Z",
        "preview": "<script>window.owned=1</script>",
    }
    reason = {
        "stage": "decode",
        "error": "InvalidEvent",
        "topic": "triage.alerts.v1",
        "disposition": "retryable",
        "count": 3,
    }
    letters = {"letters": [letter], "reasons": [reason], "total": 3, "truncated": False}
    sent_again = {"replayed": 3, "left": 0, "internal": 0, "topics": {"triage.alerts.v1": 3}}
    await answer_with(page, {"deadletters": letters, "deadletters/replay": sent_again})
    await page.ask("location.hash = '#/dead-letters'")
    await page.sees("is not JSON")
    assert await page.ask("document.querySelector('[data-action=replay]').disabled")
    await page.click("[data-action=dry-run]")
    await page.sees("3 records would be sent (3 to triage.alerts.v1)")
    await page.click("[data-action=replay]")
    await page.sees("3 records were sent again")
    bodies = await page.ask("window.asked.map(one => JSON.parse(one).dry_run)")
    assert bodies == [True, False]
    assert await page.ask("window.owned") is None


async def test_every_figure_has_a_sentence_and_a_table(start: Start) -> None:
    """A canvas says nothing to a screen reader: the same numbers must be there as text."""
    console = await start(five_cases)
    page = await console.page("abe", where=PAGES["queue"])
    await page.sees("5 cases open")
    await answer_with(page, {"figures": some_figures()})
    await page.ask("location.hash = '#/figures'")
    await page.until("document.querySelectorAll('.plot canvas').length === 3")
    captions = await page.texts(".figure figcaption p")
    assert len(captions) == 10
    assert all(len(caption) > 30 for caption in captions)
    assert (
        await page.ask(
            "[...document.querySelectorAll('.figure')].filter("
            "each => each.querySelector('canvas') && !each.querySelector('details'))"
            ".length"
        )
        == 0
    )
    await page.ask("document.querySelectorAll('.figure details').forEach(d => d.open = true)")
    await page.sees("98 %")
    await page.sees("between 0.4 % and 5.0 % is wrong; promised is at most 2.0 %")
    await page.sees("No candidate answers in shadow.")
    assert await page.count("[data-action=promote]") == 0
    assert page.problems == []


async def test_an_hour_of_the_feed_does_not_fill_the_memory(start: Start) -> None:
    """A page that stays open all day must not grow with every decision that it shows."""
    console = await start(five_cases)
    page = await console.browser.new_page()
    await page.call("Page.addScriptToEvaluateOnNewDocument", source=FAKE_STREAM)
    await page.call("Performance.enable")
    await page.open(f"{console.url}/#/stream")
    await page.until("document.activeElement?.name === 'token'")
    await page.type(TOKENS["abe"])
    await page.press("Enter")
    await page.until("document.querySelectorAll('.feed-row').length === 5")
    await page.ask("pump(5_000)")
    await page.until("document.querySelectorAll('.feed-row').length === 500")
    before = await heap_bytes(page)
    for _ in range(10):
        await page.ask(f"pump({HOUR_OF_EVENTS // 10})")
    after = await heap_bytes(page)
    FIGURES.append(
        f"console: the heap of the stream page: {before / 1e6:.1f} MB after 5,000 decisions, "
        f"{after / 1e6:.1f} MB after {HOUR_OF_EVENTS:,} more"
    )
    assert await page.count(".feed-row") == 500
    assert after < before + 5e6


HOUR_OF_EVENTS = 50 * 3600

FAKE_STREAM = """
const streams = [];
class EventSource extends EventTarget {
  constructor() { super(); streams.push(this); setTimeout(() => this.onopen?.()); }
  close() { streams.splice(streams.indexOf(this), 1); }
}
window.EventSource = EventSource;
let seq = 1_000;
window.pump = async count => {
  for (let sent = 0; sent < count; sent += 1) {
    seq += 1;
    const data = JSON.stringify({seq, id: `e${seq}`, domain: 'alerts', tenant: 'acme',
      source: 'edr', title: `decision ${seq}`, queue: 'cloud', revision: 0, status: 'final',
      decided_by: 'slm', labels: {queue: 'cloud'}, confidence: 0.9, risk: 0.1,
      received_at: '2026-01-01T00:00:00Z', triaged_at: '2026-01-01T00:00:00Z', total_s: 0.1,
      cost_usd: 0, reason: 'sure'});
    for (const stream of streams) stream.dispatchEvent(new MessageEvent('decision', {data}));
    if (sent % 1000 === 999) await new Promise(done => setTimeout(done));
  }
};
"""


async def heap_bytes(page: Page) -> float:
    """What the page holds in memory, without what can be freed."""
    await page.call("HeapProfiler.collectGarbage")
    metrics = await page.call("Performance.getMetrics")
    return float(next(m["value"] for m in metrics["metrics"] if m["name"] == "JSHeapUsedSize"))


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
