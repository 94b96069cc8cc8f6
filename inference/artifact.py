"""The model directory: what is in it, whether it is whole, and how it is written.

manifest.json            names, shapes, labels, temperatures, training facts, and the digest of every other file
model.bin, config.json, vocabulary.json    the CTranslate2 encoder
sentencepiece.model      the tokenizer
heads.safetensors        DOMAIN.AXIS.weight (labels, width), DOMAIN.AXIS.bias (labels), float32
calibration.safetensors  DOMAIN.HALF.confidence (rows, axes) float32, DOMAIN.HALF.correct (rows, axes) int8
MODEL_CARD.md            data, licences, figures, limits
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from inference.errors import ModelError
from inference.view import VIEW

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
ENCODER_FILES = ("model.bin", "config.json", "vocabulary.json", "sentencepiece.model")
TENSOR_FILES = ("heads.safetensors", "calibration.safetensors")
CARD = "MODEL_CARD.md"
FILES = (*ENCODER_FILES, *TENSOR_FILES, CARD)

DEFAULT_MODEL = Path(__file__).parent / "models" / "default"

Positive = Annotated[int, msgspec.Meta(gt=0)]


class EncoderSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the encoder is fed and read: `width` of a vector, tokens at most, ids around a text."""

    width: Positive
    pooling: Literal["mean", "cls"]
    max_tokens: Annotated[int, msgspec.Meta(ge=3, le=512)]
    prefix_ids: list[int]
    suffix_ids: list[int]
    pad_id: int
    vocab_size: Positive
    compute_type: str


class AxisSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An axis' labels in the order of its head's rows, and the temperature its logits are divided by.

    `shares` says how often each label is the model's answer on its calibration sample: what drift is measured from.
    """

    labels: Annotated[list[str], msgspec.Meta(min_length=2)]
    shares: list[float]
    temperature: Annotated[float, msgspec.Meta(gt=0)]


class DomainSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which view of an event the heads were trained on, and the axes they label.

    A text of more pieces per word than `max_pieces_per_word` is unlike anything they were trained on, another language
    above all, and is never accepted.
    """

    view: str
    max_pieces_per_word: Annotated[float, msgspec.Meta(gt=0)]
    axes: dict[str, AxisSpec]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`. `files` maps the name of every other file to its SHA-256."""

    format: Literal[1] = FORMAT
    name: str
    encoder: EncoderSpec
    domains: dict[str, DomainSpec]
    files: dict[str, str]
    training: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model directory whose every file has the digest its manifest names."""

    directory: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        """SHA-256 over the sorted names and digests of the files, the manifest among them."""
        files = self.manifest.files | {MANIFEST: _sha256(self.directory / MANIFEST)}
        return hashlib.sha256("".join(f"{name}:{sha}\n" for name, sha in sorted(files.items())).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Everything the directory's manifest lists, and the manifest."""
        return sum((self.directory / name).stat().st_size for name in (*self.manifest.files, MANIFEST))

    def file(self, name: str) -> Path:
        """The path of one of its files."""
        return self.directory / name

    def tensors(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """The arrays of one of its safetensors files.

        Raises:
            ModelError: the file cannot be read as safetensors.
        """
        try:
            return load_file(self.directory / name)
        except (OSError, SafetensorError, ValueError):
            raise ModelError(f"{self.directory / name} holds no tensors; {REMEDY}") from None


REMEDY = "reinstall the package or point [model] path at a whole model directory"


def load_artifact(path: Path) -> Artifact:
    """Read and verify a model directory.

    Raises:
        ModelError: it is missing, incomplete, damaged, or of a format this version does not read.
    """
    manifest = _read_manifest(path)
    for name in sorted(manifest.files):
        _verify(path / name, manifest.files[name])
    return Artifact(path, manifest)


def write_manifest(
    directory: Path,
    *,
    name: str,
    encoder: EncoderSpec,
    domains: dict[str, DomainSpec],
    training: dict[str, Any],
) -> Artifact:
    """Seal a directory that already holds every file of `FILES`."""
    manifest = Manifest(
        name=name, encoder=encoder, domains=domains, files=_digests(directory, FILES), training=training
    )
    (directory / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    return Artifact(directory, manifest)


class _Format(msgspec.Struct):
    """The one field every format must have, read before the others are looked at."""

    format: int


def _read_manifest(path: Path) -> Manifest:
    try:
        data = (path / MANIFEST).read_bytes()
    except OSError:
        raise ModelError(f"there is no model in {path}: it has no {MANIFEST}; {REMEDY}") from None
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found != FORMAT:
            raise ModelError(f"the model in {path} has format {found}, this version reads {FORMAT}; train it again")
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise ModelError(f"the manifest of the model in {path} is damaged ({error}); {REMEDY}") from None
    if unread := sorted({one.view for one in manifest.domains.values()} - {VIEW}):
        raise ModelError(f"the model in {path} was trained on {unread[0]}, this version reads {VIEW}; train it again")
    if missing := [name for name in FILES if name not in manifest.files]:
        raise ModelError(f"the manifest of the model in {path} does not list {', '.join(missing)}; {REMEDY}")
    return manifest


def _verify(file: Path, expected: str) -> None:
    try:
        actual = _sha256(file)
    except OSError:
        raise ModelError(f"the model file {file} is missing; {REMEDY}") from None
    if actual != expected:
        raise ModelError(f"the model file {file} is damaged: its digest is not the manifest's; {REMEDY}")


def _digests(directory: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: _sha256(directory / name) for name in names}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
