"""What a closed history answers: divided by time, with its own closings, and honest about both."""

import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from inference.acceptance.binomial import upper_bound
from inference.acceptance.dispositions import DISPOSITION, disposition_of, is_harmless
from inference.errors import DataError
from inference.labels.file import NO_LABELS
from inference.learning.closed_rows import closed_rows
from inference.learning.history import answer_history, divide
from inference.learning.history_answer import HistoryOptions
from inference.learning.leaks import leaking_fields
from schemas.event import Stated
from streams.cli.learn import learn
from streams.config import LearningSection, Settings, as_environment
from streams.learning.history import history_of
from tests.labelled import to_rows, write
from tests.learned import instant

WORDS = {
    "TruePositive": "malware was executed on the host and credentials were dumped",
    "FalsePositive": "scheduled backup job copied files at night",
    "BenignPositive": "administrator opened a remote session for maintenance",
}


def alerts(count: int, *, seed: int = 0, times: bool = True) -> list[dict[str, Any]]:
    """Closed alerts as a product exports them; their words tell how they were closed."""
    rng = random.Random(seed)
    documents = []
    for number in range(count):
        closing = rng.choice(list(WORDS))
        words = WORDS[closing].split()
        rng.shuffle(words)
        document: dict[str, Any] = {
            "id": str(number),
            "kind": "alert",
            "title": " ".join(words),
            "labels": {DISPOSITION: closing},
        }
        if times:
            document["occurred_at"] = instant(number)
        documents.append(document)
    return documents


def options(**fields: Any) -> HistoryOptions:
    """Options of a history of dispositions."""
    about: dict[str, Any] = {"deciding": [DISPOSITION], "llm_usd": 0.01}
    return HistoryOptions(**about | fields)


def quiet(*_: object) -> None:
    """Report no progress."""


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("TruePositive", "true positive"),
        ("true_positive", "true positive"),
        ("Malicious", "true positive"),
        ("BenignPositive", "benign"),
        ("informationalExpectedActivity", "benign"),
        ("False Positive - Incorrect Alert Logic", "false positive"),
        ("FALSE-POSITIVE", "false positive"),
        ("Undetermined", None),
        ("unknown", None),
        ("In Progress", None),
        ("our own word", "our own word"),
    ],
)
def test_the_words_of_products_become_ours(word: str, meaning: str | None) -> None:
    """Alerts that were closed alike by two products would have different labels."""
    assert disposition_of(word) == meaning
    assert is_harmless(word) == (meaning in ("benign", "false positive"))


def test_what_is_open_or_undetermined_is_no_label() -> None:
    """A model would learn from alerts that nobody has judged."""
    rows = to_rows(
        [
            {"kind": "alert", "text": "a", "labels": {DISPOSITION: "TruePositive"}},
            {"kind": "alert", "text": "b", "labels": {DISPOSITION: "Undetermined"}},
            {"kind": "alert", "text": "c", "labels": {DISPOSITION: "FalsePositive"}},
        ]
    )
    rows[2] = msgspec.structs.replace(
        rows[2], event=msgspec.structs.replace(rows[2].event, stated=Stated(status="open"))
    )
    closed, still_open, undetermined = closed_rows(rows)
    assert [row.gold for row in closed] == [{DISPOSITION: ("true positive",)}]
    assert (still_open, undetermined) == (1, 1)


def test_the_newer_events_are_answered() -> None:
    """A model that has seen the future would look better than it will be."""
    division = divide(to_rows(alerts(100)))
    assert division.by_time
    assert len(division.newer) == 30
    latest = max(row.event.occurred_at or "" for row in division.older)
    assert division.answered_from is not None
    assert latest < division.answered_from
    assert [row.event.occurred_at for row in division.newer] == sorted(
        row.event.occurred_at or "" for row in division.newer
    )


def test_without_times_near_duplicates_stay_together() -> None:
    """The model would be asked about what it knows by heart."""
    lines = [
        {"kind": "alert", "text": f"{WORDS[closing]} {copy}", "labels": {DISPOSITION: closing}}
        for closing in WORDS
        for copy in range(40)
    ] + alerts(200, times=False)
    division = divide(to_rows([{k: v for k, v in line.items() if k != "id"} for line in lines]))
    assert not division.by_time
    assert division.answered_from is None
    assert not {row.cluster for row in division.older} & {row.cluster for row in division.newer}


@pytest.fixture(scope="module")
def answer(tiny_model: Path) -> Any:
    """The answer of a history of 900 alerts."""
    closed, still_open, undetermined = closed_rows(to_rows(alerts(900)))
    return answer_history(
        closed,
        NO_LABELS,
        tiny_model,
        options(beta=0.05),
        quiet,
        still_open=still_open,
        undetermined=undetermined,
    )


