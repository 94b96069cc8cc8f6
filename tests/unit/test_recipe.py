"""Training end to end on made-up rows: what is measured is what is served."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from inference.acceptance.guarantee import Terms
from inference.acceptance.policy import Decision
from inference.acceptance.samples import CALIBRATION_SPLITS, load_samples
from inference.classifier import Classifier
from inference.errors import DataError, ModelError
from inference.labelled import LabelledRow, read_rows
from inference.model.artifact import CALIBRATION, HEADS_FILE, Artifact, load_artifact
from inference.model.ngrams import BUCKETS, TEXT_BUCKETS
from inference.model.out_of_distribution import is_out_of_distribution
from inference.model.threads import Threads
from inference.training.recipe import MIN_NGRAM_SHARE, TrainingOptions, train
from schemas.event import DOMAINS, Domain
from tests.labelled import alerts, complaints, split, tickets, write

SETTINGS = TrainingOptions(name="made-up", max_tokens=32)


def told(*_: object) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of both domains as a compressed file."""
    return write(tmp_path_factory.mktemp("data") / "rows.jsonl.gz", split([*alerts(), *tickets()]))


@pytest.fixture(scope="module")
def model(tiny_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The trained model, loaded like any other."""
    return load_artifact(
        train(tiny_model, [data], tmp_path_factory.mktemp("trained"), SETTINGS, told).directory
    )


def decide(model: Artifact, rows: Sequence[LabelledRow], *deciding: str) -> list[Decision]:
    """What serving says about these rows of one domain."""

    async def run(domain: Domain) -> list[Decision]:
        terms = {domain: Terms(deciding=deciding or ("queue",))}
        classifier = Classifier.open(model.directory, threads=Threads(1, 1), terms=terms)
        decisions = await classifier.classify(domain, [row.event for row in rows])
        await classifier.close()
        return decisions

    return asyncio.run(run(rows[0].domain))


def rows_of(data: Path, domain: str, part: str) -> list[LabelledRow]:
    """The rows of one part of one domain."""
    return [row for row in read_rows([data]) if (row.domain, row.part) == (domain, part)]


def accuracy(decisions: Sequence[Decision], rows: Sequence[LabelledRow], axis: str) -> float:
    """The share of rows whose value is one of their labels."""
    return float(
        np.mean(
            [
                one.labels[axis].value in row.gold[axis]
                for one, row in zip(decisions, rows, strict=True)
            ]
        )
    )


@pytest.mark.parametrize("domain", DOMAINS)
def test_served_doubts_are_the_calibrated_ones(model: Artifact, data: Path, domain: str) -> None:
    """A head in another order or precision than it was fitted in, or another guard, would void the promise unseen."""
    sample = load_samples(model)[domain]
    refused = 0
    for half in CALIBRATION_SPLITS:
        rows = rows_of(data, domain, half)
        decisions = decide(model, rows)
        served = [
            [
                1.0
                if is_out_of_distribution(one.ood_score)
                else round(1 - one.labels[axis].confidence, 6)
                for axis in sample.axes
            ]
            for one in decisions
        ]
        assert np.array_equal(served, getattr(sample, half).error_probability)
        right = [[one.labels[axis].value in row.gold[axis] for axis in sample.axes]
                 for one, row in zip(decisions, rows, strict=True)]  # fmt: skip
        assert np.array_equal(right, getattr(sample, half).correct)
        refused += sum(is_out_of_distribution(one.ood_score) for one in decisions)
    assert refused, "the guards draw a line somewhere, and the rows beyond it are in the sample"


@pytest.mark.parametrize(
    ("domain", "axis"), [("alerts", "queue"), ("tickets", "queue"), ("tickets", "intent")]
)
def test_heads_learn(model: Artifact, data: Path, domain: str, axis: str) -> None:
    """Labels attached to the wrong rows of a head would leave the model no better than chance."""
    rows = rows_of(data, domain, "test")
    assert accuracy(decide(model, rows), rows, axis) > 0.9


def test_same_seed_same_model(
    model: Artifact, tiny_model: Path, data: Path, tmp_path: Path
) -> None:
    """The default model could not be reproduced."""
    again = train(tiny_model, [data], tmp_path / "again", SETTINGS, told)
    assert again.digest == model.digest
    assert again.calibration == model.calibration
    other = train(tiny_model, [data], tmp_path / "other", replace(SETTINGS, seed=1), told)
    assert other.digest != model.digest


def test_manifest_and_calibration_say_what_the_model_was_made_from(
    model: Artifact, data: Path
) -> None:
    """Nobody could tell afterwards which rows, which view and which promise a model rests on."""
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
            len(rows_of(data, domain, half)) for half in CALIBRATION_SPLITS
        )
        for axis in model.calibration.domains[domain].axes.values():
            assert sum(axis.shares) == pytest.approx(1, abs=1e-4)


def test_a_lexical_head_ships_only_where_it_is_used(model: Artifact, data: Path) -> None:
    """Every event would pay for a table that is multiplied by nothing, and the package carry it."""
    tensors = load_file(model.file(HEADS_FILE))
    for domain, spec in model.manifest.domains.items():
        columns = 0
        for axis, one in spec.axes.items():
            share = model.calibration.domains[domain].axes[axis].ngram_share
            assert (share >= MIN_NGRAM_SHARE) if one.ngrams else (share == 0)
            columns += len(one.labels) if one.ngrams else 0
        buckets = (
            BUCKETS
            if any(row.event.event for row in read_rows([data]) if row.domain == domain)
            else TEXT_BUCKETS
        )
        assert tensors[f"{domain}.lexical.weights"].shape == (buckets, columns)


def test_test_rows_choose_nothing(model: Artifact, tiny_model: Path, tmp_path: Path) -> None:
    """Every figure on the test rows would be worth nothing."""
    lines = [
        line | {"text": "secret", "labels": line["labels"] | {"severity": "high"}}
        if line["split"] == "test"
        else line
        for line in split([*alerts(), *tickets()])
    ]
    other = train(
        tiny_model, [write(tmp_path / "rows.jsonl", lines)], tmp_path / "out", SETTINGS, told
    )
    assert other.digest == model.digest
    assert other.file(CALIBRATION).read_bytes() == model.file(CALIBRATION).read_bytes()


def test_a_source_can_be_left_out(tiny_model: Path, tmp_path: Path) -> None:
    """How a model does on a source it never saw could not be measured."""
    lines = split(alerts())
    strange = [
        line | {"id": f"s{line['id']}", "source": "strange", "text": "other words"}
        for line in lines
    ]
    both = write(tmp_path / "both.jsonl", [*lines, *strange])
    left = train(
        tiny_model, [both], tmp_path / "left", replace(SETTINGS, leave_out=("strange",)), told
    )
    alone = train(
        tiny_model, [write(tmp_path / "one.jsonl", lines)], tmp_path / "alone", SETTINGS, told
    )
    assert left.digest == alone.digest
    assert left.calibration.made_from["sources"] == ["made up"]


def test_missing_and_several_labels(tiny_model: Path, tmp_path: Path) -> None:
    """Half-labelled data is what people have: a missing label must neither teach nor count, two must both be right."""
    lines = split(alerts(100))
    for number, line in enumerate(lines):
        line["labels"] = {
            key: value for key, value in line["labels"].items() if key == "queue" or number % 3
        }
        line["labels"]["queue"] = (
            ["cloud", "email"] if line["labels"]["queue"] == "cloud" else line["labels"]["queue"]
        )
    data = write(tmp_path / "rows.jsonl", lines)
    model = train(tiny_model, [data], tmp_path / "out", SETTINGS, told)
    sample = load_samples(model)["alerts"]
    for half in CALIBRATION_SPLITS:
        rows = rows_of(data, "alerts", half)
        missing = [["severity" not in row.gold, "tactic" not in row.gold] for row in rows]
        correct = getattr(sample, half).correct
        unlabelled = correct[:, [sample.axes.index("severity"), sample.axes.index("tactic")]] == -1
        assert np.array_equal(unlabelled, missing)
        assert not (correct[:, sample.axes.index("queue")] == -1).any()
    rows = rows_of(data, "alerts", "test")
    assert accuracy(decide(model, rows), rows, "queue") > 0.9


def test_an_axis_of_ones_own_with_two_labels(tiny_model: Path, tmp_path: Path) -> None:
    """A person's own label set, the smallest there is, would not train, calibrate or serve."""
    data = write(tmp_path / "rows.jsonl", split(complaints(300)))
    model = train(tiny_model, [data], tmp_path / "out", SETTINGS, told)
    assert {domain: list(spec.axes) for domain, spec in model.manifest.domains.items()} == {
        "tickets": ["product"]
    }
    assert model.calibration.made_from["promises"]["tickets"]["deciding"] == ["product"]
    rows = rows_of(data, "tickets", "test")
    decisions = decide(model, rows, "product")
    assert accuracy(decisions, rows, "product") == 1.0
    assert np.mean([one.accepted for one in decisions]) > 0.8
    assert all(len(one.labels["product"].alternatives) == 1 for one in decisions)


@pytest.mark.timeout(300)
def test_a_thousand_labels(tiny_model: Path, tmp_path: Path) -> None:
    """The largest label set that is promised would not train, calibrate or serve."""
    lines = [
        {"kind": "ticket", "text": f"subject {n % 1_000} number {n % 1_000}", "labels": {"intent": f"i{n % 1_000:03}"},
         "split": "train" if n < 2_000 else "val", "cluster": f"c{n}"}
        for n in range(3_000)
    ]  # fmt: skip
    data = write(tmp_path / "rows.jsonl", split(lines))
    model = train(tiny_model, [data], tmp_path / "out", SETTINGS, told)
    assert len(model.manifest.domains["tickets"].axes["intent"].labels) == 1_000
    rows = rows_of(data, "tickets", "testing")
    decisions = decide(model, rows, "intent")
    assert accuracy(decisions, rows, "intent") > 0.1, (
        "a tiny encoder of random weights; by chance it would be 0.001"
    )


@pytest.mark.parametrize("tactics", [["impact"], []], ids=["one", "none"])
def test_axis_with_nothing_to_tell_apart_is_one_sentence(
    tiny_model: Path, tmp_path: Path, tactics: list[str]
) -> None:
    """Rows with nothing to learn would end in a traceback of the library."""
    lines = [line | {"labels": line["labels"] | {"tactics": tactics}} for line in split(alerts())]
    if not tactics:
        lines[0]["labels"] = lines[0]["labels"] | {"tactics": ["impact"]}
    data = write(tmp_path / "rows.jsonl", lines)
    with pytest.raises(DataError, match="labels on tactic"):
        train(tiny_model, [data], tmp_path / "out", SETTINGS, told)


@pytest.mark.parametrize("part", ["val", "train"])
def test_rows_of_one_part_only_are_one_sentence(
    tiny_model: Path, tmp_path: Path, part: str
) -> None:
    """Whoever gives no validation rows, or nothing else, would see a traceback."""
    lines: list[dict[str, Any]] = [line | {"split": part} for line in split(alerts())]
    data = write(tmp_path / "rows.jsonl", lines)
    with pytest.raises(DataError) as raised:
        train(tiny_model, [data], tmp_path / "out", SETTINGS, told)
    assert "\n" not in str(raised.value)


def test_directory_that_is_no_encoder_is_refused(data: Path, tmp_path: Path) -> None:
    """A mistyped path would fail after minutes, or in a traceback."""
    with pytest.raises(ModelError):
        train(tmp_path, [data], tmp_path / "out", SETTINGS, told)
