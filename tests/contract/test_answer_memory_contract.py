"""What the enrichment agent relies on in its `Memory`: of the double, and of the real topics."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agents.enrich import Memory
from schemas.codec import encode
from schemas.event import Origin
from schemas.triaged import Case, Enrichment, TriagedEvent
from streams.answered import Answered
from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.kafka.producer import Producer
from streams.kafka.record import Record
from streams.topics import Topics
from tests.doubles import FakeAnswered
from tests.patience import PATIENCE_S
from tests.records import record, unsure

Restarted = Callable[..., Awaitable[Memory]]
"""Makes the memory of a worker that starts after these answers were published."""


def answer(**changes: Any) -> TriagedEvent:
    """The LLM's revision of the case `unsure`."""
    fields: dict[str, Any] = {
        "revision": 1,
        "status": "final",
        "decided_by": "llm",
        "enrichment": Enrichment(status="answered", calls=1, summary="é", cost_usd=0.1 + 0.2),
    }
    return unsure(**fields | changes).triaged


def other_case(**changes: Any) -> Case:
    """A case that differs from `unsure` in its triaged event."""
    return msgspec.structs.replace(unsure(), triaged=unsure(**changes).triaged)


async def find(memory: Memory, case: Case) -> TriagedEvent | None:
    """The answer of a case that has just entered its topic."""
    return await memory.find(replace(record(case), received_at_s=time.time()), case)


@pytest.fixture
async def restarted(settings_of_broker: Settings | None) -> Restarted:
    """Makes memories; see `Restarted`."""
    settings = settings_of_broker
    if settings is None:

        async def over_a_list(*published: TriagedEvent) -> Memory:
            return FakeAnswered(*published)

        return over_a_list
    await create_topics(settings)
    topics = Topics(settings.topics.prefix)

    async def over_topics(*published: TriagedEvent) -> Memory:
        producer = Producer(settings.kafka)
        await producer.start()
        records = [
            Record(topics.triaged(triaged.domain), triaged.id.encode(), encode(triaged))
            for triaged in published
        ]
        await producer.confirm([await producer.send(record) for record in records])
        await producer.stop()
        return Answered(settings.kafka, topics)

    return over_topics


async def test_a_case_without_an_answer_has_none(restarted: Restarted) -> None:
    """A case would never be sent to the LLM, or the worker would stop at it."""
    memory = await restarted()
    assert await find(memory, unsure()) is None
    assert await find(memory, unsure()) is None


async def test_an_answer_that_was_published_is_found_as_it_was(restarted: Restarted) -> None:
    """After a restart the answer would be paid again, or published again with changes."""
    memory = await restarted(answer())
    assert await find(memory, unsure()) == answer()


@pytest.mark.parametrize("status", ["final", "needs_review"])
async def test_an_answer_that_was_noted_is_found_as_it_was(
    restarted: Restarted, status: str
) -> None:
    """The same case, read a second time, would be paid again or get another end."""
    memory = await restarted()
    assert await find(memory, unsure()) is None
    memory.note(answer(status=status))
    assert await find(memory, unsure()) == answer(status=status)
    assert await find(memory, unsure()) == answer(status=status)


async def test_a_later_note_replaces_the_answer(restarted: Restarted) -> None:
    """A case that was answered twice would keep the answer that was not published last."""
    memory = await restarted(answer(queue="card"))
    assert await find(memory, unsure()) == answer(queue="card")
    memory.note(answer(queue="transfer"))
    assert await find(memory, unsure()) == answer(queue="transfer")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "t-2"},
        {"origin": Origin(topic="triage.tickets.v1", partition=1, offset=8)},
        {"origin": Origin(topic="triage.tickets.v1", partition=2, offset=7)},
        {"origin": Origin(topic="other.tickets.v1", partition=1, offset=7)},
    ],
    ids=["id", "offset", "partition", "topic"],
)
async def test_an_answer_is_for_its_own_case_only(
    restarted: Restarted, changes: dict[str, Any]
) -> None:
    """An event with a reused id would get the answer of another event."""
    memory = await restarted(answer())
    assert await find(memory, other_case(**changes)) is None
    memory.note(answer(queue="card", **changes))
    assert await find(memory, unsure()) == answer()
    assert await find(memory, other_case(**changes)) == answer(queue="card", **changes)


async def test_a_revision_without_an_llm_is_no_answer(restarted: Restarted) -> None:
    """The provisional decision, or a person's verdict, would be taken for the LLM's answer."""
    memory = await restarted(
        unsure().triaged, answer(decided_by="human", revision=2), answer(enrichment=None)
    )
    assert await find(memory, unsure()) is None


async def test_cases_may_be_looked_up_at_the_same_time(restarted: Restarted) -> None:
    """Cases of one batch would miss an answer while another case reads the topics."""
    memory = await restarted(answer())
    cases = [unsure(), other_case(id="t-2")] * 10
    answers = await asyncio.gather(*(find(memory, case) for case in cases))
    assert answers == [answer(), None] * 10


async def test_the_same_case_waits_for_its_turn_and_others_do_not(restarted: Restarted) -> None:
    """Two copies of a case would both be paid, or one slow case would hold up all others."""
    memory = await restarted()
    done: list[str] = []

    async def take_turn(name: str, case: Case) -> None:
        async with memory.turn(case):
            done.append(name)

    async with memory.turn(unsure()):
        same = asyncio.create_task(take_turn("same", other_case(revision=3, queue="card")))
        await asyncio.wait_for(take_turn("other id", other_case(id="t-2")), PATIENCE_S)
        origin = Origin(topic="triage.tickets.v1", partition=1, offset=8)
        await asyncio.wait_for(take_turn("other origin", other_case(origin=origin)), PATIENCE_S)
        assert not same.done()
    await asyncio.wait_for(same, PATIENCE_S)
    assert done == ["other id", "other origin", "same"]
