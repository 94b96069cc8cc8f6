"""Takes the pictures of docs/console, in light and dark: `python -m tests.console_pictures`.

The events are the shipped samples, and the shipped model has answered them. What people and the LLM
have done, and the figures that need a cluster, are made up.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from agents.revision import rfc3339
from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.model.threads import Threads
from inference.serving import Serving
from schemas.event import DOMAINS, Domain, Event
from schemas.titles import plain_title
from schemas.triaged import Case, Enrichment
from streams.config import ConsoleSection
from streams.console.figures import Figures
from streams.console.model_facts import risk_curves
from streams.console.why import settled
from tests.chromium import Page, chromium
from tests.console_client import write_people
from tests.console_pages import Console, answer_with, go_to, report_status, served
from tests.console_try import sample_events
from tests.console_world import World

FOLDER = Path(__file__).parents[1] / "docs" / "console"
WIDTH, HEIGHT, TALL = 1280, 860, 1640
PHONE = (390, 844)
HOURS = 8.0
SHOWN = "alert-0016"
"""The case whose page is shown."""
SUMMARY = Enrichment(
    status="answered",
    model="a-model",
    tier="small",
    calls=1,
    summary="A Kerberos ticket that is valid for ten years was used from 10.20.9.31 against file "
    "servers, in the name of the account Administrator.",
    rationale="The domain allows ten hours. A ticket of this kind is usually forged with the key "
    "of the domain, so the identities are what has to be looked at first.",
    prompt_tokens=1_210,
    completion_tokens=96,
    cost_usd=0.0007,
    latency_s=1.9,
)
KEPT_QUEUE = "the LLM may not change queue of an event of critical alone: it stays endpoint"

Shot = Callable[[Page], Awaitable[None]]


class Moment:
    """The time of the console: in the past while it is filled, and then the present."""

    at_s: float | None = None

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return time.time() if self.at_s is None else self.at_s


async def fill(world: World, classifier: Classifier, moment: Moment) -> None:
    """The last hours of a console, from events that the model has answered."""
    events = [(domain, event) for domain in DOMAINS for event in sample_events(domain)]
    random.Random(4).shuffle(events)
    for number, (domain, event) in enumerate(events):
        moment.at_s = time.time() - HOURS * 3_600 * (1 - number / len(events)) - 60
        (decision,) = await classifier.classify(domain, [event])
        await _end(world, domain, event, decision, number)
    moment.at_s = time.time() - 50
    (shown,) = [event for _, event in events if event.id == SHOWN]
    for id_, source in [("alert-0188", "Directory Watch"), ("alert-0190", "edr-sensor")]:
        await _add_like(world, replace(shown, id=id_, source=source), classifier)
    settled_one = replace(shown, id="alert-0102", title="Ticket of a service valid for a year")
    await _decide(world, await _add_like(world, settled_one, classifier), "identity")
    moment.at_s = None


async def _add_like(world: World, event: Event, classifier: Classifier) -> Case:
    (decision,) = await classifier.classify("alerts", [event])
    return _case(world, "alerts", event, decision, _about(world, "alerts", event, decision))


async def _end(world: World, domain: Domain, event: Event, decision: Decision, number: int) -> None:
    """Let an event end: with the model, a rule, the LLM or a person, or not yet."""
    about = _about(world, domain, event, decision)
    if decision.accepted:
        by = "rule" if number % 9 == 0 else "slm"
        world.accept(event.id, domain=domain, decided_by=by, **about)
    elif event.id != SHOWN and decision.escalation == "risk" and number % 3 == 0:
        world.accept(event.id, domain=domain, status="provisional", **about)
        answered = {"revision": 1, "decided_by": "llm", "enrichment": SUMMARY}
        world.accept(event.id, domain=domain, **about | answered | {"total_s": 2.4})
    else:
        case = _case(world, domain, event, decision, about)
        if event.id != SHOWN and number % 4 == 1:
            await _decide(world, case, case.triaged.queue)


def _about(world: World, domain: Domain, event: Event, decision: Decision) -> dict[str, Any]:
    assert world.classifier is not None
    return {
        "title": plain_title(event) or event.id,
        "tenant": event.tenant,
        "source": event.source,
        "labels": decision.labels,
        "queue": decision.labels["queue"].value,
        "reasons": [decision.reason],
        "stated": event.stated,
        "link": event.link,
        "calibration": world.classifier.calibration(domain),
        "inference_s": decision.inference_s,
        "total_s": decision.inference_s + 0.02,
    }


def _case(
    world: World, domain: Domain, event: Event, decision: Decision, about: dict[str, Any]
) -> Case:
    words: dict[str, Any] = {"text": event.text or event.body, "document": event.event}
    if event.id == SHOWN:
        world.accept(event.id, domain=domain, status="provisional", **words, **about)
        reasons = [decision.reason, KEPT_QUEUE, "a person decides"]
        about = about | {"enrichment": SUMMARY, "revision": 1, "reasons": reasons}
    return world.add(
        event.id,
        domain=domain,
        **words,
        risk=decision.risk,
        escalation=decision.escalation,
        **about,
    )


async def _decide(world: World, case: Case, label: str) -> None:
    done = settled(world.decide(case.triaged, "rae", {"queue": label}), case)
    assert done is not None
    await world.why.remember(done)


def made_up_parts() -> dict[str, Any]:
    """The figures that need a cluster, in the shape of `streams.console.parts`."""
    domain = {"alpha": 0.02, "delta": 0.1, "threshold": 0.0864}
    promise = {
        "alerts": {
            **domain, "state": "kept", "estimate": 0.006, "low": 0.001, "high": 0.018,
            "checks": 412, "wrong": 2,
        },
        "tickets": {
            **domain, "state": "in_doubt", "estimate": 0.013, "low": 0.002, "high": 0.041,
            "checks": 160, "wrong": 2,
        },
    }  # fmt: skip
    topics = {"alerts.v1": 3, "tickets.v1": 0, "enrichment.v1": 12, "feedback.v1": 0}
    lag = {"topics": [{"topic": f"triage.{name}", "lag": n} for name, n in topics.items()]}
    curve = [(500, 0.71), (1_000, 0.80), (1_500, 0.845), (2_000, 0.872), (2_500, 0.89)]
    models = [(400, 0.66, "tickets-1"), (1_100, 0.83, "tickets-2"), (2_500, 0.90, "tickets-3")]
    learning = {
        "tickets": {
            "axis": "queue",
            "curve": [{"rows": rows, "right": right} for rows, right in curve],
            "models": [{"rows": n, "right": right, "model": name} for n, right, name in models],
            "line": {
                "alpha": 0.02,
                "accepted": 0.41,
                "until_half": {"fewest": 700, "most": 1_600},
            },
        }
    }
    candidate = {"name": "tickets-4", "events": 3_204, "agreement": 0.962, "coverage": 0.47}
    return {
        "promise": promise,
        "lag": lag | {"total": sum(topics.values())},
        "learning": learning,
        "candidate": candidate | {"domain": "tickets"},
    }


def some_letters() -> dict[str, Any]:
    """Dead letters as the server gives them."""
    kinds = [
        ("decode", "InvalidEvent", "this is not JSON: the text ends too early", "poison", 4),
        ("validate", "LimitExceeded", "the event has 31,204 values; 25,000 may be", "poison", 1),
        ("inference", "EngineError", "the model did not answer in time", "retryable", 12),
    ]
    letters: list[dict[str, Any]] = []
    reasons = []
    for stage, error, message, disposition, count in kinds:
        common = {"stage": stage, "error": error, "disposition": disposition}
        common["topic"] = "triage.alerts.v1"
        reasons.append({**common, "count": count})
        for each in range(min(count, 3)):
            number = len(letters)
            letter = {
                "place": f"triage.deadletter.v1/0/{number}",
                "original_place": f"triage.alerts.v1/0/{4_102 + 97 * number}",
                "at": rfc3339(time.time() - 3_600 + 420 * number + each),
                "message": message,
                "title": None,
                "preview": '{"id": "alert-9',
            }
            letters.append({**common, **letter})
    total = sum(count for *_, count in kinds)
    return {"letters": letters[::-1], "reasons": reasons, "total": total, "truncated": False}


async def queue(page: Page) -> None:
    """The queue, with the cursor on a case."""
    await go_to(page, "#/queue")
    await page.press("j")
    await page.until("document.querySelector('.case-row.current')")


async def case(page: Page) -> None:
    """A case with all that can be known about it."""
    await go_to(page, f"#/case/alerts/acme/{SHOWN}")
    await page.until("document.querySelector('.weights')")


async def decide(page: Page) -> None:
    """A case, where it is decided."""
    await case(page)
    await page.ask("document.querySelector('.decide').scrollIntoView({block: 'end'})")


async def alike(page: Page) -> None:
    """The preview of a decision about many."""
    await case(page)
    await page.press("1", "b")
    await page.until("document.querySelector('dialog tbody tr')")


async def stream(page: Page) -> None:
    """The decisions."""
    await go_to(page, "#/stream")
    await page.until("document.querySelectorAll('.feed-row').length > 20")


async def event(page: Page) -> None:
    """An event that a person has decided."""
    await page.ask("location.hash = '#/stream?decided_by=human'")
    await page.until(
        "(rows => rows.length && rows.every(each => each.innerText.includes('Person')))"
        "([...document.querySelectorAll('.feed-row')])"
    )
    await page.click(".feed-row a")
    await page.until("document.querySelector('.page-event .history')")


async def dead_letters(page: Page) -> None:
    """Dead letters after a try."""
    tried = {"replayed": 12, "left": 5, "internal": 0, "topics": {"triage.alerts.v1": 12}}
    await answer_with(page, {"deadletters": some_letters(), "deadletters/replay": tried})
    await go_to(page, "#/dead-letters")
    await page.click("[data-action=dry-run]")
    await page.sees("would be sent")


async def figures(page: Page) -> None:
    """All figures."""
    await go_to(page, "#/figures")
    await page.until("document.querySelectorAll('.plot canvas').length === 4")


SHOTS: dict[str, tuple[Shot, tuple[int, int]]] = {
    "queue": (queue, (WIDTH, HEIGHT)),
    "case": (case, (WIDTH, TALL)),
    "stream": (stream, (WIDTH, HEIGHT)),
    "event": (event, (WIDTH, HEIGHT)),
    "dead-letters": (dead_letters, (WIDTH, HEIGHT)),
    "figures": (figures, (WIDTH, HEIGHT)),
    "phone-queue": (queue, PHONE),
    "phone-case": (decide, PHONE),
    "alike": (alike, (WIDTH, HEIGHT)),
}


async def take_all(console: Console, folder: Path, names: list[str]) -> None:
    """Take the pictures of these names."""
    for scheme in ("light", "dark"):
        for sizes in ([PHONE], [(WIDTH, HEIGHT), (WIDTH, TALL)]):
            page = await console.page("abe", "#/none")
            await _look(page, scheme, sizes[0])
            for name, (shot, size) in SHOTS.items():
                if name in names and size in sizes:
                    await page.resize(*size, touch=size == PHONE)
                    await shot(page)
                    await _take(page, folder / f"{name}-{scheme}.png", whole=name == "figures")
        if "sign-in" in names:
            stranger = await console.browser.new_page()
            await _look(stranger, scheme, (WIDTH, 420))
            await stranger.open(console.url)
            await stranger.sees("Sign in")
            await _take(stranger, folder / f"sign-in-{scheme}.png")


async def _look(page: Page, scheme: str, size: tuple[int, int]) -> None:
    await page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    await page.resize(*size, touch=size == PHONE)
    await page.call("Emulation.setTouchEmulationEnabled", enabled=size == PHONE)


async def _take(page: Page, path: Path, *, whole: bool = False) -> None:
    # Headless, the scroll bars are not drawn; the place for them would look like a fault.
    await page.ask("document.documentElement.style.scrollbarGutter = 'auto'")
    await page.ask("new Promise(done => setTimeout(done, 400))")
    await page.picture(path, whole=whole)


async def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["sign-in", *SHOTS])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    moment = Moment()
    classifier = Classifier.open(threads=Threads(1, 1))
    curves = risk_curves(Serving(dict.fromkeys(DOMAINS, classifier)))
    with tempfile.TemporaryDirectory() as folder:
        section = ConsoleSection(
            port=0, tokens_file=write_people(Path(folder)), requests_per_second=1000
        )
        moment.at_s = time.time() - HOURS * 3_600
        world = World(Path(folder), section, classifier, clock=moment)
        parts = {name: _known(value) for name, value in made_up_parts().items()}
        world.figures = Figures(world.settings.cost, lambda: curves, parts, moment)
        await fill(world, classifier, moment)
        async with served(world, section) as url, chromium() as browser:
            report_status(world, "up")
            await take_all(Console(world, url, browser), arguments.folder, arguments.names)


def _known(value: Any) -> Callable[[], Awaitable[tuple[Any, str | None]]]:
    async def say() -> tuple[Any, str | None]:
        return value, None

    return say


if __name__ == "__main__":
    asyncio.run(main())
