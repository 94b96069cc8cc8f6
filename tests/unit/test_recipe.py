"""Training from end to end on made-up rows: what is measured is what is served."""

import asyncio
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inference.acceptance.options import Terms
from inference.acceptance.policy import Decision
from inference.acceptance.samples import CALIBRATION_SPLITS, load_samples
from inference.classifier import Classifier
from inference.errors import DataError, ModelError
from inference.labelled import LabelledRow, Labels, read_rows
from inference.model.artifact import (
    CALIBRATION,
    HEADS_FILE,
    MANIFEST,
    Artifact,
    load_artifact,
    load_manifest,
)
from inference.model.heads import Heads
from inference.model.input_text import INPUT_TEXT_FORMAT
from inference.model.ngrams import BUCKETS, TEXT_BUCKETS
from inference.model.out_of_distribution import is_out_of_distribution
from inference.model.threads import Threads
from inference.training.domain_fit import MIN_NGRAM_SHARE
from inference.training.recipe import WORK, TrainingOptions, prepare_encoder, train
from schemas.event import DOMAINS, Domain
from tests.labelled import alerts, complaints, split, tickets, write
from tests.tiny_encoder import (
    WIDTH,
    weights_file,
    wordpiece_vocabulary,
    write_encoder,
    write_wordpiece,
)

OPTIONS = TrainingOptions(name="made-up", max_tokens=32)


def no_progress(*_: object) -> None:
    """Ignore all reports of progress."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of both domains as a compressed file."""
    return write(tmp_path_factory.mktemp("data") / "rows.jsonl.gz", split([*alerts(), *tickets()]))


