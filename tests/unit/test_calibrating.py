"""Calibrating a model on rows of one's own: what is chosen on which rows, and what is refused."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from inference.acceptance.guarantee import calibrate
from inference.acceptance.samples import CALIBRATION_SPLITS, CalibrationSample, load_samples
from inference.classifier import Classifier
from inference.errors import DataError, ModelError
from inference.labelled import LabelledRow, Part
from inference.model.artifact import (
    CALIBRATION,
    CALIBRATION_ROWS_FILE,
    Artifact,
    DomainCalibration,
    load_artifact,
    load_manifest,
)
from inference.model.heads import Head, Heads
from inference.model.threads import Threads
from inference.training.calibration_fit import calibrate_domain, calibrate_model
from inference.training.ngram_fit import fit_ngram_head
from inference.training.recipe import TrainingOptions, train
from inference.training.row_features import read_features
from tests.labelled import WORDS, alerts, split, tickets, to_rows, write

LABELS = {
    "queue": tuple(sorted(WORDS)),
    "tactic": ("execution", "impact"),
    "severity": ("high", "low"),
}


def told(*_: object) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of alerts that knows their queues."""
    directory = tmp_path_factory.mktemp("trained")
    data = write(directory / "rows.jsonl", split(alerts(100)))
    train(
        tiny_model,
        [data],
        directory / "model",
        TrainingOptions(name="trained", max_tokens=32),
        told,
    )
    return directory / "model"


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A copy to calibrate."""
    return Path(shutil.copytree(trained, tmp_path / "model"))


def own(count: int, start: int = 1_000, **changes: Any) -> list[dict[str, Any]]:
    """Rows of somebody's own, no split among them."""
    lines = alerts(start + count)[start * len(WORDS) :]
    return [
        line | {"id": f"own{start}-{n}", "source": "own"} | changes for n, line in enumerate(lines)
    ]


