"""The memory of answers: an answer is found again, no case is asked twice, memory is bounded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import pytest

from agents.outcomes import Incoming
from schemas.codec import encode
from schemas.event import Event, Origin
from schemas.signing import WorkerKeys
from schemas.triaged import Case, Enrichment, TriagedEvent
from streams import answered as module
from streams.answered import AHEAD_S, CLOCK_SKEW_S, LOOK_BACK_S, Answered
from streams.config import KafkaSection, Settings
from streams.errors import BrokerUnreachable
from streams.topics import Topics
from streams.trust import Trust
from tests.llm_server import LlmServer, ok
from tests.llm_tier import configured, endpoint, escalated, tier
from tests.patience import until
from tests.records import decision, record, unsure

TOPICS = Topics("triage")


def answer(**changes: Any) -> TriagedEvent:
    """The LLM's revision of `unsure`."""
    answered: dict[str, Any] = {
        "revision": 1,
        "status": "final",
        "decided_by": "llm",
        "enrichment": Enrichment(status="answered", calls=1),
    }
    return unsure(**answered | changes).triaged


class TriagedTopics:
    """The triaged topics, and from when on they were read."""

    def __init__(self) -> None:
        self.values: list[bytes | None] = []
        self.records: list[Incoming] = []
        self.read_from_s: list[float] = []
        self.names: Sequence[str] = ()
        self.fails: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def since(
        self, _: KafkaSection, names: Sequence[str], from_s: float
    ) -> AsyncIterator[Incoming]:
        """Every record that is there at the time of the call."""
        self.read_from_s.append(from_s)
        self.names, values = names, tuple(self.values)
        await self.may_answer.wait()
        if self.fails:
            raise self.fails
        for offset, value in enumerate(values):
            yield record(value, offset=offset, topic=names[0])
        for incoming in self.records:
            yield incoming


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> TriagedTopics:
    """Triaged topics without a broker."""
    stand_in = TriagedTopics()
    monkeypatch.setattr(module, "since", stand_in.since)
    return stand_in


def memory() -> Answered:
    """The memory of a worker that has just started."""
    return Answered(Settings().kafka, TOPICS)


async def find(
    known: Answered, at_s: float = 1_000.0, case: Case | None = None
) -> TriagedEvent | None:
    """Look for the answer of a case that entered its topic at `at_s`."""
    case = case or unsure()
    return await known.find(replace(record(case), received_at_s=at_s), case)


async def test_the_answer_of_an_earlier_reader_is_found(topics: TriagedTopics) -> None:
    """Each restart would pay again for every case that had not been committed."""
    topics.values = [encode(answer())]
    assert await find(memory()) == answer()
    assert topics.names == ["triage.alerts.triaged.v1", "triage.tickets.triaged.v1"]
    assert topics.read_from_s == [1_000.0 - CLOCK_SKEW_S - AHEAD_S]


async def test_topics_are_read_once_for_all_that_came_later(topics: TriagedTopics) -> None:
    """Every case would read the topics again, or a case that waited would be paid again."""
    known = memory()
    for at_s in (1_000.0, 1_000.0, 2_000.0, 900.0, 500.0, 550.0):
        await find(known, at_s)
    assert topics.read_from_s == [at_s - CLOCK_SKEW_S - AHEAD_S for at_s in (1_000.0, 500.0)]


async def test_a_case_escalated_anew_is_as_old_as_its_event(topics: TriagedTopics) -> None:
    """A worker that died before a commit and came back later would pay for every case again."""
    case = unsure()
    received_s = datetime.fromisoformat(case.triaged.timing.received_at).timestamp()
    await find(memory(), received_s + 600, case)
    await find(memory(), received_s + 1e6, case)
    begin_s = [received_s, received_s + 1e6 - LOOK_BACK_S]
    assert topics.read_from_s == [at_s - CLOCK_SKEW_S - AHEAD_S for at_s in begin_s]


async def test_cases_at_once_read_once(topics: TriagedTopics) -> None:
    """A worker that starts with a hundred cases would read the topics a hundred times."""
    topics.values = [encode(answer())]
    known = memory()
    assert await asyncio.gather(*(find(known) for _ in range(20))) == [answer()] * 20
    assert len(topics.read_from_s) == 1


async def test_after_an_assignment_the_topics_are_read_again(topics: TriagedTopics) -> None:
    """What another worker answered after the first read would be paid twice."""
    known = memory()
    assert await find(known) is None
    topics.values = [encode(answer())]
    assert await find(known, 2_000.0) is None
    known.forget()
    assert await find(known, 2_000.0) == answer()


async def test_an_assignment_while_the_topics_are_read_counts(topics: TriagedTopics) -> None:
    """A read that began before would hide what another worker answered in the meantime."""
    known = memory()
    topics.may_answer.clear()
    reading = asyncio.create_task(find(known))
    await until(lambda: topics.read_from_s)
    known.forget()
    topics.values = [encode(answer())]
    topics.may_answer.set()
    assert await reading is None
    assert await find(known, 2_000.0) == answer()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_read_that_failed_does_not_count(topics: TriagedTopics, cancelled: bool) -> None:
    """After a moment without a broker, every answered case would be paid again."""
    known = memory()
    topics.values = [encode(answer())]
    topics.fails = BrokerUnreachable("no broker")
    topics.may_answer.clear()
    reading = asyncio.create_task(find(known))
    await until(lambda: topics.read_from_s)
    if cancelled:
        reading.cancel()
    topics.may_answer.set()
    with pytest.raises(asyncio.CancelledError if cancelled else BrokerUnreachable):
        await reading
    topics.fails = None
    assert await find(known) == answer()


