"""The group consumer without a broker: what it reads, what it commits, what a rebalance does."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import faust
import pytest

from streams.config import KafkaSection, Settings
from streams.errors import OffsetGap
from streams.kafka.offsets import Gap, Partition
from streams.metrics import Metrics
from streams.pipeline import consumer as module
from streams.pipeline.agent_pipeline import InFlight
from streams.pipeline.consumer import GroupConsumer
from tests.doubles import INPUT, FakeFaust
from tests.patience import PATIENCE_S, until

P = Partition(INPUT, 0)


class FakeConsumer:
    """The part of Faust's consumer that is used: positions and commits."""

    def __init__(self) -> None:
        self._committed_offset: dict[Any, int | None] = {P: None}
        self.commits: list[dict[Any, int]] = []
        self.takes_commits = True
        self.answers = asyncio.Event()
        self.answers.set()
        self.assigned: set[Any] = {P}

    async def _commit(self, offsets: dict[Any, int]) -> bool:
        self.commits.append(offsets)
        await self.answers.wait()
        return self.takes_commits

    def assignment(self) -> set[Any]:
        """The assigned partitions."""
        return self.assigned

    def highwater(self, _: Any) -> int:
        """The end of the partition."""
        return 10


class FakePipeline:
    """An agent pipeline that notes the records it accepts and the calls it gets."""

    name = "agent"

    def __init__(self) -> None:
        self.accepted: list[InFlight] = []
        self.calls: list[str] = []
        self.while_waiting: Any = None
        self.drains = True

    async def accept(self, in_flight: InFlight) -> None:
        """Accept every record."""
        self.accepted.append(in_flight)

    def discard(self) -> None:
        """Note the call."""
        self.calls.append("discard")

    async def wait_until_idle(self, _: float) -> None:
        """Note the call, and let events end in the meantime."""
        self.calls.append("wait_until_idle")
        if self.while_waiting:
            self.while_waiting()

    def start(self) -> None:
        """Note the call."""
        self.calls.append("start")

    async def drain(self, _: float) -> bool:
        """Note the call."""
        self.calls.append("drain")
        return self.drains

    async def stop(self) -> None:
        """Note the call."""
        self.calls.append("stop")


class Bench:
    """A group consumer without a broker, with one agent pipeline."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.metrics = Metrics()
        self.group = GroupConsumer(
            Settings(kafka=KafkaSection()), metrics=self.metrics, fail=self.failures.append
        )
        self.consumer = FakeConsumer()
        self.flowing = True
        flow_control = SimpleNamespace(is_active=lambda: self.flowing)
        self.group.app = SimpleNamespace(
            consumer=self.consumer, consumer_generation_id=1, flow_control=flow_control
        )
        self.pipeline: Any = FakePipeline()
        self.group.agent_pipelines.append(self.pipeline)  # type: ignore[arg-type] # a double

    async def take(self, *offsets: int) -> None:
        """Hand over records, as Faust does."""
        for offset in offsets:
            await self.group._take(message(offset), self.pipeline)

    def settle(self, *indices: int) -> None:
        """Acknowledge the outputs of the accepted records at these indices."""
        accepted = self.pipeline.accepted
        self.group.offsets.settle(accepted[index].pending_offset for index in indices)


def message(offset: int, **changes: Any) -> Any:
    """A record as Faust hands it over."""
    fields = {
        "generation_id": 1,
        "topic": INPUT,
        "partition": 0,
        "offset": offset,
        "timestamp": time.time(),
        "headers": [("h", b"1")],
    }
    return SimpleNamespace(value=b"v", key=b"k", **(fields | changes))


@pytest.fixture
async def bench() -> Bench:
    """A bench, made inside the event loop."""
    return Bench()


async def test_only_what_is_settled_is_committed(bench: Bench) -> None:
    """An event would be committed before its output is published."""
    await bench.take(0, 1, 2)
    bench.settle(1)
    await bench.group._commit()
    assert {P: 2} not in bench.consumer.commits
    bench.settle(0)
    await bench.group._commit()
    assert bench.consumer.commits[-1] == {P: 2}


async def test_a_refused_commit_is_tried_again(bench: Bench) -> None:
    """After one refusal, the partition would never be committed again."""
    await bench.take(0)
    bench.settle(0)
    bench.consumer.takes_commits = False
    await bench.group._commit()
    bench.consumer.takes_commits = True
    await bench.group._commit()
    await bench.group._commit()
    assert bench.consumer.commits == [{P: 1}, {P: 1}]


async def test_a_revocation_commits_what_ends_in_time_and_forgets_the_rest(bench: Bench) -> None:
    """Batches that end later would be committed for a partition that another worker has."""
    await bench.take(0, 1)
    bench.pipeline.while_waiting = lambda: bench.settle(0)
    await bench.group._on_assigned()
    await bench.group._on_revoked()
    assert bench.pipeline.calls == ["discard", "wait_until_idle"]
    assert bench.consumer.commits == [{P: 1}]
    assert not bench.group.assigned
    bench.settle(1)
    await bench.group._commit()
    assert bench.consumer.commits == [{P: 1}]


async def test_drain_commits_last(bench: Bench) -> None:
    """After each normal restart, the events of the last second would be triaged again."""
    await bench.take(0)
    bench.settle(0)
    assert await bench.group.drain()
    assert bench.pipeline.calls == ["drain"]
    assert bench.consumer.commits == [{P: 1}]


async def test_drain_says_whether_all_batches_ended(bench: Bench) -> None:
    """The log would say that everything was drained although events will be read again."""
    bench.pipeline.drains = False
    assert not await bench.group.drain()


async def test_a_silent_broker_does_not_hold_up_the_last_commit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker would hang in a rebalance or when it stops, and be killed."""
    monkeypatch.setattr(module, "FINAL_COMMIT_TIMEOUT_S", 0.01)
    await bench.take(0)
    bench.settle(0)
    bench.consumer.answers.clear()
    await asyncio.wait_for(bench.group.drain(), PATIENCE_S)
    assert caplog.messages == [
        "the broker did not take the last commit; some events will be triaged again"
    ]
    bench.consumer.answers.set()
    await bench.group._commit()
    assert bench.consumer.commits == [{P: 1}, {P: 1}], "it was not marked as committed"


