"""The second promise: of what is accepted as harmless, at most a share beta was malicious."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from inference.acceptance.dispositions import DISPOSITION, is_harmless
from inference.acceptance.live_checks import LiveChecks, LiveReport
from inference.acceptance.options import Terms
from inference.acceptance.policy import Decision, Tightening
from inference.acceptance.samples import load_samples
from inference.classifier import Classifier
from inference.errors import ConfigError
from inference.labels.file import NO_LABELS
from inference.model.threads import Threads
from inference.training.own_labels import train_own_labels
from inference.training.recipe import TrainingOptions
from schemas.codec import decode, encode
from schemas.event import Event
from schemas.triaged import CalibrationInfo, Label
from streams.cli.calibrate import show
from streams.promise import broken_sentence, tightening_of
from tests.checked_rows import row
from tests.labelled import to_rows

WORDS = {
    "true positive": "malware was executed on the host and credentials were dumped",
    "false positive": "scheduled backup job copied files at night",
    "benign": "administrator opened a remote session for maintenance",
}
TERMS = Terms(deciding=[DISPOSITION], alpha=0.2, beta=0.1)
INFO = CalibrationInfo(
    alpha=0.05, delta=0.1, n=900, threshold=0.3, digest="c", beta=0.01, harmless_threshold=0.2
)


def texts(count: int, seed: int) -> list[tuple[str, str]]:
    """Alerts whose words tell how they are closed, with the closing; one in twelve is a mistake."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        closing = rng.choice(list(WORDS))
        words = WORDS[closing].split()
        rng.shuffle(words)
        wrong = rng.random() < 1 / 12
        made.append((" ".join(words), rng.choice(list(WORDS)) if wrong else closing))
    return made


def train(encoder: Path, out: Path, names: dict[str, str]) -> Path:
    """A model of dispositions under these names."""
    rows = to_rows(
        [
            {
                "kind": "alert",
                "text": text,
                "labels": {DISPOSITION: names.get(closing, closing)},
            }
            for text, closing in texts(450, 1)
        ]
    )
    rows = [replace(row, part="both") for row in rows]
    options = TrainingOptions(name="alerts")
    train_own_labels(rows, NO_LABELS, out, options, lambda *_: None, encoder=encoder)
    return out


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned how alerts are closed."""
    return train(tiny_model, tmp_path_factory.mktemp("dispositions"), {})


def opened(model: Path, terms: Terms = TERMS) -> Classifier:
    """The model under these terms."""
    return Classifier.open(model, threads=Threads(1, 1), terms={"alerts": terms})


@pytest.fixture
async def classifier(model: Path) -> AsyncIterator[Classifier]:
    """The model with a second promise."""
    made = opened(model)
    yield made
    await made.close()


async def decide(classifier: Classifier) -> tuple[list[Decision], list[Decision]]:
    """The decisions on fresh alerts that are called harmless, and on the others."""
    events = [
        Event(id=str(number), kind="alert", text=text)
        for number, (text, _) in enumerate(texts(60, 2))
    ]
    decisions = await classifier.classify("alerts", events)
    harmless = [each for each in decisions if is_harmless(each.labels[DISPOSITION].value)]
    return harmless, [each for each in decisions if each not in harmless]


def test_the_calibration_keeps_which_rows_were_malicious(model: Path) -> None:
    """The second promise could not be tested when the model is loaded."""
    with_opened = opened(model)
    testing = load_samples(with_opened.artifact)["alerts"].testing
    wrong = testing.correct[:, 0] == 0
    assert set(np.unique(testing.malicious)) == {-1, 0, 1}
    assert wrong[testing.malicious == 1].all(), "a malicious alert that is called harmless"
    promise = with_opened.promise("alerts")
    assert promise.n_harmless == (testing.malicious >= 0).sum()
    assert (
        promise.digest
        != opened(model, Terms(deciding=[DISPOSITION], alpha=0.2)).promise("alerts").digest
    ), "a promise with beta is another one"


async def test_what_is_called_harmless_has_a_threshold_of_its_own(classifier: Classifier) -> None:
    """An attack would be accepted as benign more often than was promised."""
    promise = classifier.promise("alerts")
    info = classifier.calibration("alerts")
    assert (info.beta, info.harmless_threshold) == (0.1, promise.harmless_threshold)
    assert promise.harmless_threshold > 0
    harmless, others = await decide(classifier)
    for decisions, threshold in (
        (harmless, promise.harmless_threshold),
        (others, promise.threshold),
    ):
        assert [each.accepted for each in decisions] == [
            each.risk < threshold and each.ood_score <= 0.5 for each in decisions
        ]
    accepted = next(each for each in harmless if each.accepted)
    assert accepted.reason.endswith("for what is called harmless")


async def test_only_what_is_called_harmless_is_tightened(classifier: Classifier) -> None:
    """A breach of one promise would stop what the other one still allows, or nothing."""
    info = classifier.calibration("alerts")
    lowered = Tightening(info.digest, 0.0, "3 of 9 were malicious", harmless=True)
    assert classifier.tighten("alerts", lowered)
    assert not classifier.tighten("alerts", lowered)
    after = classifier.calibration("alerts")
    assert (after.threshold, after.harmless_threshold) == (info.threshold, 0.0)
    harmless, others = await decide(classifier)
    assert not any(each.accepted for each in harmless)
    assert any(each.accepted for each in others)
    held = next(each for each in harmless if each.escalation == "promise_broken")
    assert held.reason.endswith("3 of 9 were malicious")
    assert held.labels[DISPOSITION].abstained, "the LLM may say otherwise"


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        (Terms(deciding=["queue"], beta=0.1), "deciding must name axes"),
        (Terms(deciding=[DISPOSITION], beta=1.5), "must lie between 0 and 1"),
    ],
)
def test_terms_of_the_second_promise_that_cannot_be(
    model: Path, terms: Terms, problem: str
) -> None:
    """A worker would start, and promise nothing."""
    with pytest.raises(ConfigError, match=problem):
        opened(model, terms)


def test_a_second_promise_needs_dispositions(tiny_model: Path) -> None:
    """It would be about nothing, and nobody would know."""
    with pytest.raises(ConfigError, match="beta needs disposition among the deciding axes"):
        opened(tiny_model, Terms(beta=0.01))


def test_labels_that_nobody_can_read_as_harmless_are_refused(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Alerts would be accepted as harmless under a name of one's own, and not be tested."""
    ours = {"benign": "nothing to do", "false positive": "tune the rule"}
    model = train(tiny_model, tmp_path, ours)
    with pytest.raises(ConfigError, match=r"no label of disposition means benign .*nothing to do"):
        opened(model)


