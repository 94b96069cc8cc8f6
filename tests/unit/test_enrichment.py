"""Tests of the LLM tier as a worker opens it from the configuration.

An error in the configuration is reported at the start.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from agents.outcomes import Incoming, Reviewed, Triaged
from inference.acceptance.options import Terms
from inference.egress.options import EgressOptions
from inference.errors import ConfigError
from inference.labels.renames import Renames
from inference.llm.client.failure import Usage
from inference.llm.options import BreakerOptions, BudgetOptions, RetryOptions
from inference.retrieval.options import RetrievalOptions
from inference.rules.options import ImpactOptions
from inference.rules.ruling import Rules
from schemas.event import Event
from schemas.signing import WorkerKeys
from schemas.triaged import Label
from streams import enrichment as module
from streams.app import build
from streams.audit.trail import AuditTrail
from streams.config import DomainsSection, KafkaSection, LabelsSection, Settings
from streams.enrichment import REMEMBERED_S, EnrichmentAgent
from streams.errors import BrokerUnreachable
from streams.metrics import Metrics
from streams.topics import Topics
from streams.trust import Trust
from streams.wiring.llm import open_tiers
from tests.doubles import FakeProducer, KnownCases, models_of
from tests.llm_server import LlmServer, body, error, ok
from tests.llm_tier import LABELS, Forgetful, NoModel, configured, end, endpoint, escalated, tier
from tests.patience import PATIENCE_S, until
from tests.records import decision, record

OLD = Label(value="old", confidence=0.5, abstained=True)
SURE = Label(value="endpoint", confidence=0.99)
NOWHERE = "http://127.0.0.1:9/v1"
TOPICS = Topics("triage")


def alert(id_: str = "a-1", **fields: Any) -> Event:
    """An alert of a tenant."""
    return Event(
        **{"id": id_, "kind": "alert", "text": "a mass download", "tenant": "acme"} | fields
    )


def opened(settings: Settings) -> EnrichmentAgent:
    """The agent, without a case."""
    classifier: Any = NoModel()
    rules = Rules.of([], ImpactOptions(), LABELS)
    return EnrichmentAgent(settings, classifier, rules, lambda: 0)


async def test_without_tiers_every_case_goes_to_review() -> None:
    """Otherwise escalated events would stay provisional for ever if there is no LLM."""
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
    ("changes", "message"),
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
async def test_what_cannot_work_is_reported_at_the_start(
    changes: dict[str, Any], message: str
) -> None:
    """Otherwise a rule that protects nothing would be noticed when the event has left."""
    settings = msgspec.structs.replace(
        configured(endpoint(NOWHERE)),
        egress=msgspec.convert(changes.get("egress", {}), EgressOptions),
        retrieval=msgspec.convert(changes.get("retrieval", {}), RetrievalOptions),
    )
    with pytest.raises(ConfigError, match=message) as caught:
        opened(settings)
    assert "\n" not in str(caught.value)


async def test_an_egress_rule_may_be_about_labels_of_either_domain() -> None:
    """Otherwise a rule about tickets would be refused because alerts have no such queue."""
    rules = [{"policy": "never", "labels": {"queue": ["top_up", "cloud"]}}]
    egress = msgspec.convert({"rules": rules}, EgressOptions)
    async with tier(
        msgspec.structs.replace(configured(endpoint(NOWHERE)), egress=egress)
    ) as enrichment:
        (outcome,) = await end(
            enrichment, escalated(alert(), queue=Label(value="cloud", confidence=0.9))
        )
    answer = decision(outcome).enrichment
    assert answer is not None
    assert answer.status == "kept_inside"


def test_a_missing_key_is_reported_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the service would refuse every call, and nobody would know why."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    message = r"llm\.endpoints\.tier-0\.api_key_env: .*not set"
    with pytest.raises(ConfigError, match=message) as caught:
        open_tiers(configured(endpoint(NOWHERE, api_key_env="NO_SUCH_KEY")))
    assert "\n" not in str(caught.value)


def test_tiers_keep_their_order_and_prices(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise the expensive tier would be asked first, or an assumed price would not be seen."""
    tiers = open_tiers(
        configured(
            endpoint(NOWHERE, max_answer_tokens=7),
            endpoint(NOWHERE, prices=None, model="home-made"),
        )
    )
    assert [(opened.name, opened.max_answer_tokens) for opened in tiers] == [
        ("tier-0", 7),
        ("tier-1", 500),
    ]
    assert [(opened.price.input_usd_per_million, opened.price.source) for opened in tiers] == [
        (1.0, "configured"),
        (Settings().cost.llm_input_usd_per_million, "assumed"),
    ]
    assert "home-made" in caplog.text


async def test_all_tiers_share_one_retry_budget() -> None:
    """Otherwise each tier would add its own retries to the load of a failing service."""
    retries = RetryOptions(
        attempts=5, wait_initial_s=0.001, wait_max_s=0.002, budget_share=0.0, budget_reserve=3
    )
    async with LlmServer(error(503)) as server:
        base = endpoint(server.base_url, response_mode="none")
        async with tier(configured(base, base, retries=retries)) as enrichment:
            await end(enrichment, escalated(alert()))
    assert len(server.requests) == 2 + 3


