"""Starts a console with made-up cases, to write and try its pages without a broker."""

import argparse
import asyncio
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from inference.classifier import Classifier
from inference.model.threads import Threads
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Domain, Event, Origin
from schemas.formats import read_events
from schemas.titles import plain_title
from streams.config import ConsoleSection
from streams.console.assets import STATIC
from streams.console.web_server import WebServer
from tests.console_world import World

SAMPLES = Path(__file__).parents[1] / "streams" / "samples"
MAX_CLASSIFIED = 200
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31mred\x1b[0m \u202egnp.exe"
    ' "quoted"'
)


async def fill(world: World, classifier: Classifier, count: int, rng: random.Random) -> None:
    """Cases of the shipped samples, and hostile ones."""
    world.add(
        "hostile/1 <b>", title=HOSTILE, text=HOSTILE * 20, risk=0.9, link="https://x.example/a"
    )
    world.add("..", title="an id that is a step up", text="look at my id")
    for domain in DOMAINS:
        events = list(sample_events(domain))
        for number in range(count // 2):
            event = events[number % len(events)]
            event = replace(event, tenant=rng.choice(["acme", "globex"]))
            title = plain_title(event) or "no title"
            labels = {}
            if number < MAX_CLASSIFIED:
                (decision,) = await classifier.classify(domain, [event])
                labels = {
                    "labels": decision.labels,
                    "risk": decision.risk,
                    "queue": decision.labels["queue"].value,
                }
            world.add(
                f"{domain}-{number}",
                domain=domain,
                text=event.text or event.body,
                title=f"{title} #{number}",
                tenant=event.tenant,
                source=event.source or "edr",
                document=event.event,
                stated=event.stated,
                link=event.link or f"https://siem.example.com/{number}",
                escalation=rng.choice(["risk", "risk", "unfamiliar", "spot_check", "rule"]),
                reasons=["estimated risk 0.4000 on queue is not below the threshold 0.1000"],
                **labels,
            )


def sample_events(domain: Domain) -> Iterator[Event]:
    """The shipped samples that can be read."""
    lines = (SAMPLES / f"{domain}.ndjson").read_bytes().splitlines()
    for number, line in enumerate(lines):
        origin = Origin(topic="samples", partition=0, offset=number)
        try:
            found = read_events(line, headers=(), origin=origin, kind=KIND_OF_DOMAIN[domain])
            yield from (each for each in found if isinstance(each, Event) and each.domain == domain)
        except InvalidEvent:
            continue


async def live(world: World, per_second: float, rng: random.Random) -> None:
    """Decisions that come in all the time."""
    number = 0
    while True:
        await asyncio.sleep(1 / per_second)
        number += 1
        world.accept(f"live-{number}", tenant=rng.choice(["acme", "globex"]))
        if number % 20 == 0:
            world.add(f"new-{number}", title=f"a new case {number}")


async def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9470)
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--rate", type=float, default=1.0, help="live decisions a second")
    parser.add_argument("--static", type=Path, default=STATIC)
    parser.add_argument("--tokens", type=Path, help="a file of people; then a login is needed")
    arguments = parser.parse_args()
    rng = random.Random(1)
    classifier = Classifier.open(threads=Threads(1, 1))
    section = ConsoleSection(
        port=arguments.port, tokens_file=str(arguments.tokens) if arguments.tokens else None
    )
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), section, classifier, static=arguments.static, reload=True)
        await fill(world, classifier, arguments.cases, rng)
        server = WebServer(section, world.app, world.connections)
        await server.start()
        world.hub.publish("status", {"broker": "up", "sentence": None, "behind": 0, "waiting": 0})
        print(server.url, flush=True)
        try:
            await live(world, arguments.rate, rng)
        finally:
            await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
