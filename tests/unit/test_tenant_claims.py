"""Tests of what an event may say about whose it is, where it comes from and what it is."""

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
import pytest

from agents.admission import Admission
from agents.outcomes import DeadLettered
from inference.egress.options import EgressOptions
from inference.egress.policy import Policy
from inference.llm.budget import Budget
from inference.llm.options import BudgetOptions
from inference.rules.options import ImpactOptions
from inference.rules.ruling import Rules
from schemas.errors import InvalidEvent
from schemas.event import Event, Headers, Kind, Origin
from schemas.formats import Mapping, read_event
from streams.config import InputSection, TopicsSection
from tests.records import decision, record, triaged
from tests.triage import classify
from tests.unit.test_classify_agent import SETS, Deciding
from tests.unit.test_folding import SPELLINGS

ORIGIN = Origin(topic="t", partition=0, offset=0)


def read(document: dict[str, Any], headers: Headers = (), **settings: Any) -> Event:
    """The event in a document."""
    value = orjson.dumps(document)
    return read_event(value, headers=headers, origin=ORIGIN, kind="alert", **settings)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("field", ["tenant", "source"])
def test_a_policy_holds_for_every_spelling(field: str, name: str) -> None:
    """Otherwise an event that must stay inside would leave, because its sender wrote ACME."""
    for spelled, configured in ((name, "acme"), ("acme", name)):
        rules = [{"policy": "never", f"{field}s": [configured]}]
        policy = Policy(msgspec.convert({"default": "full", "rules": rules}, EgressOptions))
        changes: dict[str, Any] = {field: spelled}
        assert policy.decision(triaged(**changes)).policy == "never"


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_budget_holds_for_every_spelling(name: str) -> None:
    """Otherwise a tenant would have as much money as it has spellings."""
    options = BudgetOptions(usd_per_day=10.0, usd_per_tenant_per_day=5.0, tenants={"Acme": 1.0})
    budget = Budget(options)
    assert budget.limit_usd(name) == 1.0
    reservation = budget.reserve("acme", 0.8)
    assert reservation is not None
    budget.settle(reservation, 0.8)
    assert budget.reserve(name, 0.8) is None
    assert budget.spent_usd(name) == 0.8


def test_two_spellings_in_the_configuration_have_the_smaller_budget() -> None:
    """Otherwise the order of two keys in a file would decide what may be spent."""
    budget = Budget(BudgetOptions(tenants={"ACME": 1.0, "acme": 0.5}))
    assert budget.limit_usd("acme") == 0.5


ECS = {"@timestamp": "2026-01-01T00:00:00Z", "ecs": {"version": "8"}, "message": "x"}
NESTED: dict[str, dict[str, Any]] = {
    "ecs": {**ECS, "organization": {"id": "nested"}},
    "ocsf": {"class_uid": 2004, "message": "x", "metadata": {"tenant_uid": "nested"}},
    "vendor": {"anything": "x", "event": {"tenant": "nested"}},
}


@pytest.mark.parametrize("name", NESTED)
def test_an_explicit_tenant_stands_before_a_nested_one(name: str) -> None:
    """Otherwise the fields of a vendor's document would say whose event it is."""
    document = NESTED[name]
    assert read({**document, "tenant": "acme"}).tenant == "acme"
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_tenant", b"outer")]
    assert read({**document, "tenant": "acme"}, headers).tenant == "outer"
    wrapped = {"specversion": "1.0", "type": "t", "tenant": "outer", "data": document}
    assert read(wrapped).tenant == "outer"
    for odd in ({"id": 7}, 7, "", " ", "x" * 1_000, ["acme", "other"], None):
        expected = "default" if name == "vendor" else "nested"
        assert read({**document, "tenant": odd}).tenant == expected


def test_a_mapping_says_where_the_tenant_is() -> None:
    """Otherwise a field of the name tenant would override the configuration."""
    mapping = Mapping(name="m", when={"rule": True}, fields={"tenant": "customer.name"})
    document = {"rule": "x", "tenant": "a7", "customer": {"name": "acme"}}
    assert read(document, mappings=[mapping]).tenant == "acme"
    other = Mapping(name="m", when={"rule": True}, fields={"title": "rule"})
    assert read(document, mappings=[other]).tenant == "a7"


def alert(**fields: Any) -> Event:
    """An alert with these fields."""
    return Event(**{"id": "a-1", "kind": "alert", "text": "x"} | fields)


def test_the_tenant_of_the_topic_stands_before_that_of_the_event() -> None:
    """Otherwise a sender could write into another tenant."""
    admitted = Admission(tenant="acme").admit(alert(tenant="bank", attributes={"tenant": "x"}))
    assert admitted.tenant == "acme"
    assert admitted.attributes == {"tenant": "x", "document.tenant": "bank"}, "nothing is lost"
    same = alert(tenant="acme")
    assert Admission(tenant="acme").admit(same) is same
    assert Admission().admit(same) is same


