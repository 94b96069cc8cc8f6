"""Training for labels of one's own: from a labels file alone, from few rows, and from both."""

import asyncio
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inference.acceptance.options import Terms
from inference.acceptance.policy import Decision
from inference.acceptance.samples import load_samples
from inference.classifier import Classifier
from inference.errors import DataError
from inference.evaluation.card import make_card
from inference.evaluation.model_facts import model_facts
from inference.labelled import LABELS_FILE, LabelledRow, lessons
from inference.labels.file import NO_LABELS, LabelEntry, LabelsFile, to_labels
from inference.model.artifact import DEFAULT_MODEL, Artifact, load_artifact
from inference.model.threads import Threads
from inference.training.label_texts import label_rows, label_words
from inference.training.own_labels import (
    GENERAL_ENCODER,
    MIN_CALIBRATION_ROWS,
    own_rows,
    train_own_labels,
)
from inference.training.plan import are_shipped, plan_training, with_parts
from inference.training.recipe import TrainingOptions
from schemas.event import Event
from tests.labelled import alerts, tickets, to_rows, write

OPTIONS = TrainingOptions(name="own", max_tokens=32)
QUEUES: dict[str, dict[str, Any]] = {
    "parcels": {
        "description": "Where a parcel is, and a parcel that came late or broken.",
        "examples": ["My parcel has not arrived.", "The box was crushed when it came."],
    },
    "invoices": {
        "description": "Invoices and payments: wrong amounts, reminders, bank details.",
        "examples": ["The amount on the bill is wrong.", "I have paid twice."],
    },
    "login": {
        "description": "Passwords, locked accounts and codes that do not come.",
        "examples": ["I forgot my password.", "My account is locked."],
    },
}
WORDS = {
    "parcels": "the courier left the parcel",
    "invoices": "the invoice shows an amount",
    "login": "the password of the account",
}


def labels_file(**queues: dict[str, Any]) -> LabelsFile:
    """A labels file with these queues of tickets, or with `QUEUES`."""
    return to_labels({"tickets": {"queue": queues or QUEUES}})


def own(count: int, labels: Sequence[str] = tuple(WORDS), part: str = "both") -> list[LabelledRow]:
    """`count` rows of each label, whose words tell it."""
    lines = [
        {
            "kind": "ticket",
            "text": f"{WORDS.get(label, label)} {chr(97 + number % 26)}{chr(97 + number // 26)}q",
            "labels": {"queue": label},
            "cluster": f"{label}{number}",
        }
        for number in range(count)
        for label in labels
    ]
    rows = to_rows(lines, unsplit="both")
    return rows if part == "both" else to_rows([line | {"split": part} for line in lines])


def no_progress(*_: object) -> None:
    """Ignore all reports of progress."""


def decide(directory: Path, *texts: str, axis: str = "queue") -> list[Decision]:
    """What serving decides about tickets with these texts."""

    async def run() -> list[Decision]:
        classifier = Classifier.open(
            directory, threads=Threads(1, 1), terms={"tickets": Terms(deciding=(axis,), alpha=0.2)}
        )
        events = [Event(id=str(n), kind="ticket", text=text) for n, text in enumerate(texts)]
        decisions = await classifier.classify("tickets", events)
        await classifier.close()
        return decisions

    return asyncio.run(run())


