"""The names of the topics, and how they must be configured."""

import re
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest

from streams.config import LearningSection, Settings, TopicsSection
from streams.errors import AccessRefused, StreamError
from streams.kafka import admin, partition_counts
from streams.kafka.admin import check_topics, create_topics
from streams.kafka.partition_counts import partition_warnings
from streams.topics import BROKER_TIME, MAX_MESSAGE_BYTES, Topics
from tests.unit.conftest import Triage

CONTRACT = {
    "alerts.v1",
    "tickets.v1",
    "alerts.triaged.v1",
    "tickets.triaged.v1",
    "enrichment.v1",
    "review.v1",
    "feedback.v1",
    "labels.v1",
    "audit.v1",
    "deadletter.v1",
}


@pytest.mark.parametrize("prefix", ["triage", "team-a.sec"])
def test_the_topics_are_those_of_the_contract(prefix: str) -> None:
    """Producers and consumers that follow the contract would use other topics."""
    assert sorted(Topics(prefix)) == sorted(f"{prefix}.{name}" for name in CONTRACT)


class FakeAdmin:
    """A cluster with some topics; `code` is its answer when a topic is created.

    With `forbidden` we may not see the topics that are not present, nor any configuration.
    """

    def __init__(
        self,
        present: list[str],
        code: int = 0,
        limit: int = MAX_MESSAGE_BYTES,
        *,
        forbidden: bool = False,
    ) -> None:
        self.present, self.code, self.limit = present, code, limit
        self.forbidden = forbidden
        self.created: list[Any] = []
        self.partitions: dict[str, int] = {}
        self.members: list[list[str]] = []
        self.group_error: Exception | None = None

    async def _send_request(self, request: MetadataRequest) -> Any:
        """Describe the topics of the request, as a broker of today does."""
        assert request._allow_auto_topic_creation is False
        missing = 29 if self.forbidden else 3
        topics = [
            {
                "topic": name,
                "error_code": 0 if name in self.present else missing,
                "partitions": [{}] * self.partitions.get(name, 4),
            }
            for name in request._topics
        ]
        return SimpleNamespace(to_object=lambda: {"topics": topics})

    async def describe_consumer_groups(self, group_ids: list[str]) -> list[Any]:
        """The members of the group, by what they read."""
        assert group_ids == ["triage"]
        if self.group_error:
            raise self.group_error
        members = [
            {"member_metadata": ConsumerProtocolMemberMetadata(0, topics, b"").encode()}
            for topics in self.members
        ]
        groups = [{"error_code": 0, "members": [*members, {"member_metadata": b""}]}]
        return [SimpleNamespace(to_object=lambda: {"groups": groups})]

    async def list_topics(self) -> list[str]:
        """The topics that exist."""
        return self.present

    async def create_topics(self, new: list[Any]) -> Any:
        """Note the topics, and answer with `code`."""
        self.created = new
        return SimpleNamespace(topic_errors=[(topic.name, self.code, None) for topic in new])

    async def describe_configs(self, resources: list[Any]) -> Any:
        """The same limit for every topic."""
        entry: tuple[Any, ...] = ("max.message.bytes", str(self.limit), False, False, False, [])
        if self.forbidden:
            hidden: list[tuple[Any, ...]] = [
                (29, "", 2, resource.name, []) for resource in resources
            ]
            return [SimpleNamespace(resources=hidden)]
        described = [(0, "", 2, resource.name, [entry]) for resource in resources]
        return [SimpleNamespace(resources=described)]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes a fake cluster the one that the settings name."""

    def use(client: FakeAdmin) -> FakeAdmin:
        @asynccontextmanager
        async def admin_client(_: Settings) -> Any:
            yield client

        for module in (admin, partition_counts):
            monkeypatch.setattr(module, "admin_client", admin_client)
        return client

    return use


async def test_only_missing_topics_are_created_and_as_configured(cluster: Any) -> None:
    """A second `topics create` would fail, or create topics with other partitions."""
    client = cluster(FakeAdmin([f"triage.{name}" for name in CONTRACT - {"review.v1"}]))
    settings = Settings(topics=TopicsSection(partitions=8, replication=3))
    assert await create_topics(settings) == ["triage.review.v1"]
    (topic,) = client.created
    assert (topic.num_partitions, topic.replication_factor) == (8, 3)
    assert topic.topic_configs == {"max.message.bytes": str(MAX_MESSAGE_BYTES), **BROKER_TIME}


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (0, {"cleanup.policy": "compact"}),
        (30, {"cleanup.policy": "compact,delete", "retention.ms": "2592000000"}),
    ],
)
async def test_labelled_rows_are_kept_and_erased_as_configured(
    cluster: Any, days: int, expected: dict[str, str]
) -> None:
    """Rows would be lost after a week, kept for ever, or be on disk long after they were erased."""
    present = [f"triage.{name}" for name in CONTRACT - {"labels.v1"}]
    client = cluster(FakeAdmin(present))
    settings = Settings(learning=LearningSection(retention_days=days))
    assert await create_topics(settings) == ["triage.labels.v1"]
    (topic,) = client.created
    assert topic.topic_configs == {
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "max.compaction.lag.ms": "86400000",
        **BROKER_TIME,
        **expected,
    }


@pytest.mark.parametrize(
    ("configs", "days", "wrong"),
    [
        ({"cleanup.policy": "compact", "retention.ms": "604800000"}, 0, []),
        ({"cleanup.policy": "delete", "retention.ms": "604800000"}, 0, ["cleanup.policy"]),
        ({"cleanup.policy": "compact,delete"}, 0, ["cleanup.policy"]),
        ({"cleanup.policy": "delete,compact", "retention.ms": "86400000"}, 1, []),
        ({"cleanup.policy": "compact", "retention.ms": "1"}, 1, ["cleanup.policy", "retention.ms"]),
        ({}, 1, []),
    ],
)
async def test_a_topic_that_loses_labelled_rows_is_reported(
    configs: dict[str, str], days: int, wrong: list[str]
) -> None:
    """What people have decided would be deleted after a week, and nobody would be told."""
    name = Topics("triage").labels

    async def describe_configs(_: Any) -> Any:
        entries: list[tuple[Any, ...]] = [
            (key, value, False, False, False, []) for key, value in configs.items()
        ]
        return [SimpleNamespace(resources=[(0, "", 2, name, entries)])]

    client: Any = SimpleNamespace(describe_configs=describe_configs)
    problems = await admin._misconfigured(client, Topics("triage"), days)
    assert [problem.rpartition("set its ")[2].split()[0] for problem in problems] == wrong
    assert all("loses labelled rows or keeps them too long" in problem for problem in problems)


async def test_a_topic_that_was_just_created_is_no_error(cluster: Any) -> None:
    """If two deployments start at the same time, one of them would fail."""
    cluster(FakeAdmin([], code=36))
    assert len(await create_topics(Settings())) == len(CONTRACT)


async def test_a_refusal_is_reported(cluster: Any) -> None:
    """A topic that could not be created would be reported as created."""
    cluster(FakeAdmin([], code=38))
    with pytest.raises(StreamError, match=r"refused to create triage\..*ReplicationFactor"):
        await create_topics(Settings())


async def test_check_names_what_is_wrong(cluster: Any) -> None:
    """The worker would start without its topics, or with topics too small for a dead letter."""
    everything = [f"triage.{name}" for name in CONTRACT]
    cluster(FakeAdmin(everything))
    assert await check_topics(Settings()) == []
    cluster(FakeAdmin(everything[1:]))
    assert await check_topics(Settings()) == [
        f"{everything[0]} is missing; run `triage topics create`"
    ]
    cluster(FakeAdmin(everything, limit=1_000_000))
    problems = await check_topics(Settings())
    assert len(problems) == 4
    assert all("max.message.bytes" in problem for problem in problems)


async def test_a_topic_that_may_not_be_seen_is_not_called_missing(cluster: Any) -> None:
    """A user was told to create topics that exist; what lacks is a right."""
    cluster(FakeAdmin([], forbidden=True))
    problems = await check_topics(Settings())
    assert len(problems) == len(CONTRACT)
    assert all("grant Describe" in problem for problem in problems)


@pytest.mark.parametrize("code", [29, 31])
async def test_a_missing_right_to_create_is_named(cluster: Any, code: int) -> None:
    """A user would have to look up the number of an error."""
    cluster(FakeAdmin([], code=code))
    with pytest.raises(AccessRefused, match="grant Create"):
        await create_topics(Settings())


async def test_a_configuration_that_may_not_be_seen_is_warned_of(
    cluster: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The check would pass, although nothing was checked."""
    cluster(FakeAdmin([f"triage.{name}" for name in CONTRACT], forbidden=True))
    assert await check_topics(Settings()) == []
    assert "grant DescribeConfigs" in caplog.text