def wrong(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with a queue that is not theirs."""
    names = [*WORDS, *WORDS]
    return [
        line
        | {"labels": line["labels"] | {"queue": names[names.index(line["labels"]["queue"]) + 1]}}
        for line in lines
    ]


def recalibrate(model: Path, lines: Sequence[dict[str, Any]]) -> Artifact:
    """The model calibrated on these rows, loaded like any other."""
    calibrate_model(model, [write(model.parent / "own.jsonl", lines)], told)
    return load_artifact(model)


def test_rows_of_ones_own_make_the_promise(model: Path) -> None:
    """The promise would still be about rows of another time, another vendor, another customer."""
    before = load_artifact(model)
    after = recalibrate(model, own(150))
    assert after.digest == before.digest, "the model is the same"
    good = calibrate(load_samples(after)["alerts"], ["queue"], 0.02, 0.10)
    assert good.coverage > 0.9
    assert after.calibration.made_from["sources"] == ["own"]
    assert after.calibration.made_from["rows"] == {"alerts": 450}
    published = after.calibration.made_from["promises"]["alerts"]
    assert published == msgspec.to_builtins(good) | {"deciding": ["queue"]}
    bad = calibrate(
        load_samples(recalibrate(model, wrong(own(150))))["alerts"], ["queue"], 0.02, 0.10
    )
    assert not bad.threshold
    assert bad.digest != good.digest


def test_rows_that_taught_or_test_are_not_looked_at(model: Path) -> None:
    """The model is sure of what it was taught: its promise would be tested on the wrong rows."""
    alone = recalibrate(model, own(100))
    files = {name: alone.file(name).read_bytes() for name in (CALIBRATION, CALIBRATION_ROWS_FILE)}
    others = [
        *wrong(own(50, 3_000, split="train", tenant="t")),
        *wrong(own(50, 5_000, split="test", tenant="t")),
    ]
    after = recalibrate(model, [*own(100), *others])
    assert {name: after.file(name).read_bytes() for name in files} == files


def test_rows_of_sources_that_taught_nothing_are_marked(model: Path) -> None:
    """What the promise is worth on a new vendor's events could not be told from what it is worth on the old ones'."""
    lines = [*own(40), *(line | {"source": "made up"} for line in own(40, 3_000))]
    sample = load_samples(recalibrate(model, lines))["alerts"]
    rows = to_rows(lines, unsplit="val")
    for half in CALIBRATION_SPLITS:
        sources = [row.source for row in rows if row.part == half]
        assert getattr(sample, half).unseen.tolist() == [source == "own" for source in sources]


def test_files_can_be_read_by_a_service(model: Path) -> None:
    """What a person calibrated could not be served under another account."""
    recalibrate(model, own(50))
    assert all(
        (model / name).stat().st_mode & 0o444 == 0o444
        for name in (CALIBRATION, CALIBRATION_ROWS_FILE)
    )


async def test_each_tenant_with_rows_enough_is_promised_for_itself(model: Path) -> None:
    """A tenant the model knows well would wait for people because it errs on another."""
    sure = [line | {"tenant": "acme"} for line in own(150)]
    unsure = [line | {"tenant": "bmce"} for line in wrong(own(150, 3_000))]
    few = [line | {"tenant": "few"} for line in own(5, 5_000)]
    artifact = recalibrate(model, [*sure, *unsure, *few, *own(20, 6_000)])
    assert artifact.calibration.domains["alerts"].tenants == ["acme", "bmce", "few"]
    classifier = Classifier.open(model, threads=Threads(1, 1))
    events = {
        tenant: [row.event for row in to_rows(own(30, 8_000, tenant=tenant))]
        for tenant in ("acme", "bmce", "x")
    }
    accepted = {
        tenant: float(np.mean([one.accepted for one in await classifier.classify("alerts", some)]))
        for tenant, some in events.items()
    }
    await classifier.close()
    assert accepted["acme"] > 0.5
    assert accepted["bmce"] == accepted["x"] == 0


def test_halves_keep_their_tenants(model: Path) -> None:
    """A tenant would be judged by the rows of another."""
    lines = [line | {"tenant": f"t{n % 3}"} for n, line in enumerate(own(60))]
    sample = load_samples(recalibrate(model, lines))["alerts"]
    rows = to_rows(lines, unsplit="val")
    for half in CALIBRATION_SPLITS:
        tenants = [row.event.tenant for row in rows if row.part == half]
        assert [sample.tenants[i] for i in getattr(sample, half).tenant] == tenants


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (own(20, split="train"), "no rows to calibrate on"),
        (tickets(), "alerts has no rows to calibrate on"),
        (own(1)[:1], "no rows to calibrate on"),
        ([line | {"labels": {"queue": "cloud"}} for line in own(20)], "labelled on tactic"),
        ([line | {"labels": {"mood": "sad"}} for line in own(20)], "labelled on"),
    ],
    ids=[
        "none to calibrate on",
        "another domain",
        "one half only",
        "an axis without labels",
        "other axes",
    ],
)
def test_rows_that_cannot_calibrate_are_one_sentence(
    model: Path, lines: Sequence[dict[str, Any]], message: str
) -> None:
    """A person would see a traceback, or lose the calibration there was."""
    before = (model / CALIBRATION).read_bytes()
    with pytest.raises(DataError, match=message) as raised:
        recalibrate(model, [{"id": str(n)} | line for n, line in enumerate(lines)])
    assert "\n" not in str(raised.value)
    assert (model / CALIBRATION).read_bytes() == before
    load_artifact(model)


def test_a_model_that_is_not_calibrated_or_badly_can_be(model: Path) -> None:
    """Whoever lost the calibration, or changed the model under it, would have to train again."""
    (model / CALIBRATION).write_bytes(b"{")
    (model / CALIBRATION_ROWS_FILE).unlink()
    assert recalibrate(model, own(50)).calibration.domains["alerts"].axes


def test_a_damaged_model_is_not_calibrated(model: Path) -> None:
    """Damaged weights would get a calibration that says they are whole."""
    data = (model / "model.bin").read_bytes()
    (model / "model.bin").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match="damaged"):
        recalibrate(model, own(50))


def fit(
    model: Path, rows: Sequence[LabelledRow], heads: Heads | None = None
) -> tuple[DomainCalibration, CalibrationSample]:
    """The calibration of the alerts by these rows."""
    manifest = load_manifest(model)
    heads = heads or Heads.of(model, manifest, "alerts")
    read = read_features(rows, model, manifest.encoder, heads.ngram_head, told, "reading")
    return calibrate_domain("alerts", rows, read, heads, {"made up"})


def halves(
    tuning: Sequence[dict[str, Any]], testing: Sequence[dict[str, Any]]
) -> list[LabelledRow]:
    """Rows in halves of the test's choosing."""
    parts: list[tuple[Part, Sequence[dict[str, Any]]]] = [("tuning", tuning), ("testing", testing)]
    return [
        msgspec.structs.replace(row, part=part) for part, lines in parts for row in to_rows(lines)
    ]


STRANGE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another language": lambda line: (
        line | {"text": f"Пожалуйста {line['text'][-3:]} проверьте подозрительный"}
    ),
    "no words": lambda line: line | {"text": "", "event": {"n": 1}},
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE.keys())
def test_what_a_guard_refuses_counts_as_not_accepted(
    model: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """The promise would rest on rows that serving never accepts, all of them right by luck."""
    usual = own(150)
    _, sample = fit(model, halves(usual, [change(line) for line in own(150, 3_000)]))
    assert (sample.testing.error_probability == 1).all()
    promise = calibrate(sample, ["queue"], 0.02, 0.10)
    assert (promise.threshold, promise.coverage, promise.n) == (0.0, 0.0, 450)
    _, sample = fit(model, halves(usual, own(150, 3_000)))
    assert 0 < (sample.tuning.error_probability == 1).all(axis=1).mean() <= 0.03, (
        "a percent a guard"
    )


@pytest.mark.parametrize(
    "lines",
    [
        [{**line, "text": "the same"} for line in own(40)],
        [{**line, "text": "", "event": {"n": 1}} for line in own(40)],
        [
            {**line, "text": "" if n % 20 else line["text"], "event": {"n": 1}}
            for n, line in enumerate(own(40))
        ],
    ],
    ids=["all alike", "no words at all", "mostly no words"],
)
def test_limits_of_odd_rows_can_be_read_again(model: Path, lines: Sequence[dict[str, Any]]) -> None:
    """A limit of zero or infinity would be written, and the model refused as damaged from then on."""
    limits = recalibrate(model, lines).calibration.domains["alerts"]
    assert 0 < limits.max_distance < np.inf
    assert 0 < limits.max_excess_tokens < np.inf


def test_the_testing_half_chooses_nothing(model: Path) -> None:
    """Data that chose temperature, share or limits would also be the evidence, and the promise worth nothing."""
    tuning = own(60)
    one, _ = fit(model, halves(tuning, own(60, 3_000)))
    other, _ = fit(model, halves(tuning, wrong(own(60, 5_000))))
    for axis in one.axes:
        assert one.axes[axis].temperature == other.axes[axis].temperature
        assert one.axes[axis].ngram_share == other.axes[axis].ngram_share
    assert (one.max_distance, one.max_excess_tokens) == (
        other.max_distance,
        other.max_excess_tokens,
    )


def test_confidence_is_how_often_it_is_right(model: Path) -> None:
    """A model that is sure and wrong in two sevenths of somebody's rows would go on saying that it is sure."""
    lines = [wrong([line])[0] if n % 7 in (0, 3) else line for n, line in enumerate(own(101))]
    _, sample = fit(model, halves(lines, lines))
    queue = sample.axes.index("queue")
    known = (sample.tuning.error_probability < 1).all(axis=1)
    confidence = 1 - sample.tuning.error_probability[known, queue].mean()
    assert confidence == pytest.approx(sample.tuning.correct[known, queue].mean(), abs=0.05)
    assert 0.6 < confidence < 0.8


def test_the_better_opinion_gets_the_larger_share(model: Path) -> None:
    """Exact tokens that tell everything would be drowned by an encoder that tells nothing, or the other way round."""
    rows, generator = to_rows(alerts()), np.random.default_rng(0)
    known = Heads.of(model, load_manifest(model), "alerts")
    ngram_head = fit_ngram_head(rows, LABELS, seed=0)
    deaf = {
        axis: Head(names, generator.normal(size=(len(names), 32)), np.zeros(len(names)))
        for axis, names in LABELS.items()
    }
    found, _ = fit(model, halves(own(60), own(60, 3_000)), Heads(deaf, ngram_head, known.centres))
    assert found.axes["queue"].ngram_share > 0.5
    shuffled = fit_ngram_head(
        to_rows(wrong(alerts())[::2] + wrong(wrong(alerts()))[1::2]), LABELS, seed=0
    )
    hearing = {axis: known._heads[axis] for axis in LABELS}
    found, _ = fit(model, halves(own(60), own(60, 3_000)), Heads(hearing, shuffled, known.centres))
    assert found.axes["queue"].ngram_share < 0.5
