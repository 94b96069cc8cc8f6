"""`triage train`, `calibrate`, `models` and `classify` on a custom label set."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from inference.model.artifact import CALIBRATION, CARD
from schemas.codec import decode
from schemas.triaged import TriagedEvent
from streams import logs
from tests.labelled import alerts, complaints, split, write
from tests.unit.conftest import Triage


@pytest.fixture
def run(triage: Triage, monkeypatch: pytest.MonkeyPatch) -> Triage:
    """Run `triage` with one replica of the model, and without its log."""
    monkeypatch.setenv("TRIAGE_MODEL__REPLICAS", "1")
    monkeypatch.setattr(logs, "configure", lambda _: None)
    return triage


def is_one_sentence(err: str) -> bool:
    """Whether the last line, below the progress bars, is one sentence."""
    return bool(re.fullmatch(r"triage: .{5,400}", err.splitlines()[-1])) and "Traceback" not in err


def relabelled(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Complaints that are labelled with the other product."""
    other = {"card": "mortgage", "mortgage": "card"}
    return [line | {"labels": {"product": other[line["labels"]["product"]]}} for line in lines]


def customer_lines(count: int = 200, **changes: Any) -> list[dict[str, Any]]:
    """New complaints, as a customer gives them: without a split."""
    return [
        line | {"id": f"own{n}"} | changes
        for n, line in enumerate(complaints(1_000 + count)[2_000:])
    ]


