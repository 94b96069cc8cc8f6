"""The worker's watch over its promise: what it reads, what it tightens, and what it says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from inference.acceptance.live_checks import PromiseKey
from inference.acceptance.policy import Tightening
from inference.classifier import Classifier
from inference.model.threads import Threads
from schemas.audit.continuity import Place
from schemas.codec import encode
from schemas.event import DOMAINS
from schemas.label_record import EarlierDecision, LabelRecord
from schemas.signing import WorkerKeys
from streams import labels_topic
from streams import promise as module
from streams.config import Settings
from streams.config.sections import LearningSection
from streams.config.security import SecuritySection
from streams.kafka import reader
from streams.metrics import Metrics
from streams.promise import PromiseWatch
from streams.trust import Trust
from tests.chains import Appended
from tests.checked_rows import row
from tests.doubles import TOPICS
from tests.kafka_log import KafkaLog
from tests.patience import until
from tests.tiny_model import sample_events
from tests.unit.conftest import Triage

KEYS = WorkerKeys(b"k" * 32)
LABELS_0 = TopicPartition(TOPICS.labels, 0)


@pytest.fixture
async def classifier(tiny_model: Path) -> AsyncIterator[Classifier]:
    """The tiny model."""
    opened = Classifier.open(tiny_model, threads=Threads(1, 1))
    yield opened
    await opened.close()


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> "Rows":
    """An empty labels topic."""
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    log = KafkaLog({LABELS_0: 0, TopicPartition(TOPICS.labels, 1): 0})
    log.install(monkeypatch, reader)

    async def present(*_: object) -> None:
        """Find the topic."""

    monkeypatch.setattr(labels_topic, "check_present", present)
    return Rows(log)


class Rows:
    """A labels topic of two partitions, to which a test writes."""

    def __init__(self, log: KafkaLog) -> None:
        self.log = log

    def write(self, key: str, record: LabelRecord | None, keys: WorkerKeys | None = None) -> None:
        """Write one row, or erase it, as a worker with these keys does."""
        value = None if record is None else encode(record)
        self.write_bytes(key.encode(), value, keys)

    def write_bytes(
        self, key: bytes | None, value: bytes | None, keys: WorkerKeys | None = None
    ) -> None:
        """Write one record."""
        number = sum(key or b"") % 2
        offset = self.log.ends[TopicPartition(TOPICS.labels, number)]
        headers = (keys or WorkerKeys()).headers(TOPICS.labels, key, value or b"", None)
        appended = Appended(Place(number, offset), key, value, headers)
        self.log.append(TOPICS.labels, appended)

    def check(
        self,
        classifier: Classifier,
        count: int,
        *,
        wrong: bool = False,
        first: int = 0,
        **more: Any,
    ) -> None:
        """Write spot checks of tickets under the calibration in force, all with a low risk."""
        info = classifier.calibration("tickets")
        queue = "fraud" if wrong else "billing"
        for number in range(first, first + count):
            fields = {"calibration": info, "risk": 0.0001, "labels": {"queue": queue}}
            self.write(f"t-{number}", row(number, **fields | more))


async def watched(classifier: Classifier, trust: Trust | None = None) -> PromiseWatch:
    """A watch that has read the rows that are there."""
    watch = PromiseWatch(Settings(), classifier, trust)
    await watch.start()
    return watch


def key_of(classifier: Classifier) -> PromiseKey:
    """The promise for tickets."""
    return PromiseKey("tickets", classifier.calibration("tickets").digest)


async def accepted(classifier: Classifier) -> tuple[int, set[str]]:
    """How many sample tickets are accepted, and why the others are not."""
    decisions = await classifier.classify("tickets", sample_events("tickets"))
    return sum(each.accepted for each in decisions), {each.escalation for each in decisions}


async def test_a_broken_promise_is_tightened_at_the_start(
    classifier: Classifier, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart would loosen the acceptance until the next check."""
    before, _ = await accepted(classifier)
    rows.check(classifier, 60, wrong=True)
    watch = await watched(classifier)
    assert before > 0
    assert await accepted(classifier) == (0, {"promise_broken", "risk", "unfamiliar"})
    assert classifier.calibration("tickets").threshold == 0.0
    assert "the promise for tickets is broken: of the" in caplog.text
    assert watch.notes() == [each.message for each in caplog.records if each.levelname == "ERROR"]
    assert classifier.calibration("alerts").threshold > 0, "the other domain has its own promise"
    await watch.stop()
    assert rows.log.stopped == 1