@pytest.fixture(scope="module")
def day_zero(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model that was made from a labels file alone."""
    out = tmp_path_factory.mktemp("day-zero")
    return load_artifact(train_own_labels([], labels_file(), out, OPTIONS, no_progress).directory)


def test_a_labels_file_alone_makes_a_model_that_proposes(day_zero: Artifact) -> None:
    """A desk that has labelled nothing yet would be offered nothing."""
    decisions = decide(
        day_zero.directory,
        "Where is my package? It should have been here on Friday.",
        "You billed me the wrong sum.",
        "I cannot sign in any more.",
    )
    assert [decision.labels["queue"].value for decision in decisions] == [
        "parcels",
        "invoices",
        "login",
    ]


def test_a_model_without_rows_accepts_nothing_and_says_why(day_zero: Artifact) -> None:
    """A guess from a name would be published as a decision."""
    (decision,) = decide(day_zero.directory, "My parcel has not arrived.")
    assert (decision.accepted, decision.escalation) == (False, "uncalibrated")
    facts = model_facts(day_zero, {"tickets": Terms()})
    calibration = facts["domains"]["tickets"]["calibration"]
    assert (calibration["threshold"], calibration["n"]) == (0.0, 0)
    assert "without rows that people labelled" in calibration["reason"]
    card = asyncio.run(
        make_card(day_zero, [], {"tickets": Terms()}, [], no_progress, labels_file())
    )
    assert "there are no labelled rows, so the model proposes labels and accepts nothing" in card
    assert "Passwords, locked accounts and codes that do not come." in card, "it says what is meant"
    assert len(load_samples(day_zero)["tickets"].testing.correct) == 0


def test_the_same_file_gives_the_same_model(day_zero: Artifact, tmp_path: Path) -> None:
    """Nobody could make a model again."""
    again = train_own_labels([], labels_file(), tmp_path, OPTIONS, no_progress)
    assert again.digest == day_zero.digest


def test_the_general_encoder_is_the_start(day_zero: Artifact) -> None:
    """An encoder that was fine-tuned for a bank is up to 23 points worse on other labels."""
    general, shipped = (each / "model.bin" for each in (GENERAL_ENCODER, DEFAULT_MODEL))
    assert day_zero.file("model.bin").read_bytes() == general.read_bytes()
    assert general.read_bytes() != shipped.read_bytes()


def test_every_text_of_a_label_teaches_and_none_calibrates() -> None:
    """A model would be measured on what people wrote about a label, and not on tickets."""
    rows = label_rows(labels_file(), "tickets", ["queue"])
    texts = {row.event.text for row in rows if row.gold["queue"] == ("parcels",)}
    assert texts == {
        "parcels: Where a parcel is, and a parcel that came late or broken.",
        "Where a parcel is",
        "a parcel that came late",
        "broken",
        "My parcel has not arrived.",
        "The box was crushed when it came.",
    }
    assert {row.part for row in rows} == {"train"}
    _, _, weights = lessons(rows, "queue", tuple(QUEUES))
    by_label = {
        label: sum(w for row, w in zip(rows, weights, strict=True) if row.gold["queue"] == (label,))
        for label in QUEUES
    }
    assert set(map(round, by_label.values())) == {9}, "as much for each label"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("card_orders", "card orders"),
        ("cardOrders", "card Orders"),
        ("card-orders/new", "card orders new"),
        ("Billing", "Billing"),
    ],
)
def test_a_name_is_read_as_words(name: str, words: str) -> None:
    """A name with underscores is one word that no encoder knows."""
    assert label_words(name) == words


def test_a_label_without_rows_is_one_of_the_model(tiny_model: Path, tmp_path: Path) -> None:
    """A queue that was opened today could not be proposed before somebody labelled a ticket."""
    rows = own(20, ["parcels", "invoices"])
    artifact = train_own_labels(
        rows, labels_file(), tmp_path, OPTIONS, no_progress, encoder=tiny_model
    )
    assert artifact.manifest.domains["tickets"].axes["queue"].labels == sorted(QUEUES)
    (note,) = artifact.manifest.training["notes"]
    assert note == (
        "tickets queue: the label login has no labelled rows; the name, the description and the "
        "examples teach instead"
    )


def test_all_rows_teach_and_calibrate(tiny_model: Path, tmp_path: Path) -> None:
    """A desk with hundreds of rows could afford neither rows to learn from nor rows to test on."""
    rows = own(40)
    artifact = train_own_labels(
        rows, labels_file(), tmp_path, OPTIONS, no_progress, encoder=tiny_model
    )
    assert len(load_samples(artifact)["tickets"].testing.correct) == 120
    assert artifact.calibration.made_from["rows"] == {"tickets": 120}
    decisions = decide(tmp_path, *(row.event.text or "" for row in rows))
    answers = [(decision.labels["queue"].value,) for decision in decisions]
    assert answers == [row.gold["queue"] for row in rows]
    assert sum(decision.accepted for decision in decisions) > 100


def test_rows_of_the_part_train_only_teach(tiny_model: Path, tmp_path: Path) -> None:
    """What an LLM has labelled would calibrate the promise that is made to people."""
    rows = [*own(20), *own(30, part="train")]
    artifact = train_own_labels(rows, NO_LABELS, tmp_path, OPTIONS, no_progress, encoder=tiny_model)
    assert len(load_samples(artifact)["tickets"].testing.correct) == 60


@pytest.mark.parametrize("count", [1, 2, 6])
def test_very_few_rows_make_a_model_that_accepts_nothing(
    tiny_model: Path, tmp_path: Path, count: int
) -> None:
    """A desk's first ten rows would end in an error instead of a model."""
    artifact = train_own_labels(
        own(count), labels_file(), tmp_path, OPTIONS, no_progress, encoder=tiny_model
    )
    (decision,) = decide(tmp_path, "the courier left the parcel")
    assert not decision.accepted
    notes = artifact.manifest.training["notes"]
    assert any(f"{3 * count} labelled rows are too few to calibrate on" in note for note in notes)
    assert any(f"label at least {MIN_CALIBRATION_ROWS}" in note for note in notes)


def test_a_label_with_one_row_is_trained_and_named(tiny_model: Path, tmp_path: Path) -> None:
    """One rare label would keep all others from being trained, or nobody would know of it."""
    rows = [*own(30, ["parcels", "invoices"]), *own(1, ["login"])]
    artifact = train_own_labels(rows, NO_LABELS, tmp_path, OPTIONS, no_progress, encoder=tiny_model)
    assert artifact.manifest.domains["tickets"].axes["queue"].labels == sorted(QUEUES)
    (note,) = artifact.manifest.training["notes"]
    assert "the label login has only one labelled row" in note
    (decision,) = decide(tmp_path, "the courier left the parcel")
    assert decision.labels["queue"].value == "parcels"


def test_one_label_in_several_spellings_is_one_label() -> None:
    """A desk that writes `Login` and `login` would train two labels that are never told apart."""
    of_desk = [*own(20, ["parcels", "login"]), *own(30, ["Login"]), *own(1, ["LOG-IN", "PARCELS"])]
    made = own_rows(of_desk, NO_LABELS)
    assert made.rows.labels["tickets"]["queue"] == ("LOG-IN", "Login", "parcels")
    assert made.notes[:2] == (
        "tickets queue: read as Login: 20 rows with login",
        "tickets queue: read as parcels: 1 row with PARCELS",
    )
    assert len(made.rows.events) == len(of_desk)
    made = own_rows(of_desk, labels_file())
    assert made.rows.labels["tickets"]["queue"] == ("LOG-IN", "invoices", "login", "parcels")


def test_names_without_a_word_in_common_make_a_model(tiny_model: Path, tmp_path: Path) -> None:
    """A labels file of a few short names alone would end in an error of the solver."""
    file = LabelsFile({"tickets": {"queue": {"null": LabelEntry(), "x": LabelEntry()}}})
    train_own_labels([], file, tmp_path, OPTIONS, no_progress, encoder=tiny_model)
    (decision,) = decide(tmp_path, "where is it?")
    assert decision.labels["queue"].value in {"null", "x"}
    assert not decision.accepted


def test_a_label_that_the_file_lacks_is_named_with_what_is_meant() -> None:
    """A misspelt label would become a queue without a word."""
    notes = own_rows(own(20, ["parcels", "invoices", "logn"]), labels_file()).notes
    assert any(
        "20 rows have the label logn" in note and "is login meant?" in note for note in notes
    )


def test_a_label_has_its_name_of_today() -> None:
    """Rows with the old name of a label would make a second label of it."""
    file = labels_file(shipping=QUEUES["parcels"] | {"renamed_from": "parcels"}, login={})
    training = own_rows(own(20, ["parcels", "login"]), file).rows
    assert training.labels["tickets"]["queue"] == ("login", "shipping")
    assert {row.gold["queue"] for row in training.events} == {("login",), ("shipping",)}


def test_an_axis_without_rows_is_left_out_beside_one_with_rows() -> None:
    """The model would decide on an axis that nobody has ever labelled, or not be made at all."""
    file = to_labels(
        {
            "tickets": {"queue": QUEUES, "mood": {"angry": {}, "calm": {}}},
            "alerts": {
                "queue": {"lan": {"description": "Networks"}, "host": {"description": "Computers"}}
            },
        }
    )
    training = own_rows(own(20), file)
    assert list(training.rows.labels["tickets"]) == ["queue"]
    assert training.rows.labels["alerts"]["queue"] == ("host", "lan")
    assert any("no row is labelled on mood" in note for note in training.notes)
    assert any(note.startswith("alerts: there are no labelled rows") for note in training.notes)


@pytest.mark.parametrize(
    ("rows", "file", "message"),
    [
        ([], NO_LABELS, "there is nothing to train on"),
        ([], labels_file(parcels={}), "have 1 label of tickets on queue"),
        (own(5, ["parcels"]), NO_LABELS, "have 1 label of tickets on queue"),
    ],
    ids=["nothing", "one name", "rows of one label"],
)
def test_what_cannot_be_trained_is_one_sentence(
    rows: list[LabelledRow], file: LabelsFile, message: str
) -> None:
    """People would see a traceback of the solver."""
    with pytest.raises(DataError, match=message):
        own_rows(rows, file)


def test_the_labels_of_the_shipped_model_are_known() -> None:
    """Rows for the shipped model would lose its encoder, or own labels would be read by it."""
    assert are_shipped(
        to_rows([{"kind": "ticket", "text": "x", "labels": {"queue": "top_up", "priority": "low"}}])
    )
    assert not are_shipped(own(1))
    assert not are_shipped(to_rows([alerts()[0] | {"labels": {"team": "blue"}}]))


def test_the_encoder_follows_from_the_labels(tmp_path: Path) -> None:
    """Everybody with own labels would have to know which encoder to name."""
    shipped = write(
        tmp_path / "shipped.ndjson",
        [
            line | {"labels": {"queue": ("top_up", "transfers")[n % 2]}, "id": str(n)}
            for n, line in enumerate(tickets(30))
        ],
    )
    mine = tmp_path / "mine.csv"
    with mine.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "queue"])
        writer.writerows([row.event.text, row.gold["queue"][0]] for row in own(10))
    assert plan_training([shipped], NO_LABELS, OPTIONS).encoder == DEFAULT_MODEL
    plan = plan_training([mine], NO_LABELS, OPTIONS)
    assert plan.encoder == GENERAL_ENCODER
    assert {row.part for row in plan.rows.events} == {"both"}
    other = plan_training([mine], NO_LABELS, OPTIONS, encoder=tmp_path)
    assert other.encoder == tmp_path
    asked = plan_training([shipped], labels_file(), OPTIONS, own_labels=True)
    assert asked.encoder == GENERAL_ENCODER
    assert any(row.source == LABELS_FILE for row in asked.rows.events)


