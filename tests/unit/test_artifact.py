"""The model directory: whole or refused, in one sentence."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.artifact import DEFAULT_MODEL, FILES, MANIFEST, TENSOR_FILES, load_artifact
from inference.calibration import calibrate
from inference.errors import ModelError
from inference.heads import Heads, load_samples
from schemas.event import DOMAINS


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def change_manifest(model: Path, **changes: Any) -> None:
    """Overwrite fields of the manifest."""
    manifest = msgspec.json.decode((model / MANIFEST).read_bytes())
    (model / MANIFEST).write_bytes(msgspec.json.encode(manifest | changes))


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
    assert Heads.load(artifact).labels("alerts")["queue"]
    assert artifact.size_bytes == sum(file.stat().st_size for file in model.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_every_missing_file_is_noticed(model: Path, name: str) -> None:
    """A worker would start on half a model."""
    (model / name).unlink()
    assert name in refusal(model)


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_noticed(model: Path, name: str) -> None:
    """A damaged download would decide events."""
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    assert "damaged" in refusal(model)


@pytest.mark.parametrize("name", FILES)
def test_every_truncated_file_is_noticed(model: Path, name: str) -> None:
    """A copy that broke off would decide events, or crash the C++ engine."""
    data = (model / name).read_bytes()
    (model / name).write_bytes(data[: len(data) // 2])
    assert "damaged" in refusal(model)


def test_absent_directory_says_where_it_looked(tmp_path: Path) -> None:
    """A mistyped path would end in a traceback."""
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": "1"}', b"\xff\xfe"])
def test_broken_manifest_is_refused(model: Path, data: bytes) -> None:
    """A damaged manifest would end in a traceback."""
    (model / MANIFEST).write_bytes(data)
    assert "damaged" in refusal(model)


def test_other_format_is_refused(model: Path) -> None:
    """A model of a later version would be misread."""
    change_manifest(model, format=2)
    assert "format 2" in refusal(model)


def test_other_view_is_refused(model: Path) -> None:
    """Heads trained on one reading of events would be given another."""
    manifest = msgspec.json.decode((model / MANIFEST).read_bytes())
    manifest["domains"]["alerts"]["view"] = "other.7"
    change_manifest(model, domains=manifest["domains"])
    assert "other.7" in refusal(model)


def test_unlisted_file_is_refused(model: Path) -> None:
    """A manifest that lists less would leave a file unchecked."""
    manifest = msgspec.json.decode((model / MANIFEST).read_bytes())
    change_manifest(model, files={k: v for k, v in manifest["files"].items() if k != "model.bin"})
    assert "model.bin" in refusal(model)


def test_digest_names_the_temperatures_too(model: Path) -> None:
    """Two models that answer differently would carry the same digest."""
    before = load_artifact(model).digest
    assert before == load_artifact(model).digest
    manifest = msgspec.json.decode((model / MANIFEST).read_bytes())
    manifest["domains"]["alerts"]["axes"]["queue"]["temperature"] = 3.0
    change_manifest(model, domains=manifest["domains"])
    assert load_artifact(model).digest != before


def test_shipped_model_is_whole_and_promises_something() -> None:
    """The package would be delivered with a damaged model, or one that escalates everything."""
    artifact = load_artifact(DEFAULT_MODEL)
    samples = load_samples(artifact)
    for domain in DOMAINS:
        assert calibrate(samples[domain], ["queue"], 0.02, 0.10).coverage > 0.8
    assert "Sigma" in artifact.file("MODEL_CARD.md").read_text()


def test_shipped_model_carries_no_rows_of_its_data() -> None:
    """Texts of the training data would be published with the package."""
    artifact = load_artifact(DEFAULT_MODEL)
    assert {file.name for file in artifact.directory.iterdir()} == {*FILES, MANIFEST}
    assert all(array.dtype.kind in "fi" for name in TENSOR_FILES for array in artifact.tensors(name).values())