@pytest.fixture
def product(run: Triage, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with the axis product only, made by `triage train --quick` and configured."""
    data, model = write(tmp_path / "rows.jsonl.gz", split(complaints(300))), tmp_path / "model"
    monkeypatch.setenv("TRIAGE_DOMAINS__TICKETS__DECIDING", '["product"]')
    arguments = ("--encoder", tiny_model, "--data", data, "--out", model, "--max-tokens", "32")
    code, out, err = run("train", "--quick", *arguments)
    assert code == 0, err
    assert str(model) in out
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(model))
    return model


def test_a_custom_axis_from_training_to_triage(run: Triage, product: Path) -> None:
    """A user with custom labels could train a model, but could not calibrate or serve it."""
    card = (product / CARD).read_text("utf-8")
    assert "product" in card
    assert "made up" in card
    code, out, _ = run("models", "--json")
    assert code == 0
    assert orjson.loads(out)["domains"]["tickets"]["axes"] == {"product": ["card", "mortgage"]}

    code, out, err = run(
        "calibrate", "--data", write(Path("customer.jsonl"), customer_lines()), "--json"
    )
    assert code == 0, err
    promised = orjson.loads(out)["tickets"]["*"]
    assert promised["threshold"] > 0
    assert promised["reason"] == ""

    lines = [
        {"id": str(n), "kind": "ticket", "text": line["text"]}
        for n, line in enumerate(customer_lines(20))
    ]
    code, out, err = run("classify", write(Path("in.ndjson"), lines))
    assert (code, err) == (0, "")
    triaged = [decode(line.encode(), TriagedEvent) for line in out.splitlines()]
    assert [event.id for event in triaged] == [str(n) for n in range(40)]
    assert [event.queue for event in triaged] == [
        line["labels"]["product"] for line in customer_lines(20)
    ]
    assert {event.calibration.digest for event in triaged} == {promised["digest"]}
    assert {tuple(event.labels) for event in triaged} == {("product",)}
    assert sum(event.status == "final" for event in triaged) > 20


def test_an_event_of_an_unknown_kind_does_not_stop_the_run(run: Triage, product: Path) -> None:
    """One alert among the tickets would stop `triage classify`."""
    lines = [
        {"id": str(n), "kind": "alert" if n == 1 else "ticket", "text": "my credit card bill"}
        for n in range(3)
    ]
    code, out, err = run("classify", write(Path("in.ndjson"), lines))
    assert code == 0
    assert [decode(line.encode(), TriagedEvent).id for line in out.splitlines()] == ["0", "2"]
    (dead_letter,) = [orjson.loads(line) for line in err.splitlines()]
    assert (dead_letter["line"], dead_letter["disposition"]) == (2, "retryable")


def test_doctor_examines_a_model_of_one_domain(run: Triage, product: Path) -> None:
    """`triage doctor` would end in a traceback about the domain that the model lacks."""
    _, out, err = run("doctor", "--json")
    healthy = {finding["subject"]: finding["healthy"] for finding in orjson.loads(out)}
    assert healthy["model"]
    assert healthy["calibration of tickets"]
    assert "calibration of alerts" not in healthy
    assert "Traceback" not in err


def test_the_promise_is_printed_in_words(run: Triage, product: Path) -> None:
    """A user could not see whether anything will be accepted."""
    lines = [*customer_lines(200, tenant="acme"), *customer_lines(100)]
    code, out, _ = run("calibrate", "--data", write(Path("customer.jsonl"), lines))
    assert code == 0
    all_tenants, acme = out.splitlines()
    assert re.fullmatch(
        r"tickets: of what is accepted at most 2\.0% is wrong \(confidence 90%, \d+ rows\): "
        r"risk below [01]\.\d+, which accepts \d+\.\d%",
        all_tenants,
    )
    assert acme.startswith("tickets of acme: of what is accepted")


def test_exit_code_is_1_if_nothing_can_be_promised(run: Triage, product: Path) -> None:
    """A model that escalates everything would be deployed."""
    before = (product / "calibration.json").read_bytes()
    code, out, err = run(
        "calibrate", "--data", write(Path("customer.jsonl"), relabelled(customer_lines()))
    )
    assert code == 1
    assert (product / "calibration.json").read_bytes() == before, (
        "the good calibration is not replaced by one from bad rows"
    )
    assert "no threshold can promise" in out
    assert is_one_sentence(err), err
    assert "nothing can be promised for tickets" in err


def test_alpha_and_delta_are_configuration(
    run: Triage, product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed promise would not be the one that serving keeps."""
    monkeypatch.setenv("TRIAGE_DOMAINS__TICKETS__ALPHA", "0.2")
    monkeypatch.setenv("TRIAGE_DOMAINS__TICKETS__DELTA", "0.3")
    _, out, _ = run(
        "calibrate", "--data", write(Path("customer.jsonl"), customer_lines(20)), "--json"
    )
    promised = orjson.loads(out)["tickets"]["*"]
    assert (promised["alpha"], promised["delta"]) == (0.2, 0.3)
    assert promised["threshold"] > 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (split(alerts()), "no rows to calibrate on"),
        ([line | {"split": "train"} for line in customer_lines(20)], "no rows to calibrate on"),
        (
            [line | {"labels": {"mood": "sad"}} for line in customer_lines(20)],
            "labelled on product",
        ),
        ([line | {"labels": {}} for line in customer_lines(20)], "no labelled row"),
    ],
    ids=["another domain", "training rows only", "another axis", "no labels"],
)
def test_exit_code_is_1_for_unsuitable_rows(
    run: Triage, product: Path, lines: list[dict[str, Any]], message: str
) -> None:
    """A user would see a traceback, or lose the present calibration."""
    before = (product / CALIBRATION).read_bytes()
    code, out, err = run("calibrate", "--data", write(Path("customer.jsonl"), lines))
    assert (code, out) == (1, "")
    assert is_one_sentence(err), err
    assert message in err
    assert (product / CALIBRATION).read_bytes() == before


def test_labels_under_another_name_calibrate(run: Triage, product: Path) -> None:
    """A user whose files say `produkt` would have to rewrite them."""
    lines = [
        line | {"labels": {"produkt": line["labels"]["product"], "queue": "x"}}
        for line in customer_lines()
    ]
    code, _, err = run(
        "calibrate", "--data", write(Path("customer.jsonl"), lines), "--axis", "product=produkt"
    )
    assert code == 0, err


def test_exit_code_is_2_for_wrong_usage(run: Triage, product: Path) -> None:
    """A script could not distinguish its own mistake from a promise that is not possible."""
    for arguments in ((), ("--data", "none.jsonl"), ("--nothing",)):
        code, out, err = run("calibrate", *arguments)
        assert (code, out) == (2, "")
        assert is_one_sentence(err), err


