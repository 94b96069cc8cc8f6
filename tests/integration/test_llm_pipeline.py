"""The LLM tier in a worker on a real broker: the whole way round, and no answer paid for twice."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from schemas.codec import decode
from schemas.event import Event
from schemas.triaged import Case, TriagedEvent
from streams.config import Settings, as_environment
from streams.kafka.admin import create_topics
from streams.kafka.record import Record
from streams.topics import Topics
from tests.figures import tell
from tests.integration.test_pipeline import send, working
from tests.llm_server import Behaviour, LlmServer, Request, ok, slow
from tests.llm_tier import configured, endpoint, escalated
from tests.outputs import Outputs
from tests.processes import WorkerProcess

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

CASES = 120
TEXT = "ticket number {} about a card"


def by_number(number: int) -> Case:
    """A case whose number can be read out of the question."""
    return escalated(
        Event(id=f"c-{number}", kind="ticket", text=TEXT.format(number), tenant=f"t{number % 3}"),
        offset=number,
    )


def number_of(request: Request) -> int:
    """Which case a question is about."""
    return int(request.text.rsplit("ticket number ", 1)[1].split()[0])


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[LlmServer]:
    """A server on a loop of its own thread, so that a test may block."""
    loop, server, ready = asyncio.new_event_loop(), LlmServer(behaviour), threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        async with server:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


async def produce(settings: Settings, cases: list[Case]) -> None:
    """Put cases on the enrichment topic."""
    topic = Topics(settings.topics.prefix).enrichment
    await send(
        settings,
        [Record(topic, case.event.id.encode(), msgspec.json.encode(case)) for case in cases],
    )


def run(settings: Settings, *arguments: str) -> tuple[int, str]:
    """A command against these settings: exit code and output."""
    command = [sys.executable, "-m", "streams.cli", *arguments]
    ended = subprocess.run(
        command,
        env=os.environ | as_environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.returncode, ended.stdout or ended.stderr


async def test_an_event_goes_all_the_way_round(settings: Settings, tmp_path: Path) -> None:
    """Everything works alone and nothing together."""
    with serving(ok(priority="low")) as server:
        settings = configured(endpoint(server.base_url), settings=settings)
        await create_topics(settings)
        names = Topics(settings.topics.prefix)
        lines = [json.dumps({"id": f"e-{n}", "text": f"zxq {n} wvut"}).encode() for n in range(12)]
        with working(settings, tmp_path) as worker:
            await send(settings, [Record(names.input("tickets"), None, line) for line in lines])
            outputs = Outputs(settings)
            await outputs.read_until(lambda: _all_ended(outputs.triaged, len(lines)))
            decisions = len(outputs.triaged)
            await outputs.read_until(lambda: len(outputs.on(names.audit)) == decisions)
            metrics = worker.get("/metrics")[1]
    ended = [t for t in outputs.triaged if t.revision]
    assert ended
    assert {t.enrichment.status for t in ended if t.enrichment} == {"answered"}
    assert all(
        t.enrichment.model == "served" and t.enrichment.cost_usd > 0 for t in ended if t.enrichment
    )
    assert all(t.decided_by in ("slm", "llm") for t in ended)
    assert len(server.requests) == len(ended)
    assert 'triage_llm_breaker_state{endpoint="tier-0",state="closed"} 1.0' in metrics
    assert f'triage_llm_calls_total{{status="answered"}} {len(ended)}.0' in metrics
    code, printed = await asyncio.to_thread(run, settings, "audit", "verify", "--json")
    assert code == 0, printed
    code, printed = await asyncio.to_thread(run, settings, "cost", "--json")
    assert code == 0, printed
    tell(f"triage cost --json: {printed.strip()[:500]}")
    assert json.loads(printed)


def _all_ended(triaged: list[TriagedEvent], sent: int) -> bool:
    unsure = {t.id for t in triaged if t.status == "provisional"}
    return len({t.id for t in triaged}) == sent and unsure <= {t.id for t in triaged if t.revision}


@pytest.mark.kafka
@pytest.mark.faults
async def test_no_answer_is_paid_twice_when_the_worker_is_killed(
    settings: Settings, tmp_path: Path
) -> None:
    """Every restart would send the last events, and the bill, once more."""
    chance = random.Random(3)

    async def unsteady(request: Request) -> web.StreamResponse:
        return await slow(chance.uniform(0.05, 0.6), ok())(request)

    with serving(unsteady) as server:
        settings = configured(
            endpoint(server.base_url, timeout_s=5.0, concurrency=6), settings=settings
        )
        await create_topics(settings)
        worker = WorkerProcess(settings, tmp_path / "worker.log")
        await asyncio.to_thread(worker.start)
        try:
            await asyncio.to_thread(worker.wait_until_ready)
            await produce(settings, [by_number(number) for number in range(CASES)])
            outputs = Outputs(settings)
            paid_twice: list[int] = []
            for ended in (CASES // 3, 2 * CASES // 3):
                await outputs.read_until(partial(_ended, outputs, ended))
                await asyncio.to_thread(worker.end, signal.SIGKILL)
                delivered = await _delivered(settings)
                asked_before = len(server.requests)
                await asyncio.to_thread(worker.start)
                await asyncio.to_thread(worker.wait_until_ready)
                await outputs.read_until(partial(_ended, outputs, ended + 20))
                paid_twice += [
                    n
                    for r in server.requests[asked_before:]
                    if f"c-{(n := number_of(r))}" in delivered
                ]
            await outputs.read_until(partial(_ended, outputs, CASES))
            await asyncio.sleep(2.0)  # whatever comes late
            await outputs.read_until(partial(_ended, outputs, CASES))
            assert await asyncio.to_thread(worker.end) == 0, worker.log()
        finally:
            if worker.alive:
                worker.kill()
    calls = Counter(number_of(request) for request in server.requests)
    answers: dict[str, set[str]] = {}
    for triaged in outputs.triaged:
        assert triaged.revision == 1
        answers.setdefault(triaged.id, set()).add(_answer(triaged))
    tell(
        f"enrichment worker killed twice: {CASES} cases, {len(answers)} ended, {len(outputs.triaged)} records, "
        f"{sum(calls.values())} calls, {len(paid_twice)} of them about an answer that had been delivered"
    )
    assert len(answers) == CASES
    assert not paid_twice
    assert all(len(copies) == 1 for copies in answers.values()), (
        "an event ends once: its copies are the same"
    )
    code, printed = await asyncio.to_thread(run, settings, "audit", "verify")
    assert code == 0, printed


def _ended(outputs: Outputs, cases: int) -> bool:
    return len({triaged.id for triaged in outputs.triaged}) >= cases


async def _delivered(settings: Settings) -> set[str]:
    """The ids on the triaged topic, now that nobody writes to it."""
    outputs, seen = Outputs(settings), -1
    while seen != len(outputs.triaged):
        seen = len(outputs.triaged)
        with contextlib.suppress(
            AssertionError
        ):  # it reads until its time is up, and that is the end of the topic
            await outputs.read_until(lambda: False, timeout_s=2.0)
    return {triaged.id for triaged in outputs.triaged}


def _answer(triaged: TriagedEvent) -> str:
    return repr(msgspec.structs.replace(triaged, timing=None))  # type: ignore[arg-type]


async def test_a_case_that_comes_twice_is_asked_about_once(
    settings: Settings, tmp_path: Path
) -> None:
    """Each redelivered escalation would be billed again."""
    with serving(ok()) as server:
        settings = configured(endpoint(server.base_url), settings=settings)
        await create_topics(settings)
        with working(settings, tmp_path):
            await produce(settings, [by_number(1)] * 5)
            outputs = Outputs(settings)
            await outputs.read_until(lambda: len(outputs.triaged) == 5)
    assert len(server.requests) == 1
    assert len({_answer(triaged) for triaged in outputs.triaged}) == 1


async def test_without_an_llm_every_case_goes_to_review(settings: Settings, tmp_path: Path) -> None:
    """Events nobody is sure of would stay provisional for ever."""
    await create_topics(settings)
    names = Topics(settings.topics.prefix)
    with working(settings, tmp_path):
        await produce(settings, [by_number(number) for number in range(20)])
        outputs = Outputs(settings)
        await outputs.read_until(lambda: len(outputs.on(names.review)) == 20)
    cases = [decode(one.value or b"", Case) for one in outputs.on(names.review)]
    assert {case.triaged.status for case in cases} == {"needs_review"}
    assert {case.triaged.enrichment.status for case in cases if case.triaged.enrichment} == {
        "llm_off"
    }