def test_a_promise_that_the_rows_do_not_support_says_so(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever calibrates would not learn how many rows are missing."""
    promise = opened(model, Terms(deciding=[DISPOSITION], alpha=0.2, beta=0.001)).promise("alerts")
    assert promise.harmless_threshold == 0.0
    assert promise.threshold > 0
    show({"alerts": {"*": promise}})
    first, second = capsys.readouterr().out.splitlines()
    assert "risk below" in first
    assert second.startswith("alerts, called harmless: no threshold can promise at most 0.001")
    assert "31 times as many rows like these would not be enough" in second
    show({"alerts": {"*": opened(model).promise("alerts")}})
    assert "of what is accepted so at most 10.0% is malicious" in capsys.readouterr().out


def test_records_without_a_second_promise_are_as_before() -> None:
    """Consumers that know five fields would refuse every decision."""
    plain = CalibrationInfo(alpha=0.02, delta=0.1, n=9, threshold=0.5, digest="c")
    assert b"beta" not in encode(plain)
    assert b"harmless" not in encode(plain)
    assert decode(encode(INFO), CalibrationInfo) == INFO


def checked(number: int, proposed: str, decided: str | None = None, **changes: Any) -> Any:
    """The row of a spot check of an alert that was closed so."""
    fields: dict[str, Any] = {
        "domain": "alerts",
        "labels": {DISPOSITION: decided or proposed},
        "proposed": {DISPOSITION: Label(value=proposed, confidence=0.99)},
        "calibration": INFO,
    }
    return row(number, **fields | changes)


def reports(rows: Sequence[Any]) -> dict[str, LiveReport]:
    """What the checks say of each claim."""
    checks = LiveChecks({"alerts": [DISPOSITION]})
    for number, record in enumerate(rows):
        checks.note(b"%d" % number, record)
    return {each.key.claim: each for each in checks.reports()}


def test_a_check_counts_for_what_it_was_accepted_as() -> None:
    """A benign alert that was taken for a false alarm would count as an attack that was missed."""
    found = reports(
        [
            checked(0, "benign"),
            checked(1, "benign", "false positive"),
            checked(2, "false positive", "true positive"),
            checked(3, "true positive", "benign"),
            checked(4, "true positive"),
        ]
    )
    counts = {claim: (each.report.checks, each.report.wrong) for claim, each in found.items()}
    assert counts == {"wrong": (2, 1), "harmless_wrong": (3, 2), "harmless_malicious": (3, 1)}
    limits = {claim: (each.report.limit, each.report.threshold) for claim, each in found.items()}
    assert limits == {
        "wrong": (0.05, 0.3),
        "harmless_wrong": (0.05, 0.2),
        "harmless_malicious": (0.01, 0.2),
    }


def test_missed_attacks_break_the_second_promise_alone() -> None:
    """Four attacks in a hundred alerts that are accepted as benign would go on for long."""
    rows = [
        checked(number, "benign", "true positive" if number % 25 == 24 else None)
        for number in range(300)
    ]
    found = reports(rows)
    broken, other = found["harmless_malicious"], found["harmless_wrong"]
    assert (broken.report.state, other.report.breaches) == ("broken", ())
    assert tightening_of(broken).harmless
    sentence = broken_sentence(broken)
    assert "of the alerts that are called harmless at most 1.0% are malicious" in sentence
    assert "no events that are called harmless are accepted until" in sentence


def test_an_erased_check_counts_nowhere() -> None:
    """One of the two claims would go on with a verdict that was withdrawn."""
    checks = LiveChecks({"alerts": [DISPOSITION]})
    checks.note(b"1", checked(1, "benign"))
    assert checks.knows(b"1")
    assert checks.note(b"1", None)
    assert [each.report.checks for each in checks.reports()] == [0, 0]
    assert not checks.knows(b"1")