async def test_a_breach_that_comes_later_is_tightened_at_once(
    classifier: Classifier, rows: Rows
) -> None:
    """The worker would accept on until somebody restarts it."""
    rows.check(classifier, 50)
    watch = await watched(classifier)
    threshold = classifier.calibration("tickets").threshold
    assert watch.reports[key_of(classifier)].report.checks == 50
    rows.check(classifier, 60, wrong=True, first=50, decided_at="2027-01-01T00:00:00.000Z")
    await until(lambda: classifier.calibration("tickets").threshold < threshold)
    await watch.stop()


async def test_the_reason_says_that_the_threshold_was_lowered(classifier: Classifier) -> None:
    """Whoever reads the decision would look for the reason in the event."""
    info = classifier.calibration("tickets")
    lower = Tightening(info.digest, info.threshold / 2, "9 of 50 checks were wrong")
    assert classifier.tighten("tickets", lower)
    decisions = await classifier.classify("tickets", sample_events("tickets"))
    held = [each for each in decisions if each.escalation == "promise_broken"]
    assert held
    for each in held:
        assert info.threshold / 2 <= each.risk < info.threshold
        assert f"not below {info.threshold / 2:.4f}, to which the threshold" in each.reason
        assert each.reason.endswith("9 of 50 checks were wrong")
        assert each.labels["queue"].abstained, "the value is only a hint now"
    assert any(each.accepted for each in decisions)


async def test_a_threshold_is_only_ever_lowered(classifier: Classifier) -> None:
    """Whoever can withdraw verdicts would loosen the acceptance."""
    info = classifier.calibration("tickets")
    half, quarter = (
        Tightening(info.digest, info.threshold / part, "they were wrong") for part in (2, 4)
    )
    assert classifier.tighten("tickets", quarter)
    assert not classifier.tighten("tickets", half)
    assert not classifier.tighten("tickets", quarter)
    assert not classifier.tighten("alerts", half), "the promise of another domain"
    assert not classifier.tighten("tickets", Tightening("d" * 64, 0.0, "an earlier calibration"))
    assert classifier.calibration("tickets").threshold == info.threshold / 4


async def test_a_breach_stays_when_its_verdicts_are_withdrawn(
    classifier: Classifier, rows: Rows
) -> None:
    """The state would say *kept* while the acceptance stays tightened, or the other way round."""
    rows.check(classifier, 60, wrong=True)
    watch = await watched(classifier)
    for number in range(60):
        rows.write(f"t-{number}", None)
    rows.check(classifier, 10, first=100)
    await until(lambda: all(each == rows.log.ends[p] for p, each in rows.log.positions.items()))
    await asyncio.sleep(0.05)
    (report,) = watch.reports_of("tickets")
    assert (report.state, report.threshold) == ("broken", 0.0)
    await watch.stop()


async def test_a_new_calibration_begins_anew(classifier: Classifier, rows: Rows) -> None:
    """Acceptance would stay off after the model was calibrated again."""
    rows.check(classifier, 60, wrong=True, calibration=row().calibration)
    watch = await watched(classifier)
    assert classifier.calibration("tickets").threshold > 0
    assert watch.reports_of("tickets") == []
    assert watch.notes() == []
    await watch.stop()


async def test_a_classifier_that_is_swapped_in_is_tightened(
    classifier: Classifier, rows: Rows, tiny_model: Path
) -> None:
    """A worker that loads a model while it runs would accept as calibrated."""
    rows.check(classifier, 60, wrong=True)
    watch = await watched(classifier)
    other = Classifier.open(tiny_model, threads=Threads(1, 1))
    watch.use(other)
    assert other.calibration("tickets").threshold == 0.0
    await other.close()
    await watch.stop()


