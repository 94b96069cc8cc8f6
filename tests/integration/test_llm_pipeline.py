"""The LLM tier in a worker on a real broker: the whole path, and no answer is paid twice."""

import asyncio
import contextlib
import json
import random
import signal
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
from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.kafka.record import Record
from streams.topics import Topics
from tests.figures import tell
from tests.integration.test_pipeline import send, working
from tests.llm_server import Behaviour, LlmServer, Request, ok, slow
from tests.llm_tier import configured, endpoint, escalated
from tests.outputs import Outputs
from tests.processes import WorkerProcess, run_triage
from tests.tiny_model import sample_events

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

CASES = 120
TEXT = "ticket number {} about a card"


def by_number(number: int) -> Case:
    """A case whose number can be read from the prompt."""
    return escalated(
        Event(id=f"c-{number}", kind="ticket", text=TEXT.format(number), tenant=f"t{number % 3}"),
        offset=number,
    )


def number_of(request: Request) -> int:
    """The number of the case that a prompt is about."""
    return int(request.text.rsplit("ticket number ", 1)[1].split()[0])


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[LlmServer]:
    """A server with its own thread and event loop, so that a test may block."""
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
    """Run a command with these settings. It returns the exit code and the output."""
    done = run_triage(settings, *arguments)
    return done.returncode, done.stdout or done.stderr


async def test_an_event_goes_all_the_way_round(settings: Settings, tmp_path: Path) -> None:
    """Each part would work alone, but not together with the others."""
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
    enrichments = [t.enrichment for t in ended if t.enrichment]
    assert {used.status for used in enrichments} == {"answered"}
    assert all(used.model == "served" and used.cost_usd > 0 for used in enrichments)
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


async def test_high_impact_does_not_wait_for_a_slow_llm(settings: Settings, tmp_path: Path) -> None:
    """A critical ticket would wait behind every case that a slow LLM has not yet answered."""
    may_answer = threading.Event()

    async def held(request: Request) -> web.StreamResponse:
        while not may_answer.is_set():
            await asyncio.sleep(0.02)
        return await ok(priority="low")(request)

    with serving(held) as server:
        settings = configured(
            endpoint(server.base_url, timeout_s=120.0, concurrency=1), settings=settings
        )
        await create_topics(settings)
        names = Topics(settings.topics.prefix)
        portuguese = "o cartão não é meu, preciso de ajuda com a fatura {}"
        unsure = [
            json.dumps({"id": f"e-{n}", "text": portuguese.format(n)}).encode() for n in range(8)
        ]
        critical = [
            msgspec.json.encode(
                {"id": f"c-{n}", "text": event.text, "attributes": {"priority": "P1"}}
            )
            for n, event in enumerate(sample_events("tickets")[:60])
            if event.text
        ]
        with working(settings, tmp_path):
            outputs = Outputs(settings)
            await send(settings, [Record(names.input("tickets"), None, each) for each in unsure])
            await outputs.read_until(lambda: len(outputs.on(names.enrichment)) == len(unsure))
            await send(settings, [Record(names.input("tickets"), None, each) for each in critical])
            of_impact = partial(_cases, outputs, names.review, "high_impact")
            escalated = partial(_cases, outputs, names.enrichment, "risk", "unfamiliar")
            expected = len(unsure) + len(critical)
            await outputs.read_until(lambda: len(of_impact()) + len(escalated()) == expected)
            assert len(of_impact()) > 3
            revisions = {(triaged.id, triaged.revision) for triaged in outputs.triaged}
            ended = {event_id for event_id, revision in revisions if revision}
            assert ended == of_impact(), "no answer of the LLM has come yet"
            for each in of_impact():
                assert [t.revision for t in outputs.triaged if t.id == each] == [0, 1]
            may_answer.set()
            await outputs.read_until(lambda: _all_ended(outputs.triaged, expected))


def _cases(outputs: Outputs, topic: str, *reasons: str) -> set[str]:
    """The ids of the cases on a topic that were escalated for one of these reasons."""
    cases = [decode(record.value or b"", Case) for record in outputs.on(topic)]
    return {case.event.id for case in cases if case.escalation in reasons}


def _all_ended(triaged: list[TriagedEvent], sent: int) -> bool:
    unsure = {t.id for t in triaged if t.status == "provisional"}
    return len({t.id for t in triaged}) == sent and unsure <= {t.id for t in triaged if t.revision}


@pytest.mark.kafka
@pytest.mark.faults
async def test_no_answer_is_paid_twice_when_the_worker_is_killed(
    settings: Settings, tmp_path: Path
) -> None:
    """Each restart would send the last events to the LLM again, and cost money again."""
    rng = random.Random(3)

    async def unsteady(request: Request) -> web.StreamResponse:
        return await slow(rng.uniform(0.05, 0.6), ok())(request)

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
                calls_before = len(server.requests)
                await asyncio.to_thread(worker.start)
                await asyncio.to_thread(worker.wait_until_ready)
                await outputs.read_until(partial(_ended, outputs, ended + 20))
                numbers = map(number_of, server.requests[calls_before:])
                paid_twice += [number for number in numbers if f"c-{number}" in delivered]
            await outputs.read_until(partial(_ended, outputs, CASES))
            await asyncio.sleep(2.0)  # for outputs that come late
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
        f"enrichment worker killed twice: {CASES} cases, {len(answers)} ended, "
        f"{len(outputs.triaged)} records, {sum(calls.values())} calls, {len(paid_twice)} of them "
        "about an answer that had been delivered"
    )
    assert len(answers) == CASES
    assert not paid_twice
    all_equal = all(len(copies) == 1 for copies in answers.values())
    assert all_equal, "all copies of the end of an event must be equal"
    code, printed = await asyncio.to_thread(run, settings, "audit", "verify")
    assert code == 0, printed


def _ended(outputs: Outputs, cases: int) -> bool:
    return len({triaged.id for triaged in outputs.triaged}) >= cases


async def _delivered(settings: Settings) -> set[str]:
    """The ids on the triaged topic, now that nobody writes to it."""
    outputs, seen = Outputs(settings), -1
    while seen != len(outputs.triaged):
        seen = len(outputs.triaged)
        # It reads until the timeout, which is longer than it takes to reach the end of the topic.
        with contextlib.suppress(AssertionError):
            await outputs.read_until(lambda: False, timeout_s=2.0)
    return {triaged.id for triaged in outputs.triaged}


def _answer(triaged: TriagedEvent) -> str:
    return repr(msgspec.structs.replace(triaged, timing=None))


async def test_a_repeated_case_is_sent_to_the_llm_once(settings: Settings, tmp_path: Path) -> None:
    """Each redelivered case would be paid again."""
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
    """Uncertain events would stay provisional for ever."""
    await create_topics(settings)
    names = Topics(settings.topics.prefix)
    with working(settings, tmp_path):
        await produce(settings, [by_number(number) for number in range(20)])
        outputs = Outputs(settings)
        await outputs.read_until(lambda: len(outputs.on(names.review)) == 20)
    cases = [decode(record.value or b"", Case) for record in outputs.on(names.review)]
    enrichments = [case.triaged.enrichment for case in cases if case.triaged.enrichment]
    assert {case.triaged.status for case in cases} == {"needs_review"}
    assert {enrichment.status for enrichment in enrichments} == {"llm_off"}