@pytest.fixture(scope="module")
def model(tiny_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The trained model, loaded as serving does."""
    return load_artifact(
        train(
            tiny_model, [data], tmp_path_factory.mktemp("trained"), OPTIONS, no_progress
        ).directory
    )


def decide(model: Artifact, rows: Sequence[LabelledRow], *deciding: str) -> list[Decision]:
    """The decisions of serving on these rows, which are of one domain."""

    async def run(domain: Domain) -> list[Decision]:
        terms = {domain: Terms(deciding=deciding or ("queue",))}
        classifier = Classifier.open(model.directory, threads=Threads(1, 1), terms=terms)
        decisions = await classifier.classify(domain, [row.event for row in rows])
        await classifier.close()
        return decisions

    return asyncio.run(run(rows[0].domain))


def rows_of(data: Path, domain: str, part: str) -> list[LabelledRow]:
    """The rows of one domain in one split."""
    return [row for row in read_rows([data]) if (row.domain, row.part) == (domain, part)]


def accuracy(decisions: Sequence[Decision], rows: Sequence[LabelledRow], axis: str) -> float:
    """The share of rows whose answer is one of their gold labels."""
    right = [
        decision.labels[axis].value in row.gold[axis]
        for decision, row in zip(decisions, rows, strict=True)
    ]
    return float(np.mean(right))


def error_probability(decision: Decision, axis: str) -> float:
    """One minus the confidence, or 1.0 if the event is out of distribution."""
    if is_out_of_distribution(decision.ood_score):
        return 1.0
    return round(1 - decision.labels[axis].confidence, 6)


@pytest.mark.parametrize("domain", DOMAINS)
def test_serving_gives_the_calibrated_error_probabilities(
    model: Artifact, data: Path, domain: str
) -> None:
    """The promise would be void if serving used other numbers than calibration, unseen."""
    sample = load_samples(model)[domain]
    refused = 0
    for name in CALIBRATION_SPLITS:
        rows = rows_of(data, domain, name)
        decisions = decide(model, rows)
        served = [
            [error_probability(decision, axis) for axis in sample.axes] for decision in decisions
        ]
        assert np.array_equal(served, getattr(sample, name).error_probability)
        right = [
            [decision.labels[axis].value in row.gold[axis] for axis in sample.axes]
            for decision, row in zip(decisions, rows, strict=True)
        ]
        assert np.array_equal(right, getattr(sample, name).correct)
        refused += sum(is_out_of_distribution(decision.ood_score) for decision in decisions)
    assert refused, "some rows are out of distribution, and they are in the sample"


@pytest.mark.parametrize(
    ("domain", "axis"), [("alerts", "queue"), ("tickets", "queue"), ("tickets", "intent")]
)
def test_heads_learn(model: Artifact, data: Path, domain: str, axis: str) -> None:
    """The labels would be in a wrong order, and the model no better than chance."""
    rows = rows_of(data, domain, "test")
    assert accuracy(decide(model, rows), rows, axis) > 0.9


def test_the_seed_decides_the_model(
    model: Artifact, tiny_model: Path, data: Path, tmp_path: Path
) -> None:
    """Nobody could reproduce the default model."""
    again = train(tiny_model, [data], tmp_path / "again", OPTIONS, no_progress)
    assert again.digest == model.digest
    assert again.calibration == model.calibration
    other = train(tiny_model, [data], tmp_path / "other", replace(OPTIONS, seed=1), no_progress)
    assert other.digest != model.digest


def test_kept_heads_are_those_of_the_model(model: Artifact, data: Path, tmp_path: Path) -> None:
    """The heads of a fine-tuned encoder cannot be made again without fine-tuning."""
    options = replace(OPTIONS, keep_heads=True, relearn=("tickets.queue",))
    first = train(model.directory, [data], tmp_path / "first", options, no_progress)
    before, after = (load_file(each.directory / HEADS_FILE) for each in (model, first))
    for name in ("alerts.queue.weight", "tickets.intent.bias"):
        assert np.array_equal(before[name], after[name])
    assert not np.array_equal(before["tickets.queue.weight"], after["tickets.queue.weight"])
    assert first.manifest.training["relearned"] == ["tickets.queue"]
    # What was relearned starts from the same head again, however often it is done.
    again = train(first.directory, [data], tmp_path / "again", options, no_progress)
    assert again.digest == first.digest


def test_kept_ngrams_decide_as_before(model: Artifact, tmp_path: Path) -> None:
    """Rows without a label on an axis would change how the axis is decided."""
    options = replace(OPTIONS, keep_heads=True, keep_ngrams=("alerts.tactic",))
    rows = write(tmp_path / "rows.jsonl.gz", split([*alerts(), *tickets()])[9:])
    again = train(model.directory, [rows], tmp_path / "again", options, no_progress)
    before, after = (
        Heads.of(each.directory, each.manifest, "alerts").ngram_head for each in (model, again)
    )
    assert np.array_equal(before.idf, after.idf)
    old, new = (head.weights[:, head.columns["tactic"]] for head in (before, after))
    assert np.array_equal(old, new)
    assert again.manifest.training["kept_ngrams"] == ["alerts.tactic"]


def test_ngrams_that_the_model_lacks_are_not_kept(
    model: Artifact, data: Path, tmp_path: Path
) -> None:
    """A misspelt axis would be fitted anew, and nobody would notice."""
    options = replace(OPTIONS, keep_heads=True, keep_ngrams=("alerts.sevrity",))
    with pytest.raises(ModelError, match="keep some of"):
        train(model.directory, [data], tmp_path / "again", options, no_progress)


def test_heads_of_other_labels_are_not_kept(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    """A label would get the logits of another one."""
    with pytest.raises(ModelError, match="have other labels"):
        train(tiny_model, [data], tmp_path, replace(OPTIONS, keep_heads=True), no_progress)


def test_a_model_of_another_input_text_can_be_a_source(
    model: Artifact, tiny_model: Path, tmp_path: Path
) -> None:
    """Its encoder would be lost with each new format of the input text."""
    shutil.copytree(tiny_model, tmp_path / "old")
    manifest = tmp_path / "old" / MANIFEST
    manifest.write_text(manifest.read_text("utf-8").replace(INPUT_TEXT_FORMAT, "older"), "utf-8")
    with pytest.raises(ModelError, match="train the model again"):
        load_manifest(tmp_path / "old")
    assert prepare_encoder(tmp_path / "old", tmp_path, OPTIONS) == model.manifest.encoder


def test_manifest_and_calibration_name_the_origin_of_the_model(model: Artifact, data: Path) -> None:
    """Nobody could find out later which rows a model and its promise come from."""
    training, made_from = model.manifest.training, model.calibration.made_from
    assert (training["recipe"], training["sources"], training["seed"]) == ("quick", ["made up"], 0)
    assert training["rows"] == {
        domain: len([r for r in read_rows([data]) if r.domain == domain]) for domain in DOMAINS
    }
    for domain in DOMAINS:
        promise = made_from["promises"][domain]
        assert promise["deciding"] == ["queue"]
        assert (promise["alpha"], promise["delta"]) == (0.02, 0.10)
        assert made_from["rows"][domain] == sum(
            len(rows_of(data, domain, name)) for name in CALIBRATION_SPLITS
        )
        for axis in model.calibration.domains[domain].axes.values():
            assert sum(axis.shares) == pytest.approx(1, abs=1e-4)


def test_n_gram_columns_are_stored_only_if_they_are_used(model: Artifact, data: Path) -> None:
    """Every event would pay for a table that changes no answer, and the model would be larger."""
    tensors = load_file(model.file(HEADS_FILE))
    for domain, spec in model.manifest.domains.items():
        columns = 0
        for axis, axis_spec in spec.axes.items():
            share = model.calibration.domains[domain].axes[axis].ngram_share
            if axis_spec.ngrams:
                assert share >= MIN_NGRAM_SHARE
                columns += len(axis_spec.labels)
            else:
                assert share == 0
        buckets = TEXT_BUCKETS
        if any(row.event.event for row in read_rows([data]) if row.domain == domain):
            buckets = BUCKETS
        assert tensors[f"{domain}.lexical.weights"].shape == (buckets, columns)


def test_nothing_is_fitted_to_test_rows(model: Artifact, tiny_model: Path, tmp_path: Path) -> None:
    """All figures on the test rows would be worthless."""
    lines = [
        line | {"text": "secret", "labels": line["labels"] | {"severity": "high"}}
        if line["split"] == "test"
        else line
        for line in split([*alerts(), *tickets()])
    ]
    other = train(
        tiny_model, [write(tmp_path / "rows.jsonl", lines)], tmp_path / "out", OPTIONS, no_progress
    )
    assert other.digest == model.digest
    assert other.file(CALIBRATION).read_bytes() == model.file(CALIBRATION).read_bytes()


def test_a_source_can_be_left_out(tiny_model: Path, tmp_path: Path) -> None:
    """The accuracy on an unseen source could not be measured."""
    lines = split(alerts())
    strange = [
        line | {"id": f"s{line['id']}", "source": "strange", "text": "other words"}
        for line in lines
    ]
    both = write(tmp_path / "both.jsonl", [*lines, *strange])
    left = train(
        tiny_model, [both], tmp_path / "left", replace(OPTIONS, leave_out=("strange",)), no_progress
    )
    alone = train(
        tiny_model, [write(tmp_path / "one.jsonl", lines)], tmp_path / "alone", OPTIONS, no_progress
    )
    assert left.digest == alone.digest
    assert left.calibration.made_from["sources"] == ["made up"]


def test_rows_may_have_no_label_or_several(tiny_model: Path, tmp_path: Path) -> None:
    """A missing label would count as an error, or only one of two gold labels would be right."""
    lines = split(alerts(100))
    for number, line in enumerate(lines):
        line["labels"] = {
            key: value for key, value in line["labels"].items() if key == "queue" or number % 3
        }
        line["labels"]["queue"] = (
            ["cloud", "email"] if line["labels"]["queue"] == "cloud" else line["labels"]["queue"]
        )
    data = write(tmp_path / "rows.jsonl", lines)
    model = train(tiny_model, [data], tmp_path / "out", OPTIONS, no_progress)
    sample = load_samples(model)["alerts"]
    for name in CALIBRATION_SPLITS:
        rows = rows_of(data, "alerts", name)
        missing = [["severity" not in row.gold, "tactic" not in row.gold] for row in rows]
        correct = getattr(sample, name).correct
        unlabelled = correct[:, [sample.axes.index("severity"), sample.axes.index("tactic")]] == -1
        assert np.array_equal(unlabelled, missing)
        assert not (correct[:, sample.axes.index("queue")] == -1).any()
    rows = rows_of(data, "alerts", "test")
    assert accuracy(decide(model, rows), rows, "queue") > 0.9


def test_a_custom_axis_with_two_labels(tiny_model: Path, tmp_path: Path) -> None:
    """The smallest custom label set could not be trained, calibrated or served."""
    data = write(tmp_path / "rows.jsonl", split(complaints(300)))
    model = train(tiny_model, [data], tmp_path / "out", OPTIONS, no_progress)
    assert {domain: list(spec.axes) for domain, spec in model.manifest.domains.items()} == {
        "tickets": ["product"]
    }
    assert model.calibration.made_from["promises"]["tickets"]["deciding"] == ["product"]
    rows = rows_of(data, "tickets", "test")
    decisions = decide(model, rows, "product")
    assert accuracy(decisions, rows, "product") == 1.0
    assert np.mean([decision.accepted for decision in decisions]) > 0.8
    assert all(len(decision.labels["product"].alternatives) == 1 for decision in decisions)


@pytest.mark.timeout(300)
def test_a_thousand_labels(tiny_model: Path, tmp_path: Path) -> None:
    """The largest supported label set could not be trained, calibrated or served."""
    lines = [
        {
            "kind": "ticket",
            "text": f"subject {n % 1_000} number {n % 1_000}",
            "labels": {"intent": f"i{n % 1_000:03}"},
            "split": "train" if n < 2_000 else "val",
            "cluster": f"c{n}",
        }
        for n in range(3_000)
    ]
    data = write(tmp_path / "rows.jsonl", split(lines))
    model = train(tiny_model, [data], tmp_path / "out", OPTIONS, no_progress)
    assert len(model.manifest.domains["tickets"].axes["intent"].labels) == 1_000
    rows = rows_of(data, "tickets", "testing")
    decisions = decide(model, rows, "intent")
    assert accuracy(decisions, rows, "intent") > 0.1, (
        "the encoder is tiny and random; chance would give 0.001"
    )


@pytest.mark.parametrize("tactics", [["impact"], []], ids=["one", "none"])
def test_an_axis_with_fewer_than_two_labels_is_refused(
    tiny_model: Path, tmp_path: Path, tactics: list[str]
) -> None:
    """Rows with nothing to learn would end in a traceback from a library."""
    lines = [line | {"labels": line["labels"] | {"tactics": tactics}} for line in split(alerts())]
    if not tactics:
        lines[0]["labels"] = lines[0]["labels"] | {"tactics": ["impact"]}
    data = write(tmp_path / "rows.jsonl", lines)
    with pytest.raises(DataError, match=r"labels? on tactic"):
        train(tiny_model, [data], tmp_path / "out", OPTIONS, no_progress)


def test_rows_that_teach_nothing_are_refused_in_one_sentence(
    tiny_model: Path, tmp_path: Path
) -> None:
    """A user who gives only validation rows would see a traceback."""
    lines: list[dict[str, Any]] = [line | {"split": "val"} for line in split(alerts())]
    data = write(tmp_path / "rows.jsonl", lines)
    with pytest.raises(DataError) as raised:
        train(tiny_model, [data], tmp_path / "out", OPTIONS, no_progress)
    assert "\n" not in str(raised.value)


def test_rows_that_only_teach_make_a_model_that_accepts_nothing(
    tiny_model: Path, tmp_path: Path
) -> None:
    """A model would be refused, or worse, accept what nobody has measured."""
    lines: list[dict[str, Any]] = [line | {"split": "train"} for line in split(alerts())]
    data = write(tmp_path / "rows.jsonl", lines)
    model = train(tiny_model, [data], tmp_path / "out", OPTIONS, no_progress)
    decisions = decide(model, read_rows([data]))
    assert not any(decision.accepted for decision in decisions)
    assert {decision.escalation for decision in decisions} <= {"uncalibrated", "unfamiliar"}


@dataclass(frozen=True)
class Tuning:
    """Stands in for the options of a fine-tuning, because these need torch."""

    epochs: int = 3


class FakeTuner:
    """Stands in for the fine-tuning: it returns a scaled encoder, and heads of random weights."""

    def __init__(self, encoder: Path) -> None:
        self.encoder = encoder
        self.rows: Sequence[LabelledRow] = ()
        self.work = Path()
        self.heads: dict[str, dict[str, tuple[Any, Any]]] = {}

    def fine_tune(
        self,
        source: Path,
        rows: Sequence[LabelledRow],
        labels: Labels,
        _: object,
        work: Path,
        **options: Any,
    ) -> Any:
        """Make the encoder and the heads, and note what they are made from."""
        assert options["tuning"] == Tuning()
        self.rows, self.work = rows, work
        shutil.copytree(source, self.encoder)
        weights = load_file(weights_file(source))
        save_file({name: 2 * array for name, array in weights.items()}, weights_file(self.encoder))
        numbers = np.random.default_rng(0)
        self.heads = {
            domain: {
                axis: (numbers.normal(size=(len(names), WIDTH)), numbers.normal(size=len(names)))
                for axis, names in axes.items()
            }
            for domain, axes in labels.items()
        }
        return SimpleNamespace(
            encoder=self.encoder, heads=self.heads, epoch=1, log_loss=(3.0, 1.0, 2.0)
        )


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTuner:
    """The fine-tuning of the recipe."""
    made = FakeTuner(tmp_path / "tuned")
    module: Any = ModuleType("inference.training.finetune")
    module.fine_tune = made.fine_tune
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A Hugging Face directory with random weights."""
    directory = tmp_path / "source"
    tokens = wordpiece_vocabulary([line["text"] for line in tickets()])
    write_encoder(directory, len(tokens))
    write_wordpiece(directory, tokens)
    return directory


def test_a_fine_tuned_model_serves_what_was_tuned(
    source: Path, tuner: FakeTuner, tmp_path: Path
) -> None:
    """Hours of training would be thrown away: the first encoder or other heads would be served."""
    data = write(tmp_path / "rows.jsonl", split(tickets()))
    (tmp_path / "frozen").mkdir()
    prepare_encoder(source, tmp_path / "frozen", OPTIONS)
    options = replace(OPTIONS, tuning=cast("Any", Tuning()))
    tuned = load_artifact(train(source, [data], tmp_path / "out", options, no_progress).directory)
    assert tuned.file("model.bin").read_bytes() != (tmp_path / "frozen" / "model.bin").read_bytes()
    tensors = load_file(tuned.file(HEADS_FILE))
    for axis, (weight, bias) in tuner.heads["tickets"].items():
        assert np.array_equal(tensors[f"tickets.{axis}.weight"], weight.astype(np.float32))
        assert np.array_equal(tensors[f"tickets.{axis}.bias"], bias.astype(np.float32))
    assert tuner.work == tmp_path / "out" / WORK
    training = tuned.manifest.training
    assert (training["recipe"], training["tuning"]) == ("fine-tuned", {"epochs": 3})
    assert (training["epoch"], training["log_loss"]) == (2, [3.0, 1.0, 2.0])


def test_only_a_fine_tuning_reads_the_reference(
    source: Path, tuner: FakeTuner, tmp_path: Path
) -> None:
    """A reference would be calibrated on, though no event looks like it."""
    rows = split(tickets())
    data = write(tmp_path / "rows.jsonl", rows)
    page = {"kind": "ticket", "text": "of lost cards", "source": "book", "license": "CC0-1.0"}
    book = write(
        tmp_path / "book.jsonl",
        split([page | {"labels": {"queue": queue}} for queue in ("refunds", "of no row")]),
    )
    options = replace(OPTIONS, tuning=cast("Any", Tuning()), reference=(book,))
    model = train(source, [data], tmp_path / "out", options, no_progress)
    assert [row.source for row in tuner.rows].count("book") == 2
    assert len(tuner.rows) == len(rows) + 2
    assert model.manifest.domains["tickets"].axes["queue"].labels == ["refunds", "top_up"]
    training = model.manifest.training
    assert (training["sources"], training["licences"]) == (["book", "made up"], ["CC0-1.0", "MIT"])
    assert training["rows"] == {"tickets": len(rows)}


def test_a_directory_without_an_encoder_is_refused(data: Path, tmp_path: Path) -> None:
    """A wrong path would fail after minutes, or with a traceback."""
    with pytest.raises(ModelError):
        train(tmp_path, [data], tmp_path / "out", OPTIONS, no_progress)