@pytest.mark.parametrize(
    ("admission", "taken"),
    [
        (Admission(kinds=["ticket"]), False),
        (Admission(kinds=["ticket", "alert"]), True),
        (Admission(sources=["Falcon"]), True),
        (Admission(sources=["okta"]), False),
    ],
)
def test_kinds_and_sources_of_a_topic(admission: Admission, taken: bool) -> None:
    """Otherwise a sender of tickets could send alerts, or speak as another product."""
    event = alert(source="FALCON ")
    if taken:
        assert admission.admit(event) is event
    else:
        with pytest.raises(InvalidEvent, match="send it to another topic"):
            admission.admit(event)
    with pytest.raises(InvalidEvent):
        Admission(sources=["okta"]).admit(alert())


async def test_what_a_topic_does_not_take_is_a_dead_letter() -> None:
    """Otherwise the configuration of the topic would have no effect."""
    batch = [
        record({"id": f"a-{row}", "kind": kind, "text": "x", "tenant": "bank"}, offset=row)
        for row, kind in enumerate(["alert", "ticket"])
    ]
    classifier: Any = Deciding()
    taken, refused = await classify(
        batch,
        kind="alert",
        classifier=classifier,
        rules=Rules.of([], ImpactOptions(), SETS),
        admission=Admission(tenant="acme", kinds=["alert"]),
    )
    assert decision(taken).tenant == "acme"
    assert isinstance(refused, DeadLettered)
    assert (refused.stage, refused.disposition) == ("validate", "poison")
    assert "takes no ticket" in refused.message


def topics(alerts: dict[str, Any], tickets: dict[str, Any]) -> TopicsSection:
    """The section of topics with these inputs."""
    return TopicsSection(
        inputs={
            "alerts": msgspec.convert(alerts, InputSection),
            "tickets": msgspec.convert(tickets, InputSection),
        }
    )


ALERT: Sequence[Kind] = ["alert"]
TICKET: Sequence[Kind] = ["ticket"]


@pytest.mark.parametrize(
    ("alerts", "tickets", "claimed"),
    [
        ({}, {}, ["alerts", "tickets"]),
        ({"tenant": "acme"}, {}, ["alerts", "tickets"]),
        ({"tenant": "acme"}, {"kinds": TICKET}, ["tickets"]),
        ({"tenant": "acme"}, {"tenant": "bank"}, []),
        ({"tenant": "acme", "kinds": ALERT}, {"tenant": "acme"}, []),
        ({"kinds": ALERT}, {"tenant": "acme"}, ["alerts"]),
    ],
)
def test_where_a_tenant_is_only_claimed(
    alerts: dict[str, Any], tickets: dict[str, Any], claimed: list[str]
) -> None:
    """Otherwise an open topic would count as proof of whose an event is."""
    assert topics(alerts, tickets).claimed == claimed
    assert TopicsSection().claimed == ["alerts", "tickets"]


def test_a_flood_in_the_name_of_a_tenant_does_not_spend_its_budget() -> None:
    """Otherwise anybody who may write to a topic could switch the LLM off for a tenant."""
    options = BudgetOptions(
        usd_per_day=10.0, usd_per_tenant_per_day=2.0, usd_unverified_per_day=0.5
    )
    budget = Budget(options, claimed=["tickets"])
    names = ["acme", "ACME", *(f"t{n}" for n in range(50))]
    flood = [budget.reserve(name, 0.1, "tickets") for name in names]
    assert sum(reservation is not None for reservation in flood) == 5, "they share one account"
    assert budget.spent_usd("acme") == 0
    assert budget.reserve("acme", 2.0, "alerts") is not None


def test_the_spending_of_other_workers_is_counted_in_the_same_account() -> None:
    """Otherwise every worker would have an unverified part of its own."""
    options = BudgetOptions(usd_unverified_per_day=0.5)
    budget = Budget(options, claimed=["tickets"], clock=lambda: 1_000.0)
    budget.note("acme", 0.5, 1_000.0, "tickets")
    assert budget.reserve("bank", 0.1, "tickets") is None
    assert budget.reserve("acme", 0.1, "alerts") is not None
    assert budget.spent_usd("acme") == 0


def test_without_an_unverified_part_senders_are_believed() -> None:
    """Otherwise an upgrade would stop the LLM for everybody."""
    budget = Budget(BudgetOptions(tenants={"acme": 1.0}), claimed=["alerts", "tickets"])
    assert budget.reserve("acme", 1.0, "tickets") is not None
    assert budget.reserve("acme", 0.1, "tickets") is None
