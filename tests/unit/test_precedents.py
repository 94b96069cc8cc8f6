"""Precedents: which settled events are quoted beside a new one, and what their texts contain."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from inference.arrays import Vectors
from inference.retrieval.library import Library
from inference.retrieval.options import RetrievalOptions
from inference.retrieval.precedents import MAX_EXCERPT_CHARS, Precedents, describe_precedent
from inference.retrieval.settled import SettledCases
from schemas.errors import InvalidEvent
from schemas.event import Domain, Event, Origin
from schemas.triaged import Case, TriagedEvent
from tests.records import triaged

EAST = np.array([1.0, 0.0], np.float32)


def at(degrees: float) -> Vectors:
    """A vector of length one at an angle to `EAST`."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


def event(
    id_: str, tenant: str = "acme", text: str = "impossible travel of an administrator"
) -> Event:
    """An alert."""
    return Event(id=id_, kind="alert", text=text, tenant=tenant)


def verdict(id_: str, *, tenant: str = "acme", **changes: Any) -> TriagedEvent:
    """The final revision of the alert by a person."""
    return triaged(id_, tenant=tenant, **{"decided_by": "human", "revision": 1} | changes)


def settled(
    id_: str, *, tenant: str = "acme", text: str = "impossible travel", **changes: Any
) -> Case:
    """The alert and the final revision as one case."""
    return Case(event=event(id_, tenant, text), triaged=verdict(id_, tenant=tenant, **changes))


def escalated(id_: str, *, tenant: str = "acme") -> Case:
    """A case that still waits for a verdict."""
    return Case(event=event(id_, tenant), triaged=triaged(id_, tenant=tenant, status="provisional"))


def quoted(precedents: Precedents, tenant: str = "acme", id_: str = "new") -> list[str]:
    """The ids quoted beside an event whose vector is `EAST`."""
    similar = precedents.similar(event(id_, tenant), EAST)
    return [precedent.triaged.id for precedent in similar]


def test_only_similar_events_are_quoted_the_most_similar_first() -> None:
    """An event that is not similar would suggest the wrong label and cost tokens."""
    precedents = Precedents(RetrievalOptions(similar=2, min_similarity=0.7))
    for id_, degrees in (("far", 90), ("near", 30), ("nearest", 10), ("third", 40)):
        precedents.add(settled(id_), at(degrees))
    nearest, near = precedents.similar(event("new"), EAST)
    assert (nearest.triaged.id, near.triaged.id) == ("nearest", "near")
    assert near.similarity == pytest.approx(0.866025, abs=1e-6)
    assert near.event == event("near", text="impossible travel")
    without_similar = Precedents(RetrievalOptions())
    without_similar.add(settled("far"), at(90))
    assert quoted(without_similar) == []


def test_events_of_other_tenants_and_domains_are_not_quoted() -> None:
    """The event of one customer would be in the prompt of another customer."""
    precedents = Precedents(RetrievalOptions())
    precedents.add(settled("theirs", tenant="bmce"), EAST)
    ticket = Event(id="a-ticket", kind="ticket", text="impossible travel", tenant="acme")
    precedents.add(Case(event=ticket, triaged=verdict("a-ticket", domain="tickets")), EAST)
    assert quoted(precedents) == []
    assert quoted(precedents, "bmce") == ["theirs"]


def test_an_event_is_not_its_own_precedent() -> None:
    """The old verdict of a repeated event would seem to be independent evidence."""
    precedents = Precedents(RetrievalOptions())
    precedents.add(settled("e-1"), EAST)
    assert quoted(precedents, id_="e-1") == []


def test_equally_similar_events_come_in_the_order_of_their_ids() -> None:
    """The quotations in a prompt would depend on the order in which events were settled."""
    for ids in (["a", "b", "c"], ["c", "a", "b"]):
        precedents = Precedents(RetrievalOptions(similar=2))
        for id_ in ids:
            precedents.add(settled(id_), at(20))
        assert quoted(precedents) == ["a", "b"]


def test_a_later_verdict_replaces_the_earlier_one() -> None:
    """A label would still be quoted after a person has corrected it."""
    precedents = Precedents(RetrievalOptions())
    precedents.add(settled("e-1", queue="cloud"), EAST)
    precedents.add(settled("e-1", queue="identity"), EAST)
    similar = precedents.similar(event("new"), EAST)
    assert [precedent.triaged.queue for precedent in similar] == ["identity"]
    assert len(precedents) == 1


def test_the_oldest_event_of_a_tenant_is_forgotten() -> None:
    """The memory of a worker would grow until the worker is killed."""
    precedents = Precedents(RetrievalOptions(max_events_per_tenant=2))
    for id_ in ("first", "second", "third"):
        precedents.add(settled(id_), EAST)
    assert quoted(precedents) == ["second", "third"]


def test_the_least_recently_used_tenant_loses_its_events_first() -> None:
    """A new tenant would push out the events of tenants that are in use."""
    precedents = Precedents(RetrievalOptions(max_events=3))
    for id_, tenant in (("idle-1", "idle"), ("idle-2", "idle"), ("busy-1", "busy")):
        precedents.add(settled(id_, tenant=tenant), EAST)
    assert quoted(precedents, "busy") == ["busy-1"]
    precedents.add(settled("new-1", tenant="newcomer"), EAST)
    assert quoted(precedents, "idle") == ["idle-2"]
    for tenant in ("busy", "newcomer", "another", "yet another"):
        precedents.add(settled(f"{tenant}-2", tenant=tenant), EAST)
        assert len(precedents) == 3
    assert quoted(precedents, "idle") == []


