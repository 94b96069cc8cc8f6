"""The learner: when it trains, what it proposes, and when it promotes."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from inference.acceptance.options import Terms
from inference.classifier import Classifier
from inference.errors import ConfigError, ModelError
from inference.learning.comparison import Comparison
from inference.model.artifact import CARD, load_artifact
from inference.model.threads import Threads
from schemas.label_record import LabelRecord
from schemas.triaged import Label, ModelInfo
from streams import labels_topic
from streams.cli import learn as command
from streams.cli.models import models as models_command
from streams.config import DomainsSection, LearningSection, ModelSection, Settings, as_environment
from streams.disk import only_one
from streams.errors import BrokerUnreachable
from streams.learning import candidates, process
from streams.learning.learner import LEARNING, Learner, Report
from streams.learning.process import LearnerProcess
from streams.learning.trial import Trial
from streams.models.registry import NEW, Registry
from streams.wiring.model import require_registry
from tests.learned import decided, instant, rows
from tests.minisign import Signer
from tests.patience import until


class Topic:
    """The topic of labelled rows."""

    def __init__(self) -> None:
        self.rows: list[LabelRecord] = []
        self.error: Exception | None = None

    async def read(self, *_: Any) -> AsyncIterator[LabelRecord]:
        """The rows as they are now."""
        if self.error is not None:
            raise self.error
        for row in self.rows:
            yield row


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    """What people and the LLM decided."""
    made = Topic()
    monkeypatch.setattr(labels_topic, "read_label_records", made.read)
    return made


@pytest.fixture
def settings(tiny_model: Path, tmp_path: Path) -> Settings:
    """A tiny model is served, and candidates take its encoder."""
    return Settings(
        model=ModelSection(path=str(tiny_model), replicas=1, threads_per_replica=1),
        domains=DomainsSection(tickets=Terms(alpha=0.1)),
        learning=LearningSection(
            models=str(tmp_path / "models"), encoder=str(tiny_model), min_new_rows=30
        ),
    )


@pytest.fixture
def registry(settings: Settings) -> Registry:
    """The registry of the settings."""
    return require_registry(settings)


def quiet(*_: object) -> None:
    """Report no progress."""


def learned(settings: Settings, **options: Any) -> list[Report]:
    """What the learner does when it looks once."""
    return Learner(settings).once(quiet, **options)


def with_learning(settings: Settings, **fields: Any) -> Settings:
    """The settings with other fields of `[learning]`."""
    return replace(settings, learning=replace(settings.learning, **fields))


def test_a_candidate_is_trained_when_enough_is_new(
    settings: Settings, registry: Registry, topic: Topic
) -> None:
    """Nothing would be learned from what people decide, or a model be trained every minute."""
    topic.rows = [*rows(29)]
    (report,) = learned(settings)
    assert (report.outcome, report.new, report.sentence[:2]) == ("waiting", 29, "1 ")
    topic.rows = [*rows(90), *rows(30, start=90, decided_by="llm", by="gpt")]
    (report,) = learned(settings)
    assert report.outcome == "trained", report.sentence
    name = registry.state().roles("tickets").candidate
    assert report.model == name is not None
    assert registry.state().roles("alerts").candidate is None
    artifact = load_artifact(registry.path(name))
    assert list(artifact.manifest.domains) == ["tickets"]
    assert "90 rows that people decided and 30" in artifact.file(CARD).read_text("utf-8")
    facts = registry.facts(name)
    assert facts is not None
    assert (facts.rows, facts.learned_until) == ({"human": 90, "llm": 30}, instant(119))
    assert not list(registry.directory.glob(f"{NEW}*"))
    (report,) = learned(settings)
    assert (report.outcome, report.new) == ("waiting", 0)


def test_a_withdrawn_verdict_makes_a_new_model(
    settings: Settings, registry: Registry, topic: Topic
) -> None:
    """What was learned from a withdrawn verdict would stay in the model."""
    topic.rows = [*rows(90)]
    learned(settings)
    topic.rows = topic.rows[:45]
    (report,) = learned(settings)
    assert (report.outcome, report.new) == ("trained", 45)


def breach(settings: Settings, *, start: int) -> list[LabelRecord]:
    """Spot checks by which the promise of the served model is broken."""
    path = Path(settings.model.path or "")
    model = Classifier.open(path, threads=Threads(1, 1), terms=settings.terms)
    info = replace(model.calibration("tickets"), threshold=0.5)
    asyncio.run(model.close())
    return [
        decided(
            number,
            chosen="spot_check",
            probability=0.02,
            proposed={"queue": Label(value="fraud", confidence=0.99)},
            accepted=True,
            risk=0.001,
            calibration=info,
        )
        for number in range(start, start + 40)
    ]


def test_after_a_breach_a_new_calibration_comes_by_itself(
    settings: Settings, registry: Registry, topic: Topic
) -> None:
    """It would wait for a share of all rows ever, and calibrate on events as they were."""
    topic.rows = [*rows(300)]
    learned(settings)
    topic.rows += [*breach(settings, start=300), *rows(29, start=400)]
    (report,) = learned(settings)
    assert (report.outcome, report.sentence[:2]) == ("waiting", "1 ")
    topic.rows += rows(1, start=500)
    (report,) = learned(settings)
    assert report.outcome == "trained", "not half as many rows more, as for another candidate"
    assert report.model is not None
    made_from = load_artifact(registry.path(report.model)).calibration.made_from
    assert made_from["rows"]["tickets"] == 30, "only what came in since calibrates"


def test_after_a_breach_no_spot_checks_are_waited_for(settings: Settings, topic: Topic) -> None:
    """Nothing is accepted, so none are drawn, and no candidate would ever take over."""
    topic.rows = [*rows(300)]
    learned(settings)
    topic.rows += rows(100, start=300)
    (before,) = asyncio.run(candidates.compare_models(settings, None))
    topic.rows += breach(settings, start=500)
    (after,) = asyncio.run(candidates.compare_models(settings, None))
    assert before.decided is not None
    assert after.decided is not None
    assert before.decided.served_coverage > 0
    assert after.decided.served_coverage == 0.0, "it accepts what a worker accepts"
    assert "spot_check" in before.decided.reason
    assert "spot_check" not in after.decided.reason


def test_rows_that_cannot_be_learned_from_are_not_tried_every_minute(
    settings: Settings, topic: Topic
) -> None:
    """The learner would train, and fail, for ever."""
    topic.rows = [decided(3 * number) for number in range(40)]
    (report,) = learned(settings)
    assert report.outcome == "failed"
    assert "1 different values" in report.sentence
    assert learned(settings)[0].outcome == "waiting"
    assert learned(settings, force=True)[0].outcome == "failed"


def test_there_is_one_learner_on_a_registry(
    settings: Settings, registry: Registry, topic: Topic
) -> None:
    """Two workers that learn would train the same candidate."""
    topic.rows = [*rows(90)]
    with only_one(registry.directory / LEARNING), pytest.raises(ModelError, match="another"):
        learned(settings)


def comparison(finding: Any) -> Comparison:
    """A comparison that found this."""
    return Comparison(
        rows=1,
        ways={},
        served_wrong=0.2,
        candidate_wrong=0.1,
        served_coverage=0.1,
        candidate_coverage=0.2,
        served_accepted_wrong=0.0,
        candidate_accepted_wrong=0.0,
        margin=0.1,
        error=0.05,
        finding=finding,
        reason="because",
    )


def judging(monkeypatch: pytest.MonkeyPatch, finding: str) -> None:
    """Let every trial find this."""

    async def compare(*_: Any) -> Comparison:
        return comparison(finding)

    monkeypatch.setattr(Trial, "compare", compare)


def test_a_candidate_that_passed_is_promoted_if_that_is_configured(
    settings: Settings, registry: Registry, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promotion would wait for a person, or happen although a person wants to be asked."""
    topic.rows = [*rows(90)]
    (report,) = learned(settings)
    judging(monkeypatch, "better")
    learned(settings)
    assert registry.state().roles("tickets").current is None, "a person is asked"
    auto = with_learning(settings, promote="auto")
    assert [each.outcome for each in learned(auto)] == ["promoted", "waiting"]
    assert registry.state().roles("tickets").current == report.model


