"""Between Faust and the lanes, without a broker: what is read, what is committed, what a rebalance does."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streams.config import KafkaSection, Settings
from streams.errors import OffsetGap
from streams.kafka.offsets import Gap, Partition
from streams.metrics import Metrics
from streams.pipeline.agent_pipeline import InFlight
from streams.pipeline.consumer import GroupConsumer
from tests.doubles import INPUT

P = Partition(INPUT, 0)


class FakeConsumer:
    """The part of Faust's consumer that is used: where it stands, and commits."""

    def __init__(self) -> None:
        self._committed_offset: dict[Any, int | None] = {P: None}
        self.commits: list[dict[Any, int]] = []
        self.takes = True
        self.ours: set[Any] = {P}

    async def _commit(self, offsets: dict[Any, int]) -> bool:
        self.commits.append(offsets)
        return self.takes

    def assignment(self) -> set[Any]:
        """The partitions that are ours."""
        return self.ours

    def highwater(self, _: Any) -> int:
        """The end of the partition."""
        return 10


class FakePipeline:
    """Notes what it is given and told."""

    name = "lane"

    def __init__(self) -> None:
        self.held: list[InFlight] = []
        self.told: list[str] = []
        self.before_quiet: Any = None

    async def accept(self, held: InFlight) -> None:
        """Always room."""
        self.held.append(held)

    def discard(self) -> None:
        """Told to let go."""
        self.told.append("discard")

    async def quiet(self, _: float) -> None:
        """Told to wait for what is in flight, which ends in the meantime."""
        self.told.append("quiet")
        if self.before_quiet:
            self.before_quiet()

    async def drain(self, _: float) -> bool:
        """Told to end."""
        self.told.append("drain")
        return True


class Bench:
    """A consumption without its broker."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.metrics = Metrics()
        self.all = GroupConsumer(
            Settings(kafka=KafkaSection()), metrics=self.metrics, fail=self.failures.append
        )
        self.consumer = FakeConsumer()
        self.flowing = True
        flow_control = SimpleNamespace(is_active=lambda: self.flowing)
        self.all.app = SimpleNamespace(
            consumer=self.consumer, consumer_generation_id=1, flow_control=flow_control
        )
        self.lane: Any = FakePipeline()
        self.all.lanes.append(self.lane)

    async def take(self, *offsets: int) -> None:
        """Faust hands over records."""
        for offset in offsets:
            await self.all._take(message(offset), self.lane)

    def settle(self, *indices: int) -> None:
        """Their outputs are acknowledged."""
        self.all.offsets.settle(self.lane.held[index].ticket for index in indices)


def message(offset: int, **changes: Any) -> Any:
    """A record as Faust has it."""
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
    """Needs a running loop."""
    return Bench()


async def test_only_what_is_settled_is_committed(bench: Bench) -> None:
    """The whole discipline: an event would be committed before its output is out."""
    await bench.take(0, 1, 2)
    bench.settle(1)
    await bench.all._commit()
    assert {P: 2} not in bench.consumer.commits
    bench.settle(0)
    await bench.all._commit()
    assert bench.consumer.commits[-1] == {P: 2}


async def test_a_refused_commit_is_tried_again(bench: Bench) -> None:
    """After one refusal in a rebalance the partition would never be committed again."""
    await bench.take(0)
    bench.settle(0)
    bench.consumer.takes = False
    await bench.all._commit()
    bench.consumer.takes = True
    await bench.all._commit()
    await bench.all._commit()
    assert bench.consumer.commits == [{P: 1}, {P: 1}]


async def test_a_revocation_commits_what_ends_in_time_and_forgets_the_rest(bench: Bench) -> None:
    """Batches that end after the rebalance would be committed for a partition that is another worker's."""
    await bench.take(0, 1)
    bench.lane.before_quiet = lambda: bench.settle(0)
    await bench.all._on_assigned()
    await bench.all._on_revoked()
    assert bench.lane.told == ["discard", "quiet"]
    assert bench.consumer.commits == [{P: 1}]
    assert not bench.all.assigned
    bench.settle(1)
    await bench.all._commit()
    assert bench.consumer.commits == [{P: 1}]


async def test_drain_commits_last(bench: Bench) -> None:
    """Every graceful restart would triage the last second again."""
    await bench.take(0)
    bench.settle(0)
    assert await bench.all.drain()
    assert bench.lane.told == ["drain"]
    assert bench.consumer.commits == [{P: 1}]


