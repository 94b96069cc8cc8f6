"""The process of the console over topics in memory: it follows, sends, and comes back."""

import asyncio
import copy
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from msgspec.structs import replace

from agents.outcomes import DeadLettered
from inference.acceptance.live_checks import LiveReport, PromiseKey
from inference.acceptance.watch import Check, Watch
from inference.errors import ConfigError
from schemas.audit.verification import Place
from schemas.codec import decode, encode
from schemas.triaged import TriagedEvent, Verdict
from streams import logs
from streams.cases import view as view_module
from streams.config import (
    TEMPORARY,
    ConsoleSection,
    LearningSection,
    ModelSection,
    ReviewerSection,
    ReviewSection,
    Settings,
)
from streams.console import feedback as feedback_module
from streams.console import following as following_module
from streams.console import parts as parts_module
from streams.console import server as server_module
from streams.console.feedback import verdict_of
from streams.console.journal import GivenVerdict
from streams.console.server import Console, journal_path
from streams.errors import BrokerUnreachable
from streams.kafka import reader
from streams.kafka.record import Record
from streams.models import served as served_module
from streams.models.registry import Registry
from streams.pipeline.records import dead_letter
from streams.topics import Topics
from tests.chains import Appended
from tests.console_client import Browser
from tests.doubles import header_texts
from tests.patience import PATIENCE_S, until
from tests.records import case, record, triaged
from tests.tiny_model import LABELS, build_tiny_model
from tests.unit.conftest import Triage
from tests.unit.test_case_view import Broker
from tests.unit.test_registry import add

TOPICS = Topics("triage")
FEEDBACK = TopicPartition(TOPICS.feedback, 0)
DEADLETTER = TopicPartition(TOPICS.deadletter, 0)
QUEUE = LABELS["alerts"]["queue"][1]


class Cluster(Broker):
    """All topics in memory, and a feedback agent that does what it is told.

    `takes` says what becomes of a verdict: a decision, or the reason of a dead letter.
    """

    def __init__(self) -> None:
        super().__init__()
        names = [*TOPICS, *(TOPICS.input(domain) for domain in LABELS)]
        self.ends |= {TopicPartition(name, 0): 0 for name in names}
        self.known: dict[str, TriagedEvent] = {}
        self.refuses: str | None = None
        self.verdicts: list[Verdict] = []
        self.feedback: Feedback
        self.away: Exception | None = None

    def open(self, *topics: str, **options: Any) -> "Cluster":
        """A consumer of these topics."""
        consumer = super().open(**options)
        consumer.names = set(topics)  # type: ignore[attr-defined]
        return consumer  # type: ignore[return-value]

    def assignment(self) -> set[TopicPartition]:
        """The partitions of its topics."""
        names: set[str] = getattr(self, "names", set())
        return {each for each in self.ends if not names or each.topic in names}

    async def getmany(self, *partitions: TopicPartition, **options: Any) -> Any:
        """Some records of its topics."""
        await asyncio.sleep(0.001)
        return await super().getmany(*(partitions or self.assignment()), **options)

    def take(self, value: bytes) -> None:
        """The feedback topic, and the agent behind it."""
        verdict = decode(value, Verdict)
        self.verdicts.append(verdict)
        if self.refuses is not None:
            self.refuse(verdict, self.refuses)
            return
        current = self.known[str(verdict.id)]
        self.decide(
            replace(
                current,
                revision=current.revision + 1,
                status="final",
                decided_by="human",
                queue=verdict.labels["queue"],
                reasons=[f"decided by {verdict.by}"],
            )
        )

    def refuse(self, verdict: Verdict, reason: str) -> None:
        """Put a verdict on the dead-letter topic."""
        outcome = DeadLettered("validate", "InvalidEvent", reason, "poison")
        incoming = record(encode(verdict), topic=TOPICS.feedback)
        made: Record = dead_letter(outcome, incoming, TOPICS)
        place = Place(0, self.ends[DEADLETTER])
        self.append(TOPICS.deadletter, Appended(place, b"k", made.value, list(made.headers)))


