"""`triage labels`: a file from rows or names, and what is wrong with a file."""

import getpass
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from inference.labelling.check import HINTS
from inference.labelling.likeness import alike_descriptions, alike_rows
from inference.labels.file import read_labels
from streams.cli import labels as labels_command
from streams.config import Settings
from streams.labels_topic import Forgotten, RowSelection
from tests.labelled import write
from tests.patience import within_cpu_s
from tests.tiny_model import LABELS
from tests.unit.conftest import Triage

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "labels.toml"
TEXTS = {
    "billing": "the invoice for {} shows a wrong amount, please correct the bill",
    "login": "password reset mail number {} never comes and the account is locked",
    "shipping": "parcel {} was left at the depot and the courier gives no date",
}


def rows(texts: Mapping[str, str] = TEXTS, count: int = 12) -> list[dict[str, Any]]:
    """Tickets whose words tell their queue, `count` for each queue."""
    return [
        {
            "id": f"{queue}-{number}",
            "kind": "ticket",
            "text": text.format(number),
            "labels": {"queue": queue},
        }
        for queue, text in texts.items()
        for number in range(count)
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file of rows."""
    return write(tmp_path / "rows.jsonl", rows())


def findings(triage: Triage, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the findings of `triage labels check`."""
    code, out, err = triage("labels", "check", "--json", *arguments)
    assert err == ""
    document = orjson.loads(out)
    assert document["wrong"] == sum(finding["wrong"] for finding in document["findings"])
    assert code == bool(document["wrong"])
    return code, document["findings"]


def kinds(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The kinds of what is wrong."""
    return [finding["kind"] for finding in found if finding["kind"] not in HINTS]


def test_a_file_from_names_is_one_that_is_read(triage: Triage, tmp_path: Path) -> None:
    """The first file of a user would be refused by the next command."""
    names = ("billing", "log in", 'say "hi"', "a.b")
    code, out, err = triage(
        "labels", "init", "--domain", "tickets", "--axis", "queue", *names, "--out", "new.toml"
    )
    assert (code, err) == (0, "")
    assert "tickets queue: 4 labels" in out
    file = read_labels(tmp_path / "new.toml")
    assert tuple(file.axes("tickets")["queue"]) == names
    assert findings(triage, "--labels", "new.toml")[0] == 0


def test_a_file_from_rows_has_typical_texts(triage: Triage, data: Path, tmp_path: Path) -> None:
    """A user would have to look for examples in thousands of rows."""
    odd = {"id": "odd", "kind": "ticket", "text": "ok thanks bye now", "labels": {"queue": "login"}}
    write(data, [*rows(), odd])
    code, _, err = triage("labels", "init", "--data", data)
    assert (code, err) == (0, "")
    queues = read_labels(tmp_path / "labels.toml").axes("tickets")["queue"]
    assert list(queues) == sorted(TEXTS)
    for queue, entry in queues.items():
        assert len(entry.examples) == 3
        assert all(text.startswith(TEXTS[queue][:6]) for text in entry.examples), queue
        assert entry.description is None
    assert findings(triage, "--data", data)[0] == 0


def test_examples_hold_no_personal_data(triage: Triage, data: Path, tmp_path: Path) -> None:
    """A mail address of a customer would be kept in a file that people copy."""
    texts = TEXTS | {"login": "jane.doe{}@example.com cannot sign in with Passw0rd=hunter2xyz"}
    write(data, rows(texts))
    assert triage("labels", "init", "--data", data)[0] == 0
    text = (tmp_path / "labels.toml").read_text("utf-8")
    assert "@example.com" not in text
    assert "cannot sign in" in text


def test_a_file_is_overwritten_only_by_force(triage: Triage, data: Path, tmp_path: Path) -> None:
    """A second run would destroy the descriptions that somebody wrote."""
    out = tmp_path / "labels.toml"
    out.write_text("# mine\n", "utf-8")
    code, _, err = triage("labels", "init", "--data", data)
    assert code == 2
    assert "--force" in err
    assert out.read_text("utf-8") == "# mine\n"
    assert triage("labels", "init", "--data", data, "--force")[0] == 0
    assert "billing" in tomllib.loads(out.read_text("utf-8"))["tickets"]["queue"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("billing",),
        ("--domain", "tickets", "billing"),
        ("--domain", "tickets", "--axis", "queue=q", "billing"),
        ("--domain", "tickets", "--axis", "queue", "billing", "billing"),
    ],
)
def test_names_without_their_axis_are_wrong_usage(
    triage: Triage, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """A file would be written that says nothing, or says it of a guessed axis."""
    code, out, err = triage("labels", "init", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "labels.toml").exists()


def test_names_that_read_as_one_make_no_file(triage: Triage, tmp_path: Path) -> None:
    """A file would be written that no command reads."""
    code, _, err = triage(
        "labels", "init", "--domain", "tickets", "--axis", "queue", "top-up", "Top up"
    )
    assert code == 1
    assert "read as one name" in err
    assert not (tmp_path / "labels.toml").exists()


def test_the_example_has_nothing_to_correct(triage: Triage) -> None:
    """The file that ships would not fit the model that ships."""
    assert findings(triage, "--labels", EXAMPLE) == (0, [])


def test_wrong_labels_are_named_with_what_is_meant(triage: Triage, data: Path) -> None:
    """A mistyped label would become a queue of its own."""
    triage("labels", "init", "--domain", "tickets", "--axis", "queue", *TEXTS, "returns")
    wrong = [{**rows()[0], "id": "w-1", "labels": {"queue": "Biling"}}]
    wrong += [{**rows()[0], "id": "w-2", "labels": {"queue": "quotes"}}]
    write(data, [*rows(), *wrong])
    code, found = findings(triage, "--data", data)
    assert code == 1
    assert kinds(found) == ["no_rows", "unknown_label", "unknown_label"]
    no_rows, misspelt, unknown = [finding for finding in found if finding["wrong"]]
    assert no_rows["label"] == "returns"
    assert (misspelt["label"], misspelt["other"], misspelt["ids"]) == ("Biling", "billing", ["w-1"])
    assert (unknown["label"], unknown["other"], unknown["rows"]) == ("quotes", None, 1)


def test_rows_may_have_the_old_name(triage: Triage, data: Path, tmp_path: Path) -> None:
    """After a label was renamed, every older row would be wrong."""
    (tmp_path / "labels.toml").write_text(
        '[tickets.queue.invoices]\nrenamed_from = "billing"\n'
        "[tickets.queue.login]\n[tickets.queue.shipping]\n",
        "utf-8",
    )
    assert kinds(findings(triage, "--data", data)[1]) == []


def test_a_misspelt_axis_is_named(triage: Triage, data: Path) -> None:
    """Rows would not be compared at all, and the check would find nothing wrong."""
    triage("labels", "init", "--domain", "tickets", "--axis", "queues", *TEXTS)
    (finding,) = [f for f in findings(triage, "--data", data)[1] if f["wrong"]]
    assert (finding["kind"], finding["axis"], finding["other"]) == (
        "unknown_axis",
        "queue",
        "queues",
    )


def test_labels_that_are_told_apart_badly_are_named(
    triage: Triage, data: Path, tmp_path: Path
) -> None:
    """Two queues that mean the same would cost every event of them a person."""
    write(data, rows(TEXTS | {"invoices": TEXTS["billing"]}))
    (tmp_path / "labels.toml").write_text(
        '[tickets.queue.billing]\ndescription = "Questions about bills and payments."\n'
        '[tickets.queue.invoices]\ndescription = "Questions about bills and the payments."\n'
        '[tickets.queue.login]\ndescription = "Passwords and locked accounts."\n'
        '[tickets.queue.shipping]\ndescription = "Parcels and couriers."\n',
        "utf-8",
    )
    found = findings(triage, "--data", data)[1]
    assert kinds(found) == ["alike_descriptions", "alike_rows"]
    for finding in found[:2]:
        assert (finding["label"], finding["other"]) == ("billing", "invoices")
    assert findings(triage, "--data", data)[1] == found, "the same every time"


def test_differences_from_the_model_are_named_on_both_sides(
    triage: Triage, tiny_model: Path, tmp_path: Path
) -> None:
    """A label would have no description, or wait for events that no model gives to it."""
    names = list(LABELS["tickets"]["queue"][:6])
    names += ["refunds_disputes", "topup", "transfers"]
    triage("labels", "init", "--domain", "tickets", "--axis", "queue", *names)
    found = [f for f in findings(triage, "--model", tiny_model)[1] if f["wrong"]]
    assert [(f["kind"], f["label"], f["other"]) for f in found] == [
        ("not_in_model", "topup", "top_up"),
        ("not_in_file", "top_up", "topup"),
        ("not_in_file", "out_of_scope", None),
    ]
    code, out, _ = triage("labels", "check", "--model", tiny_model)
    assert code == 1
    assert out.splitlines()[-1] == "labels.toml: 9 labels, 3 things to correct"


def test_labels_of_another_desk_are_no_fault(triage: Triage, tiny_model: Path) -> None:
    """On the first day, with names alone, everything would be called wrong."""
    triage("labels", "init", "--domain", "tickets", "--axis", "queue", *TEXTS)
    code, found = findings(triage, "--model", tiny_model)
    assert (code, [f["kind"] for f in found]) == (0, ["no_description", "other_model"])


def test_an_empty_file_is_no_good_file(triage: Triage, tmp_path: Path) -> None:
    """Whoever has emptied the file by mistake would read that nothing is to be corrected."""
    (tmp_path / "labels.toml").write_text("", "utf-8")
    code, _, err = triage("labels", "check")
    assert code == 2
    assert "labels.toml names no label; make it with triage labels init --force" in err


def test_one_label_is_counted_as_one(triage: Triage) -> None:
    """The sentence about one label or one mistake would be wrong English."""
    out = triage("labels", "init", "--domain", "tickets", "--axis", "queue", "billing")[1]
    assert out.startswith("tickets queue: 1 label\n")


def test_a_wrong_file_is_one_sentence(
    triage: Triage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user would get a traceback for a mistake in a file."""
    (tmp_path / "labels.toml").write_text("[ticket.queue.a]\n", "utf-8")
    for path in ("labels.toml", "none.toml"):
        code, out, err = triage("labels", "check", "--labels", path)
        assert (code, out, err.count("\n")) == (2, "", 1)
    monkeypatch.setenv("TRIAGE_LABELS__PATH", "labels.toml")
    for command in (("config", "validate"), ("models",)):
        code, out, err = triage(*command)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "'ticket' is no domain" in err


def test_models_show_names_and_descriptions(
    triage: Triage, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person could not look up what a label means, or would see its old name."""
    (tmp_path / "labels.toml").write_text(
        '[tickets.queue.deposits]\ndescription = "Money in."\nrenamed_from = "top_up"\n', "utf-8"
    )
    monkeypatch.setenv("TRIAGE_LABELS__PATH", "labels.toml")
    _, out, _ = triage("models", "--model", tiny_model, "--json")
    tickets = orjson.loads(out)["domains"]["tickets"]
    assert tickets["descriptions"] == {"queue": {"deposits": "Money in."}}
    assert "deposits" in tickets["axes"]["queue"]
    assert "top_up" not in tickets["axes"]["queue"]
    assert "  deposits: Money in.\n" in triage("models", "--model", tiny_model)[1]


def test_a_label_divided_at_random_is_found_and_real_ones_are_not() -> None:
    """The check would name labels that are fine, or find no labels that are not."""
    texts = {
        label: [f"{TEXTS[label].format(n)} {'please' * (n % 3)}" for n in range(20)]
        for label in TEXTS
    }
    apart = [(label, text) for label, of_label in texts.items() for text in of_label]
    assert alike_rows(apart) == []
    divided = [(f"{label}{n % 2}" if label == "login" else label, text)
               for label, of_label in texts.items() for n, text in enumerate(of_label)]  # fmt: skip
    (pair,) = alike_rows(divided)
    assert (pair.label, pair.other, pair.rows) == ("login0", "login1", 20)


def test_descriptions_that_differ_in_the_word_that_matters_are_fine() -> None:
    """A user would have to rewrite descriptions that are right."""
    fine = [("a", "What it costs to pay in by card."), ("b", "What it costs to pay in by cheque.")]
    assert alike_descriptions(fine) == []
    same = [("a", "Money that is paid in."), ("b", "Money that is paid in!")]
    assert [(pair.label, pair.other) for pair in alike_descriptions(same)] == [("a", "b")]


def test_a_thousand_labels_are_compared_in_bounded_time() -> None:
    """The check would take an hour where there are many labels and rows."""
    many = [(f"label{n % 1000}", f"text of label{n % 1000} number {n}") for n in range(20_000)]
    with within_cpu_s(60):
        alike_rows(many)


@pytest.fixture
def erased(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RowSelection, bool]]:
    """What is erased, each with whether it is only counted, from a topic that has 1,234 rows."""
    calls: list[tuple[RowSelection, bool]] = []

    async def forget_rows(
        _: Settings, selection: RowSelection, *, erased_by: str, dry_run: bool
    ) -> Forgotten:
        assert erased_by in ("dana", getpass.getuser())
        calls.append((selection, dry_run))
        return Forgotten(1200, 34)

    monkeypatch.setattr(labels_command, "forget_rows", forget_rows)
    return calls


def test_rows_are_erased_as_the_options_say(
    triage: Triage, erased: list[tuple[RowSelection, bool]]
) -> None:
    """Other rows would be erased than those that were asked for, or a trial would erase them."""
    options = ["--id", "t-1", "--domain", "tickets", "--tenant", "acme", "--by", "eve"]
    options += ["--who", "dana"]
    assert triage("labels", "forget", *options) == (0, "1,200 rows erased, 34 left\n", "")
    code, out, _ = triage("labels", "forget", "--by", "eve", "--dry-run")
    assert (code, out) == (0, "1,200 rows would be erased, 34 left\n")
    _, out, _ = triage("labels", "forget", "--tenant", "acme", "--dry-run", "--json")
    assert orjson.loads(out) == {"dry_run": True, "erased": 1200, "left": 34}
    assert erased == [
        (RowSelection(id="t-1", domain="tickets", tenant="acme", by="eve"), False),
        (RowSelection(by="eve"), True),
        (RowSelection(tenant="acme"), True),
    ]


@pytest.mark.parametrize("options", [[], ["--domain", "alerts"], ["--dry-run", "--json"]])
def test_nothing_is_erased_without_saying_what(
    triage: Triage, erased: list[tuple[RowSelection, bool]], options: list[str]
) -> None:
    """A command that was begun and not finished would erase every row there is."""
    code, out, err = triage("labels", "forget", *options)
    assert (code, out, erased) == (2, "", [])
    assert "give --id, --tenant or --by" in err
