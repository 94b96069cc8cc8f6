"""Deciding at the console: held, undone, sent once, and never lost."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inference.errors import ConfigError
from streams.config import ConsoleSection
from streams.console import holding as holding_module
from streams.console.holding import HeldVerdicts
from streams.console.journal import GivenVerdict, Journal
from streams.console.live import Hub
from streams.errors import BrokerUnreachable, RequestRefused
from tests.clock import Clock
from tests.console_client import serving, write_people
from tests.console_world import World
from tests.patience import run_ready_tasks, until


def wanted(id_: str = "a-1", queue: str = "cloud", **more: Any) -> dict[str, Any]:
    """A verdict as the page sends it."""
    return {"id": id_, "domain": "alerts", "tenant": "acme", "labels": {"queue": queue}, **more}


def given(id_: str = "a-1", by: str = "rae") -> GivenVerdict:
    """A verdict as it is held."""
    return GivenVerdict(id=id_, domain="alerts", tenant="acme", labels={"queue": "cloud"}, by=by)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A console with people and three cases of a tenant."""
    world = World(tmp_path, ConsoleSection(port=0, tokens_file=write_people(tmp_path)))
    for number in range(1, 4):
        world.add(f"a-{number}", title=f"disk {number} is full")
    return world


async def test_a_verdict_may_be_undone_until_it_is_sent(world: World) -> None:
    """A slip of the finger would be a decision."""
    async with serving(world, "rae", "abe") as (rae, abe):
        status, document = await rae.post("verdicts", {"verdicts": [wanted()]})
        assert (status, [each["id"] for each in document["accepted"]]) == (200, ["a-1"])
        assert (await abe.get("cases/alerts/acme/a-1"))[1]["held_by"] == "rae"
        assert (await abe.get("cases"))[1]["cases"][0]["held_by"] in (None, "rae")
        assert (await abe.post("undo", {"undo": document["undo"]}))[0] == 410
        assert (await rae.post("undo", {"undo": document["undo"]})) == (200, {"undone": 1})
        assert (await rae.post("undo", {"undo": document["undo"]}))[0] == 410
        assert (await rae.get("cases/alerts/acme/a-1"))[1]["held_by"] is None
        assert len(world.held) == 0
    assert world.sent == []


async def test_of_two_people_the_first_one_stands_and_the_second_is_told(world: World) -> None:
    """Two people would decide one event differently, and nobody would know."""
    async with serving(world, "rae", "abe") as (rae, abe):
        first = (await rae.post("verdicts", {"verdicts": [wanted()]}))[1]
        status, document = await abe.post("verdicts", {"verdicts": [wanted(queue="email")]})
        assert (status, document["refused"][0]["by"]) == (409, "rae")
        assert "rae has just decided this" in document["error"]
        await rae.post("undo", {"undo": first["undo"]})
        assert (await abe.post("verdicts", {"verdicts": [wanted(queue="email")], "hold_s": 0}))[
            0
        ] == 200
        await until(lambda: world.held.held_by(("alerts", "acme", "a-1")) is None)
        status, document = await rae.post("verdicts", {"verdicts": [wanted()]})
        assert (status, document["refused"][0]["by"]) == (409, "abe")
        assert "queue email" in document["error"]
        assert document["refused"][0]["at"]
        # Whoever has seen that decision may correct it.
        assert (await rae.post("verdicts", {"verdicts": [wanted(about=1)], "hold_s": 0}))[0] == 200
        await until(lambda: len(world.sent) == 2)


async def test_somebody_who_decided_elsewhere_while_a_verdict_was_held_stands(
    world: World, tmp_path: Path
) -> None:
    """The console would send a second decision, and its author would never hear of the first."""
    clock = Clock(1.8e9)
    world = World(tmp_path, world.section, clock=clock.monotonic)
    world.add("a-1")
    async with serving(world, "rae", "gus") as (rae, gus):
        async with rae.request("GET", "stream") as mine, gus.request("GET", "stream") as other:
            document = (await rae.post("verdicts", {"verdicts": [wanted()], "hold_s": 10}))[1]
            found = world.store.find("a-1", domain="alerts", tenant="acme")
            assert found is not None
            world.decide(found.current, "cli", {"queue": "email"})
            clock.now_s += 10
            world.held._wake.set()
            told = b""
            while b"event: refused" not in told:
                told += await mine.content.readany()
            assert b"cli has decided this" in told
            world.hub.publish("status", {"end": "indeed"})
            heard = b""
            while b"indeed" not in heard:
                heard += await other.content.readany()
            assert b"event: refused" not in heard
        assert document["accepted"]
    assert world.sent == []


