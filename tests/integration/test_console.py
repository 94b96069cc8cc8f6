"""The console on a real broker, beside a worker: from a case to a decision in the feed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from msgspec.structs import replace

from schemas.audit.record import AuditRecord
from schemas.codec import decode
from schemas.event import Domain
from streams.config import ConsoleSection, ReviewSection, Settings
from streams.console.server import Console
from streams.kafka.admin import create_topics
from streams.kafka.reader import reading
from streams.kafka.record import Record
from streams.topics import Topics
from tests.console_client import Browser, write_people
from tests.figures import tell
from tests.integration.test_pipeline import send, working
from tests.patience import PATIENCE_S
from tests.tiny_model import LABELS

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

DOMAIN: Domain = "tickets"
FIRST, SECOND = sorted(LABELS[DOMAIN]["queue"])[:2]
TICKETS = 12


@asynccontextmanager
async def console(settings: Settings, name: str | None = None) -> AsyncIterator[Browser]:
    """A console in this process, and a browser of somebody for it."""
    running = Console(settings)
    await running.start()
    browser = Browser(f"http://127.0.0.1:{running.server.port}")
    try:
        await browser.log_in(name)
        yield browser
    finally:
        await browser.close()
        await running.stop()


async def until_cases(browser: Browser, count: int) -> list[dict[str, Any]]:
    """The open cases, when there are so many."""
    async with asyncio.timeout(2 * PATIENCE_S):
        while True:
            page = (await browser.get("cases", limit=500))[1]
            if page["total"] >= count:
                return list(page["cases"])
            await asyncio.sleep(0.2)


async def until_told(stream: Any, kind: str, id_: str, decided_by: str | None) -> dict[str, Any]:
    """The next event of this kind about this id."""
    told = b""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            told += await stream.content.readany()
            *events, told = told.split(b"\n\n")
            for event in events:
                lines = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
                if lines.get(b"event") != kind.encode():
                    continue
                document: dict[str, Any] = orjson.loads(lines[b"data"])
                if document["id"] == id_ and decided_by in (None, document.get("decided_by")):
                    return document


async def audited(settings: Settings, id_: str) -> list[AuditRecord]:
    """The audit records about an event, when there is one of a person."""
    found: list[AuditRecord] = []
    topic = Topics(settings.topics.prefix).audit
    async with (
        asyncio.timeout(PATIENCE_S),
        reading(settings.kafka, [topic], from_beginning=True) as consumer,
    ):
        while not any(each.by for each in found):
            found += await _records(consumer, id_)
    return found


async def _records(consumer: AIOKafkaConsumer, id_: str) -> list[AuditRecord]:
    batches = await consumer.getmany(timeout_ms=200)
    records = [decode(record.value, AuditRecord) for batch in batches.values() for record in batch]
    return [each for each in records if each.id == id_]


async def test_a_case_is_decided_at_the_console_and_seen_in_the_feed(
    settings: Settings, tmp_path: Path
) -> None:
    """What people decide would not arrive, or late, or without their name."""
    settings = replace(
        settings,
        console=ConsoleSection(port=0),
        review=ReviewSection(state=str(tmp_path / "cases.sqlite")),
    )
    names = Topics(settings.topics.prefix)
    async with console(settings) as browser:
        # The topics are made while the console runs, and it finds them.
        await create_topics(settings)
        with working(settings, tmp_path):
            tickets = [
                Record(
                    names.input(DOMAIN),
                    b"t-%d" % number,
                    orjson.dumps(
                        {"id": f"t-{number}", "kind": "ticket", "text": f"where {number}"}
                    ),
                )
                for number in range(TICKETS)
            ]
            await send(settings, tickets)
            cases = await until_cases(browser, 2)
            chosen, other = cases[0]["id"], cases[1]["id"]
            path = f"cases/{DOMAIN}/default"
            document = (await browser.get(f"{path}/{chosen}"))[1]
            assert document["event"]["text"].startswith("where")
            wanted = {
                "id": chosen,
                "domain": DOMAIN,
                "tenant": "default",
                "labels": {"queue": FIRST},
            }
            async with browser.request("GET", "stream") as stream:
                started_s = time.perf_counter()
                status, _ = await browser.post("verdicts", {"verdicts": [wanted], "hold_s": 0})
                assert status == 200
                decision = await until_told(stream, "decision", chosen, "human")
                took_s = time.perf_counter() - started_s
            tell(f"console: verdict to feed {took_s * 1000:.0f} ms")
            assert decision["labels"]["queue"] == FIRST
            feed = (await browser.get("feed", decided_by="human"))[1]["decisions"]
            assert [each["id"] for each in feed] == [chosen]
            name = (await browser.get("session"))[1]["name"]
            assert [each.by for each in await audited(settings, chosen) if each.by] == [name]
            again = await browser.post(
                "verdicts", {"verdicts": [{**wanted, "labels": {"queue": SECOND}}], "hold_s": 0}
            )
            assert again[0] == 409
            assert name in again[1]["error"]
            about = {**wanted, "labels": {"queue": SECOND}, "about": decision["revision"]}
            assert (await browser.post("verdicts", {"verdicts": [about], "hold_s": 0}))[0] == 200
            # Held when the console ends: it is sent nevertheless.
            held = {**wanted, "id": other}
            assert (await browser.post("verdicts", {"verdicts": [held]}))[0] == 200
    with working(settings, tmp_path):
        async with console(settings) as browser:
            async with asyncio.timeout(2 * PATIENCE_S):
                while (await browser.get("feed", decided_by="human"))[1]["last"] == 0 or len(
                    (await browser.get("feed", decided_by="human"))[1]["decisions"]
                ) < 3:
                    await asyncio.sleep(0.2)
            corrected = (await browser.get(f"{path}/{chosen}"))[1]
            assert corrected["triaged"]["labels"]["queue"]["value"] == SECOND
            assert [each["decided_by"] for each in corrected["revisions"]][-2:] == ["human"] * 2
            assert (await browser.get(f"{path}/{other}"))[1]["triaged"]["decided_by"] == "human"
            figures = (await browser.get("figures"))[1]
            assert figures["shares"]["human"] == 2
            assert figures["promise"] is None
            async with asyncio.timeout(2 * PATIENCE_S):  # until the worker has committed
                while (await browser.get("figures"))[1]["lag"]["total"]:
                    await asyncio.sleep(0.5)


async def until_decided(browser: Browser, path: str) -> dict[str, Any]:
    """An event, when its console knows that a person has decided it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            document: dict[str, Any] = (await browser.get(path))[1]
            if document["triaged"]["decided_by"] == "human":
                return document
            await asyncio.sleep(0.2)


