"""A model directory is either whole, or it is refused with one sentence."""

import errno
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
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
from inference.model.files import open_file
from inference.model.heads import Heads
from inference.training.convert.facts import FACTS
from schemas.event import DOMAINS
from tests.tiny_model import build_tiny_model


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def change(model: Path, file: str = MANIFEST, **changes: Any) -> None:
    """Replace fields of the manifest or of the calibration."""
    document = msgspec.json.decode((model / file).read_bytes())
    (model / file).write_bytes(msgspec.json.encode(document | changes))


def replace_file(model: Path, name: str) -> None:
    """Change a file of the model, and write the digest of the changed file into the manifest."""
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    files = msgspec.json.decode((model / MANIFEST).read_bytes())["files"]
    change(model, files=files | {name: hashlib.sha256(data).hexdigest()})


@contextmanager
def working_in(directory: Path) -> Iterator[None]:
    """Work in a directory: the path of a socket may be at most 107 bytes long."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def refusal(model: Path) -> str:
    """The message of the error that loading the model raises."""
    with pytest.raises(ModelError) as raised:
        load_artifact(model)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_whole_model_loads_with_heads_and_calibration(model: Path) -> None:
    """Otherwise a good model could not be loaded, or `triage model` would print a wrong size."""
    artifact = load_artifact(model)
    assert set(load_samples(artifact)) == set(artifact.manifest.domains)
    assert Heads.load(artifact, "alerts").labels["queue"]
    needed = [file for file in model.iterdir() if file.name not in (CARD, FACTS)]
    assert artifact.size_bytes == sum(file.stat().st_size for file in needed)


EVERY_FILE = (*FILES, CALIBRATION_ROWS_FILE)
EVERY_NAME = (*EVERY_FILE, MANIFEST, CALIBRATION)


@pytest.mark.parametrize(
    "name", ["../heads.safetensors", "/etc/hostname", "a/b", "..", ".", "", "a\nb", "\x00", ".x"]
)
def test_a_manifest_lists_only_files_of_its_directory(model: Path, name: str) -> None:
    """Otherwise a foreign model could have any file of the machine opened and compared."""
    files = msgspec.json.decode((model / MANIFEST).read_bytes())["files"]
    change(model, files=files | {name: "0" * 64})
    assert "is not the name of a file in its directory" in refusal(model)


@pytest.mark.parametrize("name", EVERY_NAME)
def test_a_link_out_of_the_directory_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    """Otherwise a foreign model could name a file that is changed after it was checked."""
    (model / name).rename(tmp_path / "outside")
    (model / name).symlink_to(tmp_path / "outside")
    assert f"{name} is a link out of its directory" in refusal(model)


def test_a_link_within_the_directory_is_followed(model: Path, tmp_path: Path) -> None:
    """Otherwise a model in a volume of Kubernetes, which is made of links, could not be served."""
    (model / "..data").mkdir()
    for name in EVERY_NAME:
        (model / name).rename(model / "..data" / name)
        (model / name).symlink_to(Path("..data") / name)
    (tmp_path / "current").symlink_to(model)
    assert load_artifact(tmp_path / "current").manifest.name == "tiny-0"


@pytest.mark.parametrize("name", EVERY_NAME)
@pytest.mark.parametrize("kind", ["pipe", "socket", "directory", "loop"])
def test_a_special_file_is_refused(model: Path, name: str, kind: str) -> None:
    """Otherwise a pipe in a model directory would keep the worker from starting, for ever."""
    file = model / name
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener, working_in(model):
            listener.bind(name)
    elif kind == "directory":
        file.mkdir()
    else:
        file.symlink_to(name)
    assert name in refusal(model)


def test_a_device_is_refused() -> None:
    """Otherwise a device in a model directory would be read without end."""
    with pytest.raises(ModelError, match="no regular file"):
        open_file(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("name", "size"), [("vocabulary.json", 64 << 20), (MANIFEST, 64 << 20), ("model.bin", 4 << 30)]
)
def test_a_file_that_is_too_large_is_refused(model: Path, name: str, size: int) -> None:
    """Otherwise a foreign model could take all memory or hours before it is refused."""
    os.truncate(model / name, size + 1)  # sparse: it takes no space
    assert f"at most {size} are read" in refusal(model)


def test_a_manifest_that_lists_too_many_files_is_refused(model: Path) -> None:
    """Otherwise a manifest could have one large file read thousands of times."""
    files = msgspec.json.decode((model / MANIFEST).read_bytes())["files"]
    change(model, files=files | {f"f{number}": "0" * 64 for number in range(64)})
    assert "damaged" in refusal(model)


@pytest.mark.parametrize(("name", "field"), [(MANIFEST, "training"), (CALIBRATION, "made_from")])
def test_a_nested_document_is_refused(model: Path, name: str, field: str) -> None:
    """Otherwise a deeply nested document would end in a traceback."""
    change(model, name, **{field: {"nested": "here"}})
    data = (model / name).read_bytes()
    nested = b"[" * 100_000 + b"]" * 100_000
    (model / name).write_bytes(data.replace(b'"here"', nested))
    assert "damaged" in refusal(model)


@pytest.mark.parametrize("name", [*EVERY_FILE, MANIFEST, CALIBRATION])
def test_a_missing_file_is_refused(model: Path, name: str) -> None:
    """Otherwise a worker would start with an incomplete model."""
    (model / name).unlink()
    assert name in refusal(model)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_flipped_bit_is_refused(model: Path, name: str) -> None:
    """Otherwise a damaged download would decide events."""
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    assert "damaged" in refusal(model)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_truncated_file_is_refused(model: Path, name: str) -> None:
    """Otherwise an incomplete copy would decide events, or crash the C++ engine."""
    data = (model / name).read_bytes()
    (model / name).write_bytes(data[: len(data) // 2])
    assert "damaged" in refusal(model)


@pytest.mark.parametrize("name", ["manifest.json", "calibration.json", "model.bin"])
def test_a_file_that_cannot_be_read_is_not_called_missing(
    model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user would reinstall a model that is there, instead of mending its permissions."""
    open_ = os.open

    def refuse(file: Any, *arguments: Any, **options: Any) -> int:
        if str(file).endswith(name):
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_(file, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)  # root may read every file
    with pytest.raises(ModelError, match=f"{name} cannot be read .*readable") as caught:
        load_artifact(model)
    assert "missing" not in str(caught.value)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """Otherwise a mistyped path would end in a traceback."""
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": "2"}', b"\xff\xfe"]
)
def test_a_damaged_manifest_is_refused(model: Path, data: bytes) -> None:
    """Otherwise a damaged manifest would end in a traceback."""
    (model / MANIFEST).write_bytes(data)
    assert "damaged" in refusal(model)


