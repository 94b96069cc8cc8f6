"""The LLM tier as a worker wires it: what the configuration becomes, and what is wrong with one said at the start."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from agents.outcomes import Incoming, Reviewed, Triaged
from inference.egress.options import EgressOptions
from inference.llm.options import BreakerOptions, BudgetOptions, RetryOptions
from inference.retrieval.options import RetrievalOptions
from inference.rules.ruling import ImpactOptions, Rules
from schemas.event import Event
from schemas.triaged import Label
from streams import enrichment as module
from streams.app import build
from streams.audit.trail import AuditTrail
from streams.config import DomainSection, DomainsSection, KafkaSection, Settings
from streams.enrichment import REMEMBERED_S, EnrichmentAgent
from streams.errors import BrokerUnreachable, ConfigError
from streams.metrics import Metrics
from streams.topics import Topics
from streams.wiring.llm import open_tiers
from tests.doubles import FakeProducer
from tests.llm_server import LlmServer, body, error, ok
from tests.llm_tier import LABELS, NoModel, configured, end, endpoint, escalated, tier
from tests.records import decision, record

NOWHERE = "http://127.0.0.1:9/v1"
TOPICS = Topics("triage")


def alert(id_: str = "a-1", **fields: Any) -> Event:
    """An alert of a tenant."""
    return Event(
        **{"id": id_, "kind": "alert", "text": "a mass download", "tenant": "acme"} | fields
    )


def opened(settings: Settings) -> EnrichmentAgent:
    """The agent, asked nothing."""
    return EnrichmentAgent(settings, NoModel(), Rules.of([], ImpactOptions(), LABELS), lambda: 0)  # type: ignore[arg-type]


async def test_without_tiers_every_case_goes_to_review() -> None:
    """An installation without an LLM would leave its unsure events provisional for ever."""
    async with tier(Settings()) as enrichment:
        enrichment.start()
        (outcome,) = await end(enrichment, escalated(alert()))
        metrics = Metrics()
        enrichment.observe(metrics)
    assert isinstance(outcome, Reviewed)
    assert decision(outcome).enrichment is not None
    assert enrichment.cascade is None
    assert b"triage_llm_breaker_state{" not in metrics.render()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"egress": {"rules": [{"policy": "never", "labels": {"colour": ["red"]}}]}},
            "egress.rules: .*colour",
        ),
        (
            {"egress": {"rules": [{"policy": "never", "labels": {"queue": ["typo"]}}]}},
            "egress.rules: .*typo",
        ),
        ({"retrieval": {"runbooks": "/nowhere"}}, "retrieval.runbooks: .*/nowhere"),
    ],
)
async def test_what_cannot_work_is_said_at_the_start(changes: dict[str, Any], says: str) -> None:
    """A rule that protects nothing would be noticed when the event has left; runbooks when somebody misses them."""
    settings = msgspec.structs.replace(
        configured(endpoint(NOWHERE)),
        egress=msgspec.convert(changes.get("egress", {}), EgressOptions),
        retrieval=msgspec.convert(changes.get("retrieval", {}), RetrievalOptions),
    )
    with pytest.raises(ConfigError, match=says) as caught:
        opened(settings)
    assert "\n" not in str(caught.value)


async def test_an_egress_rule_may_be_about_labels_of_either_domain() -> None:
    """A rule about tickets would be refused because alerts have no such queue."""
    rules = [{"policy": "never", "labels": {"queue": ["top_up", "cloud"]}}]
    egress = msgspec.convert({"rules": rules}, EgressOptions)
    async with tier(
        msgspec.structs.replace(configured(endpoint(NOWHERE)), egress=egress)
    ) as enrichment:
        (outcome,) = await end(
            enrichment, escalated(alert(), queue=Label(value="cloud", confidence=0.9))
        )
    ended = decision(outcome).enrichment
    assert ended is not None
    assert ended.status == "kept_inside"


def test_a_missing_key_is_said_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call would be refused by the service, an event at a time."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"llm\.endpoints\.tier-0: .*NO_SUCH_KEY") as caught:
        open_tiers(configured(endpoint(NOWHERE, api_key_env="NO_SUCH_KEY")))
    assert "\n" not in str(caught.value)


def test_tiers_keep_their_order_and_prices(caplog: pytest.LogCaptureFixture) -> None:
    """The dear tier would be asked first, or at the cheap one's price; an assumed price must be said to be one."""
    found = open_tiers(
        configured(
            endpoint(NOWHERE, max_answer_tokens=7),
            endpoint(NOWHERE, prices=None, model="home-made"),
        )
    )
    assert [(one.name, one.max_answer_tokens) for one in found] == [("tier-0", 7), ("tier-1", 500)]
    assert [(one.price.input_usd_per_million, one.price.source) for one in found] == [
        (1.0, "configured"),
        (Settings().cost.llm_input_usd_per_million, "assumed"),
    ]
    assert "home-made" in caplog.text