def test_an_unsigned_candidate_is_not_promoted_by_itself(
    settings: Settings, registry: Registry, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key, a model that nobody signed would decide events."""
    topic.rows = [*rows(90)]
    learned(settings)
    judging(monkeypatch, "better")
    key = Signer().public_key
    signed = replace(settings, model=replace(settings.model, public_key=key))
    report = learned(with_learning(signed, promote="auto"))[0]
    assert report.outcome == "unsigned"
    assert "sign" in report.sentence
    assert registry.state().roles("tickets").current is None


def test_a_candidate_that_is_worse_is_withdrawn(
    settings: Settings, registry: Registry, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad candidate would be tried for ever."""
    topic.rows = [*rows(90)]
    learned(settings)
    judging(monkeypatch, "worse")
    assert learned(settings)[0].outcome == "withdrawn"
    assert registry.state().roles("tickets").candidate is None


def test_a_candidate_is_judged_on_what_it_never_saw(
    settings: Settings, registry: Registry, topic: Topic
) -> None:
    """A model would pass because it knows the answers."""
    topic.rows = [*rows(90)]
    learned(settings)
    (before,) = asyncio.run(candidates.compare_models(settings, None))
    assert before.decided is not None
    assert before.decided.rows == 0
    unseen = rows(30, start=200)
    other_model = [
        decided(300, model=_model("0" * 64)),
        decided(301, event=None),
        decided(302, decided_by="llm"),
        decided(303, labels={"priority": "high"}),
    ]
    topic.rows += [*unseen, *other_model]
    (after,) = asyncio.run(candidates.compare_models(settings, None))
    assert after.decided is not None
    assert after.decided.rows == 30
    assert after.decided.candidate_wrong < after.decided.served_wrong
    assert after.live is None
    (named,) = asyncio.run(candidates.compare_models(settings, after.candidate))
    assert named == after


def _model(digest: str) -> ModelInfo:
    return ModelInfo(name="other", digest=digest, compute_type="int8")


def test_the_tiny_candidate_learns_and_is_promoted(
    settings: Settings, registry: Registry, topic: Topic
) -> None:
    """The whole way: rows, candidate, trial, promotion, and the next candidate beside it."""
    auto = with_learning(settings, promote="auto")
    topic.rows = [*rows(240)]
    assert learned(auto)[0].outcome == "trained"
    topic.rows += rows(60, start=300)
    outcomes = [each.outcome for each in learned(auto)]
    comparison = asyncio.run(candidates.compare_models(settings, None))
    assert outcomes[0] == "promoted" or comparison[0].decided is not None
    listed = CliRunner().invoke(models_command, ["list", "--json"], env=as_environment(settings))
    assert listed.exit_code == 0, listed.output
    for arguments in (["list"], ["compare"], ["compare", "--json"]):
        result = CliRunner().invoke(models_command, arguments, env=as_environment(settings))
        assert result.exit_code == 0, result.output


def test_learning_needs_a_place_for_its_models() -> None:
    """The learner would write models to wherever it was started."""
    with pytest.raises(ConfigError, match=r"learning\.models"):
        Learner(Settings())


def test_the_command_says_what_it_did(settings: Settings, topic: Topic) -> None:
    """A person would not know whether anything was learned."""
    environ = as_environment(settings)
    result = CliRunner().invoke(command.learn, [], env=environ)
    assert "nobody has decided anything yet" in result.output
    topic.rows = [*rows(60)]
    result = CliRunner().invoke(command.learn, ["--json"], env=environ)
    assert '"outcome": "trained"' in result.output
    result = CliRunner().invoke(command.learn, [], env=environ)
    assert "tickets: waiting (60 rows of people, 0 of the LLM, 0 new)" in result.output
    result = CliRunner().invoke(command.learn, ["--now"], env=environ)
    assert "tickets: trained" in result.output


def test_watching_goes_on_after_an_error(
    settings: Settings, topic: Topic, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """A broker that is away for a minute would end the learning."""
    topic.error = BrokerUnreachable("no broker answers")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        topic.error, topic.rows = None, [*rows(30)]
        if len(slept) == 2:
            raise SystemExit(0)

    monkeypatch.setattr(time, "sleep", sleep)
    with caplog.at_level("INFO"), pytest.raises(SystemExit):
        command._watch(Learner(settings), 60.0)
    assert "no broker answers; trying again in 60 s" in caplog.text
    assert "tickets: trained" in caplog.text


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Lets the worker start another program instead of the learner; it writes into the file."""

    def install(code: str) -> Path:
        file = tmp_path / "started"
        monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", code, str(file)))
        monkeypatch.setattr(process, "RESTART_S", 0.01)
        return file

    return install


async def test_the_learner_of_a_worker_is_started_again(
    program: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    """A learner that was killed would be gone until the worker is started again."""
    file = program("import sys; open(sys.argv[1], 'a').write('x'); sys.exit(1)")
    task = asyncio.create_task(LearnerProcess(Settings()).run())
    await until(lambda: file.exists() and len(file.read_text()) > 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "the learner ended with the code 1" in caplog.text


async def test_a_learner_that_cannot_start_is_not_tried_again(
    program: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    """The log would be full of the same error."""
    program("import sys; sys.exit(2)")
    await LearnerProcess(Settings()).run()
    assert "could not start" in caplog.text


async def test_the_learner_ends_with_its_worker(program: Callable[[str], Path]) -> None:
    """A worker that is stopped would leave a learner behind."""
    file = program(
        "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    )
    task = asyncio.create_task(LearnerProcess(Settings()).run())
    await until(lambda: file.exists() and file.read_text())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: not _runs(int(file.read_text())))


def test_a_learner_ends_when_its_worker_is_killed(settings: Settings) -> None:
    """It would go on, and its next worker would start a second one."""
    code = (
        "from streams.cli.learn import _end_with_standard_input; import time\n"
        "_end_with_standard_input(); print('on', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"on\n"
    child.stdin.close()
    assert child.wait(30) == 0
    child.stdout.close()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
