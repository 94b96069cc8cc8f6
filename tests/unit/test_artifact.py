"""The model directory: whole or refused, in one sentence."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.acceptance.guarantee import calibrate
from inference.acceptance.samples import load_samples
from inference.errors import ModelError
from inference.model.artifact import (
    CALIBRATION,
    CALIBRATION_ROWS_FILE,
    CARD,
    DEFAULT_MODEL,
    FILES,
    HEADS_FILE,
    MANIFEST,
    load_artifact,
    load_manifest,
)
from inference.model.heads import Heads
from inference.training.convert.facts import FACTS
from schemas.event import DOMAINS
from tests.tiny_model import build_tiny_model


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def change(model: Path, file: str = MANIFEST, **changes: Any) -> None:
    """Overwrite fields of the manifest or the calibration."""
    document = msgspec.json.decode((model / file).read_bytes())
    (model / file).write_bytes(msgspec.json.encode(document | changes))


def replace(model: Path, name: str) -> None:
    """Another file of the model in place of one, and a manifest that agrees with it."""
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    files = msgspec.json.decode((model / MANIFEST).read_bytes())["files"]
    change(model, files=files | {name: hashlib.sha256(data).hexdigest()})


def refusal(model: Path) -> str:
    """The one sentence that loading ends in."""
    with pytest.raises(ModelError) as caught:
        load_artifact(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_whole_model_loads_with_heads_and_calibration(model: Path) -> None:
    """The default model could not be served."""
    artifact = load_artifact(model)
    assert set(load_samples(artifact)) == set(artifact.manifest.domains)
    assert Heads.load(artifact, "alerts").labels["queue"]
    needed = [file for file in model.iterdir() if file.name not in (CARD, FACTS)]
    assert artifact.size_bytes == sum(file.stat().st_size for file in needed)


EVERY_FILE = (*FILES, CALIBRATION_ROWS_FILE)


@pytest.mark.parametrize("name", [*EVERY_FILE, MANIFEST, CALIBRATION])
def test_every_missing_file_is_noticed(model: Path, name: str) -> None:
    """A worker would start on half a model."""
    (model / name).unlink()
    assert name in refusal(model)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_every_flipped_bit_is_noticed(model: Path, name: str) -> None:
    """A damaged download would decide events."""
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    assert "damaged" in refusal(model)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_every_truncated_file_is_noticed(model: Path, name: str) -> None:
    """A copy that broke off would decide events, or crash the C++ engine."""
    data = (model / name).read_bytes()
    (model / name).write_bytes(data[: len(data) // 2])
    assert "damaged" in refusal(model)


def test_absent_directory_says_where_it_looked(tmp_path: Path) -> None:
    """A mistyped path would end in a traceback."""
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": "2"}', b"\xff\xfe"]
)
def test_broken_manifest_is_refused(model: Path, data: bytes) -> None:
    """A damaged manifest would end in a traceback."""
    (model / MANIFEST).write_bytes(data)
    assert "damaged" in refusal(model)


@pytest.mark.parametrize("number", [1, 3])
def test_other_format_is_refused(model: Path, number: int) -> None:
    """A model of an earlier or a later version would be misread."""
    change(model, format=number)
    assert f"format {number}" in refusal(model)


def test_other_view_is_refused(model: Path) -> None:
    """Heads trained on one reading of events would be given another."""
    manifest = msgspec.json.decode((model / MANIFEST).read_bytes())
    manifest["domains"]["alerts"]["view"] = "other.7"
    change(model, domains=manifest["domains"])
    assert "other.7" in refusal(model)


def test_unlisted_file_is_refused(model: Path) -> None:
    """A manifest that lists less would leave a file unchecked."""
    manifest = msgspec.json.decode((model / MANIFEST).read_bytes())
    change(model, files={k: v for k, v in manifest["files"].items() if k != "model.bin"})
    assert "model.bin" in refusal(model)


@pytest.mark.parametrize("name", ["model.bin", "sentencepiece.model", HEADS_FILE])
def test_a_calibration_belongs_to_one_model(model: Path, name: str) -> None:
    """The promise of one model would be made for another, which nobody has tested."""
    replace(model, name)
    assert f"made for a model with another {name}; run triage calibrate" in refusal(model)


def test_a_calibration_belongs_to_its_labels(model: Path) -> None:
    """Labels in another order turn right answers into wrong ones, under the same promise."""
    domains = msgspec.json.decode((model / MANIFEST).read_bytes())["domains"]
    domains["alerts"]["axes"]["queue"]["labels"].reverse()
    change(model, domains=domains)
    assert "made for a model with another labels; run triage calibrate" in refusal(model)


def test_a_calibration_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    """A calibration copied from the model beside would be believed."""
    other = build_tiny_model(tmp_path / "other", seed=1)
    for name in (CALIBRATION, CALIBRATION_ROWS_FILE):
        shutil.copyfile(other / name, model / name)
    assert "was made for a model with another" in refusal(model)


def test_a_model_that_is_not_calibrated_can_be(model: Path) -> None:
    """The model itself is whole: `triage calibrate` must be able to read what serving refuses."""
    (model / CALIBRATION).unlink()
    assert "is not calibrated" in refusal(model)
    assert load_manifest(model).name == "tiny-0"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"format": 2}', b"\xff\xfe"],
    ids=["empty", "half", "array", "bare", "binary"],
)
def test_broken_calibration_is_refused(model: Path, data: bytes) -> None:
    """A damaged calibration would end in a traceback."""
    (model / CALIBRATION).write_bytes(data)
    assert "the calibration of the model in" in refusal(model)


@pytest.mark.parametrize(
    "change_axis",
    [{"temperature": 0.0}, {"lexical_share": 1.5}, {"temperature": None}, {"mood": 1}],
    ids=str,
)
def test_impossible_calibration_is_refused(model: Path, change_axis: dict[str, Any]) -> None:
    """A temperature of zero would divide by it at the first event."""
    domains = msgspec.json.decode((model / CALIBRATION).read_bytes())["domains"]
    domains["alerts"]["axes"]["queue"] |= change_axis
    change(model, CALIBRATION, domains=domains)
    assert "damaged" in refusal(model)


def test_digest_names_every_file_and_the_manifest(model: Path) -> None:
    """Two models that answer differently would carry the same digest."""
    before = load_artifact(model).digest
    assert before == load_artifact(model).digest
    change(model, name="renamed")
    assert load_artifact(model).digest != before


def test_calibrating_again_leaves_the_model_the_same(model: Path) -> None:
    """An audit could not tell a new promise about one model from a new model."""
    before = load_artifact(model)
    change(model, CALIBRATION, made_from={"rows": "of my own"})
    after = load_artifact(model)
    assert after.digest == before.digest
    assert after.calibration != before.calibration


def test_shipped_model_is_whole_and_promises_something() -> None:
    """The package would be delivered with a damaged model, or one that escalates everything."""
    artifact = load_artifact(DEFAULT_MODEL)
    samples = load_samples(artifact)
    for domain in DOMAINS:
        sample, testing = samples[domain], samples[domain].testing
        accepted = (
            testing.error_probability[:, sample.axes.index("queue")]
            < calibrate(sample, ["queue"], 0.02, 0.10).threshold
        )
        assert accepted[~testing.unseen].mean() > 0.8
        assert accepted[testing.unseen].mean() > 0.2
    assert "Sigma" in artifact.file(CARD).read_text()


def test_shipped_model_carries_no_rows_of_its_data() -> None:
    """Texts of the training data would be published with the package."""
    artifact = load_artifact(DEFAULT_MODEL)
    needed = {*FILES, MANIFEST, CARD, CALIBRATION, CALIBRATION_ROWS_FILE}
    assert needed <= {file.name for file in artifact.directory.iterdir()} <= needed | {FACTS}
    tensors = [
        array
        for name in (HEADS_FILE, CALIBRATION_ROWS_FILE)
        for array in artifact.tensors(name).values()
    ]
    assert all(array.dtype.kind in "fiu" for array in tensors)
    assert not any(artifact.calibration.domains[domain].tenants for domain in DOMAINS)