@pytest.mark.parametrize("forger", [None, WorkerKeys(b"f" * 32)])
async def test_rows_that_no_worker_has_signed_do_not_count(
    classifier: Classifier, rows: Rows, forger: WorkerKeys | None
) -> None:
    """Whoever can write to the topic would switch the acceptance off, or hide a breach."""
    info = classifier.calibration("tickets")
    for number in range(60):
        record = row(number, calibration=info, risk=0.0, labels={"queue": "fraud"})
        rows.write(f"t-{number}", record, forger)
    rows.write("ours", row(99, calibration=info, risk=0.0), KEYS)
    rows.write("ours", row(99, chosen="escalated"), forger)
    watch = await watched(classifier, Trust(KEYS))
    report = watch.reports[key_of(classifier)].report
    assert (report.checks, report.state) == (1, "in_doubt")
    await watch.stop()


@pytest.mark.parametrize(
    "settings",
    [
        Settings(learning=LearningSection(exclude_reviewers=["EVE"])),
        Settings(learning=LearningSection(exclude_tenants=["Acme"])),
        Settings(security=SecuritySection(people=["ana"])),
    ],
)
async def test_rows_that_nothing_is_learned_from_do_not_count(
    classifier: Classifier, rows: Rows, settings: Settings
) -> None:
    """Whoever may teach nothing could switch the acceptance off, or hide a breach."""
    rows.check(classifier, 3, first=100)
    rows.check(classifier, 60, wrong=True, by="eve", tenant="acme")
    rows.check(classifier, 1, first=100, by="eve", tenant="acme")
    watch = PromiseWatch(settings, classifier)
    await watch.start()
    report = watch.reports[key_of(classifier)].report
    assert (report.checks, report.state) == (2, "in_doubt"), "one was decided again by eve"
    await watch.stop()


async def test_records_that_are_no_rows_are_left_out(classifier: Classifier, rows: Rows) -> None:
    """One broken record on the topic would end the watch."""
    for key, value in (
        (None, b"x"),
        (b"a", b'"spot_check"'),
        (b"b", b'{"chosen":"spot_check"}'),
        (b"c", b'\xff"spot_check"'),
        (b"d", None),
        (b"e", encode(row(chosen="escalated"))),
    ):
        rows.write_bytes(key, value)
    rows.check(classifier, 3)
    watch = await watched(classifier)
    assert watch.reports[key_of(classifier)].report.checks == 3
    await watch.stop()