async def test_there_are_as_many_concurrent_cases_as_the_endpoints_take() -> None:
    """Otherwise one slow answer would delay all cases, or a worker would hold too many of them."""
    settings = configured(endpoint(NOWHERE, concurrency=3), endpoint(NOWHERE, concurrency=2))
    pipeline = opened(settings).pipeline
    assert (pipeline.max_batch_events, pipeline.max_batch_wait_ms, pipeline.batches_in_flight) == (
        1,
        0,
        5,
    )
    assert pipeline.drain_timeout_s == settings.pipeline.drain_timeout_s


async def test_the_gauges_show_breaker_and_budget() -> None:
    """Otherwise an open breaker or a spent budget would not be seen in time."""
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
    """Otherwise the wrong axes would send events to a person."""
    async with LlmServer(ok(severity="informational")) as server:
        low = Label(value="low", confidence=0.5, abstained=True)
        finals = []
        for deciding in (["queue"], ["queue", "severity"]):
            domains = DomainsSection(alerts=Terms(deciding=deciding))
            settings = msgspec.structs.replace(
                configured(endpoint(server.base_url)), domains=domains
            )
            async with tier(settings) as enrichment:
                (outcome,) = await end(enrichment, escalated(alert(), severity=low))
            finals.append(isinstance(outcome, Triaged))
    assert finals == [True, False]


class Followed:
    """A stand-in for the topics that the library is filled from."""

    def __init__(self, *records: Incoming, fails: Exception | None = None) -> None:
        self.records = records
        self.fails = fails
        self.names: Sequence[str] = ()
        self.from_s = 0.0
        self.read = asyncio.Event()
        self.is_closed = False

    async def follow(
        self, _: KafkaSection, names: Sequence[str], from_s: float
    ) -> AsyncIterator[Incoming]:
        """Yield every record, and then wait until the reader is closed."""
        self.names, self.from_s = names, from_s
        try:
            for incoming in self.records:
                yield incoming
            self.read.set()
            if self.fails:
                raise self.fails
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


def settled(event: Event, **values: Any) -> list[Incoming]:
    """A case and the verdict about it, between records that are neither."""
    case = escalated(event, **values)
    verdict = msgspec.structs.replace(case.triaged, status="final", decided_by="human", revision=2)
    return [
        record(b"\xff", topic=TOPICS.triaged("alerts")),
        record(verdict, topic=TOPICS.triaged("alerts")),
        record(None, topic=TOPICS.review),
        record(case, topic=TOPICS.review),
    ]


async def test_the_library_is_filled_from_the_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nothing would be quoted after a restart until people have decided new events."""
    followed = Followed(*settled(alert("a-0", text="yesterday's")))
    monkeypatch.setattr(module, "follow", followed.follow)
    async with LlmServer(ok()) as server, tier(configured(endpoint(server.base_url))) as enrichment:
        enrichment.start()
        await asyncio.wait_for(followed.read.wait(), PATIENCE_S)
        (outcome,) = await end(enrichment, escalated(alert()))
    answer = decision(outcome).enrichment
    assert answer is not None
    assert answer.quoted == ["a-0"]
    assert set(followed.names) == {
        TOPICS.triaged("alerts"),
        TOPICS.triaged("tickets"),
        TOPICS.enrichment,
        TOPICS.review,
    }
    assert followed.from_s == pytest.approx(time.time() - REMEMBERED_S, abs=60)
    await until(lambda: followed.is_closed)


async def test_with_a_key_only_what_a_worker_wrote_is_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A forged verdict would be quoted to the LLM as the decision of a person."""
    _, verdict, _, case = settled(alert("a-0", text="yesterday's"))
    keys = WorkerKeys(b"k" * 32)
    case = dataclasses.replace(
        case, headers=keys.headers(case.origin.topic, None, case.value or b"", None)
    )
    followed = Followed(case, verdict)
    monkeypatch.setattr(module, "follow", followed.follow)
    trust = Trust(keys)
    async with LlmServer(ok()) as server, tier(configured(endpoint(server.base_url))) as enrichment:
        enrichment._trust = trust
        enrichment.start()
        await asyncio.wait_for(followed.read.wait(), PATIENCE_S)
        (outcome,) = await end(enrichment, escalated(alert()))
    answer = decision(outcome).enrichment
    assert answer is not None
    assert answer.quoted == []


async def test_an_event_costs_at_most_what_its_longest_calls_cost() -> None:
    """One audit record with an invented cost would use up the budget of the day."""
    async with tier(configured(endpoint(NOWHERE), endpoint(NOWHERE))) as enrichment:
        both = enrichment.max_usd_per_event
    async with tier(configured(endpoint(NOWHERE))) as enrichment:
        one = enrichment.max_usd_per_event
        assert enrichment.cascade is not None
        (cheapest,) = enrichment.cascade.tiers
        longest = cheapest.price.cost_usd(Usage(Settings().llm.max_event_chars, 500))
    assert longest * RetryOptions().attempts < one < 1.0
    assert both == pytest.approx(2 * one)
    assert opened(Settings()).max_usd_per_event == 0.0


