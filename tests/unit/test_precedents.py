"""Precedents: which settled events are quoted beside a new one, whose they are, and what they say."""

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
from schemas.event import Domain, Event, Origin
from schemas.triaged import Case, TriagedEvent
from tests.records import triaged

EAST = np.array([1.0, 0.0], np.float32)


def at(degrees: float) -> Vectors:
    """A vector of length one whose cosine with `EAST` is that of the angle."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


def event(
    id_: str, tenant: str = "acme", text: str = "impossible travel of an administrator"
) -> Event:
    """One alert."""
    return Event(id=id_, kind="alert", text=text, tenant=tenant)


def verdict(id_: str, *, tenant: str = "acme", **changes: Any) -> TriagedEvent:
    """A person's final revision about it."""
    return triaged(id_, tenant=tenant, **{"decided_by": "human", "revision": 1} | changes)


def settled(
    id_: str, *, tenant: str = "acme", text: str = "impossible travel", **changes: Any
) -> Case:
    """The two together."""
    return Case(event=event(id_, tenant, text), triaged=verdict(id_, tenant=tenant, **changes))


def escalated(id_: str, *, tenant: str = "acme") -> Case:
    """A case as it waits for somebody."""
    return Case(event=event(id_, tenant), triaged=triaged(id_, tenant=tenant, status="provisional"))


def quoted(precedents: Precedents, tenant: str = "acme", id_: str = "new") -> list[str]:
    """The ids quoted beside an event whose vector is `EAST`."""
    return [one.triaged.id for one in precedents.similar(event(id_, tenant), EAST)]


def test_the_most_similar_come_first_and_the_unlike_not_at_all() -> None:
    """An unlike event quoted as a precedent argues for the wrong label, and costs tokens."""
    precedents = Precedents(RetrievalOptions(similar=2, min_similarity=0.7))
    for id_, degrees in (("far", 90), ("near", 30), ("nearest", 10), ("third", 40)):
        precedents.add(settled(id_), at(degrees))
    nearest, near = precedents.similar(event("new"), EAST)
    assert (nearest.triaged.id, near.triaged.id) == ("nearest", "near")
    assert near.similarity == pytest.approx(0.866025, abs=1e-6)
    assert near.event == event("near", text="impossible travel")
    only_unlike = Precedents(RetrievalOptions())
    only_unlike.add(settled("far"), at(90))
    assert quoted(only_unlike) == []


def test_never_another_tenant_s_or_domain_s() -> None:
    """One customer's event in another customer's prompt is a leak, however similar."""
    precedents = Precedents(RetrievalOptions())
    precedents.add(settled("theirs", tenant="bmce"), EAST)
    ticket = Event(id="a-ticket", kind="ticket", text="impossible travel", tenant="acme")
    precedents.add(Case(event=ticket, triaged=verdict("a-ticket", domain="tickets")), EAST)
    assert quoted(precedents) == []
    assert quoted(precedents, "bmce") == ["theirs"]


def test_an_event_is_no_precedent_of_itself() -> None:
    """An event that is sent again would be shown its own old verdict as independent evidence."""
    precedents = Precedents(RetrievalOptions())
    precedents.add(settled("e-1"), EAST)
    assert quoted(precedents, id_="e-1") == []


def test_equally_similar_come_in_order_of_id() -> None:
    """The same question must quote the same, whatever order its precedents were settled in."""
    for order in (["a", "b", "c"], ["c", "a", "b"]):
        precedents = Precedents(RetrievalOptions(similar=2))
        for id_ in order:
            precedents.add(settled(id_), at(20))
        assert quoted(precedents) == ["a", "b"]


def test_a_later_verdict_replaces_the_earlier() -> None:
    """A label that a person has corrected must not be quoted any more."""
    precedents = Precedents(RetrievalOptions())
    precedents.add(settled("e-1", queue="cloud"), EAST)
    precedents.add(settled("e-1", queue="identity"), EAST)
    assert [one.triaged.queue for one in precedents.similar(event("new"), EAST)] == ["identity"]
    assert len(precedents) == 1


def test_a_tenant_s_oldest_is_forgotten() -> None:
    """Without a bound the memory of a worker grows until it is killed."""
    precedents = Precedents(RetrievalOptions(max_events_per_tenant=2))
    for id_ in ("first", "second", "third"):
        precedents.add(settled(id_), EAST)
    assert quoted(precedents) == ["second", "third"]