@pytest.mark.parametrize(
    "value",
    [
        encode(answer(revision=0, status="provisional", decided_by="slm", enrichment=None)),
        encode(answer(decided_by="human", revision=2)),
        encode(answer(enrichment=None, decided_by="rule")),
        encode(answer(origin=Origin(topic="triage.tickets.v1", partition=1, offset=8))),
        encode(msgspec.structs.replace(answer(), id="t-2")),
        encode(msgspec.structs.replace(answer(), input_digest="0" * 64)),
        encode(msgspec.structs.replace(answer(), input_digest=None)),
        encode(msgspec.structs.replace(answer(), tenant="other")),
        encode(msgspec.structs.replace(answer(), source="other")),
        encode(unsure()),
        b"\xff",
        None,
    ],
    ids=[
        "provisional",
        "a person's",
        "not enriched",
        "another event of that id",
        "another id",
        "another text",
        "no digest",
        "another tenant",
        "another source",
        "no event",
        "x",
        "gone",
    ],
)
async def test_only_an_answer_to_this_very_case_counts(
    topics: TriagedTopics, value: bytes | None
) -> None:
    """A reused id would get the old event's answer, or a foreign record would stop the worker."""
    topics.values = [value]
    assert await find(memory()) is None
    topics.values.append(encode(answer(status="needs_review", decided_by="slm")))
    assert await find(memory()) == answer(status="needs_review", decided_by="slm"), (
        "a failed call was paid for too"
    )


async def test_with_a_key_only_the_answer_of_a_worker_counts(topics: TriagedTopics) -> None:
    """A forged answer would end an event that the LLM is to be asked about, before it came."""
    keys, forger = WorkerKeys(b"k" * 32), WorkerKeys(b"f" * 32)
    refused: list[tuple[str, str]] = []
    trust = Trust(keys, lambda *refusal: refused.append(refusal))
    topic, value = TOPICS.triaged("alerts"), encode(answer())
    signatures = [
        signer.headers(topic, None, value, signer.sign_decision(answer()))
        for signer in (forger, WorkerKeys())
    ]
    topics.records = [
        replace(record(value, topic=topic), headers=headers) for headers in signatures
    ]
    assert await find(Answered(Settings().kafka, TOPICS, trust)) is None
    assert refused == [(topic, "wrong_signature"), (topic, "unsigned")]
    headers = keys.headers(topic, None, value, keys.sign_decision(answer()))
    topics.records += [replace(record(value, topic=topic), headers=headers)]
    assert await find(Answered(Settings().kafka, TOPICS, trust)) == answer()


async def test_memory_is_bounded(topics: TriagedTopics, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of a worker would grow with every case that it answers."""
    monkeypatch.setattr(module, "MAX_KNOWN", 3)
    known = memory()
    for number in range(5):
        known.note(answer(id=f"t-{number}"))
    assert len(known._known) == 3
    cases = [unsure(id=f"t-{number}") for number in (1, 4)]
    assert [await find(known, case=case) is None for case in cases] == [True, False]


async def test_turns_are_not_kept() -> None:
    """The lock of every case would be kept for ever."""
    known = memory()
    async with known.turn(unsure()):
        assert known.turn(unsure()).locked()
        assert not known.turn(escalated(Event(id="other", kind="ticket", text="x"))).locked()
    assert not known._turns


@pytest.fixture
async def server() -> AsyncIterator[LlmServer]:
    """An LLM that answers every request."""
    async with LlmServer(ok()) as running:
        yield running


async def test_a_case_that_is_in_flight_twice_is_sent_once(
    topics: TriagedTopics, server: LlmServer
) -> None:
    """Two copies of a case in one batch would be paid twice, and perhaps end differently."""
    case = escalated(Event(id="t-1", kind="ticket", text="a card"))
    batch = [record(case, offset=offset) for offset in range(5)]
    async with tier(configured(endpoint(server.base_url))) as enrichment:
        first, *others = [decision(outcome) for outcome in await enrichment(batch)]
    assert len(server.requests) == 1
    assert first.enrichment is not None
    assert first.enrichment.status == "answered"
    assert others == [first] * 4


async def test_a_delivered_answer_is_not_paid_again(
    topics: TriagedTopics, server: LlmServer
) -> None:
    """A worker that was killed before its commit would pay for the same events again."""
    case = escalated(Event(id="t-1", kind="ticket", text="a card"))
    settings = configured(endpoint(server.base_url))
    async with tier(settings) as enrichment:
        before = await enrichment([record(case)])
    topics.values = [encode(decision(before[0]))]
    async with tier(settings) as restarted:
        assert await restarted([record(case)]) == before
    assert len(server.requests) == 1