async def test_a_worker_that_is_stopped_while_it_starts_has_nothing_to_commit() -> None:
    """SIGTERM in the first second would end in a traceback, because there is no consumer yet."""
    group = GroupConsumer(Settings(), metrics=Metrics(), fail=lambda _: None)
    assert group.app.started is False
    assert await group.drain()
    await group._on_revoked()


async def test_commits_and_gauges_follow_from_start_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing would be committed while the worker runs, or something after it has left."""
    monkeypatch.setattr(faust, "App", FakeFaust)
    failures: list[BaseException] = []
    metrics = Metrics()
    settings = Settings(kafka=KafkaSection(commit_interval_s=0.001))
    group = GroupConsumer(settings, metrics=metrics, fail=failures.append)
    app, pipeline = group.app, FakePipeline()
    consumer = app.consumer = FakeConsumer()
    group.agent_pipelines.append(pipeline)  # type: ignore[arg-type] # a double
    await group.start()
    assert (pipeline.calls, app.calls) == (["start"], ["finalize", "start"])
    await app.assign()
    assert group.assigned
    group.offsets.settle([group.offsets.take(P, 0)])
    gauge = f'partition="0",topic="{INPUT}"}} 9.0'
    await until(lambda: consumer.commits and gauge in metrics.render().decode())
    assert consumer.commits == [{P: 1}]
    await group.stop()
    group.offsets.settle([group.offsets.take(P, 1)])
    await asyncio.sleep(0.01)
    assert (pipeline.calls, app.calls[2:]) == (["start", "stop"], ["stop"])
    assert (consumer.commits, failures) == ([{P: 1}], [])


@pytest.mark.parametrize("reason", [ValueError("lost"), None])
async def test_a_crash_of_faust_is_reported(
    monkeypatch: pytest.MonkeyPatch, reason: Exception | None
) -> None:
    """A worker whose consumer has died would look alive and read nothing."""
    monkeypatch.setattr(faust, "App", FakeFaust)
    group = GroupConsumer(Settings(), metrics=Metrics(), fail=lambda _: None)
    crashed = asyncio.create_task(group.crashed())
    await asyncio.sleep(0)
    assert not crashed.done()
    group.app.crash(reason)
    error = await asyncio.wait_for(crashed, PATIENCE_S)
    assert error is reason or "without saying why" in str(error)
    await group.stop()


async def test_a_gap_is_checked_before_the_record_is_taken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that the consumer jumped over would be committed with the next one."""
    gaps: list[Gap] = []

    async def refuse(gap: Gap) -> None:
        gaps.append(gap)
        raise OffsetGap("skipped")

    monkeypatch.setattr(bench.group._gaps, "verify", refuse)
    await bench.take(0)
    with pytest.raises(OffsetGap):
        await bench.take(3)
    assert gaps == [Gap(P, 1, 3)]
    assert len(bench.pipeline.accepted) == 1


@pytest.mark.parametrize("error", [None, OffsetGap("of an assignment that has ended")])
@pytest.mark.parametrize(
    "change", [{"consumer_generation_id": 2}, {"flow_control": SimpleNamespace(is_active=bool)}]
)
async def test_a_record_that_a_rebalance_has_overtaken_is_left_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], error: OffsetGap | None
) -> None:
    """A revoked partition would be tracked, or an ordinary rebalance would stop the worker."""

    async def rebalance(_: Gap) -> None:
        bench.group.offsets.forget()
        vars(bench.group.app).update(change)
        if error:
            raise error

    monkeypatch.setattr(bench.group._gaps, "verify", rebalance)
    await bench.take(0, 1, 5)
    assert [in_flight.incoming.origin.offset for in_flight in bench.pipeline.accepted] == [0, 1]
    assert bench.group.offsets.positions() == {}