class Feedback:
    """A producer whose records come to a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.headers: list[dict[str, str]] = []
        self.connected = 0

    def __call__(self, _: Any) -> "Feedback":
        """Make one, as the class does."""
        return self

    async def start(self) -> None:
        """Connect."""
        self.connected += 1

    async def send(self, sent: Record) -> Record:
        """Take a record, unless the broker is away."""
        if self._cluster.away is not None:
            raise self._cluster.away
        self.headers.append(header_texts(sent.headers))
        return sent

    async def confirm(self, receipts: Sequence[Record]) -> None:
        """Deliver what was taken."""
        for each in receipts:
            assert each.topic == TOPICS.feedback
            self._cluster.take(each.value or b"")

    async def stop(self) -> None:
        """Disconnect."""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Empty topics."""
    made = Cluster()
    monkeypatch.setattr(reader, "AIOKafkaConsumer", made.open)
    monkeypatch.setattr(view_module, "admin_client", made.asked)
    monkeypatch.setattr(view_module, "RETRY_S", 0.001)
    monkeypatch.setattr(following_module, "RETRY_S", 0.001)
    made.feedback = Feedback(made)
    monkeypatch.setattr(feedback_module, "Producer", made.feedback)
    for name in ("POLL_S", "STATUS_S", "LOOK_AGAIN_S"):
        monkeypatch.setattr(server_module, name, 0.005)
    return made


@pytest.fixture
def settings(tmp_path: Path, tiny_model: Path) -> Settings:
    """Settings with a file of its own."""
    return Settings(
        review=ReviewSection(state=str(tmp_path / "cases.sqlite"), keep_days=100_000),
        console=ConsoleSection(port=0),
        model=ModelSection(path=str(tiny_model)),
    )


@asynccontextmanager
async def console(settings: Settings) -> AsyncIterator[tuple[Console, Browser]]:
    """A running console and a browser."""
    running = Console(settings)
    browser = None
    try:
        await running.start()
        browser = Browser(f"http://127.0.0.1:{running.server.port}")
        await browser.log_in()
        yield running, browser
    finally:
        if browser is not None:
            await browser.close()
        await running.stop()


def waiting(cluster: Cluster, id_: str) -> TriagedEvent:
    """A case that waits for a person."""
    made = case(id_, status="needs_review", title=f"alert {id_}")
    cluster.known[id_] = made.triaged
    cluster.ask(made)
    return made.triaged


def wanted(id_: str) -> dict[str, Any]:
    """A verdict as the page sends it."""
    return {"id": id_, "domain": "alerts", "tenant": "default", "labels": {"queue": QUEUE}}


async def until_open(browser: Browser, count: int) -> None:
    """Wait until so many cases are open."""
    async with asyncio.timeout(PATIENCE_S):
        while (await browser.get("cases"))[1]["total"] != count:
            await asyncio.sleep(0.01)


async def told(stream: Any, *words: str) -> str:
    """What the stream says until it has said all of these."""
    heard = ""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not all(word in heard for word in words):
                heard += (await stream.content.readany()).decode()
    except TimeoutError:
        raise AssertionError(f"{words} was not told in {heard}") from None
    return heard


async def test_what_was_there_is_read_back_and_what_comes_is_told(
    cluster: Cluster, settings: Settings
) -> None:
    """The feed would begin empty at each start, or tell of old decisions as if they were new."""
    for number in range(5):
        cluster.decide(triaged(f"old-{number}"))
    waiting(cluster, "c-1")
    async with console(settings) as (running, browser):
        await until_open(browser, 1)
        await until(lambda: running._follower.problem is None)
        assert (await browser.get("feed"))[1]["last"] == 6
        async with browser.request("GET", "stream") as stream:
            await told(stream, "event: status")
            waiting(cluster, "c-2")
            cluster.decide(triaged("new-1"))
            heard = await told(stream, "new-1", "event: case")
            assert "old-" not in heard
            assert '"change":"opened"' in heard
        figures = (await browser.get("figures"))[1]
        assert figures["lag"]["total"] == 0
        assert figures["promise"] is None
        assert "no spot check" in figures["notes"]["promise"]


