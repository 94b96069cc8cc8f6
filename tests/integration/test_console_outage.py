"""The console in a real Chromium, on a real Kafka that stops and comes back."""

import asyncio
import json
import time
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from schemas.event import Domain
from streams.config import ConsoleSection, Settings
from streams.console.server import Console
from streams.kafka.admin import create_topics
from streams.kafka.record import Record
from streams.local.brokers import Broker
from streams.local.brokers.kafka import KafkaCluster
from streams.topics import Topics
from tests.chromium import NEEDS_CHROMIUM, DevTools, Page
from tests.figures import tell
from tests.integration.test_pipeline import send, working

pytestmark = [
    pytest.mark.broker,
    pytest.mark.kafka,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    NEEDS_CHROMIUM,
]

DOMAIN: Domain = "tickets"
TICKETS = 8
OUTAGE_S = 60.0
"""The clients of Kafka notice an outage after some of their timeouts."""
BY_PEOPLE = (
    "[...document.querySelectorAll('.feed-row')].filter(row => row.innerText.includes('Person'))"
    ".length"
)


def tickets(settings: Settings) -> list[Record]:
    """Tickets of which the tiny model leaves some to people."""
    topic = Topics(settings.topics.prefix).input(DOMAIN)
    events = [
        {"id": f"t-{number}", "kind": "ticket", "text": f"where {number}"}
        for number in range(TICKETS)
    ]
    return [Record(topic, event["id"].encode(), orjson.dumps(event)) for event in events]


async def decide(page: Page) -> None:
    """Accept the proposal of the case that is shown, and wait for the next case."""
    title = "document.querySelector('h1').innerText"
    await page.sees("Accept proposal")
    before = await page.ask(title)
    await page.press("a")
    await page.until(f"{title} !== {json.dumps(before)}")


async def test_kafka_stops_and_comes_back(
    broker: Broker, settings: Settings, browser: DevTools, tmp_path: Path
) -> None:
    """People would decide on an old list, need a reload, or lose what they decided meanwhile."""
    assert isinstance(broker, KafkaCluster)
    settings = replace(settings, console=ConsoleSection(port=0, hold_s=0))
    await create_topics(settings)
    with working(settings, tmp_path):
        await send(settings, tickets(settings))
        running = Console(settings)
        await running.start()
        page = await browser.new_page()
        await page.open(f"{running.server.url}/#/queue")
        await page.until("document.querySelectorAll('.row-title a').length >= 3")
    try:
        await page.click(".row-title a")
        await page.sees("Accept proposal")
        await asyncio.to_thread(broker.stop_node, 0)
        try:
            await page.until("document.querySelector('[data-connection=lost]')", limit_s=OUTAGE_S)
            await page.sees("Kafka away")
            await page.sees("the console goes on by itself when Kafka is back")
            await page.sees("Decisions wait on the server until it is back")
            await decide(page)
            await page.sees("1 decision waits to be sent", limit_s=OUTAGE_S)
        finally:
            await asyncio.to_thread(broker.start_node, 0)
        back_s = time.monotonic()
        await page.until("document.querySelector('[data-connection=live]')", limit_s=OUTAGE_S)
        tell(f"console: live again {time.monotonic() - back_s:.1f} s after Kafka answered")
        await page.until("!document.querySelector('.banner-top')")
        with working(settings, tmp_path):
            await decide(page)
            await page.ask("location.hash = '#/stream'")
            await page.until(f"{BY_PEOPLE} === 2", limit_s=OUTAGE_S)
        assert page.problems == []
    finally:
        await running.stop()