async def test_many_alike_are_shown_first_and_then_decided_together(world: World) -> None:
    """A bulk decision would touch what nobody has looked at."""
    world.add("b-1", title="mail from nobody", text="an invoice")
    world.add("g-1", title="disk 9 is full", tenant="globex")
    world.add("n-1", title="the disk is full", source="monitor")
    async with serving(world, "rae") as (rae,):
        alike = (await rae.get("cases/alerts/acme/a-1/alike"))[1]
        assert sorted(case["id"] for case in alike["cases"]) == ["a-2", "a-3"]
        assert [case["id"] for case in alike["near"]] == ["n-1"]
        assert 0.5 <= alike["near"][0]["likeness"] < 1
        document = (await rae.get("cases/alerts/acme/a-1"))[1]
        assert (document["alike"], document["near"]) == (2, 1)
        verdicts = [wanted(case["id"]) for case in alike["cases"]] + [
            wanted("gone"),
            wanted("b-1", "mail"),
        ]
        preview = {"verdicts": verdicts, "dry_run": True}
        document = (await rae.post("verdicts", preview))[1]
        assert sorted(each["id"] for each in document["accepted"]) == ["a-2", "a-3"]
        assert {each["id"]: each["reason"] for each in document["refused"]}.keys() == {
            "gone",
            "b-1",
        }
        assert document["undo"] is None
        assert len(world.held) == 0
        document = (await rae.post("verdicts", {"verdicts": verdicts, "hold_s": 0}))[1]
        assert len(document["accepted"]) == 2
        await until(lambda: len(world.sent) == 2)
        assert (await rae.get("cases"))[1]["total"] == 3


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (wanted(queue="no such queue"), "no value of queue"),
        ({**wanted(), "labels": {"colour": "red"}}, "no value of colour"),
        (wanted("unknown"), "no event of this id"),
    ],
)  # fmt: skip
async def test_a_verdict_that_cannot_be_taken_is_refused_at_once(
    world: World, verdict: dict[str, Any], words: str
) -> None:
    """A reviewer would only find it among the dead letters."""
    async with serving(world, "rae") as (rae,):
        status, document = await rae.post("verdicts", {"verdicts": [verdict]})
        assert status == 400
        assert words in document["error"]
        twice = {"verdicts": [wanted(), wanted(queue="email")]}
        assert (await rae.post("verdicts", twice))[0] == 400
    assert world.sent == []


async def test_a_broker_that_is_away_loses_no_verdict(world: World) -> None:
    """A reviewer's work of an outage would be lost."""
    world.send_error = BrokerUnreachable("no Kafka broker answers; start one")
    async with serving(world, "rae") as (rae,):
        assert (await rae.post("verdicts", {"verdicts": [wanted()], "hold_s": 0}))[0] == 200
        await until(lambda: world.held.failure)
        assert len(world.held) == 1
        world.send_error = None
        await until(lambda: len(world.held) == 0)
        assert world.held.failure is None
    assert [verdict.id for verdict in world.sent] == ["a-1"]


async def test_what_is_held_when_the_console_ends_is_sent(world: World) -> None:
    """The last decisions before a restart would be lost."""
    async with serving(world, "rae") as (rae,):
        await rae.post("verdicts", {"verdicts": [wanted(), wanted("a-2")]})
        assert world.sent == []
    assert sorted(verdict.id for verdict in world.sent) == ["a-1", "a-2"]


class Sending:
    """A topic that takes verdicts, unless a test says otherwise."""

    def __init__(self) -> None:
        self.sent: list[GivenVerdict] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, verdicts: Any) -> None:
        """Take them, when the test lets it."""
        await self.gate.wait()
        self.sent += verdicts

    async def stands(self, _: GivenVerdict) -> str | None:
        """Every verdict stands."""
        return None


def holding(path: Path, sending: Sending, clock: Clock) -> HeldVerdicts:
    """Held verdicts in a file."""
    return HeldVerdicts(Journal(path), Hub(), sending.send, sending.stands, clock.monotonic)


