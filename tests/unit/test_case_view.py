"""The view of cases over its topics: it misses nothing, goes on where it was, and is made again."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from agents.cases import Known
from schemas.audit.verification import Place
from schemas.codec import encode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS
from schemas.signing import VERDICT_HEADER
from schemas.triaged import Case, TriagedEvent
from streams.cases import view as module
from streams.cases.opening import open_store, state_path
from streams.cases.query import CaseQuery
from streams.cases.view import CaseView, open_view
from streams.config import ReviewSection, Settings
from streams.errors import BrokerUnreachable, StreamError, TopicsMissing
from streams.kafka import reader
from streams.kafka.offsets import Partition
from streams.topics import Topics
from tests.chains import Appended
from tests.kafka_log import START_MS, KafkaLog
from tests.patience import PATIENCE_S, until
from tests.records import case, triaged

TOPICS = Topics("triage")
REVIEW = TopicPartition(TOPICS.review, 0)
ALERTS = TopicPartition(TOPICS.triaged("alerts"), 0)
START_S = START_MS / 1000


class Broker(KafkaLog):
    """The review and triaged topics. Each consumer has its own place in them."""

    def __init__(self) -> None:
        names = [TOPICS.review, *(TOPICS.triaged(domain) for domain in DOMAINS)]
        super().__init__({TopicPartition(name, 0): 0 for name in names})
        self.consumers: list[Broker] = []
        self.looks = self.handed_out = 0
        self.fails: Exception | None = None

    def write(
        self,
        topic: str,
        value: Case | TriagedEvent,
        verdict: str | None = None,
        trace: str | None = None,
    ) -> None:
        """Append one record to a topic."""
        offset = self.ends[TopicPartition(topic, 0)]
        named = {VERDICT_HEADER: verdict, "traceparent": trace}
        headers = [(name, each.encode()) for name, each in named.items() if each]
        place = Place(0, offset)
        self.append(topic, Appended(place, b"key", encode(value), headers))

    def decide(self, decision: TriagedEvent, verdict: str | None = None) -> None:
        """Publish a decision."""
        self.write(TOPICS.triaged(decision.domain), decision, verdict)

    def ask(self, waiting: Case) -> None:
        """Publish a case."""
        self.decide(waiting.triaged)
        self.write(TOPICS.review, waiting)

    @asynccontextmanager
    async def asked(self, _: Settings) -> AsyncIterator["Broker"]:
        """A client that asks which topics there are."""
        yield self

    async def list_topics(self) -> list[str]:
        """The topics that there are."""
        return [partition.topic for partition in self.ends]

    def open(self, *_: str, **options: Any) -> "Broker":
        """A consumer."""
        consumer = copy.copy(self)
        consumer.positions = dict.fromkeys(self.ends, 0)
        consumer.options = options
        consumer.root = self  # type: ignore[attr-defined]
        self.consumers.append(consumer)
        return consumer

    async def end_offsets(self, partitions: Any) -> dict[TopicPartition, int]:
        """Where the partitions end now."""
        root: Broker = self.root  # type: ignore[attr-defined]
        root.looks += 1
        await asyncio.sleep(0)
        if root.fails:
            raise root.fails
        self.ends = root.ends
        return await super().end_offsets(partitions)

    async def getmany(self, *partitions: TopicPartition, **options: Any) -> Any:
        """Some records."""
        root: Broker = self.root  # type: ignore[attr-defined]
        if root.fails:
            raise root.fails
        self.ends = root.ends
        for partition in self.ends:
            self.positions.setdefault(partition, 0)
        batches = await super().getmany(*partitions, **options)
        root.handed_out += sum(map(len, batches.values()))
        if not batches:
            await asyncio.sleep(0.001)  # a consumer waits for records
        return batches


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """Empty topics."""
    made = Broker()
    monkeypatch.setattr(reader, "AIOKafkaConsumer", made.open)
    monkeypatch.setattr(module, "admin_client", made.asked)
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a file of its own."""
    return Settings(review=ReviewSection(state=str(tmp_path / "cases.sqlite"), keep_days=100_000))


@pytest.fixture
async def view(settings: Settings, broker: Broker) -> AsyncIterator[CaseView]:
    """A view that follows the topics."""
    started = CaseView(settings)
    await started.start()
    yield started
    await started.stop()


async def find(view: CaseView, id_: str = "e-1") -> Known | None:
    """What is known of an event of any domain and tenant."""
    return await view.find(id_, domain=None, tenant=None)


def waiting(id_: str = "e-1") -> Case:
    """A case that waits for a person."""
    return case(id_, status="needs_review", title=f"alert {id_}")


def by_person(decision: TriagedEvent) -> TriagedEvent:
    """A person's revision."""
    revision = decision.revision + 1
    return msgspec.structs.replace(
        decision, revision=revision, status="final", decided_by="human", queue="email"
    )