async def test_a_revoked_partition_is_neither_committed_nor_observed(bench: Bench) -> None:
    """Aiokafka raises for a partition that is not assigned: commits and gauges would stop."""
    await bench.take(0)
    bench.settle(0)
    bench.consumer.assigned = set()
    await bench.group._commit()
    assert bench.consumer.commits == []
    assert bench.group.lag() == {}


async def test_an_error_in_a_commit_stops_the_worker(bench: Bench) -> None:
    """Nothing would be committed any more, and nobody would notice."""

    async def end() -> None:
        raise AssertionError("not assigned")

    object.__setattr__(
        bench.group, "_settings", Settings(kafka=KafkaSection(commit_interval_s=0.001))
    )
    task = asyncio.create_task(bench.group._periodically(end))
    task.add_done_callback(bench.group._on_task_ended)
    await until(lambda: bench.failures)
    assert [str(error) for error in bench.failures] == ["not assigned"]


async def test_the_lag_is_what_is_not_settled(bench: Bench) -> None:
    """Prometheus would show no lag while events wait, or the lag of a partition never read."""
    bench.consumer._committed_offset[P] = 4
    assert bench.group.lag() == {}
    await bench.take(4, 5)
    assert bench.group.lag() == {P: 6}
    bench.settle(0, 1)
    assert bench.group.lag() == {P: 4}


async def test_the_backlog_is_that_of_one_topic(bench: Bench) -> None:
    """Cases would be shed because alerts wait, or never because one partition is counted."""
    for partition in (P, Partition(INPUT, 1), Partition("other", 0)):
        bench.consumer.assigned.add(partition)
        await bench.group._take(
            message(0, topic=partition.topic, partition=partition.partition), bench.pipeline
        )
    assert bench.group.backlog(INPUT) == 20
    assert bench.group.backlog("other") == 10
    assert bench.group.backlog("not read") == 0
    bench.settle(0)
    assert bench.group.backlog(INPUT) == 19


async def test_callbacks_are_called_at_each_assignment(bench: Bench) -> None:
    """What was remembered of partitions would be used after they were revoked."""
    calls: list[str] = []
    bench.group.when_assigned(lambda: calls.append("first"))
    bench.group.when_assigned(lambda: calls.append("second"))
    await bench.group._on_revoked()
    assert calls == []
    await bench.group._on_assigned()
    await bench.group._on_assigned()
    assert calls == ["first", "second"] * 2


@pytest.mark.parametrize(
    ("headers", "pairs"),
    [(None, []), ({}, []), ({"a": b"1"}, [("a", b"1")]), ([("a", None)], [("a", None)])],
)
async def test_headers_of_every_shape_are_read(
    bench: Bench, headers: Any, pairs: list[Any]
) -> None:
    """Binary CloudEvents would not be recognised, or a missing header would stop the worker."""
    await bench.group._take(message(0, headers=headers), bench.pipeline)
    assert list(bench.pipeline.accepted[0].incoming.headers) == pairs


@pytest.mark.parametrize("stamp", [None, -1, 0, 1e18, float("nan")])
async def test_an_impossible_timestamp_is_now(bench: Bench, stamp: float | None) -> None:
    """A record of the year 33658 would stop the worker, or spoil every latency figure."""
    await bench.group._take(message(0, timestamp=stamp), bench.pipeline)
    assert abs(bench.pipeline.accepted[0].incoming.received_at_s - time.time()) < 60


async def test_a_possible_timestamp_is_kept(bench: Bench) -> None:
    """Latency would be measured from the read, and hide the time that the event waited."""
    stamp = time.time() - 100
    await bench.group._take(message(0, timestamp=stamp), bench.pipeline)
    assert bench.pipeline.accepted[0].incoming.received_at_s == stamp


async def test_an_error_in_the_agent_stops_the_worker() -> None:
    """Faust would restart the agent behind the failed record."""
    bench = Bench()
    agents: list[Any] = []
    bench.group.app = SimpleNamespace(
        consumer=bench.consumer, topic=lambda *_, **__: None, agent=lambda *_, **__: agents.append
    )
    bench.group.route(INPUT, bench.pipeline)

    class Stream:
        def noack(self) -> "Stream":
            return self

        async def events(self) -> Any:
            yield SimpleNamespace(message=object())

    running = asyncio.create_task(agents[0](Stream()))
    await until(lambda: bench.failures)
    assert [type(error) for error in bench.failures] == [AttributeError]
    assert not running.done()
    running.cancel()