async def test_a_verdict_becomes_a_decision_that_everybody_sees(
    cluster: Cluster, settings: Settings
) -> None:
    """A case would stay open, or marked as decided, after its verdict."""
    waiting(cluster, "c-1")
    waiting(cluster, "c-2")
    async with console(settings) as (running, browser):
        await until_open(browser, 2)
        async with browser.request("GET", "stream") as stream:
            document = {"verdicts": [wanted("c-1")], "hold_s": 0}
            assert (await browser.post("verdicts", document))[0] == 200
            heard = await told(stream, "event: decision", '"change":"decided"', '"by":null')
        assert QUEUE in heard
        await until_open(browser, 1)
        assert cluster.verdicts[0].about is None
        shown = (await browser.get("cases/alerts/default/c-1"))[1]
        assert shown["held_by"] is None
        assert shown["triaged"]["decided_by"] == "human"
        await until(lambda: len(running._why) == 1)
        neighbours = (await browser.get("cases/alerts/default/c-2"))[1]["neighbours"]
        assert [each["id"] for each in neighbours] == ["c-1"]
    # After a restart it is known again.
    async with console(settings) as (running, _):
        await until(lambda: len(running._why) == 1)


async def test_whoever_gave_a_verdict_hears_that_it_was_refused(
    cluster: Cluster, settings: Settings
) -> None:
    """The reason would only be among the dead letters, where no reviewer looks."""
    cluster.refuses = "a person has decided revision 1"
    waiting(cluster, "c-1")
    async with console(settings) as (running, browser):
        await until_open(browser, 1)
        await until(lambda: running._follower.problem is None)
        async with browser.request("GET", "stream") as stream:
            await browser.post("verdicts", {"verdicts": [wanted("c-1")], "hold_s": 0})
            heard = await told(stream, "event: refused")
        assert "a person has decided revision 1" in heard
        letters = (await browser.get("deadletters"))[1]
        assert letters["letters"][0]["message"] == "a person has decided revision 1"
        assert (await browser.get("deadletters", stage="decode"))[1]["total"] == 0


async def test_labels_that_the_model_lacks_are_refused_before_they_are_sent(
    cluster: Cluster, settings: Settings
) -> None:
    """A mistyped label would be a dead letter."""
    waiting(cluster, "c-1")
    async with console(settings) as (_, browser):
        await until_open(browser, 1)
        verdict = wanted("c-1") | {"labels": {"queue": "nonsense"}}
        status, document = await browser.post("verdicts", {"verdicts": [verdict]})
        assert status == 400
        assert QUEUE in document["error"]
    assert cluster.verdicts == []