async def test_the_llm_is_told_what_labels_mean(caplog: pytest.LogCaptureFixture) -> None:
    """An LLM would have to guess what a queue of one's own is for, and its price be too low."""
    described = {"queue": {"cloud": "What happens in AWS. " * 20}}
    async with (
        LlmServer(ok()) as server,
        tier(configured(endpoint(server.base_url)), described=described) as enrichment,
        tier(configured(endpoint(NOWHERE))) as without,
    ):
        await end(enrichment, escalated(alert()))
        assert enrichment.max_usd_per_event > without.max_usd_per_event
    (request,) = server.requests
    assert '"cloud": What happens in AWS.' in request.text
    assert not [message for message in caplog.messages if "are cut" in message]

    short = msgspec.structs.replace(
        configured(endpoint(NOWHERE)), labels=LabelsSection(max_prompt_chars=100)
    )
    async with tier(short, described=described):
        assert any("labels.max_prompt_chars" in message for message in caplog.messages)


RENAMED = Renames({"alerts": {"queue": {"old": "cloud"}}})


async def test_a_case_from_before_a_rename_is_kept_inside_by_the_new_name() -> None:
    """An event would leave that a rule about its label keeps inside, and end with the old name."""
    egress = msgspec.convert(
        {"rules": [{"policy": "never", "labels": {"queue": ["cloud"]}}]}, EgressOptions
    )
    settings = msgspec.structs.replace(configured(endpoint(NOWHERE)), egress=egress)
    async with tier(settings, renames=RENAMED) as enrichment:
        enrichment.answered = Forgetful()  # type: ignore[assignment] # a stand-in
        case = escalated(alert(), queue=OLD)
        (outcome,) = await enrichment([record(case, topic=TOPICS.enrichment)])
    ended = decision(outcome)
    assert ended.enrichment is not None
    assert ended.enrichment.status == "kept_inside"
    assert (ended.labels["queue"].value, ended.queue) == ("cloud", "cloud")


@pytest.mark.parametrize(("before", "after"), [(OLD, SURE), (SURE, OLD)], ids=["case", "verdict"])
async def test_a_settled_event_from_before_a_rename_is_kept_inside_by_the_new_name(
    before: Label, after: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event would be quoted to the LLM that a rule about its label keeps inside."""
    _, verdict, _, _ = settled(alert("a-0", text="yesterday's"), queue=after)
    _, _, _, case = settled(alert("a-0", text="yesterday's"), queue=before)
    followed = Followed(verdict, case)
    monkeypatch.setattr(module, "follow", followed.follow)
    egress = msgspec.convert(
        {"rules": [{"policy": "never", "labels": {"queue": ["cloud"]}}]}, EgressOptions
    )
    async with LlmServer(ok()) as server:
        settings = msgspec.structs.replace(configured(endpoint(server.base_url)), egress=egress)
        async with tier(settings, renames=RENAMED) as enrichment:
            enrichment.start()
            await asyncio.wait_for(followed.read.wait(), PATIENCE_S)
            (outcome,) = await end(enrichment, escalated(alert(), queue=SURE))
    answer = decision(outcome).enrichment
    assert answer is not None
    assert (answer.status, answer.quoted) == ("answered", [])


async def test_a_library_that_cannot_be_filled_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise events would get no answer without quotations, or nobody would know of it."""
    monkeypatch.setattr(module, "follow", Followed(fails=BrokerUnreachable("no broker")).follow)
    async with LlmServer(ok()) as server, tier(configured(endpoint(server.base_url))) as enrichment:
        with caplog.at_level(logging.WARNING):
            enrichment.start()
            await until(lambda: "trying again" in caplog.text)
        (outcome,) = await end(enrichment, escalated(alert()))
    assert isinstance(outcome, Triaged)


async def test_nothing_is_read_if_nothing_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a month of topics would be read for nothing."""
    monkeypatch.setattr(module, "follow", None)
    settings = msgspec.structs.replace(
        configured(endpoint(NOWHERE)), retrieval=RetrievalOptions(similar=0)
    )
    async with tier(settings) as enrichment:
        enrichment.start()
        assert enrichment._following is None


async def test_answers_are_read_again_when_partitions_are_assigned() -> None:
    """Otherwise cases that another worker has answered would be paid twice."""
    consumption, enrichment = build(
        configured(endpoint(NOWHERE)),
        agents=["enrich"],
        models=models_of(NoModel()),
        rules=Rules.of([], ImpactOptions(), LABELS),
        producer=FakeProducer(),
        audit=AuditTrail(Settings()),
        metrics=Metrics(),
        cases=KnownCases(),
        fail=lambda _: None,
    )
    enrichment.answered._read_from_s = 5.0
    await consumption._on_assigned(set())
    assert enrichment.answered._read_from_s == float("inf")
    await consumption.stop()
    await enrichment.stop()
