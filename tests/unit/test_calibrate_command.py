"""`triage train`, `calibrate`, `models` and `classify` as one person meets them, with a label set of their own."""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from inference.model.artifact import CALIBRATION, CARD
from schemas.codec import decode
from schemas.triaged import TriagedEvent
from streams import logs
from streams.cli import main
from tests.labelled import alerts, complaints, split, write

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """`triage` in this process, with nobody's configuration: exit code, stdout, stderr."""
    for name in [
        name
        for name in os.environ
        if name.startswith("TRIAGE_") and ("__" in name or "CONFIG" in name)
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRIAGE_MODEL__REPLICAS", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda _: None)

    def main_with(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return int(ended.value.code or 0), out.decode(), err.decode()

    return main_with


def is_one_sentence(err: str) -> bool:
    """What a person reads last, below the progress bars."""
    return bool(re.fullmatch(r"triage: .{5,400}", err.splitlines()[-1])) and "Traceback" not in err


def relabelled(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Complaints whose product is the other one."""
    other = {"card": "mortgage", "mortgage": "card"}
    return [line | {"labels": {"product": other[line["labels"]["product"]]}} for line in lines]


def own(count: int = 200, **changes: Any) -> list[dict[str, Any]]:
    """Complaints of one's own, no split among them."""
    return [
        line | {"id": f"own{n}"} | changes
        for n, line in enumerate(complaints(1_000 + count)[2_000:])
    ]


@pytest.fixture
def product(run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of products and nothing else, made by `triage train --quick`, and the configuration that serves it."""
    data, model = write(tmp_path / "rows.jsonl.gz", split(complaints(300))), tmp_path / "model"
    monkeypatch.setenv("TRIAGE_DOMAINS__TICKETS__DECIDING", '["product"]')
    arguments = ("--encoder", tiny_model, "--data", data, "--out", model, "--max-tokens", "32")
    code, out, err = run("train", "--quick", *arguments)
    assert code == 0, err
    assert str(model) in out
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(model))
    return model


def test_an_axis_of_ones_own_from_training_to_triage(run: Run, product: Path) -> None:
    """Whoever has labels of their own could train a model that nothing serves."""
    card = (product / CARD).read_text("utf-8")
    assert "product" in card
    assert "made up" in card
    code, out, _ = run("models", "--json")
    assert code == 0
    assert orjson.loads(out)["domains"]["tickets"]["axes"] == {"product": ["card", "mortgage"]}

    code, out, err = run("calibrate", "--data", write(Path("own.jsonl"), own()), "--json")
    assert code == 0, err
    promised = orjson.loads(out)["tickets"]["*"]
    assert promised["threshold"] > 0
    assert promised["reason"] == ""

    lines = [
        {"id": str(n), "kind": "ticket", "text": line["text"]} for n, line in enumerate(own(20))
    ]
    code, out, err = run("classify", write(Path("in.ndjson"), lines))
    assert (code, err) == (0, "")
    triaged = [decode(line.encode(), TriagedEvent) for line in out.splitlines()]
    assert [one.id for one in triaged] == [str(n) for n in range(40)]
    assert [one.queue for one in triaged] == [line["labels"]["product"] for line in own(20)]
    assert {one.calibration.digest for one in triaged} == {promised["digest"]}
    assert {tuple(one.labels) for one in triaged} == {("product",)}
    assert sum(one.status == "final" for one in triaged) > 20


def test_a_kind_the_model_does_not_know_ends_nothing(run: Run, product: Path) -> None:
    """One alert among the tickets would end the file."""
    lines = [
        {"id": str(n), "kind": "alert" if n == 1 else "ticket", "text": "my credit card bill"}
        for n in range(3)
    ]
    code, out, err = run("classify", write(Path("in.ndjson"), lines))
    assert code == 0
    assert [decode(line.encode(), TriagedEvent).id for line in out.splitlines()] == ["0", "2"]
    (letter,) = [orjson.loads(line) for line in err.splitlines()]
    assert (letter["line"], letter["disposition"]) == (2, "retryable")


def test_a_model_of_one_domain_is_examined(run: Run, product: Path) -> None:
    """`triage doctor` would end in a traceback over the domain the model does not have."""
    _, out, err = run("doctor", "--json")
    found = {finding["subject"]: finding["healthy"] for finding in orjson.loads(out)}
    assert found["model"]
    assert found["calibration of tickets"]
    assert "calibration of alerts" not in found
    assert "Traceback" not in err


def test_what_can_be_promised_is_said_in_words(run: Run, product: Path) -> None:
    """A person could not tell whether anything will be accepted."""
    lines = [*own(200, tenant="acme"), *own(100)]
    code, out, _ = run("calibrate", "--data", write(Path("own.jsonl"), lines))
    assert code == 0
    whole, acme = out.splitlines()
    assert re.fullmatch(
        r"tickets: of what is accepted at most 2\.0% is wrong \(confidence 90%, \d+ rows\): "
        r"risk below [01]\.\d+, which accepts \d+\.\d%",
        whole,
    )
    assert acme.startswith("tickets of acme: of what is accepted")


def test_nothing_to_promise_is_1_and_says_so(run: Run, product: Path) -> None:
    """A deployment would go out with a model that escalates everything."""
    before = (product / "calibration.json").read_bytes()
    code, out, err = run("calibrate", "--data", write(Path("own.jsonl"), relabelled(own())))
    assert code == 1
    assert (product / "calibration.json").read_bytes() == before, (
        "a good calibration would be lost to bad rows"
    )
    assert "no threshold can promise" in out
    assert is_one_sentence(err), err
    assert "nothing can be promised for tickets" in err


def test_alpha_and_delta_are_configuration(
    run: Run, product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise that is said would not be the one in force."""
    monkeypatch.setenv("TRIAGE_DOMAINS__TICKETS__ALPHA", "0.2")
    monkeypatch.setenv("TRIAGE_DOMAINS__TICKETS__DELTA", "0.3")
    _, out, _ = run("calibrate", "--data", write(Path("own.jsonl"), own(20)), "--json")
    promised = orjson.loads(out)["tickets"]["*"]
    assert (promised["alpha"], promised["delta"]) == (0.2, 0.3)
    assert promised["threshold"] > 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (split(alerts()), "no rows to calibrate on"),
        ([line | {"split": "train"} for line in own(20)], "no rows to calibrate on"),
        ([line | {"labels": {"mood": "sad"}} for line in own(20)], "labelled on product"),
        ([line | {"labels": {}} for line in own(20)], "no labelled row"),
    ],
    ids=["another domain", "all taught", "another axis", "no labels"],
)
def test_rows_that_cannot_calibrate_are_1(
    run: Run, product: Path, lines: list[dict[str, Any]], message: str
) -> None:
    """A person would see a traceback, or lose the calibration there was."""
    before = (product / CALIBRATION).read_bytes()
    code, out, err = run("calibrate", "--data", write(Path("own.jsonl"), lines))
    assert (code, out) == (1, "")
    assert is_one_sentence(err), err
    assert message in err
    assert (product / CALIBRATION).read_bytes() == before


def test_labels_under_another_name_calibrate(run: Run, product: Path) -> None:
    """Whoever exports `produkt` would have to rewrite the file."""
    lines = [
        line | {"labels": {"produkt": line["labels"]["product"], "queue": "x"}} for line in own()
    ]
    code, _, err = run(
        "calibrate", "--data", write(Path("own.jsonl"), lines), "--axis", "product=produkt"
    )
    assert code == 0, err


def test_bad_usage_is_2(run: Run, product: Path) -> None:
    """A deployment script could not tell a mistake of its own from a promise that failed."""
    for arguments in ((), ("--data", "none.jsonl"), ("--nothing",)):
        code, out, err = run("calibrate", *arguments)
        assert (code, out) == (2, "")
        assert is_one_sentence(err), err


def test_a_model_that_is_not_calibrated_is_1_and_then_can_be(run: Run, product: Path) -> None:
    """The way out of the refusal would not be where the refusal says it is."""
    (product / CALIBRATION).unlink()
    lines = write(Path("in.ndjson"), [{"id": "1", "kind": "ticket", "text": "x"}])
    for command in (("classify", lines), ("models",)):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert is_one_sentence(err), err
        assert "run triage calibrate on it" in err
    assert run("calibrate", "--data", write(Path("own.jsonl"), own()))[0] == 0
    assert run("classify", lines)[0] == 0


def test_deciding_axes_the_model_lacks_are_1(
    run: Run, product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the configuration a model of one's own axes would end in a traceback."""
    monkeypatch.setenv("TRIAGE_DOMAINS__TICKETS__DECIDING", '["queue"]')
    lines = write(Path("in.ndjson"), [{"id": "1", "kind": "ticket", "text": "x"}])
    for command in (
        ("classify", lines),
        ("models",),
        ("calibrate", "--data", write(Path("own.jsonl"), own(20))),
    ):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert is_one_sentence(err), err
        assert "domains.tickets: deciding must name axes of product" in err


def test_another_model_can_be_named(run: Run, product: Path, tmp_path: Path) -> None:
    """The configured model would be calibrated instead, and the named one stay as it was."""
    other = Path(shutil.copytree(product, tmp_path / "other"))
    before = (product / CALIBRATION).read_bytes()
    assert run("calibrate", "--model", other, "--data", write(Path("own.jsonl"), own()))[0] == 0
    assert (product / CALIBRATION).read_bytes() == before
    assert (other / CALIBRATION).read_bytes() != before


def test_the_models_own_axes_are_read(run: Run, product: Path) -> None:
    """Rows labelled on the contract's axes as well would be read for those, and the model's own find no label."""
    lines = [
        line | {"labels": line["labels"] | {"queue": "cards", "priority": "low"}} for line in own()
    ]
    code, out, err = run("calibrate", "--model", product, "--data", write(Path("own.jsonl"), lines))
    assert code == 0, err
    assert "accepts" in out