async def test_retries_of_all_tiers_come_from_one_budget() -> None:
    """When everything fails each tier would add its own retries to the load."""
    retries = RetryOptions(
        attempts=5, wait_initial_s=0.001, wait_max_s=0.002, budget_share=0.0, budget_reserve=3
    )
    async with LlmServer(error(503)) as server:
        base = endpoint(server.base_url, response_mode="none")
        async with tier(configured(base, base, retries=retries)) as enrichment:
            await end(enrichment, escalated(alert()))
    assert len(server.requests) == 2 + 3


async def test_as_many_cases_at_once_as_the_endpoints_take() -> None:
    """One slow answer would hold up every case behind it, or the worker hold more cases than anybody answers."""
    settings = configured(endpoint(NOWHERE, concurrency=3), endpoint(NOWHERE, concurrency=2))
    pipeline = opened(settings).pipeline
    assert (pipeline.max_batch_events, pipeline.max_batch_wait_ms, pipeline.batches_in_flight) == (
        1,
        0,
        5,
    )
    assert pipeline.drain_timeout_s == settings.pipeline.drain_timeout_s


async def test_the_gauges_show_breaker_and_budget() -> None:
    """An endpoint that is left alone, or a day's money that is gone, would be seen when events pile up for people."""
    broken = body(
        {"error": {"code": 500}, "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}}
    )
    once = RetryOptions(attempts=1)
    async with LlmServer(broken) as server:
        settings = configured(
            endpoint(server.base_url, response_mode="none"),
            retries=once,
            breaker=BreakerOptions(failures=1),
            budget=BudgetOptions(usd_per_day=7.0),
        )
        async with tier(settings) as enrichment:
            metrics = Metrics()
            metrics.when_rendered(enrichment.observe)
            before = metrics.render().decode()
            await end(enrichment, escalated(alert()))
            after = metrics.render().decode()
    state = 'triage_llm_breaker_state{{endpoint="tier-0",state="{}"}} {}'
    assert state.format("closed", "1.0") in before
    assert state.format("closed", "0.0") in after
    assert state.format("open", "1.0") in after
    assert "triage_llm_spent_today_usd 1.0" in after
    assert "triage_llm_budget_usd 7.0" in after


async def test_the_configured_axes_decide() -> None:
    """An axis that need not be right would send events to a person, or one that must be right would not."""
    async with LlmServer(ok(severity="informational")) as server:
        low = Label(value="low", confidence=0.5, abstained=True)
        finals = []
        for deciding in (["queue"], ["queue", "severity"]):
            domains = DomainsSection(alerts=DomainSection(deciding=deciding))
            settings = msgspec.structs.replace(
                configured(endpoint(server.base_url)), domains=domains
            )
            async with tier(settings) as enrichment:
                (outcome,) = await end(enrichment, escalated(alert(), severity=low))
            finals.append(isinstance(outcome, Triaged))
    assert finals == [True, False]


class Followed:
    """Stands in for the topics a library is filled from."""

    def __init__(self, *records: Incoming, fails: Exception | None = None) -> None:
        self.records = records
        self.fails = fails
        self.names: Sequence[str] = ()
        self.from_s = 0.0
        self.read = asyncio.Event()
        self.let_go = False

    async def follow(
        self, _: KafkaSection, names: Sequence[str], from_s: float
    ) -> AsyncIterator[Incoming]:
        """Every record, then none until it is let go of."""
        self.names, self.from_s = names, from_s
        try:
            for one in self.records:
                yield one
            self.read.set()
            if self.fails:
                raise self.fails
            await asyncio.Event().wait()
        finally:
            self.let_go = True


def settled(event: Event) -> list[Incoming]:
    """A case and the verdict on it, and what else lies on those topics."""
    case = escalated(event)
    verdict = msgspec.structs.replace(case.triaged, status="final", decided_by="human", revision=2)
    return [
        record(b"\xff", topic=TOPICS.triaged("alerts")),
        record(verdict, topic=TOPICS.triaged("alerts")),
        record(None, topic=TOPICS.review),
        record(case, topic=TOPICS.review),
    ]


async def test_the_library_is_filled_from_the_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each restart nothing would be quoted until people have decided as much again."""
    followed = Followed(*settled(alert("a-0", text="yesterday's")))
    monkeypatch.setattr(module, "follow", followed.follow)
    async with LlmServer(ok()) as server, tier(configured(endpoint(server.base_url))) as enrichment:
        enrichment.start()
        await asyncio.wait_for(followed.read.wait(), 5)
        (outcome,) = await end(enrichment, escalated(alert()))
    ended = decision(outcome).enrichment
    assert ended is not None
    assert ended.quoted == ["a-0"]
    assert set(followed.names) == {
        TOPICS.triaged("alerts"),
        TOPICS.triaged("tickets"),
        TOPICS.enrichment,
        TOPICS.review,
    }
    assert followed.from_s == pytest.approx(time.time() - REMEMBERED_S, abs=60)
    await asyncio.sleep(0)
    assert followed.let_go


async def test_a_library_that_cannot_be_filled_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Quotations are a help; without them events must be answered all the same, and somebody must be told."""
    monkeypatch.setattr(module, "follow", Followed(fails=BrokerUnreachable("no broker")).follow)
    async with LlmServer(ok()) as server, tier(configured(endpoint(server.base_url))) as enrichment:
        with caplog.at_level(logging.WARNING):
            enrichment.start()
            await asyncio.sleep(0.01)
        (outcome,) = await end(enrichment, escalated(alert()))
    assert isinstance(outcome, Triaged)
    assert "trying again" in caplog.text


async def test_nothing_is_read_where_nothing_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A month of topics would be read for a library that is switched off."""
    monkeypatch.setattr(module, "follow", None)
    settings = msgspec.structs.replace(
        configured(endpoint(NOWHERE)), retrieval=RetrievalOptions(similar=0)
    )
    async with tier(settings) as enrichment:
        enrichment.start()
        assert enrichment._following is None


async def test_answers_are_read_anew_when_partitions_change_hands() -> None:
    """What the other worker has answered would be paid twice."""
    consumption, enrichment = build(
        configured(endpoint(NOWHERE)),
        agents=("enrich",),
        classifier=NoModel(),  # type: ignore[arg-type] # all it asks of one
        rules=Rules.of([], ImpactOptions(), LABELS),
        producer=FakeProducer(),
        audit=AuditTrail(Settings()),
        metrics=Metrics(),
        fail=lambda _: None,
    )
    enrichment.answered._read_from_s = 5.0
    await consumption._on_assigned()
    assert enrichment.answered._read_from_s == float("inf")
    await enrichment.stop()