async def test_a_gap_is_looked_into_before_the_record_is_taken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that the consumer jumped over would be committed with the next one."""
    seen: list[Gap] = []

    async def refuse(gap: Gap) -> None:
        seen.append(gap)
        raise OffsetGap("skipped")

    monkeypatch.setattr(bench.all._gaps, "verify", refuse)
    await bench.take(0)
    with pytest.raises(OffsetGap):
        await bench.take(3)
    assert seen == [Gap(P, 1, 3)]
    assert len(bench.lane.held) == 1


@pytest.mark.parametrize("found", [None, OffsetGap("of an assignment that is no more")])
@pytest.mark.parametrize(
    "change", [{"consumer_generation_id": 2}, {"flow_control": SimpleNamespace(is_active=bool)}]
)
async def test_a_record_that_a_rebalance_has_overtaken_is_left_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], found: OffsetGap | None
) -> None:
    """A partition that is no longer ours would get a line, or an ordinary rebalance would stop the worker."""

    async def rebalance(_: Gap) -> None:
        bench.all.offsets.forget()
        vars(bench.all.app).update(change)
        if found:
            raise found

    monkeypatch.setattr(bench.all._gaps, "verify", rebalance)
    await bench.take(0, 1, 5)
    assert [held.incoming.origin.offset for held in bench.lane.held] == [0, 1]
    assert bench.all.offsets.positions() == {}


async def test_a_partition_taken_away_is_neither_committed_nor_watched(bench: Bench) -> None:
    """Aiokafka raises for a partition that is not assigned, and commits and gauges would end with it."""
    await bench.take(0)
    bench.settle(0)
    bench.consumer.ours = set()
    await bench.all._commit()
    assert bench.consumer.commits == []
    assert bench.all.lag() == {}


async def test_commits_that_end_stop_the_worker(bench: Bench) -> None:
    """Nothing would be committed any more, and nobody would know."""

    async def end() -> None:
        raise AssertionError("not assigned")

    object.__setattr__(
        bench.all, "_settings", Settings(kafka=KafkaSection(commit_interval_s=0.001))
    )
    task = asyncio.create_task(bench.all._regularly(end))
    task.add_done_callback(bench.all._ended)
    await asyncio.sleep(0.05)
    assert [str(error) for error in bench.failures] == ["not assigned"]


async def test_lag_and_its_start(bench: Bench) -> None:
    """Prometheus would show no lag while events pile up, or one of a partition never read."""
    bench.consumer._committed_offset[P] = 4
    assert bench.all.lag() == {}
    await bench.take(4, 5)
    assert bench.all.lag() == {P: 6}
    bench.settle(0, 1)
    assert bench.all.lag() == {P: 4}


async def test_the_backlog_is_one_topics(bench: Bench) -> None:
    """Cases would be shed because alerts wait, or never because only one partition is counted."""
    for partition in (P, Partition(INPUT, 1), Partition("other", 0)):
        bench.consumer.ours.add(partition)
        await bench.all._take(
            message(0, topic=partition.topic, partition=partition.partition), bench.lane
        )
    assert bench.all.backlog(INPUT) == 20
    assert bench.all.backlog("other") == 10
    assert bench.all.backlog("not read") == 0
    bench.settle(0)
    assert bench.all.backlog(INPUT) == 19


async def test_whoever_waits_for_an_assignment_is_called(bench: Bench) -> None:
    """What was remembered of partitions would outlive them."""
    told: list[str] = []
    bench.all.when_assigned(lambda: told.append("first"))
    bench.all.when_assigned(lambda: told.append("second"))
    await bench.all._on_revoked()
    assert told == []
    await bench.all._on_assigned()
    await bench.all._on_assigned()
    assert told == ["first", "second"] * 2


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [(None, []), ({}, []), ({"a": b"1"}, [("a", b"1")]), ([("a", None)], [("a", None)])],
)
async def test_headers_of_every_shape_are_read(
    bench: Bench, headers: Any, wanted: list[Any]
) -> None:
    """CloudEvents in binary mode would not be recognised, or a record without headers would stop the worker."""
    await bench.all._take(message(0, headers=headers), bench.lane)
    assert list(bench.lane.held[0].incoming.headers) == wanted


@pytest.mark.parametrize("stamp", [None, -1, 0, 1e18, float("nan")])
async def test_an_impossible_timestamp_is_now(bench: Bench, stamp: float | None) -> None:
    """One record of the year 33658 would stop the worker, or ruin every latency figure."""
    await bench.all._take(message(0, timestamp=stamp), bench.lane)
    assert abs(bench.lane.held[0].incoming.received_at_s - time.time()) < 5


async def test_a_possible_timestamp_is_kept(bench: Bench) -> None:
    """Latency would be measured from the read, and hide what waited in the topic."""
    stamp = time.time() - 100
    await bench.all._take(message(0, timestamp=stamp), bench.lane)
    assert bench.lane.held[0].incoming.received_at_s == stamp


async def test_an_error_in_the_agent_stops_the_worker() -> None:
    """Faust would restart the agent behind the record that failed."""
    bench = Bench()
    agents: list[Any] = []
    bench.all.app = SimpleNamespace(
        consumer=bench.consumer, topic=lambda *_, **__: None, agent=lambda *_, **__: agents.append
    )
    bench.all.route(INPUT, bench.lane)

    class Stream:
        def noack(self) -> "Stream":
            return self

        async def events(self) -> Any:
            yield SimpleNamespace(message=object())

    running = asyncio.create_task(agents[0](Stream()))
    await asyncio.sleep(0.01)
    assert [type(error) for error in bench.failures] == [AttributeError]
    assert not running.done()
    running.cancel()
