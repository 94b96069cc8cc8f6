"""The rights that `triage topics acl` prints are enough on a real Kafka, and none is too many."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from msgspec.structs import replace

from schemas.codec import decode
from schemas.event import DOMAINS
from schemas.triaged import Case, TriagedEvent
from streams.audit.verify import verify
from streams.cases.query import CaseQuery
from streams.cases.view import open_view
from streams.config import ConsoleSection, Settings
from streams.deadletters import PlaceOfRecord, Selection, find, replay, skip
from streams.errors import StreamError
from streams.kafka.acl import ROLES, Grant, Role, grants
from streams.kafka.admin import check_topics, create_topics
from streams.kafka.producer import Producer
from streams.kafka.reader import reading
from streams.kafka.record import Record
from streams.labels_topic import RowSelection, forget_rows
from streams.source import produce
from streams.topics import Topics
from tests.conftest import settings_for
from tests.figures import tell
from tests.integration.test_console import console, until_cases, until_told
from tests.processes import WorkerProcess
from tests.secured_kafka import Acls, SecuredKafka, client, is_allowed

pytestmark = [pytest.mark.broker, pytest.mark.kafka, pytest.mark.timeout(240)]

PATIENCE_S = 30.0
"""How long a change of an ACL may take to reach the broker."""
EVENTS = 20


@pytest.fixture(scope="module")
def kafka() -> Iterator[SecuredKafka]:
    """A Kafka with an authorizer and one user for each role."""
    with SecuredKafka() as cluster:
        yield cluster


@pytest.fixture
async def acls(kafka: SecuredKafka, settings: Settings) -> AsyncIterator[Acls]:
    """Whoever may change the rights."""
    async with client(settings.kafka) as admin:
        yield Acls(admin)


@pytest.fixture
def settings(kafka: SecuredKafka, tiny_model: Path) -> Settings:
    """Settings with topics and a group for one test, for somebody who may do everything."""
    return settings_for(kafka.bootstrap_servers, tiny_model)


def rights_of(settings: Settings) -> list[Grant]:
    """The rights of all roles on the topics and the groups of one test."""
    group_id = settings.kafka.group_id
    return grants(
        Topics(settings.topics.prefix),
        group_id=group_id,
        consumer_group=f"{group_id}-consumer",
    )


async def until_allowed(admin: AIOKafkaAdminClient, grant: Grant, *, allowed: bool) -> None:
    """Wait until the broker knows that a right was added or removed."""
    deadline_s = time.monotonic() + PATIENCE_S
    while await is_allowed(admin, grant) is not allowed:
        assert time.monotonic() < deadline_s, f"allowed is not {allowed} for {grant}"
        await asyncio.sleep(0.02)


async def test_each_role_can_do_its_work(
    kafka: SecuredKafka, acls: Acls, settings: Settings, tmp_path: Path
) -> None:
    """An operator who gives the printed rights would have workers or people who cannot work."""
    await acls.add(rights_of(settings))
    of = {role: kafka.settings_of(role, settings) for role in ROLES}
    names = Topics(settings.topics.prefix)
    assert await create_topics(of["operator"]) == list(names)
    assert await check_topics(of["operator"]) == []

    lines = [orjson.dumps({"id": f"a-{n}", "text": f"zzqx {n} " * 9}) for n in range(EVENTS)]
    await produce(of["producer"], [*lines, b"{broken"], "alerts")
    worker = WorkerProcess(of["worker"], tmp_path / "worker.log")
    worker.start()
    try:
        await asyncio.to_thread(worker.wait_until_ready)
        decisions = Consumer(of["consumer"])
        await decisions.read_until(lambda: len({e.id for e in decisions.triaged}) == EVENTS)
        case = await first_case(of["reviewer"])
        await give(of["reviewer"], case, "nowhere")
        await give(of["reviewer"], case, "cloud")
        await decisions.read_until(lambda: any(e.decided_by == "human" for e in decisions.triaged))
        await decide_at_console(of["console"], case.event.id)
        assert worker.end() == 0, worker.log()
    finally:
        if worker.alive:
            worker.kill()
    place = PlaceOfRecord(names.input("alerts"), 0, 0)
    with pytest.raises(StreamError, match="to its end; nothing is damaged"):
        await skip(of["worker"], place, by="dana", reason="nothing is damaged", dry_run=True)
    letters = [letter async for letter in find(of["operator"])]
    assert sorted(letter.headers.topic for letter in letters) == sorted(
        [names.input("alerts"), names.feedback]
    )
    async with open_view(of["reviewer"]) as view:
        assert view.store.list(CaseQuery(state="decided")).total == 2
    replayed = await replay(of["operator"], Selection(poison=True))
    assert (replayed.replayed, replayed.left) == (1, 1)
    forgotten = await forget_rows(of["operator"], RowSelection(by="ana"), erased_by="dana")
    assert (forgotten.erased, forgotten.left) == (1, 1)
    report = await verify(of["operator"])
    assert report.ok
    assert report.chains
    assert "uthoriz" not in worker.log()


async def decide_at_console(settings: Settings, but: str) -> None:
    """Decide a case at the console, see it in the feed, and see the lag and the dead letters."""
    async with console(replace(settings, console=ConsoleSection(port=0))) as browser:
        cases = await until_cases(browser, 2)
        chosen = next(each for each in cases if each["id"] != but)
        verdict = {name: chosen[name] for name in ("id", "domain", "tenant")}
        wanted = {"verdicts": [{**verdict, "labels": {"queue": "cloud"}}], "hold_s": 0}
        async with browser.request("GET", "stream") as stream:
            assert (await browser.post("verdicts", wanted))[0] == 200
            await until_told(stream, "decision", chosen["id"], "human")
        assert (await browser.get("figures"))[1]["lag"] is not None
        assert (await browser.get("deadletters"))[1]["total"] == 2


class Consumer:
    """Somebody who reads the triaged topics in a consumer group of their own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.triaged: list[TriagedEvent] = []

    async def read_until(self, enough: Callable[[], bool]) -> None:
        """Read on from where the group has committed, and commit."""
        topics = Topics(self._settings.topics.prefix)
        kafka = self._settings.kafka
        async with (
            asyncio.timeout(90),
            reading(
                kafka,
                [topics.triaged(domain) for domain in DOMAINS],
                from_beginning=True,
                group_id=f"{kafka.group_id}-consumer",
            ) as consumer,
        ):
            while not enough():
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    self.triaged += [decode(record.value, TriagedEvent) for record in records]
                await consumer.commit()