@pytest.mark.parametrize("number", [1, 3])
def test_another_format_is_refused(model: Path, number: int) -> None:
    """Otherwise a model of an earlier or later format would be read wrongly."""
    change(model, format=number)
    assert f"format {number}" in refusal(model)


def test_another_input_text_format_is_refused(model: Path) -> None:
    """Otherwise the heads would get another kind of input text than they were trained on."""
    manifest = msgspec.json.decode((model / MANIFEST).read_bytes())
    manifest["domains"]["alerts"]["view"] = "other.7"
    change(model, domains=manifest["domains"])
    assert "other.7" in refusal(model)


def test_a_file_that_is_not_listed_is_refused(model: Path) -> None:
    """Otherwise a file that the manifest does not list would not be verified."""
    manifest = msgspec.json.decode((model / MANIFEST).read_bytes())
    change(model, files={k: v for k, v in manifest["files"].items() if k != "model.bin"})
    assert "model.bin" in refusal(model)


@pytest.mark.parametrize("name", ["model.bin", "sentencepiece.model", HEADS_FILE])
def test_a_calibration_belongs_to_its_files(model: Path, name: str) -> None:
    """Otherwise the promise of one model would be given for another model, untested."""
    replace_file(model, name)
    message = f"made for another model: the digest of {name} differs; run triage calibrate"
    assert message in refusal(model)