def test_a_history_answers_before_anything_is_switched_on(answer: Any) -> None:
    """Nobody could know what they would get."""
    assert (answer.taught, answer.answered, answer.by_time) == (630, 270, True)
    assert [each.alpha for each in answer.at_alpha] == [0.02, 0.05, 0.10]
    for each in answer.at_alpha:
        assert each.decided + each.stays == 270
        assert each.usd + each.usd_saved == pytest.approx(answer.usd_all_llm)
        assert each.wrong_share <= each.at_most
    last = answer.at_alpha[-1]
    assert last.coverage > 0.5, "its words tell how an alert was closed"
    assert sum(label.rows for label in answer.labels) == 270
    assert sum(label.decided for label in answer.labels) == answer.at_alpha[1].decided


def test_the_second_promise_is_about_what_is_malicious(answer: Any) -> None:
    """An attack that is accepted as benign costs more than a false alarm."""
    last = answer.at_alpha[-1]
    assert answer.beta_reason == ""
    assert last.harmless.rows == 270
    assert last.harmless_with_beta.accepted <= last.harmless.accepted
    assert last.harmless_with_beta.accepted > 0
    assert last.harmless_with_beta.malicious <= last.harmless.malicious


def test_a_second_promise_that_cannot_be_given_says_why(tiny_model: Path) -> None:
    """A promise without enough events would be an empty one."""
    closed, *_ = closed_rows(to_rows(alerts(300)))
    found = answer_history(closed, NO_LABELS, tiny_model, options(beta=0.001), quiet)
    assert "can promise at most 0.001 errors" in found.beta_reason
    assert re.search(r"calibrate on about \d+ more rows", found.beta_reason)
    kept = [each.harmless_with_beta for each in found.at_alpha]
    assert all(each is not None and each.accepted == 0 for each in kept)


def test_too_short_a_history_says_how_long_it_must_be(tiny_model: Path) -> None:
    """The training would fail without saying what is missing."""
    with pytest.raises(DataError, match=r"10 closed events .* give at least 67"):
        answer_history(to_rows(alerts(10)), NO_LABELS, tiny_model, options(), quiet)


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    """What is stated as certain would not be."""
    assert upper_bound(0, 100, 0.05) == pytest.approx(0.0295, abs=1e-4)
    assert upper_bound(3, 50, 0.10) == pytest.approx(0.1287, abs=1e-3)
    assert upper_bound(0, 0, 0.1) == 1.0


def test_fields_that_hold_the_label_are_named() -> None:
    """A model that reads how an event was closed looks perfect, and is of no use."""
    rows = to_rows(
        [
            {
                "kind": "alert",
                "event": {"rule": "x", "closing": {"verdict": closing}, "tags": ["a"]},
                "labels": {DISPOSITION: closing},
            }
            for closing in list(WORDS) * 3
        ]
    )
    assert leaking_fields(rows, [DISPOSITION]) == {"closing.verdict": 1.0}


def test_the_command_prints_the_answer(tmp_path: Path, tiny_model: Path) -> None:
    """`triage learn --from` would not work for the export of a help desk."""
    documents = [
        {
            "id": line["id"],
            "title": line["title"],
            "created_at": line["occurred_at"],
            "resolution": {"classification": line["labels"][DISPOSITION]},
            "closing_note": line["labels"][DISPOSITION],
        }
        for line in alerts(300)
    ]
    file = write(tmp_path / "closed.ndjson", documents)
    settings = Settings(learning=LearningSection(encoder=str(tiny_model)))
    arguments = [
        *("--from", str(file), "--domain", "alerts"),
        *("--label", "disposition=resolution.classification"),
    ]
    result = CliRunner().invoke(learn, [*arguments, "--beta", "0.1"], env=as_environment(settings))
    assert result.exit_code == 0, result.output
    assert "closing_note holds the label of 100% of the events" in result.output
    assert "decided alone" in result.output
    ignoring = [*arguments, "--without", "closing_note", "--json"]
    result = CliRunner().invoke(learn, ignoring, env=as_environment(settings))
    (found,) = msgspec.json.decode(result.stdout)
    assert found["leaks"] == {}
    assert found["deciding"] == [DISPOSITION]


@pytest.mark.parametrize(
    "arguments",
    [["--beta", "0.1"], ["--label", "queue=x"], ["--from", __file__, "--label", "queue"]],
)
def test_options_of_a_history_need_one(arguments: list[str]) -> None:
    """An option that has no effect would be taken for one that has."""
    assert CliRunner().invoke(learn, arguments).exit_code == 2


def test_a_history_of_queues(tmp_path: Path, tiny_model: Path) -> None:
    """Only dispositions could be answered for."""
    lines = [line | {"labels": {"queue": line["labels"][DISPOSITION]}} for line in alerts(300)]
    file = write(tmp_path / "rows.ndjson", lines)
    settings = Settings(learning=LearningSection(encoder=str(tiny_model)))
    (found,) = history_of(settings, [file], {}, quiet)
    assert found.deciding == ["queue"]
    assert {label.label for label in found.labels} == set(WORDS), "no words are read as ours"
    assert all(each.harmless is None for each in found.at_alpha)
