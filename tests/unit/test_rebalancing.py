"""What a rebalance does to a member that reads, over aiokafka's consumer in memory."""

import asyncio

import msgspec
import pytest

from streams.config import KafkaSection
from streams.kafka.commit_note import CommitNote
from streams.kafka.member import Committed, GroupMember
from streams.kafka.offsets import Partition
from tests.kafka_group import Cluster, Consumer
from tests.patience import until

P, Q, R = (Partition("t", number) for number in range(3))


class Bench:
    """A member, and what it was told. It commits what it is told to give up."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.told: list[tuple[str, set[Partition]]] = []
        self.taken: list[bool] = []
        self.commits = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.member = GroupMember(
            KafkaSection(), {"t"}, on_assigned=self._on_assigned, on_revoked=self._on_revoked
        )

    async def _on_assigned(self, partitions: set[Partition]) -> None:
        self.told.append(("assigned", partitions))

    async def _on_revoked(self, partitions: set[Partition]) -> None:
        self.told.append(("revoked", partitions))
        await self.gate.wait()
        if partitions and self.commits:
            commits = {each: Committed(7, CommitNote()) for each in partitions}
            self.taken.append(await self.member.commit(commits))

    @property
    def consumer(self) -> Consumer:
        """The consumer that this member opened."""
        return self.cluster.member

    async def settle(self) -> None:
        """Wait until what is given up was given up."""
        await until(lambda: self.member._rebalancing._giving_up is not None)
        giving_up = self.member._rebalancing._giving_up
        assert giving_up is not None
        await giving_up


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A member that reads two partitions, at the offsets 1 and 0."""
    cluster = Cluster(P, Q, R)
    cluster.install(monkeypatch)
    bench = Bench(cluster)
    await bench.member.start()
    bench.consumer._coordinator.generation = 1
    await bench.consumer.rebalance(P, Q)
    for partition in (P, Q):
        bench.member.seek(partition, 0)
        cluster.logs[partition].fill(3)
    await bench.member.read(P, wait=False)
    bench.told.clear()
    return bench


async def offsets(bench: Bench, partition: Partition) -> list[int]:
    """The offsets of what is read next."""
    found = []
    while (record := await bench.member.read(partition, wait=False)) is not None:
        found.append(record.offset)
    return found


async def test_partitions_that_stay_are_read_on(bench: Bench) -> None:
    """A new worker would stop the partitions of all others, and make them read again."""
    await bench.consumer.rebalance(P, Q)
    assert bench.told == []
    assert bench.consumer.reads_while_joining
    assert (await offsets(bench, P), await offsets(bench, Q)) == ([1, 2], [0, 1, 2])


async def test_a_member_says_what_it_goes_on_reading(bench: Bench) -> None:
    """The leader would give its partitions to somebody else meanwhile."""
    await bench.consumer.rebalance(P, Q)
    assert msgspec.json.decode(bench.consumer.said.user_data) == {"reads": {"t": [0, 1]}}


async def test_what_is_gained_is_told_alone(bench: Bench) -> None:
    """When a worker ends, the partitions of those who take over would stand still."""
    await bench.consumer.rebalance(P, Q, R)
    assert bench.told == [("assigned", {R})]
    assert await offsets(bench, P) == [1, 2]


async def test_what_is_lost_is_committed_before_another_member_may_have_it(bench: Bench) -> None:
    """The next worker would triage again what this one has triaged."""
    await bench.consumer.rebalance(Q)
    await bench.settle()
    assert bench.told == [("revoked", {P, Q}), ("assigned", {Q})]
    assert bench.taken == [True]
    assert bench.cluster.commits[P].offset == bench.cluster.commits[Q].offset == 7
    assert bench.consumer._coordinator.rejoins == 1
    await bench.consumer.rebalance(Q)
    assert msgspec.json.decode(bench.consumer.said.user_data) == {"reads": {"t": [1]}}


async def test_the_next_rebalance_waits_until_all_was_given_up(bench: Bench) -> None:
    """The member would claim what it gives up, and the partition would never move."""
    bench.gate.clear()
    await bench.consumer.rebalance(Q)
    following = asyncio.create_task(bench.consumer.rebalance(Q))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not following.done()
    bench.gate.set()
    await following
    assert msgspec.json.decode(bench.consumer.said.user_data) == {"reads": {"t": [1]}}


async def test_a_leader_of_a_former_version_takes_partitions_at_once(bench: Bench) -> None:
    """Its commit would come after that of the next worker, and set the group back."""
    await bench.consumer.rebalance(Q, claims_respected=False)
    await bench.settle()
    assert bench.told == [("revoked", {P, Q}), ("assigned", {Q})]
    assert P not in bench.cluster.commits
    assert bench.cluster.commits[Q].offset == 7
    assert bench.consumer._coordinator.rejoins == 0


async def test_under_such_a_leader_everything_is_given_up_before_the_next_rebalance(
    bench: Bench,
) -> None:
    """It would give to another worker what this one still reads."""
    await bench.consumer.rebalance(P, Q, claims_respected=False)
    bench.told.clear()
    await bench.consumer.rebalance(P, Q)
    assert bench.told == [("revoked", {P, Q}), ("assigned", {P, Q})]
    assert msgspec.json.decode(bench.consumer.said.user_data) == {"reads": {}}


async def test_a_member_that_the_group_has_forgotten_claims_nothing(bench: Bench) -> None:
    """After a long pause it would hold partitions that others have read on."""
    bench.consumer._coordinator.generation = -1
    await bench.consumer.rebalance(P, Q)
    assert bench.told == [("revoked", {P, Q}), ("assigned", {P, Q})]
    assert not bench.consumer.reads_while_joining


async def test_a_member_that_is_forgotten_while_it_joins_starts_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would commit where it was, after another worker was further."""
    assignor = bench.consumer.options["partition_assignment_strategy"][0]
    metadata = assignor.metadata

    def forgotten(topics: list[str]) -> object:
        bench.consumer._coordinator.generation = -1
        return metadata(topics)

    monkeypatch.setattr(assignor, "metadata", forgotten)
    await bench.consumer.rebalance(P, Q)
    await bench.settle()
    assert bench.told == [("revoked", {P, Q}), ("assigned", {P, Q})]
    assert bench.cluster.commits == {}


async def test_a_stop_does_not_wait_for_what_is_given_up(bench: Bench) -> None:
    """A worker that is told to stop during a rebalance would hang."""
    bench.gate.clear()
    await bench.consumer.rebalance(Q)
    await asyncio.wait_for(bench.member.stop(), 5)
    assert bench.consumer.calls[-1] == "stop"


async def test_a_rebalance_that_ends_after_the_stop_is_told_to_nobody(bench: Bench) -> None:
    """A worker that drains would begin to read, and end with an error."""
    consumer = bench.consumer
    await bench.member.stop()
    await consumer.rebalance(P, Q, R)
    assert bench.told == []
