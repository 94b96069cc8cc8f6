"""Short verdicts on a real broker: two persons, a worker that is killed, and the view of cases."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from schemas.triaged import TriagedEvent
from streams.cases.query import CaseQuery
from streams.cases.view import open_view
from streams.config import ReviewSection, Settings
from streams.kafka.admin import create_topics
from streams.kafka.producer import Producer
from streams.kafka.record import Record
from streams.topics import Topics
from tests.integration.test_pipeline import send, working
from tests.outputs import Outputs
from tests.processes import WorkerProcess, run_triage
from tests.tiny_model import LABELS

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

TICKETS = 120
PAUSE_S = 0.05
FIRST, SECOND, THIRD = sorted(LABELS["tickets"]["queue"])[:3]


def verdict(names: Topics, id_: str, queue: str, by: str, **fields: Any) -> Record:
    """A verdict as a person writes it, on the feedback topic."""
    document = {"id": id_, "labels": {"queue": queue}, "by": by} | fields
    return Record(names.feedback, id_.encode(), orjson.dumps(document))


def ticket(names: Topics, id_: str, tenant: str = "acme") -> Record:
    """A ticket of which the model knows nothing."""
    text = f"where is my parcel {id_}"
    document = {"id": id_, "kind": "ticket", "text": text, "tenant": tenant}
    return Record(names.input("tickets"), id_.encode(), orjson.dumps(document))


async def send_pairs(settings: Settings, names: Topics, ids: list[str]) -> None:
    """For each event the verdicts of two persons, a few events in a second."""
    producer = Producer(settings.kafka)
    await producer.start()
    for id_ in ids:
        pair = [verdict(names, id_, FIRST, "a.novak"), verdict(names, id_, SECOND, "r.okafor")]
        await producer.confirm([await producer.send(each) for each in pair])
        await asyncio.sleep(PAUSE_S)
    await producer.stop()


def ended(outputs: Outputs) -> set[str]:
    """The events that no longer wait for the LLM tier."""
    return {triaged.id for triaged in outputs.triaged if triaged.status != "provisional"}


def decided_of(outputs: Outputs, id_: str) -> set[str]:
    """The tenants whose event of this id no longer waits for the LLM tier."""
    return {
        triaged.tenant
        for triaged in outputs.triaged
        if triaged.id == id_ and triaged.status != "provisional"
    }


def by_human(outputs: Outputs) -> dict[str, list[TriagedEvent]]:
    """What persons decided, by event."""
    decided = defaultdict(list)
    for triaged in outputs.triaged:
        if triaged.decided_by == "human":
            decided[triaged.id].append(triaged)
    return decided


def refusals(outputs: Outputs) -> list[str]:
    """The messages of the dead letters of the feedback topic."""
    return [
        (value or b"").decode()
        for letter in outputs.dead_letters
        for name, value in letter.headers
        if name == "__connect.errors.exception.message"
    ]


async def test_of_two_persons_the_first_stands_although_a_worker_is_killed(
    settings: Settings, tmp_path: Path
) -> None:
    """A verdict would be lost, refused because of itself, or two persons' would both be final."""
    await create_topics(settings)
    names, outputs = Topics(settings.topics.prefix), Outputs(settings)
    ids = [f"t-{number}" for number in range(TICKETS)]
    worker = WorkerProcess(settings, tmp_path / "killed.log")
    worker.start()
    worker.wait_until_ready()
    try:
        await send(settings, [ticket(names, id_) for id_ in ids])
        await outputs.read_until(lambda: ended(outputs) == set(ids))
        deciding = asyncio.create_task(send_pairs(settings, names, ids))
        await outputs.read_until(lambda: len(by_human(outputs)) > TICKETS // 8)
    finally:
        worker.kill()
    # The next worker has another file, as on another machine: the topics alone must do.
    moved = msgspec.structs.replace(settings, review=ReviewSection(state=str(tmp_path / "other")))
    with working(moved, tmp_path):
        await deciding
        await send(settings, [verdict(names, "t-none", FIRST, "a.novak")])
        await outputs.read_until(
            lambda: (
                len(by_human(outputs)) == TICKETS
                and len({letter.key for letter in outputs.dead_letters}) == TICKETS + 1
            )
        )
        first_revision = by_human(outputs)[ids[0]][0].revision
        await send(settings, [verdict(names, ids[0], THIRD, "r.okafor", about=first_revision)])
        await outputs.read_until(
            lambda: THIRD in [each.queue for each in by_human(outputs)[ids[0]]]
        )
    asked = {(record.key or b"").decode() for record in outputs.on(names.review)}
    for id_, decisions in by_human(outputs).items():
        first = 2 if id_ in asked else 1
        of_first = [each for each in decisions if each.revision == first]
        assert {each.queue for each in of_first} == {FIRST}, id_
        assert {each.reasons[-1] for each in of_first} == {"decided by a.novak"}, id_
        corrected = [each for each in decisions if each.revision != first]
        assert [(each.revision, each.queue) for each in corrected] == (
            [(first + 1, THIRD)] if id_ == ids[0] else []
        )
    told = refusals(outputs)
    assert sum("no event with the id 't-none' is known" in message for message in told) == 1
    assert all("decided by a.novak" in message for message in told if "t-none" not in message)
    async with open_view(settings) as view:
        assert view.store.list(CaseQuery()).total == 0
        assert view.store.list(CaseQuery(state="decided")).total == len(asked)
        for id_ in (ids[0], min(asked), min(set(ids) - asked)):
            known = await view.find(id_, domain=None, tenant=None)
            assert known is not None
            assert known.current == by_human(outputs)[id_][-1]
            assert (known.case is not None) == (id_ in asked)
            assert known.verdicts.keys() >= {known.current.revision}


async def test_an_accepted_event_can_be_corrected_and_ids_may_be_shared(
    settings: Settings, tmp_path: Path
) -> None:
    """A person could decide only about cases, or would decide about another tenant's event."""
    await create_topics(settings)
    names, outputs = Topics(settings.topics.prefix), Outputs(settings)
    with working(settings, tmp_path):
        await send(settings, [ticket(names, "t-1", tenant) for tenant in ("acme", "globex")])
        await outputs.read_until(lambda: len(decided_of(outputs, "t-1")) == 2)
        await send(settings, [verdict(names, "t-1", FIRST, "a.novak")])
        await send(settings, [verdict(names, "t-1", SECOND, "a.novak", tenant="globex")])
        await outputs.read_until(lambda: bool(by_human(outputs) and outputs.dead_letters))
    (message,) = refusals(outputs)
    assert "tickets of tenant 'acme', tickets of tenant 'globex'" in message
    (decision,) = by_human(outputs)["t-1"]
    assert (decision.tenant, decision.queue) == ("globex", SECOND)


async def test_the_commands_review_a_case(settings: Settings, tmp_path: Path) -> None:
    """A person without a browser could not review."""
    await create_topics(settings)
    names, outputs = Topics(settings.topics.prefix), Outputs(settings)
    strict = msgspec.structs.replace(settings.domain("tickets"), alpha=0.0001)
    settings = msgspec.structs.replace(
        settings, domains=msgspec.structs.replace(settings.domains, tickets=strict)
    )

    async def triage(*arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(run_triage, settings, "review", *arguments)
        return done.returncode, done.stdout, done.stderr

    with working(settings, tmp_path):
        await send(settings, [ticket(names, f"t-{number}") for number in range(3)])
        await outputs.read_until(lambda: len(outputs.on(names.review)) == 3)
        code, out, err = await triage("list", "--json")
        assert code == 0, err
        assert sorted(each["id"] for each in orjson.loads(out)["cases"]) == ["t-0", "t-1", "t-2"]
        code, out, err = await triage("decide", "t-1", f"queue={FIRST}", "--by", "ana", "--json")
        assert code == 0, err
        assert orjson.loads(out)["queue"] == FIRST
        code, _, err = await triage("decide", "t-1", f"queue={SECOND}", "--by", "bo")
        assert (code, "decided by ana" in err) == (1, True), err
    code, out, err = await triage("show", "t-1")
    assert code == 0, err
    assert "where is my parcel t-1" in out
    assert "decided by ana" in out
    code, out, err = await triage("export")
    assert code == 0, err
    assert [orjson.loads(line)["labels"] for line in out.splitlines()] == [{"queue": FIRST}]