async def test_what_cannot_be_read_changes_nothing_and_is_said(
    classifier: Classifier, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker's fault would stop classification, or loosen it, or go unnoticed."""
    rows.check(classifier, 60, wrong=True)
    watch = await watched(classifier)
    rows.log.damaged, rows.log.error = {LABELS_0: 0}, ValueError("not enough bytes")
    rows.write("a", row())
    rows.log.positions = dict.fromkeys(rows.log.ends, 0)
    await until(lambda: watch.why_unread)
    assert "so the promise is not watched; check the topic" in watch.notes()[0]
    assert classifier.calibration("tickets").threshold == 0.0
    rows.log.damaged = {}
    await until(lambda: watch.why_unread is None)
    await watch.stop()


async def test_an_unreadable_topic_does_not_hold_up_the_start(
    classifier: Classifier, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """No event would be triaged until somebody has mended the topic."""
    rows.check(classifier, 3)
    rows.log.silent = True
    watch = PromiseWatch(Settings(), classifier)
    await watch.start(timeout_s=0.02)
    assert "could not be read in 0 s; classifying meanwhile" in caplog.text
    rows.log.silent = False
    await until(lambda: watch.reports)
    await watch.stop()


async def test_the_gauges_show_the_worst_promise(classifier: Classifier, rows: Rows) -> None:
    """A dashboard would show nothing, or another state than the log."""
    rows.check(classifier, 60, wrong=True)
    now_s = 5.0
    watch = PromiseWatch(Settings(), classifier, clock=lambda: now_s)
    await watch.start()
    now_s = 12.0
    metrics = Metrics()
    metrics.when_rendered(watch.observe)
    await watch.stop()
    page = metrics.render().decode()
    for line in (
        'triage_promise_state{domain="tickets",state="broken"} 1.0',
        'triage_promise_state{domain="tickets",state="kept"} 0.0',
        'triage_promise_state{domain="alerts",state="in_doubt"} 1.0',
        'triage_promise_threshold_ratio{domain="tickets"} 0.0',
        'triage_promise_risk_ratio{bound="estimate",domain="alerts"} NaN',
        'triage_promise_risk_ratio{bound="upper",domain="alerts"} 1.0',
        'triage_promise_checked_events{domain="alerts"} 0.0',
    ):
        assert line in page, line
    assert "triage_promise_read_age_seconds" in page


def test_the_command_prints_what_the_checks_say(
    triage: Triage, rows: Rows, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People would not learn whether the promise is kept."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    classifier = Classifier.open(tiny_model, threads=Threads(1, 1))
    rows.check(classifier, 60, wrong=True)
    rows.check(classifier, 30, first=60, calibration=row().calibration)
    asyncio.run(classifier.close())
    code, out, err = triage("promise")
    assert (code, err) == (0, "")
    digest = key_of(classifier).digest[:12]
    (line,) = (line for line in out.splitlines() if digest in line)
    assert "broken" in line
    assert "nothing" in line
    assert "c (earlier)" in out
    assert "the promise for tickets is broken" in out
    code, out, _ = triage("promise", "--json")
    promises = msgspec.json.decode(out)
    assert code == 0
    assert {each["domain"] for each in promises if each["in_force"]} == set(DOMAINS)
    first, last = promises[0], promises[-1]
    assert (first["state"], first["threshold"], first["in_force"]) == ("broken", 0.0, True)
    assert first["calibrated_threshold"] > 0
    assert first["breaches"][0]["wrong"] > 0
    assert (last["checks"], last["wrong"], last["in_force"]) == (30, 0, False)


def test_the_command_says_that_nothing_is_drawn(
    triage: Triage, rows: Rows, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People would wait for checks that never come."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    monkeypatch.setenv("TRIAGE_SPOT_CHECKS__SHARE", "0")
    code, out, _ = triage("promise")
    assert code == 0
    assert "spot_checks.share is 0" in out
    assert "unknown" in out


def test_the_command_says_when_there_is_a_new_calibration(
    triage: Triage,
    rows: Rows,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is accepted after a breach, and people would not know for how long."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    classifier = Classifier.open(tiny_model, threads=Threads(1, 1))
    rows.check(classifier, 30, wrong=True)
    asyncio.run(classifier.close())
    assert "set [learning] models, or calibrate with triage calibrate" in triage("promise")[1]
    monkeypatch.setenv("TRIAGE_LEARNING__MODELS", str(tmp_path / "models"))
    out = triage("promise")[1]
    assert "tickets: triage learn makes the next candidate after 50 more decisions" in out
    assert "at least 114 events that it is sure of" in out
    promises = msgspec.json.decode(triage("promise", "--json")[1])
    missing = {each["domain"]: each["decisions_until_next_candidate"] for each in promises}
    assert missing == {"tickets": 50, "alerts": None}
    for number in range(100, 150):
        later = "2027-01-01T00:00:00.000Z"
        rows.write(f"t-{number}", row(number, chosen="escalated", decided_at=later))
    assert "triage learn makes the next candidate when it looks next" in triage("promise")[1]


def test_the_command_shows_who_decides_and_where_people_disagree(
    triage: Triage, rows: Rows, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would see that one person is corrected by everybody."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    for number in range(3):
        rows.write(f"t-{number}", row(number))
    earlier = EarlierDecision(by="bo", labels={"queue": "fraud"})
    rows.write("t-3", row(3, corrects=earlier))
    sentence = "in 1 of 4 rows of people, one person changed what another had decided"
    assert f"{sentence}: triage promise --reviewers" in triage("promise")[1]
    out = triage("promise", "--reviewers")[1]
    assert sentence in out
    assert "tickets t-3: queue was fraud for bo, and is billing for ana" in out
    document = msgspec.json.decode(triage("promise", "--reviewers", "--json")[1])
    assert [each["name"] for each in document["reviewers"]] == ["ana"]
    assert document["reviewers"][0]["corrected"] == 1
    assert [each["earlier_by"] for each in document["disagreements"]] == ["bo"]