def test_the_idlest_tenant_gives_way() -> None:
    """A million tenants must fit, and those that ask must keep what they have."""
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
def test_a_case_meets_its_verdict_in_either_order(case_first: bool) -> None:
    """The two travel on different topics: one that came first must wait for the other."""
    join = SettledCases(RetrievalOptions())
    found = [join.remember(escalated("e-1")), join.settle(verdict("e-1"))]
    if not case_first:
        join = SettledCases(RetrievalOptions())
        found = [join.settle(verdict("e-1")), join.remember(escalated("e-1"))]
    assert found == [None, Case(event=event("e-1"), triaged=verdict("e-1"))]


@pytest.mark.parametrize(
    "stranger",
    [
        {"tenant": "bmce"},
        {"domain": "tickets"},
        {"id": "e-2"},
        {"origin": Origin(topic="t", offset=9)},
    ],
)
def test_a_verdict_is_only_about_its_own_event(stranger: dict[str, Any]) -> None:
    """Ids are chosen by senders: one used by two tenants, or again for another text, must not bring a verdict along."""
    join = SettledCases(RetrievalOptions())
    join.remember(escalated("e-1"))
    assert join.settle(msgspec.structs.replace(verdict("e-1"), **stranger)) is None


@pytest.mark.parametrize(
    "unsettled",
    [
        {"status": "needs_review"},
        {"decided_by": "slm"},
        {"decided_by": "llm"},
        {"decided_by": "rule"},
    ],
)
def test_only_those_named_settle(unsettled: dict[str, Any]) -> None:
    """A model shown its own answers as precedents grows sure of its mistakes."""
    join = SettledCases(RetrievalOptions())
    join.remember(escalated("e-1"))
    assert join.settle(verdict("e-1", **unsettled)) is None


def test_a_person_s_verdict_outlives_the_model_s() -> None:
    """The LLM's later or repeated revision must not overwrite what a person said."""
    join = SettledCases(RetrievalOptions(settled_by=["human", "llm"]))
    join.remember(escalated("e-1"))
    assert join.settle(verdict("e-1", decided_by="llm", revision=1)) is not None
    assert join.settle(verdict("e-1", revision=2)) is not None
    assert join.settle(verdict("e-1", decided_by="llm", revision=3)) is None
    assert join.settle(verdict("e-1", revision=1)) is None, "an earlier one read again"
    corrected = join.settle(verdict("e-1", revision=3, queue="identity"))
    assert corrected is not None
    assert corrected.triaged.queue == "identity"


async def test_only_what_is_settled_is_embedded() -> None:
    """The library is refilled from weeks of cases at every start: embedding them all would take the worker's cores."""
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


def test_what_waits_is_bounded() -> None:
    """Most cases are never settled by a person: they must not be kept for ever, nor one as large as memory."""
    join = SettledCases(RetrievalOptions(max_waiting=2))
    for id_ in ("first", "second", "third"):
        join.remember(escalated(id_))
    assert join.settle(verdict("first")) is None
    assert join.settle(verdict("third")) is not None
    small = SettledCases(RetrievalOptions(max_record_bytes=100))
    assert small.remember(escalated("e-1")) is None
    assert small.settle(verdict("e-1")) is None


def test_a_precedent_says_what_was_decided_and_by_whom() -> None:
    """The LLM weighs a precedent by its verdict; a long text would crowd out the event itself."""
    precedents = Precedents(RetrievalOptions())
    precedents.add(settled("e-1", text="impossible\x07 travel " * 100, queue="identity"), EAST)
    (precedent,) = precedents.similar(event("new"), EAST)
    verdict_line, excerpt = describe_precedent(precedent).split("\n", 1)
    assert verdict_line == "queue: cloud; sent to identity; decided by human"
    assert excerpt.startswith("impossible travel impossible")
    assert len(excerpt) <= MAX_EXCERPT_CHARS
    redacted = dataclasses.replace(precedent, event=event("e-1", text="[USER_1] travels"))
    assert describe_precedent(redacted).endswith("\n[USER_1] travels"), (
        "what the caller has redacted is what is shown"
    )
