"""Records of many events through a worker that is killed in the middle of them."""

import asyncio
import contextlib
from collections import defaultdict
from pathlib import Path

import msgspec
import orjson
import pytest

from inference.rules.options import ImpactOptions
from schemas.deadletter import DeadLetterHeaders
from schemas.event import Origin
from streams.config import PipelineSection, Settings
from streams.kafka.admin import create_topics
from streams.kafka.record import Record
from streams.topics import Topics
from tests.faults.account import committed_offsets
from tests.figures import tell
from tests.integration.test_deadletters import values
from tests.integration.test_llm_pipeline import number_of, run, serving
from tests.integration.test_pipeline import send
from tests.llm_server import ok
from tests.llm_tier import configured, endpoint
from tests.outputs import Outputs
from tests.processes import WorkerProcess

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

RECORDS = 20
EVENTS = 30
BAD_AT = 7
BAD = {"id": "nothing to read"}
KILL_AFTER = (40, 300)
"""The worker is killed when so many events have come out."""


def record_of(number: int) -> bytes:
    """A record of thirty tickets, of which those with an odd number have no id, and a bad one."""
    tickets: list[dict[str, str]] = []
    for place in range(EVENTS):
        event = number * EVENTS + place
        ticket = {"kind": "ticket", "text": f"zxq {event} wvut. ticket number {event}"}
        tickets.append(ticket if event % 2 else {"id": f"t-{event}", **ticket})
    return orjson.dumps([*tickets[:BAD_AT], BAD, *tickets[BAD_AT:]])


class Seen:
    """What came out: events by id and by record, and the elements that became dead letters."""

    def __init__(self, outputs: Outputs) -> None:
        self.revisions: dict[str, set[int]] = defaultdict(set)
        self.answers: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.ended: dict[Origin, set[str]] = defaultdict(set)
        self.letters: dict[Origin, set[tuple[str, bytes]]] = defaultdict(set)
        self.asked: set[str] = set()
        self.copies = 0
        for triaged in outputs.triaged:
            self.copies += triaged.revision == 0
            self.revisions[triaged.id].add(triaged.revision)
            answer = repr(msgspec.structs.replace(triaged, timing=None))
            self.answers[triaged.id, triaged.revision].add(answer)
            self.ended[triaged.origin].add(triaged.id)
            if triaged.enrichment is not None and triaged.enrichment.calls:
                self.asked.add(triaged.id)
        for letter in outputs.dead_letters:
            headers = DeadLetterHeaders.read(letter.headers)
            origin = Origin(
                topic=headers.topic, partition=int(headers.partition), offset=int(headers.offset)
            )
            self.letters[origin].add((headers.element, letter.value or b""))

    def is_complete(self, origin: Origin) -> bool:
        """Whether every event of a record has come out."""
        return len(self.ended[origin]) == EVENTS and len(self.letters[origin]) == 1

    @property
    def partial(self) -> int:
        """Of how many records some events have come out, and others have not."""
        return sum(0 < len(self.ended[origin]) < EVENTS for origin in tuple(self.ended))


async def everything(settings: Settings) -> Seen:
    """What is on the topics, now that nobody writes to them."""
    outputs, seen = Outputs(settings), -1
    while seen != len(outputs.records):
        seen = len(outputs.records)
        # It reads until the timeout, which is longer than it takes to reach the end of the topics.
        with contextlib.suppress(AssertionError):
            await outputs.read_until(lambda: False, timeout_s=2.0)
    return Seen(outputs)


async def check_commits(settings: Settings) -> Seen:
    """Check that no offset is committed before all events of its record came out."""
    topic = Topics(settings.topics.prefix).input("tickets")
    committed = (await committed_offsets(settings)).get(topic, {})
    seen = await everything(settings)
    for partition, end in committed.items():
        for offset in range(end):
            origin = Origin(topic=topic, partition=partition, offset=offset)
            assert seen.is_complete(origin), f"{origin} was committed too early"
    return seen


async def test_no_event_of_a_record_is_lost_when_the_worker_is_killed(
    settings: Settings, tmp_path: Path
) -> None:
    """The other events of a record would be lost, or come again under other ids."""
    with serving(ok(priority="low")) as server:
        settings = msgspec.structs.replace(
            configured(endpoint(server.base_url), settings=settings),
            pipeline=PipelineSection(max_batch_events=4, batches_in_flight=1),
            impact=ImpactOptions(alerts="", tickets=""),
        )
        await create_topics(settings)
        topics = Topics(settings.topics.prefix)
        sent = [record_of(number) for number in range(RECORDS)]
        await send(
            settings,
            [Record(topics.input("tickets"), b"k%d" % n, value) for n, value in enumerate(sent)],
        )
        worker, partial = WorkerProcess(settings, tmp_path / "worker.log"), 0
        try:
            for enough in KILL_AFTER:
                worker.start()
                outputs = Outputs(settings)
                await outputs.read_until(lambda: len(outputs.triaged) >= enough)  # noqa: B023
                worker.kill()
                partial += (await check_commits(settings)).partial
            worker.start()
            outputs = Outputs(settings)
            await outputs.read_until(lambda: _all_ended(outputs))
            assert worker.end() == 0, worker.log()
        finally:
            if worker.alive:
                worker.kill()
    seen = await check_commits(settings)
    calls = len(server.requests)
    tell(
        f"worker killed {len(KILL_AFTER)} times: {RECORDS} records of {EVENTS} events, "
        f"{len(seen.revisions)} ids out, {partial} records half published at a kill, "
        f"{seen.copies - len(seen.revisions)} events published again, {calls} calls of the LLM"
    )
    assert partial, "no kill came in the middle of a record"
    _check_ids(seen)
    assert all(len(answers) == 1 for answers in seen.answers.values()), "copies must agree"
    asked = {number_of(request) for request in server.requests}
    assert len(asked) == len(seen.asked) > 0, "two events share an answer"
    code, printed = await asyncio.to_thread(run, settings, "audit", "verify")
    assert code == 0, printed

    code, printed = await asyncio.to_thread(run, settings, "deadletters", "replay", "--poison")
    assert code == 0, printed
    replayed = await values(settings, topics.input("tickets"))
    assert set(replayed) == {*sent, orjson.dumps(BAD)}
    assert len(replayed) >= 2 * RECORDS


def _all_ended(outputs: Outputs) -> bool:
    seen = Seen(outputs)
    complete = [seen.is_complete(origin) for origin in tuple(seen.ended)]
    if len(complete) < RECORDS or not all(complete):
        return False
    provisional = {event.id for event in outputs.triaged if event.status == "provisional"}
    return all(len(seen.revisions[id_]) > 1 for id_ in provisional)


def _check_ids(seen: Seen) -> None:
    """Every event has its one id, however often its record was read."""
    expected: set[str] = set()
    for origin, ids in seen.ended.items():
        own = {id_ for id_ in ids if id_.startswith("t-")}
        record_id = f"{origin.topic}-{origin.partition}-{origin.offset}"
        (number,) = {int(id_.removeprefix("t-")) // EVENTS for id_ in own}
        for place in range(EVENTS):
            event = number * EVENTS + place
            element = place + (place >= BAD_AT)
            expected.add(f"{record_id}#{element}" if event % 2 else f"t-{event}")
    assert set(seen.revisions) == expected
    assert len(expected) == RECORDS * EVENTS
    assert set().union(*seen.letters.values()) == {(str(BAD_AT), orjson.dumps(BAD))}
    assert len(seen.letters) == RECORDS
