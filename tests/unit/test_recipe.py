"""Training end to end on made-up rows: what is measured is what is served."""

import gzip
import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from inference.artifact import Artifact, load_artifact
from inference.encoder import open_encoder
from inference.errors import ModelError
from inference.heads import HALVES, Heads, load_samples
from inference.tokenizer import Tokenizer
from inference.training.dataset import DataError, Row, read_rows
from inference.training.recipe import Settings, train_quick
from inference.view import read

pytest.importorskip("sklearn")

WORDS = {
    "cloud": "bucket policy changed in aws",
    "email": "phishing message with an attachment",
    "endpoint": "powershell process started on a host",
}
SPLITS = ("train", "train", "val", "val", "val", "test")


def make_lines() -> list[dict[str, Any]]:
    """Alerts whose queue is in their words, with two tactics now and then, and tickets of two queues."""
    lines = []
    for number, queue in itertools.product(range(60), WORDS):
        labels = {
            "queue": queue,
            "tactics": ["impact", "execution"][: 1 + number % 2],
            "severity": "high" if number % 3 else "low",
        }
        lines.append(
            {"kind": "alert", "text": f"{WORDS[queue]} {number}", "labels": labels, "cluster": f"{queue}{number}"}
        )
    for number in range(60):
        labels = {
            "queue": "top_up" if number % 2 else "refunds",
            "intent": f"i{number % 2}",
            "priority": ["low", "high"][number % 2],
        }
        lines.append(
            {
                "kind": "ticket",
                "text": f"{'top up failed' if number % 2 else 'refund please'} {number}",
                "labels": labels,
            }
        )
    splits = iter(np.random.default_rng(1).choice(SPLITS, size=len(lines)).tolist())
    return [
        line | {"id": str(i), "source": "made up", "license": "MIT", "split": next(splits)}
        for i, line in enumerate(lines)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows as a compressed file."""
    file = tmp_path_factory.mktemp("data") / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(b"\n".join(msgspec.json.encode(line) for line in make_lines())))
    return file


def train(encoder: Path, data: Path, out: Path) -> Artifact:
    """A model of these rows."""
    return train_quick(encoder, [data], out, Settings(name="made-up", max_tokens=32), lambda *_: None)


@pytest.fixture(scope="module")
def model(tiny_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The trained model, loaded like any other."""
    return load_artifact(train(tiny_model, data, tmp_path_factory.mktemp("trained")).directory)


def predict(model: Artifact, rows: list[Row]) -> dict[str, np.ndarray]:
    """What serving says about these rows of one domain."""
    spec = model.manifest.encoder
    tokenizer = Tokenizer(
        model.file("sentencepiece.model"),
        max_tokens=spec.max_tokens,
        vocab_size=spec.vocab_size,
        prefix_ids=spec.prefix_ids,
        suffix_ids=spec.suffix_ids,
    )
    ids = tokenizer.encode([read(row.event) for row in rows])
    return Heads.load(model).predict(rows[0].domain, open_encoder(model, replicas=1, threads_per_replica=1).embed(ids))


@pytest.mark.parametrize("domain", ["alerts", "tickets"])
def test_served_confidences_are_the_calibrated_ones(model: Artifact, data: Path, domain: str) -> None:
    """A head written in another order or precision than it was fitted in would decide at random, and not be noticed."""
    sample = load_samples(model)[domain]
    for half in HALVES:
        rows = [row for row in read_rows([data]) if (row.domain, row.part) == (domain, half)]
        served = predict(model, rows)
        confidence = np.stack([served[axis].max(axis=1) for axis in sample.axes], axis=1)
        assert np.array_equal(confidence, getattr(sample, half).confidence)


def test_heads_learn(model: Artifact, data: Path) -> None:
    """Labels attached to the wrong rows of a head would leave the model no better than chance."""
    rows = [row for row in read_rows([data]) if (row.domain, row.part) == ("alerts", "test")]
    labels = Heads.load(model).labels("alerts")["queue"]
    values = [labels[i] for i in predict(model, rows)["queue"].argmax(axis=1)]
    assert np.mean([value in row.gold["queue"] for value, row in zip(values, rows, strict=True)]) > 0.9


def test_same_seed_same_model(model: Artifact, tiny_model: Path, data: Path, tmp_path: Path) -> None:
    """The default model could not be reproduced."""
    assert train(tiny_model, data, tmp_path / "again").digest == model.digest


def test_card_and_manifest_say_what_it_was_made_from(model: Artifact) -> None:
    """Licences and figures would not travel with the model."""
    card = model.file("MODEL_CARD.md").read_text()
    assert "made up" in card
    assert "MIT" in card
    assert model.manifest.training["figures"]["alerts"]["axes"]["test"]["queue"]["rows"] > 0
    for one in model.manifest.domains.values():
        for axis in one.axes.values():
            assert sum(axis.shares) == pytest.approx(1, abs=1e-4)


def test_clusters_do_not_straddle_the_halves(tmp_path: Path) -> None:
    """Near-duplicates on both sides would make the promise look better than it is."""
    line = make_lines()[0] | {"split": "val", "cluster": "one"}
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join(msgspec.json.encode(line | {"id": str(i), "text": f"text {i}"}) for i in range(50)))
    assert len({row.part for row in read_rows([file])}) == 1


@pytest.mark.parametrize("content", [b"{", b"[]\n", b'{"id": 1}\n', b"\xff\n", b""])
def test_unusable_data_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """A person with a wrong file would see a traceback."""
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_rows([tmp_path / "rows.jsonl"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tactics", [["impact"], []], ids=["one", "none"])
def test_axis_with_nothing_to_tell_apart_is_one_sentence(tiny_model: Path, tmp_path: Path, tactics: list[str]) -> None:
    """Rows with nothing to learn would end in a traceback of the library."""
    lines = [line | {"labels": line["labels"] | {"tactics": tactics}} for line in make_lines()[:90]]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))
    with pytest.raises(DataError, match="two labels"):
        train(tiny_model, tmp_path / "rows.jsonl", tmp_path / "out")


def test_truncated_gzip_is_one_sentence(tmp_path: Path, data: Path) -> None:
    """A broken download would end in a traceback."""
    (tmp_path / "rows.jsonl.gz").write_bytes(data.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        read_rows([tmp_path / "rows.jsonl.gz"])


def test_directory_that_is_no_encoder_is_refused(data: Path, tmp_path: Path) -> None:
    """A mistyped path would fail after minutes, or in a traceback."""
    with pytest.raises(ModelError):
        train(tmp_path, data, tmp_path / "out")
