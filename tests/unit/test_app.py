"""`streams.app`: which agent reads which topic."""

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
from faust.channels import Channel

from agents.feedback import apply_feedback
from agents.reading import read
from inference.labels.renames import Renames
from inference.rules.ruling import Rules
from schemas.event import DOMAINS
from streams import app
from streams.app import build
from streams.audit.trail import AuditTrail
from streams.config import ALL_AGENTS, FormatsSection, LearningSection, Settings, TopicsSection
from streams.enrichment import EnrichmentAgent
from streams.input_events import add_texts
from streams.metrics import Metrics
from streams.models.triage import triage
from streams.pipeline.agent_pipeline import AgentPipeline, unread
from streams.pipeline.consumer import GroupConsumer
from streams.pipeline.failures import AtOnce, Process
from tests.doubles import FakeProducer, KnownCases, models_of

RENAMES = Renames({"tickets": {"queue": {"old": "new"}}})


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> dict[str, AgentPipeline]:
    """The agent pipelines that `build` connects, by topic."""
    connected: dict[str, AgentPipeline] = {}
    original = GroupConsumer.route

    def route(self: GroupConsumer, topic: str, agent_pipeline: AgentPipeline) -> None:
        assert topic not in connected
        connected[topic] = agent_pipeline
        original(self, topic, agent_pipeline)

    monkeypatch.setattr(GroupConsumer, "route", route)
    return connected


def wire(agents: Any, prefix: str = "triage", **sections: Any) -> GroupConsumer:
    """A consumer with these agents, which is not connected to a broker."""
    consumer, _ = build(
        Settings(topics=TopicsSection(prefix=prefix), **sections),
        agents=agents,
        # Nothing calls the models and the rules.
        models=models_of(SimpleNamespace(label_sets={}, domains=DOMAINS, renames=RENAMES)),
        rules=cast("Rules", object()),
        producer=FakeProducer(),
        audit=AuditTrail(Settings()),
        metrics=Metrics(),
        cases=KnownCases(),
        fail=lambda _: None,
    )
    return consumer


@pytest.mark.parametrize(
    ("agents", "topics"),
    [
        (ALL_AGENTS, {"p.alerts.v1", "p.tickets.v1", "p.enrichment.v1", "p.feedback.v1"}),
        (("classify",), {"p.alerts.v1", "p.tickets.v1"}),
        (("enrich", "feedback"), {"p.enrichment.v1", "p.feedback.v1"}),
        ((), set()),
    ],
)
async def test_each_agent_reads_its_topics(
    routes: dict[str, AgentPipeline], agents: Any, topics: set[str]
) -> None:
    """`--agents enrich` would also read alerts, or a topic would be read by no agent."""
    consumer = wire(agents, "p")
    assert set(routes) == topics
    assert consumer.agent_pipelines == list(routes.values())
    names = {agent_pipeline.name for agent_pipeline in consumer.agent_pipelines}
    assert len(names) == len(topics)


def process_of(agent_pipeline: AgentPipeline) -> Process:
    """The function of an agent that ends the events of a batch together."""
    assert isinstance(agent_pipeline._process, AtOnce)
    return agent_pipeline._process.process


async def test_each_topic_goes_to_its_function(routes: dict[str, AgentPipeline]) -> None:
    """The records of one topic, for instance verdicts, would be processed as those of another."""
    wire(ALL_AGENTS)
    assert isinstance(process_of(routes["triage.enrichment.v1"]), EnrichmentAgent)
    with_texts = process_of(routes["triage.feedback.v1"])
    assert isinstance(with_texts, functools.partial)
    assert with_texts.func is add_texts
    feedback = with_texts.keywords["process"]
    assert feedback.func is apply_feedback
    assert feedback.keywords["checks"].renames is RENAMES, "verdicts may have old names"
    for topic, kind in (("triage.alerts.v1", "alert"), ("triage.tickets.v1", "ticket")):
        process, reading = routes[topic]._process, routes[topic]._read
        assert isinstance(process, functools.partial)
        assert process.func is triage
        assert isinstance(reading, functools.partial)
        assert (reading.func, reading.keywords["kind"]) == (read, kind)
    for topic in ("triage.enrichment.v1", "triage.feedback.v1"):
        assert routes[topic]._read is unread


@pytest.mark.parametrize("keep", ["labels", "off"])
async def test_without_texts_none_is_looked_for(
    routes: dict[str, AgentPipeline], keep: Literal["labels", "off"]
) -> None:
    """The text of an event would be put into a row although no text is kept."""
    wire(("feedback",), learning=LearningSection(keep=keep))
    feedback = process_of(routes["triage.feedback.v1"])
    assert isinstance(feedback, functools.partial)
    assert feedback.func is apply_feedback
    assert feedback.keywords["kept"].keep == keep


async def test_how_many_events_a_record_may_hold_is_configured(
    routes: dict[str, AgentPipeline],
) -> None:
    """`[formats]` would have no effect."""
    wire(("classify",), formats=FormatsSection(split=False, max_events_per_record=7))
    for agent_pipeline in routes.values():
        reading = agent_pipeline._read
        assert isinstance(reading, functools.partial)
        assert reading.keywords["split"] is False
        assert reading.keywords["max_events"] == 7


async def test_faust_has_neither_a_consumer_nor_a_topic_of_its_own() -> None:
    """Faust would commit an offset before the outputs of its record are acknowledged."""
    consumer = wire(ALL_AGENTS)
    assert type(consumer.app.consumer).__module__ == GroupConsumer.__module__
    assert len(consumer.app.agents) == 4
    assert all(type(agent.channel) is Channel for agent in consumer.app.agents.values())
    assert not list(consumer.app.topics)


def test_streams_app_stays_short() -> None:
    """The module that shows how everything is connected would no longer be easy to read."""
    assert len(Path(app.__file__).read_text("utf-8").splitlines()) < 95