async def test_verdicts_are_signed_by_the_person_or_by_the_console(
    cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where reviewers are named, no verdict of the console would be taken."""
    monkeypatch.setenv("KEY_OF_TEST", "k" * 32)
    reviewers = [ReviewerSection(name=name, key_env="KEY_OF_TEST") for name in ("page", "ana")]
    signing = replace(settings, reviewers=reviewers)
    waiting(cluster, "c-1")
    async with console(signing) as (_, browser):
        await until_open(browser, 1)
        status, document = await browser.post("verdicts", {"verdicts": [wanted("c-1")]})
        assert status == 400
        assert "names several" in document["error"]
    with pytest.raises(ConfigError, match="none of the reviewers"):
        Console(replace(signing, console=ConsoleSection(port=0, reviewer="nobody")))
    named = replace(signing, console=ConsoleSection(port=0, reviewer="page"))
    async with console(named) as (running, browser):
        await until_open(browser, 1)
        asked = {"verdicts": [wanted("c-1")], "hold_s": 0}
        assert (await browser.post("verdicts", asked))[0] == 200
        await until(lambda: cluster.feedback.headers)
    (headers,) = cluster.feedback.headers
    assert headers["triage.reviewer"] == "page"
    by_ana = GivenVerdict(id="c", domain="alerts", tenant="t", labels={"queue": QUEUE}, by="ana")
    await running._feedback.send([])
    assert running._feedback._reviewer_for(verdict_of(by_ana)).name == "ana"  # type: ignore[union-attr]


async def test_a_broker_that_is_away_is_told_and_comes_back_by_itself(
    cluster: Cluster, settings: Settings
) -> None:
    """A page would show an old list as if it were the present one, or need a restart."""
    waiting(cluster, "c-1")
    async with console(settings) as (running, browser):
        await until_open(browser, 1)
        await until(lambda: running._status.get("broker") == "up")
        async with browser.request("GET", "stream") as stream:
            await told(stream, '"broker":"up"')
            cluster.fails = KafkaConnectionError()
            cluster.away = BrokerUnreachable("no Kafka broker answers; start one")
            assert '"sentence":"' in await told(stream, '"broker":"away"')
            await browser.post("verdicts", {"verdicts": [wanted("c-1")], "hold_s": 0})
            await until(lambda: running._status.get("waiting") == 1)
            # What was read is still shown.
            assert (await browser.get("cases"))[1]["total"] == 1
            cluster.fails = cluster.away = None
            await told(stream, '"broker":"up"')
        await until(lambda: len(cluster.verdicts) == 1)
        await until_open(browser, 0)


async def test_a_broker_that_only_falls_silent_is_told(
    cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer of a broker that has gone says nothing for ever: the page would say "live"."""
    monkeypatch.setattr(following_module, "ASK_AFTER_S", 0.0)
    monkeypatch.setattr(following_module, "ANSWER_S", 0.01)
    answers = asyncio.Event()
    answers.set()
    ends = Cluster.end_offsets

    async def end_offsets(consumer: Cluster, partitions: Any) -> Any:
        await answers.wait()
        return await ends(consumer, partitions)

    monkeypatch.setattr(Cluster, "end_offsets", end_offsets)
    async with console(settings) as (running, _):
        await until(lambda: running._status.get("broker") == "up")
        answers.clear()
        await until(lambda: running._status.get("broker") == "away")
        assert "no Kafka broker answers" in str(running._status["sentence"])
        answers.set()
        await until(lambda: running._status.get("broker") == "up")


async def test_a_flood_of_cases_is_told_in_one_word(
    cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of cases of a backlog would each be sent to every browser."""
    monkeypatch.setattr(server_module, "MAX_ARRIVALS", 3)
    async with console(settings) as (running, browser):
        await until(lambda: running._status.get("broker") == "up")
        async with browser.request("GET", "stream") as stream:
            for number in range(9):
                waiting(cluster, f"c-{number}")
            await told(stream, "event: reset")


async def test_forged_records_are_not_shown(cluster: Cluster, settings: Settings) -> None:
    """Whoever may write to a topic would show reviewers what nobody has decided."""
    os.environ["CONSOLE_TEST_KEY"] = "k" * 32
    signed = replace(
        settings, security=replace(settings.security, worker_key_env="CONSOLE_TEST_KEY")
    )
    cluster.decide(triaged("forged"))
    place = Place(0, cluster.ends[TopicPartition(TOPICS.triaged("alerts"), 0)])
    cluster.append(TOPICS.triaged("alerts"), Appended(place, b"k", b"{no json", []))
    async with console(signed) as (running, browser):
        await until(lambda: running._follower.problem is None)
        assert (await browser.get("feed"))[1]["decisions"] == []
    async with console(replace(settings, review=ReviewSection(state=TEMPORARY))) as (other, again):
        await until(lambda: other._follower.problem is None)
        assert [each["id"] for each in (await again.get("feed"))[1]["decisions"]] == ["forged"]


async def test_the_lag_says_why_it_is_not_known(
    cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page would show no lag, as if there were none."""

    async def unreachable(*_: Any) -> dict[TopicPartition, int]:
        raise BrokerUnreachable("no Kafka broker answers; start one")

    lag = parts_module.Lag(settings)
    for number in range(3):
        cluster.append(TOPICS.feedback, Appended(Place(0, number), b"k", b"v", []))
    found, note = await lag.read()
    assert (found["total"], note) == (1, None)
    monkeypatch.setattr(parts_module, "committed_offsets", unreachable)
    assert (await lag.read())[0] == found  # asked for a moment ago
    lag._read_s = float("-inf")
    assert await lag.read() == (None, "no Kafka broker answers; start one")


async def test_the_promise_is_shown_as_the_checks_say(cluster: Cluster, settings: Settings) -> None:
    """A broken promise would be shown as one that nobody has checked."""
    async with console(settings) as (running, browser):
        serving, watch = running._models.serving, running._promise
        await until(watch._caught_up.is_set)
        await watch.stop()  # what it says is the test's from here on
        promise = serving.promise("alerts")
        checks = Watch(promise.alpha, promise.delta, max(promise.threshold, 0.5))
        for number in range(30):
            checks.add(Check(0.0, wrong=True, decided_at_s=float(number)))
        info = serving.calibration("alerts")
        key = PromiseKey("alerts", promise.digest)
        watch.reports = {key: LiveReport(key, info, checks.report())}
        shown = (await browser.get("figures"))[1]["promise"]
        assert shown.keys() == {"alerts"}
        assert shown["alerts"]["state"] == "broken"
        assert shown["alerts"]["alpha"] == promise.alpha
        watch.reports, watch.why_unread = {}, "the spot checks cannot be read"
        notes = (await browser.get("figures"))[1]["notes"]
        assert notes["promise"] == "the spot checks cannot be read"


async def test_the_console_follows_a_promotion(
    cluster: Cluster, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People would be shown the labels and the reasons of a model that decides no more."""
    monkeypatch.setattr(served_module, "CHECK_S", 0.01)
    registry = Registry(tmp_path / "models")
    learned = replace(settings, learning=LearningSection(models=str(registry.directory)))
    current = waiting(cluster, "c-1")
    async with console(learned) as (running, browser):
        await until_open(browser, 1)
        before = running._models.serving.model_of("alerts")
        axes = LABELS["alerts"]
        monkeypatch.setitem(LABELS, "alerts", axes | {"queue": (*axes["queue"], "mars")})
        name = add(registry, build_tiny_model(tmp_path / "other", seed=1))
        async with browser.request("GET", "stream") as stream:
            registry.promote(name, by="test")
            await told(stream, "event: models")
        labels = (await browser.get("labels"))[1]
        assert labels["alerts"]["queue"][-1]["value"] == "mars"
        verdict = wanted("c-1") | {"labels": {"queue": "mars"}}
        assert (await browser.post("verdicts", {"verdicts": [verdict], "hold_s": 0}))[0] == 200
        # What the model before has proposed is still explained by it.
        old = replace(current, model=before)
        assert running._why._maker_of(old) is not None
        new = replace(current, model=running._models.serving.model_of("alerts"))
        assert running._why._maker_of(new) in running._models.serving.classifiers
        assert before.digest != new.model.digest


def test_the_journal_is_beside_the_view(settings: Settings) -> None:
    """Two consoles of two clusters would send each other's verdicts."""
    assert journal_path(settings) == Path(str(settings.review.state)).with_name(
        "cases-verdicts.sqlite"
    )
    assert journal_path(replace(settings, review=ReviewSection(state=TEMPORARY))) is None


async def test_a_verdict_that_is_done_already_is_sent_once_more_and_not_refused(
    cluster: Cluster, settings: Settings
) -> None:
    """After a crash, a person would be told that they themselves were faster."""
    current = waiting(cluster, "c-1")
    async with console(settings) as (running, browser):
        await until_open(browser, 1)
        name = (await browser.get("session"))[1]["name"]
        given = GivenVerdict(
            id="c-1", domain="alerts", tenant="default", labels={"queue": QUEUE}, by=name
        )
        assert await running._why_not(given) is None
        labels = copy.copy(current.labels)
        labels["queue"] = replace(labels["queue"], value=QUEUE)
        decided = replace(
            current,
            revision=1,
            status="final",
            decided_by="human",
            labels=labels,
            reasons=[f"decided by {name}: because"],
        )
        cluster.decide(decided)
        await until_open(browser, 0)
        assert await running._why_not(given) is None
        other = replace(given, by="somebody else")
        assert "decided the same" in str(await running._why_not(other))


def test_the_command_makes_tokens(triage: Triage) -> None:
    """An admin would have to compute digests by hand."""
    code, out, _ = triage("console", "token", "ana", "--role", "reviewer", "--tenant", "acme")
    assert code == 0
    assert '[[people]]\nname = "ana"\nrole = "reviewer"\ntenants = ["acme"]\n' in out
    code, out, _ = triage("console", "token", "bo", "--json")
    document = orjson.loads(out)
    assert document["entry"].keys() == {"name", "role", "token_sha256"}
    assert document["token"] not in str(document["entry"])
    assert triage("console", "token", "two\nlines")[0] == 2
    assert triage("console", "--config", "x.toml", "token", "ana")[0] == 2


def test_the_command_says_what_is_wrong_with_the_configuration(
    triage: Triage, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console that is open to others would end in a traceback, or start."""
    # The handler would outlive this test, and write to its captured stderr.
    monkeypatch.setattr(logs, "configure", lambda _: None)
    path = tmp_path / "triage.toml"
    path.write_text(
        f'[console]\nhost = "0.0.0.0"\n[model]\npath = "{tiny_model}"\n'
        f'[review]\nstate = "{tmp_path / "cases.sqlite"}"\n'
    )
    code, _, err = triage("console", "--config", path)
    assert (code, "tokens_file" in err) == (2, True)