def test_a_calibration_belongs_to_its_labels(model: Path) -> None:
    """Otherwise reordered labels would turn right answers into wrong ones, with one promise."""
    domains = msgspec.json.decode((model / MANIFEST).read_bytes())["domains"]
    domains["alerts"]["axes"]["queue"]["labels"].reverse()
    change(model, domains=domains)
    message = "made for another model: the digest of labels differs; run triage calibrate"
    assert message in refusal(model)


def test_a_calibration_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    """Otherwise a calibration that was copied from another model would be used."""
    other = build_tiny_model(tmp_path / "other", seed=1)
    for name in (CALIBRATION, CALIBRATION_ROWS_FILE):
        shutil.copyfile(other / name, model / name)
    assert "was made for another model" in refusal(model)


def test_a_model_without_calibration_can_be_read(model: Path) -> None:
    """Otherwise `triage calibrate` could not calibrate a model for the first time."""
    (model / CALIBRATION).unlink()
    assert "is not calibrated" in refusal(model)
    assert load_manifest(model).name == "tiny-0"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"format": 2}', b"\xff\xfe"],
    ids=["empty", "truncated", "array", "bare", "binary"],
)
def test_a_damaged_calibration_is_refused(model: Path, data: bytes) -> None:
    """Otherwise a damaged calibration would end in a traceback."""
    (model / CALIBRATION).write_bytes(data)
    assert "the calibration of the model in" in refusal(model)


@pytest.mark.parametrize(
    "change_axis",
    [{"temperature": 0.0}, {"lexical_share": 1.5}, {"temperature": None}, {"mood": 1}],
    ids=str,
)
def test_an_impossible_calibration_is_refused(model: Path, change_axis: dict[str, Any]) -> None:
    """Otherwise a temperature of zero would cause a division by zero at the first event."""
    domains = msgspec.json.decode((model / CALIBRATION).read_bytes())["domains"]
    domains["alerts"]["axes"]["queue"] |= change_axis
    change(model, CALIBRATION, domains=domains)
    assert "damaged" in refusal(model)


def test_the_digest_depends_on_the_manifest(model: Path) -> None:
    """Otherwise two models that answer differently could have the same digest."""
    before = load_artifact(model).digest
    assert before == load_artifact(model).digest
    change(model, name="renamed")
    assert load_artifact(model).digest != before


def test_a_new_calibration_keeps_the_digest_of_the_model(model: Path) -> None:
    """Otherwise an audit could not distinguish a new promise from a new model."""
    before = load_artifact(model)
    change(model, CALIBRATION, made_from={"rows": "of my own"})
    after = load_artifact(model)
    assert after.digest == before.digest
    assert after.calibration != before.calibration


def test_the_shipped_model_is_whole_and_accepts_events() -> None:
    """Otherwise the package could ship a damaged model, or one that escalates everything."""
    artifact = load_artifact(DEFAULT_MODEL)
    samples = load_samples(artifact)
    for domain in DOMAINS:
        sample, testing = samples[domain], samples[domain].testing
        error_probability = testing.error_probability[:, sample.axes.index("queue")]
        accepted = error_probability < calibrate(sample, ["queue"], 0.02, 0.10).threshold
        assert accepted[~testing.unseen].mean() > 0.8
        assert accepted[testing.unseen].mean() > 0.2
    assert "Sigma" in artifact.file(CARD).read_text()


def test_the_shipped_model_has_no_text_of_its_data() -> None:
    """Otherwise texts of the training data would be published with the package."""
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
