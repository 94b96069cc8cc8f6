"""How partitions are shared out and moved, in groups whose members come and go."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.assignment import StickyAssignor
from streams.kafka.offsets import Partition

MAX_ROUNDS = 3
"""What moves is given up in the first round and taken in the second. A third may follow."""
TOPICS = ("alerts", "enrichment", "tickets")
COUNTS = st.fixed_dictionaries({topic: st.integers(1, 16) for topic in TOPICS})
CHANGES = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sets(st.sampled_from(TOPICS))), min_size=1, max_size=12
)
"""Members that join with these topics, or leave if there are none."""


class Metadata:
    """The part of aiokafka's view of the cluster that assignors use."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts

    def partitions_for_topic(self, topic: str) -> set[int]:
        """The numbers of the partitions of a topic."""
        return set(range(self.counts[topic]))


class Member:
    """A member that reads what it was given, and gives the rest up."""

    def __init__(self, topics: Collection[str]) -> None:
        self.topics = topics
        self.reads: set[Partition] = set()
        self.gained: set[Partition] = set()
        self.lost: set[Partition] = set()
        self.respected = False
        self.assignor = StickyAssignor(lambda: self.reads, self._take)

    def _take(self, partitions: set[Partition], /, *, claims_respected: bool) -> None:
        self.lost, self.gained = self.reads - partitions, partitions - self.reads
        self.reads, self.respected = partitions, claims_respected


class Group:
    """Members of a group; the first one leads it."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts
        self.members: dict[str, Member] = {}
        self.moves = 0

    def change(self, name: str, topics: Collection[str]) -> None:
        """Let a member come or go."""
        self.members.pop(name, None)
        if topics:
            self.members[name] = Member(topics)

    def rebalance(self, leader: Any = None) -> None:
        """One round, in which nobody gets what another member reads."""
        said = {
            name: ConsumerProtocolMemberMetadata.decode(
                member.assignor.metadata(member.topics).encode()
            )
            for name, member in self.members.items()
        }
        before = {name: member.reads for name, member in self.members.items()}
        leader = leader or next(iter(self.members.values())).assignor
        cluster: Any = Metadata(self.counts)
        for name, assignment in leader.assign(cluster, said).items():
            self.members[name].assignor.on_assignment(assignment)
        for name, member in self.members.items():
            if member.respected:
                others = (reads for other, reads in before.items() if other != name)
                assert not member.reads & set().union(*others)
            self.moves += len(member.gained)

    def settle(self) -> None:
        """Rebalance until nobody has to join again."""
        for _ in range(MAX_ROUNDS):
            self.rebalance()
            if not any(member.lost for member in self.members.values()):
                return
        raise AssertionError(f"partitions still move after {MAX_ROUNDS} rounds")

    def check(self) -> None:
        """Every partition has one reader, if anybody reads its topic, and the shares are even."""
        readers = Counter(each for member in self.members.values() for each in member.reads)
        assert set(readers.values()) <= {1}
        for topic, count in self.counts.items():
            shares = [
                sum(each.topic == topic for each in member.reads)
                for member in self.members.values()
                if topic in member.topics
            ]
            assert sum(shares) == (count if shares else 0)
            assert not shares or max(shares) - min(shares) <= 1


def group_of(count: int, *names: str) -> Group:
    """A settled group over `count` partitions of two topics."""
    group = Group({"alerts": count, "tickets": count})
    for name in names:
        group.change(name, ("alerts", "tickets"))
    if names:
        group.settle()
    group.moves = 0
    return group


@given(counts=COUNTS, changes=CHANGES)
def test_every_partition_has_one_reader_after_every_change(
    counts: dict[str, int], changes: list[tuple[str, set[str]]]
) -> None:
    """Events would be read twice, or never, or the group would rebalance for ever."""
    group = Group(counts)
    for name, topics in changes:
        group.change(name, topics)
        if group.members:
            group.settle()
            group.check()


@given(counts=COUNTS, changes=CHANGES)
def test_a_group_that_does_not_change_moves_nothing(
    counts: dict[str, int], changes: list[tuple[str, set[str]]]
) -> None:
    """Every rebalance, for instance after a new leader of the group, would stop partitions."""
    group = Group(counts)
    for name, topics in changes:
        group.change(name, topics)
    if group.members:
        group.settle()
        group.moves = 0
        group.rebalance()
        assert group.moves == 0


def test_only_what_has_to_move_moves() -> None:
    """With 1, 2, 4, 2 and 1 workers, partitions that could stay would stand still."""
    group = group_of(16, "a")
    for change, moves in ((("b",), 16), (("c", "d"), 16)):
        for name in change:
            group.change(name, ("alerts", "tickets"))
        group.moves = 0
        group.settle()
        group.check()
        assert group.moves == moves
    for change, moves in ((("b", "d"), 16), (("c",), 16)):
        for name in change:
            group.change(name, ())
        group.moves = 0
        group.settle()
        group.check()
        assert group.moves == moves


def test_topics_are_even_and_the_rest_goes_to_who_has_less() -> None:
    """One worker would read all alerts, and another one only cases."""
    group = Group({"alerts": 3, "enrichment": 3, "tickets": 3})
    for name in "ab":
        group.change(name, TOPICS)
    group.settle()
    group.check()
    assert sorted(len(member.reads) for member in group.members.values()) == [4, 5]


def test_workers_of_before_can_lead_the_group() -> None:
    """An update would need all workers to stop at once."""
    group = group_of(8, "a", "b")
    group.rebalance(RoundRobinPartitionAssignor)
    group.check()
    assert not any(member.respected for member in group.members.values())


def test_workers_of_before_can_be_in_the_group() -> None:
    """Their metadata has no user data; a leader of our kind would fail, and the group with it."""
    group = group_of(8, "a")
    member = group.members["a"]
    old = RoundRobinPartitionAssignor.metadata({"alerts", "tickets"})
    cluster: Any = Metadata(group.counts)
    said = {"a": member.assignor.metadata(member.topics), "old": old}
    first = member.assignor.assign(cluster, said)
    assert first["old"].partitions() == [], "the other worker still reads them"
    assert len(first["a"].partitions()) == 8
    member.assignor.on_assignment(first["a"])
    second = member.assignor.assign(cluster, said | {"a": member.assignor.metadata(member.topics)})
    assert len(second["old"].partitions()) == 8


def test_metadata_that_cannot_be_read_claims_nothing() -> None:
    """One member that sends garbage would stop the whole group."""
    group = group_of(4, "a")
    member = group.members["a"]
    cluster: Any = Metadata(group.counts)
    for garbage in (b"\xff", b"[]", b'{"reads": 3}', b'{"reads": {"alerts": ["x"]}}', None):
        other = ConsumerProtocolMemberMetadata(0, ["alerts"], garbage)
        said = {"a": member.assignor.metadata(member.topics), "b": other}
        assert set(member.assignor.assign(cluster, said)) == {"a", "b"}


def test_a_partition_that_two_members_claim_is_given_to_none_of_them() -> None:
    """Both would go on reading it."""
    group = group_of(4, "a", "b")
    group.members["b"].reads |= group.members["a"].reads
    contested = set(group.members["a"].reads)
    group.rebalance()
    for member in group.members.values():
        assert not member.reads & contested
    group.settle()
    group.check()
