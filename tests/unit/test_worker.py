"""The worker process without a broker: it waits, works, drains, and says why it is not ready."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError

from inference.errors import ConfigError
from streams import worker as module
from streams.config import HttpSection, Settings
from streams.errors import BrokerUnreachable, StreamError, TopicsMissing
from streams.kafka import admin, producer, reader
from streams.kafka.offsets import Partition
from streams.topics import Topics
from streams.worker import Worker, wait_for_topics
from tests.conftest import settings_for
from tests.doubles import FakeClient, KnownCases
from tests.kafka_group import Cluster as Group
from tests.kafka_group import Consumer, answering
from tests.kafka_log import KafkaLog
from tests.llm_tier import configured, endpoint
from tests.patience import PATIENCE_S, until


class FakeView(KnownCases):
    """The view of cases: how often it was started and stopped."""

    started = stopped = 0

    async def start(self) -> None:
        """Begin to follow the topics."""
        self.started += 1

    async def stop(self) -> None:
        """Close the file."""
        self.stopped += 1


class Cluster:
    """A Kafka cluster as the worker's clients see it. They cannot connect while it is not `up`."""

    def __init__(self, settings: Settings) -> None:
        self.up = True
        self.topics = list(Topics(settings.topics.prefix))
        self.asked = 0
        self.client = FakeClient(prompt=True, takes_bytes={}, awaits_audit=False)
        self.audit = KafkaLog({})
        topics = Topics(settings.topics.prefix)
        self.input = Partition(topics.input("alerts"), 0)
        self.group = Group(self.input, Partition(topics.enrichment, 0))
        self.view = FakeView()

    async def start(self) -> None:
        """Connect, as aiokafka's admin client does."""
        self.asked += 1
        if not self.up:
            raise KafkaConnectionError

    async def close(self) -> None:
        """Disconnect."""

    async def list_topics(self) -> list[str]:
        """The topics that there are."""
        return self.topics

    async def _send_request(self, _: Any) -> Any:
        """Describe no topic: those that are asked for do not exist."""
        return SimpleNamespace(to_object=lambda: {"topics": []})

    async def describe_configs(self, _: Any) -> list[Any]:
        """Return nothing: every topic has the broker's defaults."""
        return []

    async def assign(self, running: "Running") -> None:
        """Assign all partitions to the worker, and wait until it reads them."""
        assert self.consumer is not None
        await self.consumer.assign_all()
        group = running.worker._consumer
        await until(lambda: group is not None and group.assigned)

    @property
    def consumer(self) -> Consumer | None:
        """The consumer of the worker's group; None before it is opened."""
        return self.group.consumers[-1] if self.group.consumers else None


@pytest.fixture
def settings(tiny_model: Path) -> Settings:
    """Settings with a tiny model and any free port."""
    return msgspec.structs.replace(
        settings_for("nowhere:9092", tiny_model), http=HttpSection(port=0)
    )


