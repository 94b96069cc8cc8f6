"""The map: which agents read which topics."""

import functools
from pathlib import Path
from typing import Any

import pytest

from agents.classify import classify
from agents.feedback import apply_feedback
from streams import app
from streams.app import build
from streams.audit.trail import AuditTrail
from streams.config import ALL_AGENTS, Settings, TopicsSection
from streams.enrichment import EnrichmentAgent
from streams.metrics import Metrics
from streams.pipeline.agent_pipeline import AgentPipeline
from streams.pipeline.consumer import GroupConsumer
from tests.doubles import FakeProducer


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> dict[str, AgentPipeline]:
    """What `build` connects, by topic."""
    connected: dict[str, AgentPipeline] = {}
    original = GroupConsumer.route

    def route(self: GroupConsumer, topic: str, lane: AgentPipeline) -> None:
        assert topic not in connected
        connected[topic] = lane
        original(self, topic, lane)

    monkeypatch.setattr(GroupConsumer, "route", route)
    return connected


def wire(agents: Any, prefix: str = "triage") -> GroupConsumer:
    """A pipeline that is connected to nothing."""
    consumption, _ = build(
        Settings(topics=TopicsSection(prefix=prefix)),
        agents=agents,
        classifier=object(),  # type: ignore[arg-type] - not called
        rules=object(),  # type: ignore[arg-type] - not called
        producer=FakeProducer(),
        audit=AuditTrail(Settings()),
        metrics=Metrics(),
        fail=lambda _: None,
    )
    return consumption


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
    """`--agents enrich` would take alerts from the workers that have the model, or a topic be read by none."""
    consumption = wire(agents, "p")
    assert set(routes) == topics
    assert consumption.lanes == list(routes.values())
    assert len({lane.name for lane in consumption.lanes}) == len(topics)


async def test_each_topic_goes_to_its_function(routes: dict[str, AgentPipeline]) -> None:
    """Verdicts would be triaged as alerts."""
    wire(ALL_AGENTS)
    assert isinstance(routes["triage.enrichment.v1"]._process, EnrichmentAgent)
    assert routes["triage.feedback.v1"]._process is apply_feedback
    for topic, kind in (("triage.alerts.v1", "alert"), ("triage.tickets.v1", "ticket")):
        process = routes[topic]._process
        assert isinstance(process, functools.partial)
        assert (process.func, process.keywords["kind"]) == (classify, kind)


async def test_faust_tracks_no_offsets_of_ours() -> None:
    """With Faust's own acking a topic is committed whether its outputs are out or not."""
    consumption = wire(ALL_AGENTS)
    assert all(not agent.channel.acks for agent in consumption.app.agents.values())
    assert consumption.app.conf.topic_disable_leader


def test_the_map_fits_on_one_screen() -> None:
    """The one file a newcomer opens would stop being readable."""
    assert len(Path(app.__file__).read_text("utf-8").splitlines()) < 90
