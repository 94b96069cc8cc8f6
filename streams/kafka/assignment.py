"""Which member of the group reads which partition: evenly, and with as few moves as possible.

aiokafka stops every partition of the group in each rebalance, because it has no cooperative
rebalancing. Here a partition stays with the member that reads it, and moves in two steps: its
reader gives it up and commits, and only then another member gets it (KIP-429 describes the same).

The name of the protocol is still that of the workers before: a group has one protocol, and
aiokafka cannot offer two. So workers of both kinds can share a group. What is new travels in the
user data of the protocol, which the former workers neither write nor read.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import msgspec
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

from streams.kafka.offsets import Partition

VERSION = 0
"""Of the protocol of consumers, as aiokafka's assignors write it."""

Shares = dict[str, set[Partition]]
"""The partitions of each member."""


class _Claim(msgspec.Struct, forbid_unknown_fields=False):
    """What a member says when it joins: what it reads and goes on reading meanwhile, by topic."""

    reads: dict[str, list[int]] = {}


class _Terms(msgspec.Struct, forbid_unknown_fields=False):
    """What the leader says with an assignment: whether claims were respected."""

    claims_respected: bool = False


class OnAssignment(Protocol):
    """Takes what this member was given, and whether the leader has respected claims."""

    def __call__(self, partitions: set[Partition], /, *, claims_respected: bool) -> None:
        """Take it, before anything can be read."""


class StickyAssignor(AbstractPartitionAssignor):  # type: ignore[misc] # aiokafka has no types
    """Assigns for the group if this member leads it, and says what this member reads.

    aiokafka calls these methods of the object as it would those of a class. `claimed` gives what
    this member reads while it joins. `on_assigned` is called with each assignment.
    """

    name = "roundrobin"

    def __init__(
        self,
        claimed: Callable[[], Collection[Partition]],
        on_assigned: OnAssignment,
    ) -> None:
        self._claimed = claimed
        self._on_assigned = on_assigned

    def metadata(self, topics: Collection[str]) -> ConsumerProtocolMemberMetadata:
        """What this member says when it joins."""
        claim = _Claim(dict(_by_topic(self._claimed())))
        return ConsumerProtocolMemberMetadata(VERSION, sorted(topics), msgspec.json.encode(claim))

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """The assignment of every member; a partition that has to move first is not in any."""
        topics = {member: set(said.subscription) for member, said in members.items()}
        counts = {
            topic: len(cluster.partitions_for_topic(topic) or ())
            for topic in set().union(*topics.values())
        }
        claims = {member: _claim_of(said.user_data) for member, said in members.items()}
        shares = without_moving(balanced(counts, topics, claims), claims)
        terms = msgspec.json.encode(_Terms(claims_respected=True))
        return {
            member: ConsumerProtocolMemberAssignment(VERSION, _by_topic(share), terms)
            for member, share in shares.items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Pass on what this member was given."""
        partitions = {Partition(*partition) for partition in assignment.partitions()}
        terms = _terms_of(assignment.user_data)
        self._on_assigned(partitions, claims_respected=terms.claims_respected)


def balanced(
    counts: Mapping[str, int],
    topics: Mapping[str, Collection[str]],
    claims: Mapping[str, Collection[Partition]],
) -> Shares:
    """Share out all partitions, each topic evenly among those who read it.

    Args:
        counts: How many partitions each topic has.
        topics: The topics of each member.
        claims: What each member reads now.

    Returns:
        The partitions of each member. Of each topic, two members that read it have numbers that
        differ by at most one. Those with fewer partitions in all get the ones that are over, and a
        member keeps as many as it may.
    """
    shares: Shares = {member: set() for member in topics}
    for topic in sorted(counts):
        readers = [member for member in sorted(topics) if topic in topics[member]]
        if not readers:
            continue
        held = {member: _held(topic, counts[topic], claims[member]) for member in readers}
        least, over = divmod(counts[topic], len(readers))

        def turn(
            member: str, held: Mapping[str, list[Partition]] = held, least: int = least
        ) -> tuple[int, bool, str]:
            return len(shares[member]), len(held[member]) <= least, member

        quotas = dict.fromkeys(readers, least)
        for member in sorted(readers, key=turn)[:over]:
            quotas[member] += 1
        taken: set[Partition] = set()
        kept: Shares = {}
        for member in readers:
            kept[member] = set(
                [each for each in held[member] if each not in taken][: quotas[member]]
            )
            taken |= kept[member]
        every = (Partition(topic, number) for number in range(counts[topic]))
        free = iter([each for each in every if each not in taken])
        for member in readers:
            missing = quotas[member] - len(kept[member])
            shares[member] |= kept[member] | {next(free) for _ in range(missing)}
    return shares


def without_moving(shares: Shares, claims: Mapping[str, Collection[Partition]]) -> Shares:
    """The shares without the partitions that another member still reads.

    Its reader notices that it is to give them up, does so and joins again. Then nobody claims them.
    """
    readers: dict[Partition, set[str]] = defaultdict(set)
    for member, claim in claims.items():
        for partition in claim:
            readers[partition].add(member)
    return {
        member: {each for each in share if not readers[each] - {member}}
        for member, share in shares.items()
    }


def _held(topic: str, count: int, claim: Collection[Partition]) -> list[Partition]:
    return sorted(each for each in claim if each.topic == topic and each.partition < count)


def _by_topic(partitions: Collection[Partition]) -> list[tuple[str, list[int]]]:
    numbers: dict[str, list[int]] = defaultdict(list)
    for partition in sorted(partitions):
        numbers[partition.topic].append(partition.partition)
    return list(numbers.items())


def _claim_of(user_data: bytes | None) -> set[Partition]:
    """What a member claims; a worker of a former version claims nothing."""
    try:
        claim = msgspec.json.decode(user_data or b"{}", type=_Claim)
    except msgspec.DecodeError:
        return set()
    return {
        Partition(topic, number) for topic, numbers in claim.reads.items() for number in numbers
    }


def _terms_of(user_data: bytes | None) -> _Terms:
    try:
        return msgspec.json.decode(user_data or b"{}", type=_Terms)
    except msgspec.DecodeError:
        return _Terms()