async def test_what_was_published_before_the_question_is_known(
    view: CaseView, broker: Broker
) -> None:
    """The new owner of a partition would decide again what the one before has decided."""
    assert await find(view) is None
    for number in range(40):
        broker.ask(waiting(f"e-{number}"))
        decided = by_person(waiting(f"e-{number}").triaged)
        broker.decide(decided, f"triage.feedback.v1[0]@{number}")
        known = await find(view, f"e-{number}")
        assert known is not None
        assert known.current == decided
        assert known.case == waiting(f"e-{number}")
        assert known.verdicts == {1: f"triage.feedback.v1[0]@{number}"}


async def test_a_question_is_answered_although_the_view_collects_records(
    view: CaseView, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict would wait until the view has collected enough."""
    monkeypatch.setattr(module, "FOLLOW_PAUSE_S", 3_600.0)
    broker.decide(triaged("a"))
    assert await asyncio.wait_for(find(view, "a"), PATIENCE_S) is not None
    broker.decide(triaged("b"))
    assert await asyncio.wait_for(find(view, "b"), PATIENCE_S) is not None


async def test_questions_at_once_share_a_look_at_the_ends(view: CaseView, broker: Broker) -> None:
    """A batch of verdicts would ask the broker once for each of them."""
    broker.ask(waiting())
    await view.caught_up()
    broker.looks = 0
    found = await asyncio.gather(*(find(view) for _ in range(50)))
    assert all(found)
    assert broker.looks <= 2


async def test_a_decision_that_is_not_stored_is_read_from_its_place(
    view: CaseView, broker: Broker
) -> None:
    """A person could not correct what the small model has accepted."""
    for number in range(5):
        broker.decide(triaged(f"e-{number}"))
    known = await find(view, "e-3")
    assert known == Known(triaged("e-3"), None, [triaged("e-3")])
    broker.begins = {ALERTS: 4}
    for consumer in broker.consumers:
        consumer.begins = broker.begins
    assert await find(view, "e-3") is None, "its topic does not hold it any more"
    assert await find(view, "e-4") is not None


async def test_the_trace_of_a_decision_that_is_not_stored_is_read_with_it(
    view: CaseView, broker: Broker
) -> None:
    """A correction of what the small model has accepted would not be in the trace of its event."""
    trace = f"00-{1:032x}-{1:016x}-01"
    broker.write(TOPICS.triaged("alerts"), triaged(), trace=trace)
    known = await find(view)
    assert known is not None
    assert known.trace == trace


async def test_the_answer_of_the_small_model_is_read_again(view: CaseView, broker: Broker) -> None:
    """A labelled row would not say what the small model had said before the LLM."""
    first = triaged(status="provisional")
    answer = triaged(revision=1, decided_by="llm")
    broker.decide(triaged("e-0"))
    broker.decide(first)
    broker.decide(answer)
    known = await find(view)
    assert known == Known(answer, None, [first, answer])
    broker.decide(by_person(answer))
    known = await find(view)
    assert known is not None
    assert known.revisions == [first, by_person(answer)]


async def test_an_id_of_several_tenants_is_refused(view: CaseView, broker: Broker) -> None:
    """The verdict would be about whichever event was read last."""
    for tenant in ("acme", "globex"):
        broker.decide(triaged(tenant=tenant))
    with pytest.raises(InvalidEvent, match="belongs to several events"):
        await find(view)
    assert await view.find("e-1", domain="alerts", tenant="acme") is not None


async def test_a_restart_goes_on_where_it_was(settings: Settings, broker: Broker) -> None:
    """Every start of a worker would read millions of decisions."""
    for number in range(20):
        broker.ask(waiting(f"e-{number}"))
    async with open_view(settings) as first:
        assert first.store.list(CaseQuery()).total == 20
    broker.handed_out = 0
    broker.decide(by_person(waiting("e-7").triaged))
    async with open_view(settings) as second:
        assert second.store.list(CaseQuery()).total == 19
    assert broker.handed_out <= 3, "the new record, and the last one of each topic"


@pytest.mark.parametrize("records", [1, 3, 9])
async def test_topics_that_were_made_again_make_the_view_again(
    settings: Settings, broker: Broker, records: int
) -> None:
    """The view would show cases of the old topics, and skip those of the new ones."""
    for number in range(3):
        broker.ask(waiting(f"old-{number}"))
    async with open_view(settings) as first:
        assert first.store.list(CaseQuery()).total == 3
    broker.ends = dict.fromkeys(broker.ends, 0)
    for number in range(records):
        broker.ask(waiting(f"new-{number}"))
    async with open_view(settings) as second:
        summaries = second.store.list(CaseQuery()).cases
    assert sorted(each.id for each in summaries) == [f"new-{number}" for number in range(records)]


async def test_topics_that_are_made_again_meanwhile_are_noticed(
    view: CaseView, broker: Broker
) -> None:
    """The new records have offsets that were read before, so they would be skipped for ever."""
    for number in range(5):
        broker.ask(waiting(f"old-{number}"))
    await view.caught_up()
    broker.ends = dict.fromkeys(broker.ends, 0)
    broker.ask(waiting("new"))
    # A consumer whose place is behind the end of its partition begins again.
    broker.consumers[0].positions = dict.fromkeys(broker.ends, 0)
    await until(lambda: len(broker.consumers) > 1)
    assert await find(view, "new") is not None
    assert await find(view, "old-1") is None


async def test_a_question_outlives_a_lost_connection(view: CaseView, broker: Broker) -> None:
    """A verdict would wait for the end of a topic that is shorter now."""
    broker.ask(waiting())
    await view.caught_up()
    broker.consumers[0].silent = True
    broker.ends[ALERTS] += 5  # as the broker says; the records never come
    question = asyncio.create_task(view.caught_up())
    await until(view._turn.locked)
    broker.ends = {**broker.ends, ALERTS: 1}
    broker.fails = KafkaConnectionError()
    await until(lambda: view.problem)
    broker.fails = None
    await asyncio.wait_for(question, PATIENCE_S)


async def test_partitions_that_are_added_are_read(view: CaseView, broker: Broker) -> None:
    """The cases of the new partitions would never be shown."""
    await view.caught_up()
    added = TopicPartition(TOPICS.review, 1)
    place = Place(1, 0)
    broker.append(TOPICS.review, Appended(place, b"key", encode(waiting()), []))
    await until(lambda: added in broker.ends and len(broker.consumers) > 1)
    assert await find(view) is not None
    assert view.store.offsets()[Partition(TOPICS.review, 1)] == 1


async def test_only_the_kept_days_are_read(broker: Broker, settings: Settings) -> None:
    """A topic that keeps records for ever would be read from its beginning."""
    recent = msgspec.structs.replace(
        settings, review=msgspec.structs.replace(settings.review, keep_days=1)
    )
    for number in range(5):
        broker.decide(triaged(f"e-{number}"))
    # The records are a second apart, so the first three are older than a day.
    view = CaseView(recent, clock=lambda: START_S + 86_400.0 + 3.0)
    await view.start()
    assert await find(view, "e-2") is None
    assert await find(view, "e-3") is not None
    await view.stop()


async def test_a_broker_that_is_away_is_an_error_and_then_is_forgotten(
    view: CaseView, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdicts would be refused as unknown, or the view would never come back."""
    broker.ask(waiting())
    await view.caught_up()
    broker.fails = KafkaConnectionError()
    monkeypatch.setattr(module, "CONNECT_PATIENCE_S", 0.05)
    await until(lambda: view.problem)
    with pytest.raises(BrokerUnreachable):
        await find(view)
    broker.fails = None
    monkeypatch.setattr(module, "CONNECT_PATIENCE_S", 30.0)
    assert await find(view) is not None
    assert view.problem is None


async def test_ends_that_cannot_be_asked_for_are_an_error(
    view: CaseView, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict would be decided without what was published last."""
    await view.caught_up()

    async def refuse(*_: Any) -> None:
        raise KafkaError("no")

    monkeypatch.setattr(Broker, "end_offsets", refuse)
    with pytest.raises(BrokerUnreachable, match="check the broker"):
        await view.caught_up()


async def test_an_unforeseen_error_is_said_and_tried_again(
    view: CaseView, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """The view would stand still, and verdicts wait for ever without a word."""
    await view.caught_up()
    broker.fails = ZeroDivisionError()
    await until(lambda: view.problem)
    assert "look for its error in the log" in str(view.problem)
    assert "ZeroDivisionError" in caplog.text
    broker.fails = None
    await view.caught_up()


async def test_the_default_place_is_named_by_the_cluster_and_the_prefix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two deployments that are tried on one machine would mix their cases."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    default = Settings()
    other = msgspec.structs.replace(
        default, topics=msgspec.structs.replace(default.topics, prefix="other")
    )
    elsewhere = msgspec.structs.replace(
        default, kafka=msgspec.structs.replace(default.kafka, bootstrap_servers="b:1, a:1")
    )
    same = msgspec.structs.replace(
        default, kafka=msgspec.structs.replace(default.kafka, bootstrap_servers="a:1,b:1")
    )
    paths = {state_path(each) for each in (default, other, elsewhere)}
    assert len(paths) == 3
    assert state_path(elsewhere) == state_path(same)
    assert all(path.parent == tmp_path / "triage" for path in paths)


async def test_without_a_place_to_write_the_view_is_temporary(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker in a container without a disk would not start any more."""
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    store = open_store(Settings())
    assert store.list(CaseQuery()).total == 0
    assert "kept in a temporary file" in caplog.text
    store.close()
    caplog.clear()
    open_store(Settings(review=ReviewSection(state=":temporary:"))).close()
    assert caplog.text == ""
    configured = Settings(review=ReviewSection(state=str(blocked / "cases.sqlite")))
    with pytest.raises(StreamError, match=r"set review\.state"):
        open_store(configured)


async def test_missing_topics_are_named(settings: Settings, broker: Broker) -> None:
    """A command would wait for topics that nobody has made."""
    del broker.ends[REVIEW]
    with pytest.raises(TopicsMissing, match=r"no topic triage\.review\.v1; run `triage topics"):
        async with open_view(settings):
            pass
