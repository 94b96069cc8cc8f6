"""Heads: the probabilities of an event depend on that event alone."""

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
from inference.model.artifact import CALIBRATION_ROWS_FILE, HEADS_FILE, Artifact, load_artifact
from inference.model.heads import AxisLogits, Head, Heads, calibrated, mixed, unit
from inference.model.manifest import AxisCalibration
from inference.model.ngrams import BUCKETS, Features, NgramHead
from inference.model.out_of_distribution import Centres

WIDTH = 384


def ngram_head(columns: int, **axes: slice) -> NgramHead:
    """An n-gram head with random weights and the columns `axes`."""
    generator = np.random.default_rng(9)
    weights = generator.integers(-127, 128, (BUCKETS, columns), dtype=np.int8)
    return NgramHead(
        np.ones(BUCKETS, np.float32), weights, np.full(columns, 0.02), np.zeros(columns), axes
    )


@pytest.fixture
def heads() -> Heads:
    """Two axes on vectors as wide as the shipped encoder's; ``queue`` has n-gram columns too."""
    generator = np.random.default_rng(3)
    encoder_heads = {
        axis: Head(
            tuple(f"{axis}-{i}" for i in range(count)),
            generator.normal(size=(count, WIDTH)),
            generator.normal(size=count),
        )
        for axis, count in (("queue", 10), ("intent", 77))
    }
    centres = [unit(row) for row in generator.normal(size=(5, WIDTH))]
    return Heads(
        encoder_heads,
        ngram_head(10, queue=slice(0, 10)),
        Centres(np.stack(centres).astype(np.float32)),
    )


AXES = {
    "queue": AxisCalibration(ngram_share=0.3, temperature=1.3, shares=[]),
    "intent": AxisCalibration(ngram_share=0.0, temperature=0.7, shares=[]),
}


def features(count: int) -> list[Features]:
    """N-gram features of `count` different events; the first event has none."""
    generator = np.random.default_rng(5)
    features_of_events = []
    for number in range(count):
        buckets = np.unique(generator.integers(0, BUCKETS, number * 7))
        features_of_events.append(Features(buckets, generator.random(len(buckets))))
    return features_of_events


def predict(
    heads: Heads, vectors: Vectors, ngram_features: Sequence[Features] | None = None
) -> dict[str, Any]:
    """The calibrated probabilities of these events."""
    return calibrated(heads.logits(vectors, ngram_features or features(len(vectors))), AXES)


def test_a_row_is_the_same_alone_and_in_any_batch(heads: Heads) -> None:
    """Otherwise a redelivered event could get another confidence in another batch."""
    vectors = np.random.default_rng(4).normal(size=(67, WIDTH)).astype(np.float32)
    ngram_features = features(67)
    together = predict(heads, vectors, ngram_features)
    backwards = predict(heads, vectors[::-1], ngram_features[::-1])
    distance = heads.logits(vectors, ngram_features).distance
    for row in range(len(vectors)):
        one_row = vectors[row : row + 1], ngram_features[row : row + 1]
        alone = predict(heads, *one_row)
        assert heads.logits(*one_row).distance[0] == distance[row]
        for axis, probabilities in together.items():
            assert alone[axis][0].tobytes() == probabilities[row].tobytes()
            assert backwards[axis][-1 - row].tobytes() == probabilities[row].tobytes()


def test_the_logits_of_a_row_have_the_same_bits_alone_and_in_any_batch(heads: Heads) -> None:
    """A logit just at a limit of rounding would give another confidence in another batch."""
    vectors = np.random.default_rng(5).normal(size=(67, WIDTH)).astype(np.float32)
    ngram_features = features(67)
    for size in (2, 3, 16, 67):
        together = heads.logits(vectors[:size], ngram_features[:size])
        for row in range(size):
            alone = heads.logits(vectors[row : row + 1], ngram_features[row : row + 1])
            for axis, head in heads.heads.items():
                bits = together.encoder[axis][row].tobytes()
                assert alone.encoder[axis][0].tobytes() == bits
                one = np.einsum("lw,w->l", head.weight, unit(vectors[row])) + head.bias
                assert one.tobytes() == bits, "as the model was calibrated"


def test_rows_are_probabilities(heads: Heads) -> None:
    """Otherwise a confidence would not be a probability."""
    for probabilities in predict(heads, np.ones((3, WIDTH), np.float32)).values():
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
        assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_extreme_vectors_give_probabilities(heads: Heads, value: float) -> None:
    """Otherwise an extreme embedding would put NaN on the output topic."""
    vectors = np.full((1, WIDTH), value, np.float32)
    for probabilities in predict(heads, vectors).values():
        assert np.isfinite(probabilities).all()
    assert np.isfinite(heads.logits(vectors, features(1)).distance).all()