async def test_a_verdict_is_sent_when_its_time_is_over_and_not_before(tmp_path: Path) -> None:
    """There would be no time to undo it."""
    clock, sending = Clock(), Sending()
    held = holding(tmp_path / "held.sqlite", sending, clock)
    await held.start()
    await held.hold([given()], 10)
    clock.now_s += 9
    held._wake.set()
    await run_ready_tasks()
    assert sending.sent == []
    clock.now_s += 1
    held._wake.set()
    await until(lambda: sending.sent)
    await until(lambda: len(held) == 0)
    await held.stop()


async def test_a_decision_that_is_seen_may_be_corrected_before_the_broker_has_answered(
    tmp_path: Path,
) -> None:
    """Who sees a wrong decision at once would be told that its author was faster."""
    clock, sending = Clock(), Sending()
    sending.gate.clear()
    held = holding(tmp_path / "held.sqlite", sending, clock)
    await held.start()
    key = given().key
    await held.hold([given()], 0)
    await until(lambda: held._sending)
    clock.now_s += 60
    held.expire()
    assert held.held_by(key) == "rae"
    held.seen(key)
    assert held.held_by(key) is None
    await held.hold([given(by="abe")], 10)
    sending.gate.set()
    await until(lambda: len(sending.sent) == 1)
    await run_ready_tasks()
    held.settle(key)
    assert (held.held_by(key), len(held)) == ("abe", 1)
    await held.stop()
    assert [each.by for each in sending.sent] == ["rae", "abe"]


async def test_a_verdict_that_is_being_sent_cannot_be_undone(tmp_path: Path) -> None:
    """Its author would be told that it was undone, and it would be a decision nevertheless."""
    clock, sending = Clock(), Sending()
    sending.gate.clear()
    held = holding(tmp_path / "held.sqlite", sending, clock)
    await held.start()
    undo, _ = await held.hold([given()], 0)
    await until(lambda: held._sending)
    with pytest.raises(RequestRefused, match="too late"):
        await held.undo(undo, "rae")
    sending.gate.set()
    await until(lambda: len(held) == 0)
    await held.stop()
    assert len(sending.sent) == 1


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.unit.test_console_verdicts import Sending, given, holding
from tests.clock import Clock

async def main():
    held = holding(Path(sys.argv[1]), Sending(), Clock())
    await held.start()
    undo, _ = await held.hold([given("a-1"), given("a-2")], 10)
    await held.hold([given("a-3")], 10)
    undone, _ = await held.hold([given("a-4")], 10)
    await held.undo(undone, "rae")
    print("taken", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_console_that_is_killed_loses_no_verdict_that_it_took(tmp_path: Path) -> None:
    """`kill -9` in the seconds for undoing would lose what people have decided."""
    path = tmp_path / "held.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == b"taken\n"
    other = holding(path, Sending(), Clock())
    with pytest.raises(ConfigError, match="another console"):
        await other.start()
    process.kill()
    await asyncio.to_thread(process.wait)
    process.stdout.close()

    clock, sending = Clock(), Sending()
    held = holding(path, sending, clock)
    await held.start()
    assert len(held) == 3
    assert held.held_by(("alerts", "acme", "a-3")) == "rae"
    clock.now_s += 10
    held._wake.set()
    await until(lambda: len(held) == 0)
    assert [verdict.id for verdict in sending.sent] == ["a-1", "a-2", "a-3"]
    await held.stop()
    again = holding(path, sending, clock)
    await again.start()
    assert len(again) == 0
    await again.stop()


async def test_so_many_verdicts_may_wait_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is away for a day would fill the memory."""
    monkeypatch.setattr(holding_module, "MAX_HELD", 20)
    sending = Sending()
    held = holding(tmp_path / "held.sqlite", sending, Clock())
    await held.start()
    await held.hold([given(f"a-{number}") for number in range(20)], 10)
    with pytest.raises(RequestRefused) as raised:
        await held.hold([given("one too many")], 10)
    assert raised.value.status == 503
    await held.stop()
    assert len(sending.sent) == 20


@pytest.mark.parametrize("content", [b"this is no database at all, only text" * 100])
def test_a_file_that_is_no_journal_is_a_configuration_error(tmp_path: Path, content: bytes) -> None:
    """The console would end in a traceback, or write over a file of somebody."""
    path = tmp_path / "held.sqlite"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be kept"):
        Journal(path).open()
    assert path.read_bytes() == content