async def test_of_two_people_at_two_consoles_the_first_stands(
    settings: Settings, tmp_path: Path
) -> None:
    """Neither console knows what the other one holds: both decisions would be final."""
    settings = replace(settings, console=ConsoleSection(port=0, tokens_file=write_people(tmp_path)))
    one, other = (
        replace(settings, review=ReviewSection(state=str(tmp_path / f"{name}.sqlite")))
        for name in ("one", "other")
    )
    await create_topics(settings)
    ticket = {"kind": "ticket", "tenant": "acme"}
    topic = Topics(settings.topics.prefix).input(DOMAIN)
    tickets = [
        Record(topic, b"t", orjson.dumps({**ticket, "id": f"t-{n}", "text": f"where {n}"}))
        for n in range(TICKETS)
    ]
    chosen = {"abe": FIRST, "rae": SECOND}
    async with console(one, "abe") as abe, console(other, "rae") as rae:
        with working(settings, tmp_path):
            await send(settings, tickets)
            id_ = (await until_cases(abe, 1))[0]["id"]
            await until_cases(rae, 1)
        async with abe.request("GET", "stream") as to_abe, rae.request("GET", "stream") as to_rae:
            told = {
                asyncio.create_task(until_told(to_abe, "refused", id_, None)): "abe",
                asyncio.create_task(until_told(to_rae, "refused", id_, None)): "rae",
            }
            # No worker answers yet, so both are on their way before there is a decision.
            for browser, name in ((abe, "abe"), (rae, "rae")):
                verdict = {"id": id_, "domain": DOMAIN, "tenant": "acme"}
                verdict["labels"] = {"queue": chosen[name]}
                status, said = await browser.post("verdicts", {"verdicts": [verdict], "hold_s": 0})
                assert status == 200, said
            with working(settings, tmp_path):
                (refused,), waiting = await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
                (first,) = chosen.keys() - {told[refused]}
                assert first in refused.result()["reason"]
                for browser in (abe, rae):
                    known = await until_decided(browser, f"cases/{DOMAIN}/acme/{id_}")
                    by_people = [r for r in known["revisions"] if r["decided_by"] == "human"]
                    assert [each["queue"] for each in by_people] == [chosen[first]]
            for task in waiting:
                task.cancel()
            assert [
                type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)
            ] == [asyncio.CancelledError], "who was first is not refused"