@pytest.fixture
def cluster(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster to which all clients of the worker connect."""
    made = Cluster(settings)
    monkeypatch.setattr(admin, "AIOKafkaAdminClient", lambda **_: made)
    monkeypatch.setattr(producer, "AIOKafkaProducer", lambda **_: made.client)
    for client in (admin, producer):
        monkeypatch.setattr(client, "reachable_connection", answering)
    made.group.install(monkeypatch)
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    made.audit.install(monkeypatch, reader)
    monkeypatch.setattr(module, "CaseView", lambda *_: made.view)
    return made


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Survive a signal that the worker does not handle; the test then fails by itself."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class Running:
    """A worker that runs all agents in the background."""

    def __init__(self, settings: Settings) -> None:
        self.worker = Worker(settings, ["classify", "enrich", "feedback"])
        self.task = asyncio.create_task(self.worker.run())

    async def until_started(self, cluster: Cluster) -> Any:
        """Wait until the worker has joined its group, and return its group consumer."""
        await until(lambda: self.task.done() or (cluster.consumer and cluster.consumer.calls))
        assert not self.task.done(), self.task
        return self.worker._consumer

    async def ended(self) -> None:
        """Wait until the worker has ended; raises what it raises."""
        await asyncio.wait_for(self.task, PATIENCE_S)


@pytest.fixture
async def running(settings: Settings, cluster: Cluster) -> AsyncIterator[Running]:
    """A worker that was just started."""
    started = Running(settings)
    yield started
    started.task.cancel()
    await asyncio.gather(started.task, return_exceptions=True)


async def test_the_worker_waits_for_its_broker(
    settings: Settings, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that starts together with its broker would end at once."""
    cluster.up = False
    waiting = asyncio.create_task(wait_for_topics(settings))
    await until(lambda: cluster.asked >= 2)
    assert caplog.messages[0].endswith("; waiting")
    cluster.up = True
    await asyncio.wait_for(waiting, PATIENCE_S)


async def test_the_worker_does_not_wait_for_ever(settings: Settings, cluster: Cluster) -> None:
    """A mistyped address would look like a slow broker."""
    cluster.up = False
    with pytest.raises(BrokerUnreachable, match="nowhere:9092"):
        await asyncio.wait_for(wait_for_topics(settings, patience_s=0.02), PATIENCE_S)


async def test_a_missing_topic_ends_the_worker(running: Running, cluster: Cluster) -> None:
    """The worker would wait for a topic that nobody creates, or read only some of its topics."""
    missing = cluster.topics.pop()
    with pytest.raises(TopicsMissing, match=f"{missing} is missing; run `triage topics create`"):
        await running.ended()
    assert cluster.consumer is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_wait_for_the_broker(
    running: Running, cluster: Cluster, number: int
) -> None:
    """A worker without a broker could only be killed."""
    cluster.up = False
    await until(lambda: cluster.asked)
    signal.raise_signal(number)
    await running.ended()
    assert cluster.consumer is None
    asked = cluster.asked
    await asyncio.sleep(0.02)
    assert cluster.asked == asked, "nothing goes on in the background"


async def test_a_signal_ends_the_start_of_the_consumer(
    running: Running, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose consumer cannot join its group could only be killed."""

    async def start(self: Consumer) -> None:
        self.calls.append("start")
        await asyncio.Event().wait()

    monkeypatch.setattr(Consumer, "start", start)
    await running.until_started(cluster)
    signal.raise_signal(signal.SIGTERM)
    await running.ended()
    assert cluster.consumer is not None
    assert cluster.consumer.calls == ["start", "stop"]


async def test_sigterm_drains_and_ends(
    running: Running, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Each deployment would lose the last commit, or leave connections open."""
    caplog.set_level(logging.INFO)
    group = await running.until_started(cluster)
    signal.raise_signal(signal.SIGTERM)
    await running.ended()
    assert "drained" in caplog.messages
    assert cluster.consumer is not None
    assert cluster.consumer.calls == ["start", "stop"]
    # Of the audit topic and of the labels topic.
    assert (cluster.client.stopped, cluster.audit.stopped) == (1, 2)
    assert (cluster.view.started, cluster.view.stopped) == (1, 1)
    assert len(group.agent_pipelines) == 4


async def test_events_that_do_not_end_in_time_are_left(
    running: Running,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A worker with an event that hangs could only be killed, or would say that it drained."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.01)

    async def hang(self: Consumer) -> None:
        self.calls.append("stop")
        await asyncio.Event().wait()

    async def drain() -> bool:
        return False

    monkeypatch.setattr(Consumer, "stop", hang)
    group = await running.until_started(cluster)
    monkeypatch.setattr(group, "drain", drain)
    signal.raise_signal(signal.SIGTERM)
    await running.ended()
    assert "drained in part; the rest will be read again" in caplog.messages
    assert caplog.messages[-1] == "the consumer did not stop in 0 s; leaving it"
    for agent in group.app.agents.values():
        await agent.stop()  # otherwise Faust may lose the cancellation at the end of the test


async def test_an_error_of_the_consumer_ends_the_worker_without_a_commit(
    running: Running, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker would look alive, or commit events although something is wrong."""
    caplog.set_level(logging.INFO)
    await running.until_started(cluster)
    running.worker.fail(StreamError("the consumer has ended"))
    with pytest.raises(StreamError, match="has ended"):
        await running.ended()
    assert "drained" not in caplog.messages
    assert cluster.client.stopped == 1
    assert cluster.group.history == []


async def test_only_the_first_error_is_reported(settings: Settings) -> None:
    """The error that a person must see would be hidden by those that follow from it."""
    worker = Worker(settings, ["classify"])
    first = StreamError("first")
    worker.fail(first)
    worker.fail(StreamError("second"))
    assert worker._failure is first


async def test_a_worker_says_why_it_is_not_ready(running: Running, cluster: Cluster) -> None:
    """Traffic would be sent to a worker that cannot take it, or never to one that can."""
    worker = running.worker
    assert worker._why_not_ready() == "waiting for the broker and its topics"
    await running.until_started(cluster)
    assert worker._why_not_ready() == "no partitions are assigned yet"
    await cluster.assign(running)
    assert worker._why_not_ready() is None
    signal.raise_signal(signal.SIGTERM)
    await running.ended()
    assert worker._why_not_ready() == "the worker is stopping"


async def test_a_problem_is_why_a_worker_is_not_ready(
    running: Running, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that reads or writes nothing would be ready, and its metrics say nothing."""
    group = await running.until_started(cluster)
    await cluster.assign(running)
    worker = running.worker
    assert cluster.consumer is not None
    cluster.consumer._coordinator.pending = [GroupAuthorizationFailedError("g")]
    group._member.check()
    assert "may not use the group" in (worker._why_not_ready() or "")
    group._member.group_problem = None
    stuck = Partition("triage.alerts.triaged.v1", 1)
    monkeypatch.setattr(worker._producer, "leaderless", lambda: [stuck])
    assert worker._why_not_ready() == (
        "triage.alerts.triaged.v1[1] has no leader, and its outputs wait; start its brokers"
    )
    (problem,) = worker._problems()
    assert (problem.kind, problem.partition) == ("leaderless", stuck)
    sample = 'triage_problems{kind="leaderless",partition="1",topic="triage.alerts.triaged.v1"} 1.0'
    assert sample in group._metrics.render().decode()


async def test_a_topic_that_is_deleted_while_the_worker_runs_is_noticed(
    running: Running, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker could make the audit topic again, and delete its records after seven days."""
    monkeypatch.setattr(module, "TOPICS_CHECK_S", 0.001)
    await running.until_started(cluster)
    deleted = cluster.topics.pop()
    sentence = f"{deleted} is missing; run `triage topics create`"
    await until(lambda: sentence in [problem.sentence for problem in running.worker._problems()])
    cluster.topics.append(deleted)
    await until(lambda: not running.worker._topic_problems)


async def test_a_worker_that_makes_no_progress_is_not_ready(
    settings: Settings, running: Running, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that hangs would never be restarted."""
    group = await running.until_started(cluster)
    await cluster.assign(running)
    now_s = 0.0
    monkeypatch.setattr(group.offsets, "_clock", lambda: now_s)
    topics = Topics(settings.topics.prefix)
    case = group.offsets.take(Partition(topics.enrichment, 0), 0)
    now_s = settings.http.progress_timeout_s + 1
    assert running.worker._why_not_ready() is None, "a case may wait for the LLM"
    now_s += 2 * settings.llm.patience_s
    assert "has been in hand" in (running.worker._why_not_ready() or "")
    group.offsets.settle([case])
    group.offsets.take(Partition(topics.input("alerts"), 0), 0)
    assert running.worker._why_not_ready() is None
    now_s += settings.http.progress_timeout_s + 1
    assert "has been in hand for 61 s" in (running.worker._why_not_ready() or "")


@pytest.mark.parametrize("tiers", [True, False])
async def test_what_others_spend_is_read_only_if_an_llm_may_be_asked(
    settings: Settings, cluster: Cluster, tiers: bool
) -> None:
    """The day's budget would be spent once by each worker, or the topic be followed for nothing."""
    if tiers:
        settings = configured(endpoint("http://127.0.0.1:9/v1"), settings=settings)
    running = Running(settings)
    await running.until_started(cluster)
    assert cluster.audit.stopped == (0 if tiers else 1)
    signal.raise_signal(signal.SIGTERM)
    await running.ended()
    assert cluster.audit.stopped == cluster.audit.opened


async def test_a_worker_may_only_learn(
    settings: Settings,
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Learning would need a worker that also classifies, or such a worker would never be ready."""
    learned: list[Settings] = []

    class Failing:
        def __init__(self, settings: Settings) -> None:
            learned.append(settings)

        async def run(self) -> None:
            raise OSError("no process can be started")

    monkeypatch.setattr(module, "LearnerProcess", Failing)
    learning = msgspec.structs.replace(settings.learning, models=str(tmp_path / "models"))
    worker = Worker(msgspec.structs.replace(settings, learning=learning), ["learn"])
    task = asyncio.create_task(worker.run())
    await until(lambda: task.done() or "no process can be started" in caplog.text)
    assert not task.done(), task
    await until(lambda: worker._why_not_ready() is None)
    assert cluster.consumer is None, "it reads no topic of the group"
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(task, PATIENCE_S)
    assert len(learned) == 1


async def test_a_worker_that_learns_needs_a_registry(settings: Settings) -> None:
    """It would start, and learn nothing."""
    with pytest.raises(ConfigError, match=r"learning\.models"):
        await Worker(settings, ["learn"]).run()
