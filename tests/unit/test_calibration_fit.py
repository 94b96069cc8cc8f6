"""Calibrating a model on new rows: what is fitted to which rows, and what is refused."""

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
    load_artifact,
    load_manifest,
)
from inference.model.heads import Head, Heads
from inference.model.manifest import DomainCalibration
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


def no_progress(*_: object) -> None:
    """Ignore all reports of progress."""


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of alerts that has learned their queues."""
    directory = tmp_path_factory.mktemp("trained")
    data = write(directory / "rows.jsonl", split(alerts(100)))
    train(
        tiny_model,
        [data],
        directory / "model",
        TrainingOptions(name="trained", max_tokens=32),
        no_progress,
    )
    return directory / "model"


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained model, to be calibrated."""
    return Path(shutil.copytree(trained, tmp_path / "model"))


def customer_lines(count: int, start: int = 1_000, **changes: Any) -> list[dict[str, Any]]:
    """New rows, as a customer gives them: without a split."""
    lines = alerts(start + count)[start * len(WORDS) :]
    return [
        line | {"id": f"own{start}-{n}", "source": "own"} | changes for n, line in enumerate(lines)
    ]


def mislabelled(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows, each labelled with a wrong queue."""
    names = [*WORDS, *WORDS]
    return [
        line
        | {"labels": line["labels"] | {"queue": names[names.index(line["labels"]["queue"]) + 1]}}
        for line in lines
    ]


def recalibrate(model: Path, lines: Sequence[dict[str, Any]]) -> Artifact:
    """Calibrate the model on these rows, and load it as serving does."""
    calibrate_model(model, [write(model.parent / "customer.jsonl", lines)], no_progress)
    return load_artifact(model)


def test_new_rows_decide_the_promise(model: Path) -> None:
    """The promise would still be about older rows of other vendors and customers."""
    before = load_artifact(model)
    after = recalibrate(model, customer_lines(150))
    assert after.digest == before.digest, "calibrating does not change the model"
    good = calibrate(load_samples(after)["alerts"], ["queue"], 0.02, 0.10)
    assert good.coverage > 0.9
    assert after.calibration.made_from["sources"] == ["own"]
    assert after.calibration.made_from["rows"] == {"alerts": 450}
    published = after.calibration.made_from["promises"]["alerts"]
    assert published == msgspec.to_builtins(good) | {"deciding": ["queue"]}
    badly_labelled = recalibrate(model, mislabelled(customer_lines(150)))
    bad = calibrate(load_samples(badly_labelled)["alerts"], ["queue"], 0.02, 0.10)
    assert not bad.threshold
    assert bad.digest != good.digest


def test_training_and_test_rows_are_ignored(model: Path) -> None:
    """The promise would be tested on training rows, and the model is too good on those."""
    alone = recalibrate(model, customer_lines(100))
    files = {name: alone.file(name).read_bytes() for name in (CALIBRATION, CALIBRATION_ROWS_FILE)}
    others = [
        *mislabelled(customer_lines(50, 3_000, split="train", tenant="t")),
        *mislabelled(customer_lines(50, 5_000, split="test", tenant="t")),
    ]
    after = recalibrate(model, [*customer_lines(100), *others])
    assert {name: after.file(name).read_bytes() for name in files} == files


def test_rows_of_unseen_sources_are_marked(model: Path) -> None:
    """The promise could not be tested on the events of new vendors alone."""
    lines = [
        *customer_lines(40),
        *(line | {"source": "made up"} for line in customer_lines(40, 3_000)),
    ]
    sample = load_samples(recalibrate(model, lines))["alerts"]
    rows = to_rows(lines, unsplit="val")
    for name in CALIBRATION_SPLITS:
        sources = [row.source for row in rows if row.part == name]
        assert getattr(sample, name).unseen.tolist() == [source == "own" for source in sources]


def test_files_can_be_read_by_a_service(model: Path) -> None:
    """A service that runs as another user could not read the calibration."""
    recalibrate(model, customer_lines(50))
    assert all(
        (model / name).stat().st_mode & 0o444 == 0o444
        for name in (CALIBRATION, CALIBRATION_ROWS_FILE)
    )


async def test_each_tenant_with_enough_rows_has_its_own_promise(model: Path) -> None:
    """Errors on the events of one tenant would escalate the events of another."""
    acme = [line | {"tenant": "acme"} for line in customer_lines(150)]
    bmce = [line | {"tenant": "bmce"} for line in mislabelled(customer_lines(150, 3_000))]
    few = [line | {"tenant": "few"} for line in customer_lines(5, 5_000)]
    artifact = recalibrate(model, [*acme, *bmce, *few, *customer_lines(20, 6_000)])
    assert artifact.calibration.domains["alerts"].tenants == ["acme", "bmce", "few"]
    classifier = Classifier.open(model, threads=Threads(1, 1))
    events = {
        tenant: [row.event for row in to_rows(customer_lines(30, 8_000, tenant=tenant))]
        for tenant in ("acme", "bmce", "x")
    }
    accepted = {}
    for tenant, events_of_tenant in events.items():
        decisions = await classifier.classify("alerts", events_of_tenant)
        accepted[tenant] = float(np.mean([decision.accepted for decision in decisions]))
    await classifier.close()
    assert accepted["acme"] > 0.5
    assert accepted["bmce"] == accepted["x"] == 0


def test_splits_keep_the_tenants_of_their_rows(model: Path) -> None:
    """The threshold of a tenant would be computed from the rows of another."""
    lines = [line | {"tenant": f"t{n % 3}"} for n, line in enumerate(customer_lines(60))]
    sample = load_samples(recalibrate(model, lines))["alerts"]
    rows = to_rows(lines, unsplit="val")
    for name in CALIBRATION_SPLITS:
        tenants = [row.event.tenant for row in rows if row.part == name]
        assert [sample.tenants[i] for i in getattr(sample, name).tenant] == tenants


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (customer_lines(20, split="train"), "no rows to calibrate on"),
        (tickets(), "alerts has no rows to calibrate on"),
        (customer_lines(1)[:1], "no rows to calibrate on"),
        (
            [line | {"labels": {"queue": "cloud"}} for line in customer_lines(20)],
            "labelled on tactic",
        ),
        ([line | {"labels": {"mood": "sad"}} for line in customer_lines(20)], "labelled on"),
    ],
    ids=[
        "none to calibrate on",
        "another domain",
        "one split only",
        "an axis without labels",
        "other axes",
    ],
)
def test_unsuitable_rows_are_refused_in_one_sentence(
    model: Path, lines: Sequence[dict[str, Any]], message: str
) -> None:
    """A user would see a traceback, or lose the present calibration."""
    before = (model / CALIBRATION).read_bytes()
    with pytest.raises(DataError, match=message) as raised:
        recalibrate(model, [{"id": str(n)} | line for n, line in enumerate(lines)])
    assert "\n" not in str(raised.value)
    assert (model / CALIBRATION).read_bytes() == before
    load_artifact(model)


def test_a_model_with_a_damaged_calibration_can_be_calibrated(model: Path) -> None:
    """A user whose calibration is lost or damaged would have to train the model again."""
    (model / CALIBRATION).write_bytes(b"{")
    (model / CALIBRATION_ROWS_FILE).unlink()
    assert recalibrate(model, customer_lines(50)).calibration.domains["alerts"].axes


def test_a_damaged_model_is_not_calibrated(model: Path) -> None:
    """Damaged weights would get a valid calibration, and would be served."""
    data = (model / "model.bin").read_bytes()
    (model / "model.bin").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match="damaged"):
        recalibrate(model, customer_lines(50))


def fit(
    model: Path, rows: Sequence[LabelledRow], heads: Heads | None = None
) -> tuple[DomainCalibration, CalibrationSample]:
    """The calibration of the domain alerts from these rows."""
    manifest = load_manifest(model)
    heads = heads or Heads.of(model, manifest, "alerts")
    row_features = read_features(
        rows, model, manifest.encoder, heads.ngram_head, no_progress, "reading"
    )
    return calibrate_domain("alerts", rows, row_features, heads, {"made up"})


def in_splits(
    tuning: Sequence[dict[str, Any]], testing: Sequence[dict[str, Any]]
) -> list[LabelledRow]:
    """Rows in the splits that the test chooses."""
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
def test_out_of_distribution_rows_count_as_not_accepted(
    model: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """The promise would rest on rows that serving never accepts."""
    usual = customer_lines(150)
    _, sample = fit(model, in_splits(usual, [change(line) for line in customer_lines(150, 3_000)]))
    assert (sample.testing.error_probability == 1).all()
    promise = calibrate(sample, ["queue"], 0.02, 0.10)
    assert (promise.threshold, promise.coverage, promise.n) == (0.0, 0.0, 450)
    _, sample = fit(model, in_splits(usual, customer_lines(150, 3_000)))
    assert 0 < (sample.tuning.error_probability == 1).all(axis=1).mean() <= 0.03, (
        "each of the two limits refuses about a percent"
    )


@pytest.mark.parametrize(
    "lines",
    [
        [{**line, "text": "the same"} for line in customer_lines(40)],
        [{**line, "text": "", "event": {"n": 1}} for line in customer_lines(40)],
        [
            {**line, "text": "" if n % 20 else line["text"], "event": {"n": 1}}
            for n, line in enumerate(customer_lines(40))
        ],
    ],
    ids=["all alike", "no words at all", "mostly no words"],
)
def test_limits_from_unusual_rows_can_be_loaded(
    model: Path, lines: Sequence[dict[str, Any]]
) -> None:
    """A limit of zero or infinity would be written, and the model would be refused as damaged."""
    limits = recalibrate(model, lines).calibration.domains["alerts"]
    assert 0 < limits.max_distance < np.inf
    assert 0 < limits.max_excess_tokens < np.inf


def test_nothing_is_tuned_on_the_testing_split(model: Path) -> None:
    """The promise would be void: it would be tested on rows that chose temperature or limits."""
    tuning = customer_lines(60)
    first, _ = fit(model, in_splits(tuning, customer_lines(60, 3_000)))
    other, _ = fit(model, in_splits(tuning, mislabelled(customer_lines(60, 5_000))))
    for axis in first.axes:
        assert first.axes[axis].temperature == other.axes[axis].temperature
        assert first.axes[axis].ngram_share == other.axes[axis].ngram_share
    assert (first.max_distance, first.max_excess_tokens) == (
        other.max_distance,
        other.max_excess_tokens,
    )


def test_confidence_is_the_share_of_right_answers(model: Path) -> None:
    """A model that is wrong in two sevenths of the rows would still report a high confidence."""
    lines = [
        mislabelled([line])[0] if n % 7 in (0, 3) else line
        for n, line in enumerate(customer_lines(101))
    ]
    _, sample = fit(model, in_splits(lines, lines))
    queue = sample.axes.index("queue")
    in_distribution = (sample.tuning.error_probability < 1).all(axis=1)
    confidence = 1 - sample.tuning.error_probability[in_distribution, queue].mean()
    assert confidence == pytest.approx(
        sample.tuning.correct[in_distribution, queue].mean(), abs=0.05
    )
    assert 0.6 < confidence < 0.8


def test_the_better_head_gets_the_larger_share(model: Path) -> None:
    """A useless encoder head would outweigh a good n-gram head, or the other way round."""
    rows, generator = to_rows(alerts()), np.random.default_rng(0)
    trained_heads = Heads.of(model, load_manifest(model), "alerts")
    centres = trained_heads.centres
    good_ngrams = fit_ngram_head(rows, LABELS, seed=0)
    random_heads = {
        axis: Head(names, generator.normal(size=(len(names), 32)), np.zeros(len(names)))
        for axis, names in LABELS.items()
    }
    lines = in_splits(customer_lines(60), customer_lines(60, 3_000))
    calibration, _ = fit(model, lines, Heads(random_heads, good_ngrams, centres))
    assert calibration.axes["queue"].ngram_share > 0.5
    mixed_up = mislabelled(alerts())[::2] + mislabelled(mislabelled(alerts()))[1::2]
    bad_ngrams = fit_ngram_head(to_rows(mixed_up), LABELS, seed=0)
    good_heads = {axis: trained_heads._heads[axis] for axis in LABELS}
    calibration, _ = fit(model, lines, Heads(good_heads, bad_ngrams, centres))
    assert calibration.axes["queue"].ngram_share < 0.5
