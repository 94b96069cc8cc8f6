"""A console that tests look at in a browser: its cases, its people, its pages."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from streams.cases.query import CaseQuery, CaseSummary
from streams.cases.query import Page as CasePage
from streams.config import ConsoleSection
from streams.console.web_server import WebServer
from tests.chromium import DevTools, Page
from tests.console_client import TOKENS, write_people
from tests.console_world import World

SHORT_HOLD_S = 0.2
PAGES = {
    "queue": "#/queue",
    "case": "#/case/alerts/acme/one",
    "stream": "#/stream",
    "event": "#/event/one",
    "dead letters": "#/dead-letters",
    "figures": "#/figures",
}


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


class Start(Protocol):
    """Starts a console whose world a function has filled."""

    def __call__(
        self, fill: Callable[[World], object], *, hold_s: float = SHORT_HOLD_S
    ) -> Awaitable[Console]:
        """The console, once it answers."""


@asynccontextmanager
async def served(world: World, section: ConsoleSection) -> AsyncIterator[str]:
    """The console of a world on a port, and its address."""
    server = WebServer(section, world.app, world.connections)
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()


def new_world(
    folder: Path, *, hold_s: float = SHORT_HOLD_S, port: int = 0
) -> tuple[World, ConsoleSection]:
    """A world without cases, and the section that it is served with."""
    section = ConsoleSection(
        port=port, tokens_file=write_people(folder), hold_s=hold_s, requests_per_second=1000
    )
    return World(folder, section), section


def replace_options(section: ConsoleSection, **changes: Any) -> ConsoleSection:
    """The section with other values."""
    return msgspec.structs.replace(section, **changes)


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


async def go_to(page: Page, where: str) -> None:
    """Go to a page of the console, and wait until it shows what it has, or why it has nothing."""
    await page.ask(f"location.hash = '{where}'")
    main = f"document.querySelector('main.page-{where.split('/')[1]}')"
    await page.until(
        f"{main}.querySelector('.failure') ||"
        f" {main}.querySelector('h1') && !{main}.querySelector('.loading')"
    )


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


def some_figures() -> dict[str, Any]:
    """Figures as the server gives them, with a part that is not known."""
    curve = {
        "coverage": [0.5, 1.0],
        "error": [0.01, 0.05],
        "threshold_coverage": 0.6,
        "alpha": 0.02,
        "note": None,
    }
    starts = ["2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z"]
    return {
        "as_of": starts[1],
        "since": starts[0],
        "volume": {
            "step_s": 900,
            "starts": starts,
            "rule": [1, 2],
            "slm": [98, 3],
            "llm": [0, 0],
            "human": [1, 1],
        },
        "shares": {"events": 100, "rule": 1, "slm": 98, "llm": 0, "human": 1, "open": 0},
        "confidence": {"edges": [0, 0.5, 1], "accepted": [0, 90], "escalated": [7, 0]},
        "risk_coverage": {"alerts": curve},
        "latency": {"p50_s": 0.01, "p95_s": 0.2, "p99_s": 1.5, "inference_p50_s": 0.004, "n": 98},
        "lag": {"topics": [{"topic": "triage.alerts.v1", "lag": 4}], "total": 4},
        "cost": {
            "llm_usd": 0.1,
            "calls": 4,
            "human_decisions": 1,
            "all_llm_usd": 2,
            "saved_usd": 1.9,
        },
        "promise": {
            "alerts": {
                "state": "in_doubt",
                "estimate": None,
                "low": 0.004,
                "high": 0.05,
                "alpha": 0.02,
                "delta": 0.1,
                "checks": 120,
                "wrong": 3,
                "threshold": 0.1,
            }
        },
        "learning": None,
        "candidate": None,
        "notes": {"candidate": "no candidate answers in shadow"},
    }


async def answer_with(page: Page, answers: dict[str, Any]) -> None:
    """Let the page get these answers of the API, by path; what it posts is in `window.asked`."""
    await page.ask(
        "(answers => { const real = window.fetch; window.asked = [];"
        " window.fetch = (url, options = {}) => {"
        "   const path = String(url).replace(/^api\\/v1\\//, '').split('?')[0];"
        "   if (!(path in answers)) return real(url, options);"
        "   if (options.body) window.asked.push(options.body);"
        "   return Promise.resolve(Response.json(answers[path]));"
        f" }}; }})({json.dumps(answers)})"
    )
