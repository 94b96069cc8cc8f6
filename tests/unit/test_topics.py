"""The topics' names, and what is asked of them."""

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from streams.config import Settings, TopicsSection
from streams.errors import StreamError
from streams.kafka import admin
from streams.kafka.admin import check_topics, create_topics
from streams.topics import MAX_MESSAGE_BYTES, Topics

CONTRACT = {
    "alerts.v1",
    "tickets.v1",
    "alerts.triaged.v1",
    "tickets.triaged.v1",
    "enrichment.v1",
    "review.v1",
    "feedback.v1",
    "audit.v1",
    "deadletter.v1",
}


@pytest.mark.parametrize("prefix", ["triage", "team-a.sec"])
def test_the_topics_are_the_contracts(prefix: str) -> None:
    """Producers and consumers that follow the contract would write and read elsewhere."""
    assert sorted(Topics(prefix)) == sorted(f"{prefix}.{name}" for name in CONTRACT)


class FakeAdmin:
    """A cluster with some topics; `code` is its answer to creating one."""

    def __init__(self, present: list[str], code: int = 0, limit: int = MAX_MESSAGE_BYTES) -> None:
        self.present, self.code, self.limit = present, code, limit
        self.created: list[Any] = []

    async def list_topics(self) -> list[str]:
        """What is there."""
        return self.present

    async def create_topics(self, new: list[Any]) -> Any:
        """Note what was asked for."""
        self.created = new
        return SimpleNamespace(topic_errors=[(topic.name, self.code, None) for topic in new])

    async def describe_configs(self, resources: list[Any]) -> Any:
        """One limit for every topic."""
        entry = ("max.message.bytes", str(self.limit), False, False, False, [])
        return [SimpleNamespace(resources=[(0, "", 2, each.name, [entry]) for each in resources])]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a fake cluster where the settings point."""

    def use(client: FakeAdmin) -> FakeAdmin:
        @asynccontextmanager
        async def admin_client(_: Settings) -> Any:
            yield client

        monkeypatch.setattr(admin, "admin_client", admin_client)
        return client

    return use


async def test_only_missing_topics_are_created_and_as_configured(cluster: Any) -> None:
    """A second `topics create` would fail, or the partitions of the configuration would not be made."""
    client = cluster(FakeAdmin([f"triage.{name}" for name in CONTRACT - {"review.v1"}]))
    settings = Settings(topics=TopicsSection(partitions=8, replication=3))
    assert await create_topics(settings) == ["triage.review.v1"]
    (made,) = client.created
    assert (made.num_partitions, made.replication_factor) == (8, 3)
    assert made.topic_configs == {"max.message.bytes": str(MAX_MESSAGE_BYTES)}


async def test_a_topic_somebody_else_has_just_made_is_no_error(cluster: Any) -> None:
    """Two deployments that start together would fail one another."""
    cluster(FakeAdmin([], code=36))
    assert len(await create_topics(Settings())) == len(CONTRACT)


async def test_a_refusal_is_said(cluster: Any) -> None:
    """A topic that could not be made would be reported as created."""
    cluster(FakeAdmin([], code=38))
    with pytest.raises(StreamError, match=r"refused to create triage\..*ReplicationFactor"):
        await create_topics(Settings())


async def test_check_names_what_is_wrong(cluster: Any) -> None:
    """The worker would start on topics that are not there, or too small for a dead letter."""
    everything = [f"triage.{name}" for name in CONTRACT]
    cluster(FakeAdmin(everything))
    assert await check_topics(Settings()) == []
    cluster(FakeAdmin(everything[1:]))
    assert await check_topics(Settings()) == [
        f"{everything[0]} is missing; run `triage topics create`"
    ]
    cluster(FakeAdmin(everything, limit=1_000_000))
    problems = await check_topics(Settings())
    assert len(problems) == 3
    assert all("max.message.bytes" in problem for problem in problems)