async def first_case(settings: Settings) -> Case:
    """A case that waits for a person."""
    topic = Topics(settings.topics.prefix).review
    async with reading(settings.kafka, [topic], from_beginning=True) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 90)
    return decode(record.value, Case)


async def give(settings: Settings, case: Case, queue: str) -> None:
    """Send a verdict."""
    record = Record(
        Topics(settings.topics.prefix).feedback,
        case.event.id.encode(),
        orjson.dumps({"id": case.event.id, "labels": {"queue": queue}, "by": "ana"}),
    )
    producer = Producer(settings.kafka)
    await producer.start()
    await producer.confirm([await producer.send(record)])
    await producer.stop()


async def test_no_right_is_more_than_needed(
    kafka: SecuredKafka, acls: Acls, settings: Settings
) -> None:
    """A role would have a right that it does not need, or one that another right includes."""
    started_s = time.monotonic()
    rights = rights_of(settings)
    await create_topics(settings)
    await acls.add(rights)
    async with AsyncExitStack() as stack:
        users: dict[Role, AIOKafkaAdminClient] = {
            role: await stack.enter_async_context(client(kafka.settings_of(role, settings).kafka))
            for role in ROLES
        }
        for grant in rights:
            await until_allowed(users[grant.role], grant, allowed=True)
        for grant in rights:
            await acls.remove(grant)
            await until_allowed(users[grant.role], grant, allowed=False)
            await acls.add([grant])
            await until_allowed(users[grant.role], grant, allowed=True)
        given = {(grant.role, grant.operation, grant.name) for grant in rights}
        for role, user in users.items():
            for grant in rights:
                # Read and Write include Describe.
                operations = {grant.operation}
                if grant.operation == "Describe":
                    operations |= {"Read", "Write"}
                expected = any((role, operation, grant.name) in given for operation in operations)
                assert await is_allowed(user, grant) is expected, (role, grant)
    tell(f"{len(rights)} ACLs, each needed, in {time.monotonic() - started_s:.0f} s")