def test_a_split_of_the_rows_is_kept_only_where_it_is_needed(tmp_path: Path) -> None:
    """Rows of own labels that name a split would calibrate on a tenth of what is there."""
    lines = [
        {"kind": "ticket", "text": f"{label} {n}", "labels": {"queue": label}, "split": split}
        for n, split in enumerate(["train", "train", "val", "test"] * 5)
        for label in WORDS
    ]
    lines = [line | {"id": str(n)} for n, line in enumerate(lines)]
    file = write(tmp_path / "rows.ndjson", lines)
    parts = [row.part for row in plan_training([file], NO_LABELS, OPTIONS).rows.events]
    assert (parts.count("both"), parts.count("test")) == (45, 15)


def test_rows_without_validation_rows_are_used_for_both_or_divided() -> None:
    """Few rows, or rows that nobody has split, would end in an error."""
    rows = own(60)
    both, notes = with_parts(rows, cross_fitted=True)
    assert {row.part for row in both} == {"both"}
    assert "every row teaches and calibrates" in notes[0]
    divided, notes = with_parts(rows, cross_fitted=False)
    counts = {part: [row.part for row in divided].count(part) for part in ("train", "tuning")}
    assert counts["train"] > 90
    assert counts["tuning"] > 10
    assert len(divided) - sum(counts.values()) > 10
    assert "three tenths of the rows" in notes[0]
    again, _ = with_parts(rows[::-1], cross_fitted=False)
    assert {row.event.id: row.part for row in again} == {row.event.id: row.part for row in divided}


def test_rows_with_validation_rows_stay_as_they_are() -> None:
    """The rows of the shipped model would be divided anew, and its figures change."""
    lines = [
        line | {"labels": {"queue": "top_up"}, "split": split}
        for line, split in zip(tickets(4), ("train", "val", "test", None), strict=True)
    ]
    rows = to_rows(lines, unsplit="both")
    kept, notes = with_parts(rows, cross_fitted=True)
    assert [kept[n].part for n in (0, 2, 3)] == ["train", "test", "train"]
    assert kept[1].part in ("tuning", "testing")
    assert notes == ()