def test_a_model_without_a_calibration_can_be_calibrated(run: Triage, product: Path) -> None:
    """The error would recommend a command that does not help."""
    (product / CALIBRATION).unlink()
    lines = write(Path("in.ndjson"), [{"id": "1", "kind": "ticket", "text": "x"}])
    for command in (("classify", lines), ("models",)):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert is_one_sentence(err), err
        assert "run triage calibrate on it" in err
    assert run("calibrate", "--data", write(Path("customer.jsonl"), customer_lines()))[0] == 0
    assert run("classify", lines)[0] == 0


def test_exit_code_is_2_if_the_model_lacks_a_deciding_axis(
    run: Triage, product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model with custom axes and the default configuration would end in a traceback."""
    monkeypatch.setenv("TRIAGE_DOMAINS__TICKETS__DECIDING", '["queue"]')
    lines = write(Path("in.ndjson"), [{"id": "1", "kind": "ticket", "text": "x"}])
    for command in (
        ("classify", lines),
        ("models",),
        ("calibrate", "--data", write(Path("customer.jsonl"), customer_lines(20))),
    ):
        code, out, err = run(*command)
        assert (code, out) == (2, "")
        assert is_one_sentence(err), err
        assert "domains.tickets: deciding must name axes of product" in err


def test_another_model_can_be_named(run: Triage, product: Path, tmp_path: Path) -> None:
    """The configured model would be calibrated instead of the named one."""
    other = Path(shutil.copytree(product, tmp_path / "other"))
    before = (product / CALIBRATION).read_bytes()
    assert (
        run(
            "calibrate", "--model", other, "--data", write(Path("customer.jsonl"), customer_lines())
        )[0]
        == 0
    )
    assert (product / CALIBRATION).read_bytes() == before
    assert (other / CALIBRATION).read_bytes() != before


def test_the_axes_of_the_model_are_read(run: Triage, product: Path) -> None:
    """Rows that also have labels on the contract's axes would be read for those axes only."""
    lines = [
        line | {"labels": line["labels"] | {"queue": "cards", "priority": "low"}}
        for line in customer_lines()
    ]
    code, out, err = run(
        "calibrate", "--model", product, "--data", write(Path("customer.jsonl"), lines)
    )
    assert code == 0, err
    assert "accepts" in out


def test_a_label_is_renamed_without_training(
    run: Triage, product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with either name would be wrong, and the model would promise nothing."""
    Path("labels.toml").write_text(
        '[tickets.product.loan]\ndescription = "Money | for a home."\nrenamed_from = "mortgage"\n',
        "utf-8",
    )
    monkeypatch.setenv("TRIAGE_LABELS__PATH", "labels.toml")
    old = customer_lines()
    new = [
        line | {"labels": {"product": line["labels"]["product"].replace("mortgage", "loan")}}
        for line in old
    ]
    promises = []
    for lines in (old, new):
        code, out, err = run("calibrate", "--data", write(Path("own.jsonl"), lines), "--json")
        assert code == 0, err
        promises.append(orjson.loads(out))
        code, out, err = run("evaluate", "--data", write(Path("own.jsonl"), lines), "--json")
        assert code == 0, err
        assert (
            orjson.loads(out)["domains"]["tickets"]["axes"]["product"]["overall"]["accuracy"] > 0.9
        )
    assert promises[0] == promises[1]
    event = {"id": "1", "kind": "ticket", "text": old[0]["text"]}
    _, out, _ = run("classify", write(Path("in.ndjson"), [event]))
    assert decode(out.encode(), TriagedEvent).queue in {"loan", "card"}

    data, model = write(Path("rows.jsonl.gz"), split(complaints(300))), Path("renamed")
    arguments = ("--encoder", product, "--data", data, "--out", model)
    code, out, err = run("train", "--quick", *arguments)
    assert code == 0, err
    _, out, _ = run("models", "--model", model, "--json")
    assert orjson.loads(out)["domains"]["tickets"]["axes"] == {"product": ["card", "loan"]}
    card = (model / CARD).read_text("utf-8")
    assert "## Labels of tickets, product\n\n- loan: Money \\| for a home.\n" in card
