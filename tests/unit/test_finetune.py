"""Fine-tuning: it learns, and it resumes an interrupted training, but never a different one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from inference.classifier import Classifier
from inference.errors import ModelError
from inference.labelled import LabelledRow, labels_of, read_rows
from inference.model.artifact import HEADS_FILE, load_artifact
from inference.model.encoder import open_tokenizer
from inference.model.threads import Threads
from inference.training.convert import convert
from inference.training.recipe import WORK, TrainingOptions, prepare_encoder, train
from tests.labelled import alerts, split, tickets, to_rows, write
from tests.tiny_encoder import (
    HIDDEN,
    WIDTH,
    config,
    sample_texts,
    wordpiece_vocabulary,
    write_encoder,
    write_json,
    write_wordpiece,
)

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from inference.training import finetune
from inference.training.finetune import Tuned, Tuning, fine_tune

pytestmark = [
    pytest.mark.timeout(300),
    # Warnings of torch and transformers are not ours to fix.
    pytest.mark.filterwarnings("default"),
]
SETTINGS = TrainingOptions(name="tuned", max_tokens=32)
TUNING = Tuning(epochs=2, batch_rows=4, learning_rate=1e-3, head_learning_rate=1e-2)


@pytest.fixture(autouse=True)
def same_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the arithmetic: on an encoder this small, chance decides whether bf16 is faster."""
    monkeypatch.setattr(finetune, "bf16_is_quicker", lambda _: False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face directory with random weights."""
    directory = tmp_path_factory.mktemp("source")
    words = [line["text"] for line in (*alerts(), *tickets())]
    tokens = wordpiece_vocabulary([*sample_texts(), *words])
    write_encoder(directory, len(tokens))
    write_json(
        directory / "config.json", config(len(tokens), "bert") | {"intermediate_size": HIDDEN}
    )
    write_wordpiece(directory, tokens)
    return directory


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """Rows of both domains."""
    return split([*alerts(30), *tickets(30)])


class Tuner:
    """Fine-tunes as the recipe does, always into the same folder."""

    def __init__(self, source: Path, out: Path) -> None:
        self.source, self.out = source, out
        self.steps: list[int] = []

    def __call__(
        self, rows: Sequence[LabelledRow], tuning: Tuning = TUNING, *, stop_at: int | None = None
    ) -> Tuned:
        """Fine-tune; `stop_at` is the step at which Ctrl-C is pressed."""

        def progress(_: str, done: int, __: int) -> None:
            self.steps.append(done)
            if done == stop_at:
                raise KeyboardInterrupt

        self.out.mkdir(exist_ok=True)
        spec = prepare_encoder(self.source, self.out, SETTINGS)
        return fine_tune(
            self.source, rows, labels_of(rows), open_tokenizer(self.out, spec), self.out / WORK,
            pad_id=spec.pad_id, pooling=spec.pooling, tuning=tuning, progress=progress,
        )  # fmt: skip


@pytest.fixture
def tuner(source: Path, tmp_path: Path) -> Tuner:
    """A tuner with a new folder."""
    return Tuner(source, tmp_path / "out")


def numbers(tuned: Tuned) -> dict[str, bytes]:
    """All numbers of the heads and the encoder, as bytes."""
    heads = {
        f"{domain} {axis} {i}": array.tobytes()
        for domain, axes in tuned.heads.items()
        for axis, pair in axes.items()
        for i, array in enumerate(pair)
    }
    return heads | {"encoder": (tuned.encoder / "model.safetensors").read_bytes()}


def test_the_result_can_be_served(
    tuner: Tuner, lines: list[dict[str, Any]], tmp_path: Path
) -> None:
    """After hours of training, the heads would have a wrong shape or the converter would fail."""
    rows = to_rows(lines)
    tuned = tuner(rows)
    for domain, axes in labels_of(rows).items():
        shapes = {axis: weight.shape for axis, (weight, _) in tuned.heads[domain].items()}
        assert shapes == {axis: (len(names), WIDTH) for axis, names in axes.items()}
    assert all(
        np.isfinite(array).all()
        for axes in tuned.heads.values()
        for pair in axes.values()
        for array in pair
    )
    assert len(tuned.log_loss) == TUNING.epochs
    assert tuned.epoch == int(np.argmin(tuned.log_loss))
    assert tuner.steps == list(range(1, max(tuner.steps) + 1)), "progress counts every step once"
    convert(tuned.encoder, tmp_path / "converted")


@pytest.mark.parametrize(
    ("epochs", "steps"),
    [(0, 1), (1, 0), (1, 2)],
    ids=["in the first epoch", "at its end", "in the second"],
)
def test_an_interrupted_training_gives_the_same_model(
    source: Path, tmp_path: Path, lines: list[dict[str, Any]], epochs: int, steps: int
) -> None:
    """An interruption would change the model, and nobody could reproduce it."""
    rows = to_rows(lines)
    whole, broken = Tuner(source, tmp_path / "whole"), Tuner(source, tmp_path / "broken")
    expected = whole(rows)
    epoch = len(whole.steps) // TUNING.epochs
    with pytest.raises(KeyboardInterrupt):
        broken(rows, stop_at=epochs * epoch + steps)
    before = len(broken.steps)
    again = broken(rows)
    assert broken.steps[before] == (1 if before <= epoch else epoch + 1), (
        "it continues after the last whole epoch"
    )
    assert again.log_loss == expected.log_loss
    assert numbers(again) == numbers(expected)


def test_the_seed_decides_the_model(
    source: Path, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    """The shipped model could not be reproduced."""
    rows = to_rows(lines)
    first, again, other = (
        Tuner(source, tmp_path / str(n))(rows, replace(TUNING, seed=seed, epochs=1))
        for n, seed in enumerate((0, 0, 1))
    )
    assert numbers(first) == numbers(again)
    assert numbers(first)["encoder"] != numbers(other)["encoder"]


def test_a_finished_training_is_not_done_again(tuner: Tuner, lines: list[dict[str, Any]]) -> None:
    """A user who repeats the steps after the training would wait for hours."""
    rows = to_rows(lines)
    first = numbers(tuner(rows))
    tuner.steps.clear()
    assert numbers(tuner(rows)) == first
    assert tuner.steps == []


def test_other_rows_or_settings_are_refused(tuner: Tuner, lines: list[dict[str, Any]]) -> None:
    """A training could start with some rows, continue with others, and report only the latter."""
    rows = to_rows(lines)
    with pytest.raises(KeyboardInterrupt):
        tuner(rows, stop_at=13)
    relabelled = [
        line | {"labels": line["labels"] | {"severity": "high"}} for line in lines[:1]
    ] + lines[1:]
    for others in (
        rows[:-1],
        rows[::-1],
        to_rows(relabelled),
        to_rows([lines[0] | {"text": "else"}, *lines[1:]]),
    ):
        with pytest.raises(
            ModelError, match="holds a training of other rows or settings; delete it"
        ) as raised:
            tuner(others)
        assert "\n" not in str(raised.value)
    for tuning in (
        replace(TUNING, seed=9),
        replace(TUNING, learning_rate=1e-5),
        replace(TUNING, epochs=3),
    ):
        with pytest.raises(ModelError, match="other rows or settings"):
            tuner(rows, tuning)
    assert tuner(rows).log_loss


def test_it_stops_when_nothing_improves(tuner: Tuner, lines: list[dict[str, Any]]) -> None:
    """Training would go on for hours, and would keep the last epoch instead of the best."""
    no_learning = replace(TUNING, epochs=9, patience=2, learning_rate=0.0, head_learning_rate=0.0)
    tuned = tuner(to_rows(lines), no_learning)
    assert len(tuned.log_loss) == 3
    assert tuned.epoch == 0


def test_word_vectors_are_frozen(tuner: Tuner, source: Path, lines: list[dict[str, Any]]) -> None:
    """The vectors of the words in the training rows would move away from those of all others."""
    name = "embeddings.word_embeddings.weight"
    before = load_file(source / "model.safetensors")
    after = load_file(tuner(to_rows(lines)).encoder / "model.safetensors")
    assert np.array_equal(before[name], after[name])
    assert not np.array_equal(
        before["encoder.layer.1.output.dense.weight"], after["encoder.layer.1.output.dense.weight"]
    )


def test_rows_may_have_no_label_or_several(tuner: Tuner) -> None:
    """A row without a label would stop the training, or count as an example against all labels."""
    lines = split(alerts(30))
    for number, line in enumerate(lines):
        line["labels"] = {
            key: value for key, value in line["labels"].items() if key == "queue" or number % 3
        }
    rows = to_rows(lines)
    tuned = tuner(rows)
    assert np.isfinite(tuned.log_loss).all()
    assert any(len(row.gold.get("tactic", ())) == 2 for row in rows)


@pytest.mark.parametrize("damage", ["missing", "another shape"])
def test_a_directory_without_an_encoder_is_refused_in_one_sentence(
    tuner: Tuner, source: Path, tmp_path: Path, damage: str
) -> None:
    """A user would see a page of advice from transformers."""
    tuner.out.mkdir()
    spec, rows = prepare_encoder(source, tuner.out, SETTINGS), to_rows(split(alerts(9)))
    broken = tmp_path / "broken"
    broken.mkdir()
    if damage == "another shape":
        write_encoder(broken, 9)
    (broken / "config.json").write_bytes((source / "config.json").read_bytes())
    with pytest.raises(ModelError, match="holds no encoder transformers can load") as raised:
        fine_tune(
            broken, rows, labels_of(rows), open_tokenizer(tuner.out, spec), tmp_path / WORK,
            pad_id=spec.pad_id, pooling="mean", tuning=TUNING, progress=lambda *_: None,
        )  # fmt: skip
    assert "\n" not in str(raised.value)


async def test_a_tuned_model_is_served(source: Path, tmp_path: Path) -> None:
    """The heads would be served with another pooling, scale or order than in training."""
    data = write(tmp_path / "rows.jsonl", split(alerts(60)))
    tuning = replace(TUNING, epochs=6, patience=6)
    train(source, [data], tmp_path / "out", replace(SETTINGS, tuning=tuning), lambda *_: None)
    artifact = load_artifact(tmp_path / "out")
    assert artifact.manifest.training["recipe"] == "fine-tuned"
    assert artifact.manifest.training["tuning"]["epochs"] == 6
    rows = [row for row in read_rows([data]) if row.part == "test"]
    classifier = Classifier.open(artifact.directory, threads=Threads(1, 1))
    decisions = await classifier.classify("alerts", [row.event for row in rows])
    await classifier.close()
    right = [
        decision.labels["queue"].value in row.gold["queue"]
        for decision, row in zip(decisions, rows, strict=True)
    ]
    assert np.mean(right) > 0.9
    axes = artifact.calibration.domains["alerts"].axes
    assert axes["queue"].ngram_share < 1, "the encoder's head has a share"


def test_only_the_encoder_is_trained_on_a_reference(source: Path, tmp_path: Path) -> None:
    """A reference would change the weights of n-grams, or add its labels to the model."""
    data = write(tmp_path / "rows.jsonl", split(tickets(20)))
    fields = {"kind": "ticket", "source": "book", "license": "CC0-1.0", "split": "train"}
    pages = [
        (f"of lost cards, chapter {n}", queue)
        for n in range(8)
        for queue in ("refunds", "of no row")
    ]
    lines = [
        fields | {"id": text, "text": text, "labels": {"queue": queue}} for text, queue in pages
    ]
    book = write(tmp_path / "book.jsonl", lines)
    tuned = replace(SETTINGS, tuning=replace(TUNING, epochs=1))
    alone = train(source, [data], tmp_path / "alone", tuned, lambda *_: None)
    both = train(
        source, [data], tmp_path / "both", replace(tuned, reference=(book,)), lambda *_: None
    )
    heads, others = (load_file(model.directory / HEADS_FILE) for model in (alone, both))
    assert not np.array_equal(heads["tickets.queue.weight"], others["tickets.queue.weight"])
    assert np.array_equal(heads["tickets.lexical.idf"], others["tickets.lexical.idf"])
    assert both.manifest.domains["tickets"].axes["queue"].labels == ["refunds", "top_up"]
    training = both.manifest.training
    assert (training["sources"], training["licences"]) == (["book", "made up"], ["CC0-1.0", "MIT"])
    assert training["rows"] == alone.manifest.training["rows"]


def test_the_result_is_an_average_over_the_steps() -> None:
    """The result would depend on the last batches, and would be worse on unseen sources."""
    update = finetune.moving(0.9)
    average, ones = torch.zeros(1), torch.ones(1)
    update([average], [ones], torch.tensor(1))
    assert average == pytest.approx(9 / 11), "an average over two steps is not close to the start"
    for steps in range(2, 500):
        update([average], [ones * steps], torch.tensor(steps))
    assert average == pytest.approx(490, abs=1), (
        "an average over many steps is close to the last ones"
    )