@pytest.mark.parametrize("columns", [0, 10], ids=["encoder only", "both"])
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_any_number_of_rows_and_columns(heads: Heads, rows: int, columns: int) -> None:
    """Otherwise an empty batch, or a model without n-gram columns, would crash."""
    axes = {"queue": slice(0, 10)} if columns else {}
    changed = Heads(
        {axis: heads._heads[axis] for axis in heads.labels},
        ngram_head(columns, **axes),
        heads.centres,
    )
    axis_logits = changed.logits(np.ones((rows, WIDTH), np.float32), features(rows))
    assert axis_logits.encoder["intent"].shape == (rows, 77)
    shapes = {axis: logits.shape for axis, logits in axis_logits.ngrams.items()}
    assert shapes == dict.fromkeys(axes, (rows, 10))
    assert axis_logits.distance.shape == (rows,)
    assert calibrated(axis_logits, AXES)["queue"].shape == (rows, 10)


def test_the_length_of_a_vector_does_not_matter() -> None:
    """The heads were trained on unit vectors; another length would change every confidence."""
    vector = np.arange(1, 9, dtype=np.float32)
    assert np.allclose(unit(vector), unit(vector * 5))


def test_predictions_equal_the_formula() -> None:
    """Otherwise share, temperature or bias could be applied in the wrong place."""
    weight, bias = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0.5, 0.0])
    table = np.zeros((BUCKETS, 2), np.int8)
    table[7] = (10, -20)
    ngram_head_of_queue = NgramHead(
        np.ones(BUCKETS, np.float32),
        table,
        np.full(2, 0.1),
        np.array([0.0, 0.3]),
        {"queue": slice(0, 2)},
    )
    heads = Heads(
        {"queue": Head(("a", "b"), weight, bias)},
        ngram_head_of_queue,
        Centres(np.eye(2, dtype=np.float32)),
    )
    axis_logits = heads.logits(
        np.array([[3.0, 4.0]], np.float32), [Features(np.array([7]), np.array([0.5]))]
    )
    axes = {"queue": AxisCalibration(ngram_share=0.25, temperature=2.0, shares=[])}
    encoder, ngrams = (2 * 0.6 + 0.5) - 2 * 0.8, 0.5 * (10 * 0.1) - (0.5 * (-20 * 0.1) + 0.3)
    expected = 1 / (1 + np.exp(-(0.75 * encoder + 0.25 * ngrams) / 2))
    assert calibrated(axis_logits, axes)["queue"][0, 0] == pytest.approx(expected, abs=1e-6)
    assert axis_logits.distance[0] == pytest.approx(1 - 0.8, abs=1e-6)


def test_an_axis_without_ngram_columns_has_the_encoders_logits() -> None:
    """Otherwise the share would scale the logits of an axis that has nothing to mix."""
    logits = np.array([[1.0, 2.0]])
    axis_logits = AxisLogits({"intent": logits, "queue": logits}, {"queue": -logits}, np.zeros(1))
    assert np.array_equal(mixed(axis_logits, "intent", 0.9), logits)
    assert np.allclose(mixed(axis_logits, "queue", 0.5), 0)


def reseal(artifact: Artifact, name: str, out: Path, **arrays: npt.NDArray[Any] | None) -> Artifact:
    """A copy of the artifact with arrays of one file changed, or left out if they are None."""
    tensors = load_file(artifact.file(name))
    for other in (HEADS_FILE, CALIBRATION_ROWS_FILE):
        (out / other).write_bytes(artifact.file(other).read_bytes())
    changed = {key: arrays.get(key.replace(".", "_"), array) for key, array in tensors.items()}
    save_file({key: array for key, array in changed.items() if array is not None}, out / name)
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
        ({"alerts_lexical_idf": np.zeros(9, np.float32)}, "n-gram head of alerts"),
        ({"alerts_lexical_weights": np.zeros((BUCKETS, 9), np.int8)}, "n-gram head of alerts"),
        ({"alerts_lexical_scales": np.zeros(1, np.float32)}, "n-gram head of alerts"),
        ({"alerts_lexical_bias": np.zeros(1, np.float32)}, "n-gram head of alerts"),
        ({"alerts_lexical_idf": None}, "lacks"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_arrays_of_another_shape_are_refused(
    tiny_model: Path, tmp_path: Path, array: dict[str, npt.NDArray[Any] | None], message: str
) -> None:
    """Otherwise labels would belong to wrong rows of a head, or the first event would fail."""
    artifact = reseal(load_artifact(tiny_model), HEADS_FILE, tmp_path, **array)
    with pytest.raises(ModelError, match=message) as raised:
        Heads.load(artifact, "alerts")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["doubt", "correct", "tenant", "unseen"])
@pytest.mark.parametrize("damage", ["another shape", "missing"])
def test_calibration_rows_of_another_shape_are_refused(
    tiny_model: Path, tmp_path: Path, name: str, damage: str
) -> None:
    """Otherwise the promise could be computed on the wrong axis or the wrong tenant's rows."""
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


def test_an_axis_without_a_head_is_refused(tiny_model: Path) -> None:
    """Otherwise a manifest with an axis that was not trained would fail at the first event."""
    artifact = load_artifact(tiny_model)
    alerts = artifact.manifest.domains["alerts"]
    more = msgspec.structs.replace(alerts, axes=alerts.axes | {"mood": alerts.axes["tactic"]})
    manifest = msgspec.structs.replace(artifact.manifest, domains={"alerts": more})
    with pytest.raises(ModelError, match="mood"):
        Heads.load(Artifact(artifact.directory, manifest, artifact.calibration), "alerts")
