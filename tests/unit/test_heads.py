"""Heads: probabilities of a row that depend on nothing but the row."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inference.artifact import MANIFEST, Artifact, load_artifact
from inference.errors import ModelError
from inference.heads import CALIBRATION_FILE, HEADS_FILE, Head, Heads, load_samples, unit


@pytest.fixture
def heads() -> Heads:
    """Two axes on vectors as wide as the shipped encoder's."""
    generator = np.random.default_rng(3)
    made = {
        axis: Head(
            tuple(f"{axis}-{i}" for i in range(n)), generator.normal(size=(n, 384)), generator.normal(size=n), 1.3
        )
        for axis, n in (("queue", 10), ("intent", 77))
    }
    return Heads({"tickets": made})


def test_a_row_is_the_same_alone_and_in_any_batch(heads: Heads) -> None:
    """A redelivered event in another batch would get another confidence, and its two outputs would disagree."""
    vectors = np.random.default_rng(4).normal(size=(67, 384)).astype(np.float32)
    together = heads.predict("tickets", vectors)
    backwards = heads.predict("tickets", vectors[::-1])
    for row in range(len(vectors)):
        alone = heads.predict("tickets", vectors[row : row + 1])
        for axis, probabilities in together.items():
            assert alone[axis][0].tobytes() == probabilities[row].tobytes() == backwards[axis][-1 - row].tobytes()


def test_rows_are_probabilities(heads: Heads) -> None:
    """Confidence would not be a probability."""
    for probabilities in heads.predict("tickets", np.ones((3, 384), np.float32)).values():
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
        assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_extreme_vectors_stay_probabilities(heads: Heads, value: float) -> None:
    """An odd embedding would put NaN on the output topic."""
    for probabilities in heads.predict("tickets", np.full((1, 384), value, np.float32)).values():
        assert np.isfinite(probabilities).all()


def test_no_rows_is_no_answer(heads: Heads) -> None:
    """An empty batch would crash."""
    assert heads.predict("tickets", np.zeros((0, 384), np.float32))["intent"].shape == (0, 77)


def test_length_of_a_vector_does_not_matter() -> None:
    """The heads were trained on vectors of length one; another length would change every confidence."""
    vector = np.arange(1, 9, dtype=np.float32)
    assert np.allclose(unit(vector), unit(vector * 5))


def test_predictions_equal_the_formula() -> None:
    """Temperature or bias would be applied in the wrong place."""
    weight, bias = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0.5, 0.0])
    heads = Heads({"alerts": {"queue": Head(("a", "b"), weight, bias, 2.0)}})
    expected = 1 / (1 + np.exp(-((2 * 0.6 + 0.5) - 2 * 0.8) / 2))
    assert heads.predict("alerts", np.array([[3.0, 4.0]], np.float32))["queue"][0, 0] == pytest.approx(
        expected, abs=1e-6
    )


def reseal(artifact: Artifact, name: str, out: Path, **arrays: np.ndarray) -> Artifact:
    """The artifact with other arrays in one file, its digests not looked at again."""
    tensors = load_file(artifact.file(name))
    for other in (HEADS_FILE, CALIBRATION_FILE, MANIFEST):
        (out / other).write_bytes(artifact.file(other).read_bytes())
    save_file({key: arrays.get(key.replace(".", "_"), value) for key, value in tensors.items()}, out / name)
    return Artifact(out, artifact.manifest)


def test_head_of_another_shape_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """Labels would be attached to the wrong rows of the head."""
    artifact = reseal(
        load_artifact(tiny_model), HEADS_FILE, tmp_path, alerts_queue_weight=np.zeros((3, 32), np.float32)
    )
    with pytest.raises(ModelError, match=r"alerts\.queue"):
        Heads.load(artifact)


def test_calibration_of_another_shape_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """The promise would be computed from the wrong axis."""
    artifact = reseal(
        load_artifact(tiny_model), CALIBRATION_FILE, tmp_path, alerts_tuning_correct=np.zeros((3, 9), np.int8)
    )
    with pytest.raises(ModelError, match="alerts"):
        load_samples(artifact)


def test_axis_without_a_head_is_refused(tiny_model: Path) -> None:
    """A manifest that names more axes than were trained would fail at the first event."""
    artifact = load_artifact(tiny_model)
    alerts = artifact.manifest.domains["alerts"]
    more = msgspec.structs.replace(alerts, axes=alerts.axes | {"mood": alerts.axes["queue"]})
    manifest = msgspec.structs.replace(artifact.manifest, domains={"alerts": more})
    with pytest.raises(ModelError, match="mood"):
        Heads.load(Artifact(artifact.directory, manifest))
