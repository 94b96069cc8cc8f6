"""Heads: what is said of an event depends on nothing but the event."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from inference.acceptance.samples import load_samples
from inference.arrays import Vectors
from inference.errors import ModelError
from inference.model.artifact import (
    CALIBRATION_ROWS_FILE,
    HEADS_FILE,
    Artifact,
    AxisCalibration,
    load_artifact,
)
from inference.model.heads import AxisLogits, Head, Heads, calibrated, mixed, unit
from inference.model.ngrams import BUCKETS, Features, NgramHead
from inference.model.out_of_distribution import Centres

WIDTH = 384


def ngram_head(columns: int, **axes: slice) -> NgramHead:
    """Random weights."""
    generator = np.random.default_rng(9)
    weights = generator.integers(-127, 128, (BUCKETS, columns), dtype=np.int8)
    return NgramHead(
        np.ones(BUCKETS, np.float32), weights, np.full(columns, 0.02), np.zeros(columns), axes
    )


@pytest.fixture
def heads() -> Heads:
    """Two axes on vectors as wide as the shipped encoder's, one of them read letter by letter too."""
    generator = np.random.default_rng(3)
    made = {
        axis: Head(
            tuple(f"{axis}-{i}" for i in range(n)),
            generator.normal(size=(n, WIDTH)),
            generator.normal(size=n),
        )
        for axis, n in (("queue", 10), ("intent", 77))
    }
    centres = Centres(
        np.stack([unit(row) for row in generator.normal(size=(5, WIDTH))]).astype(np.float32)
    )
    return Heads(made, ngram_head(10, queue=slice(0, 10)), centres)


AXES = {
    "queue": AxisCalibration(ngram_share=0.3, temperature=1.3, shares=[]),
    "intent": AxisCalibration(ngram_share=0.0, temperature=0.7, shares=[]),
}


def features(count: int) -> list[Features]:
    """What `count` different events might say letter by letter, one of them nothing."""
    generator = np.random.default_rng(5)
    made = []
    for number in range(count):
        buckets = np.unique(generator.integers(0, BUCKETS, number * 7))
        made.append(Features(buckets, generator.random(len(buckets))))
    return made


def predict(
    heads: Heads, vectors: Vectors, read: Sequence[Features] | None = None
) -> dict[str, Any]:
    """Calibrated probabilities."""
    return calibrated(heads.logits(vectors, read or features(len(vectors))), AXES)


def test_a_row_is_the_same_alone_and_in_any_batch(heads: Heads) -> None:
    """A redelivered event in another batch would get another confidence, and its two outputs would disagree."""
    vectors, read = (
        np.random.default_rng(4).normal(size=(67, WIDTH)).astype(np.float32),
        features(67),
    )
    together = predict(heads, vectors, read)
    backwards = predict(heads, vectors[::-1], read[::-1])
    distance = heads.logits(vectors, read).distance
    for row in range(len(vectors)):
        alone = predict(heads, vectors[row : row + 1], read[row : row + 1])
        assert (
            heads.logits(vectors[row : row + 1], read[row : row + 1]).distance[0] == distance[row]
        )
        for axis, probabilities in together.items():
            assert (
                alone[axis][0].tobytes()
                == probabilities[row].tobytes()
                == backwards[axis][-1 - row].tobytes()
            )


def test_rows_are_probabilities(heads: Heads) -> None:
    """Confidence would not be a probability."""
    for probabilities in predict(heads, np.ones((3, WIDTH), np.float32)).values():
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
        assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_extreme_vectors_stay_probabilities(heads: Heads, value: float) -> None:
    """An odd embedding would put NaN on the output topic."""
    vectors = np.full((1, WIDTH), value, np.float32)
    for probabilities in predict(heads, vectors).values():
        assert np.isfinite(probabilities).all()
    assert np.isfinite(heads.logits(vectors, features(1)).distance).all()


@pytest.mark.parametrize("columns", [0, 10], ids=["encoder only", "both"])
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_any_number_of_rows_and_columns(heads: Heads, rows: int, columns: int) -> None:
    """An empty batch, or a model without a lexical head, would crash."""
    axes = {"queue": slice(0, 10)} if columns else {}
    some = Heads(
        {axis: heads._heads[axis] for axis in heads.labels},
        ngram_head(columns, **axes),
        heads.centres,
    )
    axis_logits = some.logits(np.ones((rows, WIDTH), np.float32), features(rows))
    assert axis_logits.encoder["intent"].shape == (rows, 77)
    assert {axis: logits.shape for axis, logits in axis_logits.ngrams.items()} == dict.fromkeys(
        axes, (rows, 10)
    )
    assert axis_logits.distance.shape == (rows,)
    assert calibrated(axis_logits, AXES)["queue"].shape == (rows, 10)


def test_length_of_a_vector_does_not_matter() -> None:
    """The heads were trained on vectors of length one; another length would change every confidence."""
    vector = np.arange(1, 9, dtype=np.float32)
    assert np.allclose(unit(vector), unit(vector * 5))


