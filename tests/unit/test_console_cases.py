"""The queue of the console: lists, counts, and all about one case."""

from pathlib import Path
from typing import Any

import pytest

from agents.outcomes import DeadLettered
from inference.classifier import Classifier
from inference.labels.file import LabelEntry, LabelsFile
from inference.model.artifact import DEFAULT_MODEL
from inference.model.threads import Threads
from inference.serving import Serving
from schemas.triaged import Case, Enrichment, Label
from streams.config import ConsoleSection
from streams.console.letters import DeadLetters, _Listed
from streams.console.model_facts import label_facts, risk_curves
from streams.console.why import settled
from streams.deadletters import Letter
from streams.kafka.record import Record
from streams.pipeline.records import dead_letter
from streams.topics import Topics
from tests.console_client import serving, write_people
from tests.console_world import World
from tests.records import record

LSASS = "procdump.exe dumped the memory of lsass.exe on WIN-7"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """The shipped model."""
    return Classifier.open(DEFAULT_MODEL, threads=Threads(1, 1))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A console on loopback without a model."""
    return World(tmp_path, ConsoleSection(port=0))


async def test_a_list_goes_on_where_its_page_ended(world: World) -> None:
    """A reviewer would see a case twice, or never."""
    for number in range(7):
        world.add(f"a-{number}", risk=0.1 * number)
    async with serving(world, None) as (browser,):
        seen: list[str] = []
        after = None
        while True:
            query = {"limit": 3, "order": "risk"} | ({"after": after} if after else {})
            page = (await browser.get("cases", **query))[1]
            seen += [case["id"] for case in page["cases"]]
            assert page["total"] == 7
            after = page["next"]
            if after is None:
                break
    assert seen == [f"a-{number}" for number in reversed(range(7))]


async def test_a_list_is_filtered_and_searched(world: World) -> None:
    """A reviewer would have to look through everything."""
    world.add("a-1", title="disk full", text="the volume var is full", source="cspm")
    world.add("a-2", title="odd login", text="from a new country", escalation="spot_check")
    world.add("t-1", domain="tickets", title="my card", text="was declined")
    async with serving(world, None) as (browser,):
        for query, ids in [
            ({"domain": "tickets"}, ["t-1"]),
            ({"source": "cspm"}, ["a-1"]),
            ({"escalation": "spot_check"}, ["a-2"]),
            ({"text": "country"}, ["a-2"]),
            ({"text": "full", "domain": "tickets"}, []),
            ({"state": "decided"}, []),
        ]:
            page = (await browser.get("cases", **query))[1]
            assert [case["id"] for case in page["cases"]] == ids
        counts = (await browser.get("cases/counts"))[1]
        assert counts["domain"] == {"alerts": 2, "tickets": 1}


async def test_where_two_people_disagree_can_be_asked_for(world: World) -> None:
    """The console would not know what `triage review list` marks."""
    for id_, second in (("a-1", "bo"), ("a-2", "ana")):
        first = world.decide(world.add(id_).triaged, "ana", {"queue": "email"})
        world.decide(first, second, {"queue": "cloud"})
    async with serving(world, None) as (browser,):
        page = (await browser.get("cases", state="all", disagreement="yes"))[1]
        marks = [(case["id"], case["disagreement"]) for case in page["cases"]]
        assert marks == [("a-1", True)]
        whole = (await browser.get("cases/alerts/acme/a-1"))[1]
        assert whole["case"]["disagreement"] is True


async def test_a_case_says_what_a_reviewer_has_to_know(
    tmp_path: Path, classifier: Classifier
) -> None:
    """A reviewer would decide without the reason, the alternatives or the history."""
    world = World(tmp_path, ConsoleSection(port=0), classifier)
    (decision,) = await classifier.classify("alerts", [world.add("x", text=LSASS).event])
    made = world.add(
        "a-1",
        text=LSASS,
        labels=decision.labels,
        risk=decision.risk,
        reasons=["rule 'crown jewels' asks for a person"],
        link="https://siem.example.com/a-1",
        enrichment=Enrichment(status="answered", summary="someone <b>read</b> secrets"),
    )
    async with serving(world, None) as (browser,):
        document = (await browser.get("cases/alerts/acme/a-1"))[1]
    queue = document["proposal"]["queue"]
    assert queue["value"] == decision.labels["queue"].value
    assert queue["alternatives"]
    why = document["why"]
    assert why["rule"] == "rule 'crown jewels' asks for a person"
    assert (why["risk"], why["threshold"]) == (decision.risk, made.triaged.calibration.threshold)
    words = why["words"][0]
    assert (words["axis"], words["value"]) == ("queue", queue["value"])
    assert words["against"] == queue["alternatives"][0]["value"]
    assert "lsass" in {item["text"] for item in words["items"]}
    assert document["summary"] == "someone <b>read</b> secrets"
    assert document["link"] == {"href": "https://siem.example.com/a-1", "host": "siem.example.com"}
    assert document["event"]["text"] == LSASS
    assert [each["revision"] for each in document["revisions"]] == [0]


async def test_words_are_not_explained_by_another_model(
    world: World, classifier: Classifier
) -> None:
    """The page would show what another model has never seen."""
    made = world.add("a-1", text=LSASS)
    explained = World(world.folder, world.section, classifier)
    why = await explained.why.of(made.triaged, made)
    assert why["words"] == []
    assert "another one is loaded" in why["unavailable"]
    assert "not kept" in (await explained.why.of(made.triaged, None))["unavailable"]


async def test_decided_cases_like_this_one_are_shown_with_their_outcome(
    tmp_path: Path, classifier: Classifier
) -> None:
    """A reviewer would decide the same thing differently each time."""
    world = World(tmp_path, ConsoleSection(port=0), classifier)
    earlier = world.add("old", text=LSASS)
    other = world.add("old-g", text=LSASS, tenant="globex")
    for case in (earlier, other):
        decided = world.decide(case.triaged, "ana", {"queue": "endpoint"})
        kept = settled(decided, case)
        assert kept is not None
        await world.why.remember(kept)
    new = world.add("new", text=LSASS + " again")
    assert settled(new.triaged, new) is None
    async with serving(world, None) as (browser,):
        document = (await browser.get("cases/alerts/acme/new"))[1]
        assert [each["id"] for each in document["neighbours"]] == ["old"]
        assert document["neighbours"][0]["labels"]["queue"] == "endpoint"
        assert document["neighbours"][0]["similarity"] > 0.6
        world.add("odd", text="zebra", tenant="initech")
        document = (await browser.get("cases/alerts/initech/odd"))[1]
        assert document["neighbours"] == []
        assert "nobody has decided" in document["neighbours_note"]


async def test_the_proposal_is_what_no_person_has_decided(world: World) -> None:
    """A reviewer would be asked to accept what a colleague has decided."""
    made = world.add("a-1")
    world.decide(made.triaged, "ana", {"queue": "email"})
    async with serving(world, None) as (browser,):
        document = (await browser.get("cases/alerts/acme/a-1"))[1]
    assert document["proposal"]["queue"]["value"] == "endpoint"
    assert document["triaged"]["labels"]["queue"]["value"] == "email"
    assert [each["decided_by"] for each in document["revisions"]] == ["slm", "human"]


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "data:text/html,x", "//evil.example", "https://", "http://[", "ftp://x/y",
     "https://bank.example.com@evil.example/"],
)  # fmt: skip
async def test_a_link_is_shown_only_if_it_is_one_of_the_web(world: World, link: str) -> None:
    """A click would run a script, or lead to another host than the one that is shown."""
    world.add("a-1", link=link)
    async with serving(world, None) as (browser,):
        assert (await browser.get("cases/alerts/acme/a-1"))[1]["link"] is None


async def test_an_id_of_several_tenants_shows_each(world: World) -> None:
    """An event could not be found by its id alone."""
    world.add("same", tenant="acme")
    world.add("same", tenant="globex")
    async with serving(world, None) as (browser,):
        status, document = await browser.get("events/same", tenant="globex")
        assert [each["case"]["tenant"] for each in document["events"]] == ["globex"]
        status, document = await browser.get("events/same")
        assert status == 400
        assert "acme" in document["error"]
        assert "globex" in document["error"]
        assert (await browser.get("events/none"))[0] == 404


async def test_the_feed_shows_the_newest_first_and_goes_back(world: World) -> None:
    """What happened could not be looked up."""
    for number in range(5):
        world.accept(f"e-{number}", title=f"event {number}")
    world.add("a-1")
    async with serving(world, None) as (browser,):
        page = (await browser.get("feed", limit=2))[1]
        assert [each["id"] for each in page["decisions"]] == ["a-1", "e-4"]
        before = (await browser.get("feed", limit=2, before=page["next"]))[1]
        assert [each["id"] for each in before["decisions"]] == ["e-3", "e-2"]
        after = (await browser.get("feed", after=page["last"] - 1))[1]
        assert [each["id"] for each in after["decisions"]] == ["a-1"]
        found = (await browser.get("feed", text="EVENT 3"))[1]
        assert [each["id"] for each in found["decisions"]] == ["e-3"]
        assert (await browser.get("feed", status="needs_review"))[1]["decisions"][0]["id"] == "a-1"


async def test_figures_count_each_event_by_its_last_decision(world: World) -> None:
    """A correction would be counted as one more event, and the shares would not add up."""
    for number in range(8):
        world.accept(f"e-{number}")
    first, _ = world.add("a-1"), world.add("a-2")
    world.decide(first.triaged, "ana", {"queue": "email"})
    corrected = world.accept("e-9")
    world.decide(corrected, "ana", {"queue": "email"})
    async with serving(world, None) as (browser,):
        document = (await browser.get("figures"))[1]
    assert document["shares"] == {
        "events": 11,
        "rule": 0,
        "slm": 8,
        "llm": 0,
        "human": 2,
        "open": 1,
    }
    assert sum(document["volume"]["slm"]) == 9
    assert sum(document["confidence"]["accepted"]) == 9
    assert sum(document["confidence"]["escalated"]) == 2
    assert document["latency"]["n"] == 11
    assert document["cost"]["human_decisions"] == 2
    assert document["cost"]["saved_usd"] > 0


def test_the_curves_and_labels_are_those_of_the_model(classifier: Classifier) -> None:
    """The page would promise another coverage than the model has."""
    serving = Serving(dict.fromkeys(classifier.domains, classifier))
    curves = risk_curves(serving)
    for domain, curve in curves.items():
        promise = classifier.promise(domain)
        assert curve.coverage[-1] == 1.0
        assert curve.coverage == sorted(curve.coverage)
        assert curve.threshold_coverage == pytest.approx(promise.coverage)
        assert all(0 <= error <= 1 for error in curve.error)
    facts = label_facts(serving)
    assert set(facts.labels) == set(classifier.domains)
    assert [value for value, _ in facts.labels["alerts"]["queue"]] == list(
        classifier.labels("alerts")["queue"]
    )


async def test_the_console_says_what_a_label_means(tiny_model: Path) -> None:
    """A person would choose between two queues by their names alone."""
    entry = LabelEntry(description="What happens in the cloud")
    file = LabelsFile({"alerts": {"queue": {"cloud": entry}}})
    described = Classifier.open(tiny_model, threads=Threads(1, 1), labels=file)
    serving = Serving(dict.fromkeys(described.domains, described))
    labels = dict(label_facts(serving).labels["alerts"]["queue"])
    await described.close()
    assert labels["cloud"] == "What happens in the cloud"
    assert labels["email"] is None


def letter(world: World, number: int, value: bytes) -> Letter:
    """A dead letter of the input topic of alerts."""
    outcome = DeadLettered("decode", "InvalidEvent", f"bad {number}", "poison")
    made: Record = dead_letter(outcome, record(value, offset=number), Topics("triage"))
    read = record(made.value, offset=number, topic="triage.deadletter.v1")
    return Letter(type(read)(read.value, made.key, made.headers, read.origin, 1.7e9 + number))


async def test_dead_letters_are_shown_to_whoever_may_see_their_tenants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person would read what another tenant has sent, because it could not be processed."""
    world = World(tmp_path, ConsoleSection(port=0, tokens_file=write_people(tmp_path)))
    values = [
        b'{"id":"1","kind":"alert","title":"ours","tenant":"acme"}',
        b'{"id":"2","kind":"alert","title":"theirs","tenant":"globex"}',
        b"no json <script>",
    ]

    async def read(_: DeadLetters) -> _Listed:
        listed = _Listed(total=3, ended=True)
        listed.letters.extend(letter(world, n, value) for n, value in enumerate(values))
        return listed

    monkeypatch.setattr(DeadLetters, "_read", read)
    async with serving(world, "abe", "rae") as (abe, rae):
        status, document = await abe.get("deadletters")
        assert (status, document["total"], document["truncated"]) == (200, 3, False)
        assert [each["message"] for each in document["letters"]] == ["bad 2", "bad 1", "bad 0"]
        assert document["reasons"][0]["count"] == 3
        mine: dict[str, Any] = (await rae.get("deadletters"))[1]
        assert [each["title"] for each in mine["letters"]] == ["ours"]
        assert mine["reasons"][0]["count"] == 1
        assert (await abe.get("deadletters", stage="deliver"))[1]["total"] == 0
        assert (await abe.post("models/promote", {"name": "x"}))[0] == 501


def test_a_person_settles_a_case_and_nobody_else(world: World) -> None:
    """What the model guessed would be shown as the outcome of a like case."""
    made = world.add("a-1")
    assert settled(made.triaged, made) is None
    decided = world.decide(made.triaged, "ana", {"queue": "email"})
    assert settled(decided, None) is None
    case = settled(decided, made)
    assert isinstance(case, Case)
    assert case.triaged.labels["queue"] == Label(value="email", confidence=1.0)