EVERYTHING = [f"triage.{name}" for name in sorted(CONTRACT)]


def test_a_person_sees_which_topics_were_created(
    triage: Triage, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user could not see whether anything was done, or with how many partitions."""
    monkeypatch.setenv("TRIAGE_TOPICS__PARTITIONS", "8")
    client = cluster(FakeAdmin(EVERYTHING[2:]))
    client.partitions = dict.fromkeys(EVERYTHING, 8)
    code, out, err = triage("topics", "create")
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == [f"created {name} (8 partitions)" for name in EVERYTHING[:2]]
    client.present = EVERYTHING
    assert triage("topics", "create") == (0, "every topic is there already\n", "")


def test_programs_see_which_topics_were_created(triage: Triage, cluster: Any) -> None:
    """A program would have to parse sentences."""
    cluster(FakeAdmin(EVERYTHING[1:]))
    code, out, _ = triage("topics", "create", "--json")
    assert (code, orjson.loads(out)) == (0, {"created": EVERYTHING[:1], "warnings": []})


def test_topics_that_are_as_they_must_be_pass_the_check(triage: Triage, cluster: Any) -> None:
    """A deployment script would stop although nothing is wrong."""
    cluster(FakeAdmin(EVERYTHING))
    assert triage("topics", "check") == (0, "every topic is there and as it must be\n", "")
    code, out, err = triage("topics", "check", "--json")
    assert (code, orjson.loads(out), err) == (0, {"problems": [], "warnings": []}, "")


@pytest.mark.parametrize(("missing", "more"), [(1, ""), (3, " (and 2 more)")])
def test_the_first_missing_topic_is_named_and_the_others_are_counted(
    triage: Triage, cluster: Any, missing: int, more: str
) -> None:
    """A worker would be started without its topics, or the error would fill the screen."""
    cluster(FakeAdmin(EVERYTHING[missing:]))
    code, out, err = triage("topics", "check")
    assert (code, out) == (1, "")
    assert re.fullmatch(
        rf"triage: triage\.\S+ is missing; run `triage topics create`{re.escape(more)}\n", err
    )
    code, out, _ = triage("topics", "check", "--json")
    assert (code, len(orjson.loads(out)["problems"])) == (1, missing)


@pytest.mark.parametrize(
    ("workers", "warned"),
    [
        (1, None),
        (2, None),
        (3, "one of them reads 2: together they do the work of 2.0"),
        (4, None),
        (5, "4 partitions for 5 workers, so 1 of them read nothing of it"),
    ],
)
async def test_too_few_partitions_for_the_workers_are_warned_of(
    cluster: Any, workers: int, warned: str | None
) -> None:
    """Workers would be paid for that have nothing to do, and nobody would be told."""
    cluster(FakeAdmin(EVERYTHING))
    warnings = await partition_warnings(Settings(), workers)
    assert len(warnings) == (2 if warned else 0), "one for each input topic"
    assert all(warned in each for each in warnings if warned)


async def test_the_members_of_the_group_are_counted_by_what_they_read(cluster: Any) -> None:
    """Workers that only ask the LLM would be counted as readers of the input topics."""
    client = cluster(FakeAdmin(EVERYTHING))
    client.members = [["triage.alerts.v1", "triage.tickets.v1"]] * 4 + [
        ["triage.enrichment.v1"]
    ] * 6
    (warning,) = await partition_warnings(Settings())
    assert warning.startswith("triage.enrichment.v1 has 4 partitions for 6 workers, so 2 of them")
    client.group_error = GroupAuthorizationFailedError("triage")
    assert await partition_warnings(Settings()) == []


async def test_another_number_of_partitions_than_configured_is_warned_of(cluster: Any) -> None:
    """Of an input topic with fewer partitions, fewer events a day would be drawn for a check."""
    client = cluster(FakeAdmin(EVERYTHING))
    client.partitions["triage.tickets.v1"] = 16
    client.partitions["triage.review.v1"] = 1
    (warning,) = await partition_warnings(Settings())
    assert warning.startswith("triage.tickets.v1 has 16 partitions, and topics.partitions is 4")


def test_warnings_are_printed_and_change_no_exit_code(triage: Triage, cluster: Any) -> None:
    """A deployment script would stop because of a warning, or a person not see it."""
    cluster(FakeAdmin(EVERYTHING))
    for command in ("create", "check"):
        code, _, err = triage("topics", command, "--workers", "6")
        assert code == 0
        assert err.count("warning: triage.") == 2
        code, out, err = triage("topics", command, "--workers", "6", "--json")
        assert (code, err, len(orjson.loads(out)["warnings"])) == (0, "", 2)