def test_predictions_equal_the_formula() -> None:
    """Share, temperature or bias would be applied in the wrong place."""
    weight, bias = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0.5, 0.0])
    table = np.zeros((BUCKETS, 2), np.int8)
    table[7] = (10, -20)
    words = NgramHead(
        np.ones(BUCKETS, np.float32),
        table,
        np.full(2, 0.1),
        np.array([0.0, 0.3]),
        {"queue": slice(0, 2)},
    )
    heads = Heads(
        {"queue": Head(("a", "b"), weight, bias)}, words, Centres(np.eye(2, dtype=np.float32))
    )
    axis_logits = heads.logits(
        np.array([[3.0, 4.0]], np.float32), [Features(np.array([7]), np.array([0.5]))]
    )
    axes = {"queue": AxisCalibration(ngram_share=0.25, temperature=2.0, shares=[])}
    encoder, ngrams = (2 * 0.6 + 0.5) - 2 * 0.8, 0.5 * (10 * 0.1) - (0.5 * (-20 * 0.1) + 0.3)
    expected = 1 / (1 + np.exp(-(0.75 * encoder + 0.25 * ngrams) / 2))
    assert calibrated(axis_logits, axes)["queue"][0, 0] == pytest.approx(expected, abs=1e-6)
    assert axis_logits.distance[0] == pytest.approx(1 - 0.8, abs=1e-6)


def test_an_axis_without_a_lexical_head_is_the_encoders_alone() -> None:
    """A share that was left in a calibration would scale the logits of an axis that has nothing to mix."""
    logits = np.array([[1.0, 2.0]])
    axis_logits = AxisLogits({"intent": logits, "queue": logits}, {"queue": -logits}, np.zeros(1))
    assert np.array_equal(mixed(axis_logits, "intent", 0.9), logits)
    assert np.allclose(mixed(axis_logits, "queue", 0.5), 0)


def reseal(artifact: Artifact, name: str, out: Path, **arrays: npt.NDArray[Any] | None) -> Artifact:
    """The artifact with other arrays in one file, or without them, its digests not looked at again."""
    tensors = load_file(artifact.file(name))
    for other in (HEADS_FILE, CALIBRATION_ROWS_FILE):
        (out / other).write_bytes(artifact.file(other).read_bytes())
    changed = {key: arrays.get(key.replace(".", "_"), value) for key, value in tensors.items()}
    save_file({key: value for key, value in changed.items() if value is not None}, out / name)
    return Artifact(out, artifact.manifest, artifact.calibration)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ({"alerts_queue_weight": np.zeros((3, 32), np.float32)}, r"alerts\.queue"),
        ({"alerts_queue_bias": np.zeros(3, np.float32)}, r"alerts\.queue"),
        ({"alerts_queue_weight": None}, r"lacks 'alerts\.queue\.weight'"),
        ({"alerts_centres": np.zeros((3, 9), np.float32)}, "centres of alerts"),
        ({"alerts_centres": np.zeros(32, np.float32)}, "centres of alerts"),
        ({"alerts_centres": None}, "centres"),
        ({"alerts_lexical_idf": np.zeros(9, np.float32)}, "lexical heads of alerts"),
        ({"alerts_lexical_weights": np.zeros((BUCKETS, 9), np.int8)}, "lexical heads of alerts"),
        ({"alerts_lexical_scales": np.zeros(1, np.float32)}, "lexical heads of alerts"),
        ({"alerts_lexical_bias": np.zeros(1, np.float32)}, "lexical heads of alerts"),
        ({"alerts_lexical_idf": None}, "lacks"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_arrays_of_another_shape_are_refused(
    tiny_model: Path, tmp_path: Path, array: dict[str, npt.NDArray[Any] | None], message: str
) -> None:
    """Labels would be attached to the wrong rows of a head, or the first event would end in a traceback."""
    artifact = reseal(load_artifact(tiny_model), HEADS_FILE, tmp_path, **array)
    with pytest.raises(ModelError, match=message) as raised:
        Heads.load(artifact, "alerts")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["doubt", "correct", "tenant", "unseen"])
@pytest.mark.parametrize("damage", ["another shape", "missing"])
def test_calibration_rows_of_another_shape_are_refused(
    tiny_model: Path, tmp_path: Path, name: str, damage: str
) -> None:
    """The promise would be computed from the wrong axis, or the wrong tenant's rows."""
    array = None if damage == "missing" else np.zeros((3, 9), np.int32)
    artifact = reseal(
        load_artifact(tiny_model),
        CALIBRATION_ROWS_FILE,
        tmp_path,
        **{f"alerts_tuning_{name}": array},
    )
    with pytest.raises(ModelError, match="alerts") as raised:
        load_samples(artifact)
    assert "\n" not in str(raised.value)


def test_axis_without_a_head_is_refused(tiny_model: Path) -> None:
    """A manifest that names more axes than were trained would fail at the first event."""
    artifact = load_artifact(tiny_model)
    alerts = artifact.manifest.domains["alerts"]
    more = msgspec.structs.replace(alerts, axes=alerts.axes | {"mood": alerts.axes["tactic"]})
    manifest = msgspec.structs.replace(artifact.manifest, domains={"alerts": more})
    with pytest.raises(ModelError, match="mood"):
        Heads.load(Artifact(artifact.directory, manifest, artifact.calibration), "alerts")