@pytest.mark.parametrize("case_first", [True, False])
def test_a_case_and_its_verdict_are_joined_in_either_order(case_first: bool) -> None:
    """Both come from different topics: the first would be lost before the second comes."""
    join = SettledCases(RetrievalOptions())
    if case_first:
        joined = [join.remember(escalated("e-1")), join.settle(verdict("e-1"))]
    else:
        joined = [join.settle(verdict("e-1")), join.remember(escalated("e-1"))]
    assert joined == [None, Case(event=event("e-1"), triaged=verdict("e-1"))]


@pytest.mark.parametrize(
    "difference",
    [
        {"tenant": "bmce"},
        {"domain": "tickets"},
        {"id": "e-2"},
        {"origin": Origin(topic="t", offset=9)},
        {"source": "harmless"},
        {"input_digest": "0" * 64},
    ],
)
def test_a_verdict_settles_only_its_own_event(difference: dict[str, Any]) -> None:
    """Senders choose ids: a verdict would settle another event that has the same id."""
    join = SettledCases(RetrievalOptions())
    join.remember(escalated("e-1"))
    assert join.settle(msgspec.structs.replace(verdict("e-1"), **difference)) is None


def test_a_case_of_two_events_is_not_kept() -> None:
    """The text of one event would be quoted under the policy of another."""
    forged = Case(event=event("e-1"), triaged=triaged("e-1", tenant="acme", source="harmless"))
    with pytest.raises(InvalidEvent, match="differ in source"):
        SettledCases(RetrievalOptions()).remember(forged)


@pytest.mark.parametrize(
    "unsettled",
    [
        {"status": "needs_review"},
        {"decided_by": "slm"},
        {"decided_by": "llm"},
        {"decided_by": "rule"},
    ],
)
def test_only_final_verdicts_by_those_in_settled_by_settle(unsettled: dict[str, Any]) -> None:
    """A model that is shown its own answers would become sure of its mistakes."""
    join = SettledCases(RetrievalOptions())
    join.remember(escalated("e-1"))
    assert join.settle(verdict("e-1", **unsettled)) is None


def test_the_verdict_of_a_person_is_not_replaced_by_the_llm() -> None:
    """A later or repeated revision of the LLM would replace the verdict of a person."""
    join = SettledCases(RetrievalOptions(settled_by=["human", "llm"]))
    join.remember(escalated("e-1"))
    assert join.settle(verdict("e-1", decided_by="llm", revision=1)) is not None
    assert join.settle(verdict("e-1", revision=2)) is not None
    assert join.settle(verdict("e-1", decided_by="llm", revision=3)) is None
    assert join.settle(verdict("e-1", revision=1)) is None, "an earlier revision that is read again"
    corrected = join.settle(verdict("e-1", revision=3, queue="identity"))
    assert corrected is not None
    assert corrected.triaged.queue == "identity"


async def test_only_settled_events_are_embedded() -> None:
    """At every start, the embedding of weeks of cases would occupy the worker's cores."""
    embedded: list[str] = []

    async def embed(_: Domain, events: Sequence[Event]) -> Vectors:
        embedded.extend(event.id for event in events)
        return np.array([EAST for _ in events])

    library = Library.open(RetrievalOptions(), embed)
    for record in (escalated("e-1"), escalated("e-2"), verdict("e-2"), verdict("e-3")):
        await library.see(record)
    assert embedded == ["e-2"]
    (precedent,) = await library.precedents(event("new"))
    assert precedent.event == event("e-2")
    assert library.passages(event("new")) == []


def test_waiting_records_are_limited() -> None:
    """Cases that nobody settles would fill the memory, or a single large one would."""
    join = SettledCases(RetrievalOptions(max_waiting=2))
    for id_ in ("first", "second", "third"):
        join.remember(escalated(id_))
    assert join.settle(verdict("first")) is None
    assert join.settle(verdict("third")) is not None
    small = SettledCases(RetrievalOptions(max_record_bytes=100))
    assert small.remember(escalated("e-1")) is None
    assert small.settle(verdict("e-1")) is None


def test_a_described_precedent_has_the_verdict_and_a_short_excerpt() -> None:
    """The LLM would not see who decided, or a long text would displace the event itself."""
    precedents = Precedents(RetrievalOptions())
    precedents.add(settled("e-1", text="impossible\x07 travel " * 100, queue="identity"), EAST)
    (precedent,) = precedents.similar(event("new"), EAST)
    verdict_line, excerpt = describe_precedent(precedent).split("\n", 1)
    assert verdict_line == "queue: cloud; sent to identity; decided by human"
    assert excerpt.startswith("impossible travel impossible")
    assert len(excerpt) <= MAX_EXCERPT_CHARS
    redacted = dataclasses.replace(precedent, event=event("e-1", text="[USER_1] travels"))
    assert describe_precedent(redacted).endswith("\n[USER_1] travels"), (
        "the redacted event of the caller is shown"
    )
