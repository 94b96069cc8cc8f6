"""The model directory: what is in it, whether it is whole, and how it is written.

manifest.json            names, shapes, labels, training facts, and the digest of every file of the model
model.bin, config.json, vocabulary.json    the CTranslate2 encoder
sentencepiece.model      the tokenizer
heads.safetensors        DOMAIN.AXIS.weight (labels, width), DOMAIN.AXIS.bias (labels), float32; DOMAIN.centres
                         (centres, width); DOMAIN.lexical.idf, weights (buckets, columns) int8, scales, bias
MODEL_CARD.md            data, licences, figures, limits
calibration.json         temperatures, shares and limits, bound to the digests of the model it was made for
calibration.safetensors  DOMAIN.HALF.doubt (rows, axes) float32, .correct (rows, axes) int8, .tenant (rows) int32,
                         .unseen (rows) uint8: whether the row's source taught the model nothing

A model is made once; its calibration can be made again on somebody's own rows, and names the model it belongs to.
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
from inference.model.input_text import INPUT_TEXT_FORMAT
from inference.options import Positive

FORMAT: Literal[2] = 2
MANIFEST = "manifest.json"
CALIBRATION = "calibration.json"
ENCODER_FILES = ("model.bin", "config.json", "vocabulary.json", "sentencepiece.model")
HEADS_FILE = "heads.safetensors"
CALIBRATION_ROWS_FILE = "calibration.safetensors"
CARD = "MODEL_CARD.md"
FILES = (*ENCODER_FILES, HEADS_FILE)
BOUND_FILES = ("model.bin", "config.json", "sentencepiece.model", HEADS_FILE)
"""What a calibration depends on, beside the labels and how the encoder is fed: another bit makes it somebody else's."""

DEFAULT_MODEL = Path(__file__).parent.parent / "models" / "default"


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
    """An axis' labels in the order of its head's rows, and whether it has a lexical head too."""

    labels: Annotated[list[str], msgspec.Meta(min_length=2)]
    ngrams: bool = msgspec.field(name="lexical")


class DomainSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which view of an event the heads were trained on, and the axes they label."""

    input_text: str = msgspec.field(name="view")
    axes: dict[str, AxisSpec]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`. `files` maps the name of every file of the model to its SHA-256."""

    format: Literal[2] = FORMAT
    name: str
    encoder: EncoderSpec
    domains: dict[str, DomainSpec]
    files: dict[str, str]
    training: dict[str, Any]


class AxisCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an axis' logits become probabilities: mixed with `ngram_share`, then divided by `temperature`.

    `shares` says how often each label is the model's answer on the calibration rows: what drift is measured from.
    """

    ngram_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = msgspec.field(name="lexical_share")
    temperature: Annotated[float, msgspec.Meta(gt=0)]
    shares: list[float]


class DomainCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A domain's calibration, and the guards before it.

    An event of more surplus pieces (see `Tokenizer`) than `max_excess_tokens`, or farther from the training than
    `max_distance`, is unlike anything the heads were trained on, and is never accepted.
    """

    axes: dict[str, AxisCalibration]
    max_excess_tokens: Annotated[float, msgspec.Meta(gt=0)] = msgspec.field(
        name="max_surplus_pieces"
    )
    max_distance: Annotated[float, msgspec.Meta(gt=0)]
    tenants: list[str]


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`calibration.json`.

    `bound_to` has the digests of `BOUND_FILES`, of the labels and of how the encoder is fed, `rows` that of its rows.
    `made_from` says in words and numbers what it was made from, and the promises it supports.
    """

    format: Literal[2] = FORMAT
    bound_to: dict[str, str]
    rows: str
    domains: dict[str, DomainCalibration]
    made_from: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model directory whose every file has the digest its manifest names, with the calibration made for it."""

    directory: Path
    manifest: Manifest
    calibration: Calibration

    @property
    def digest(self) -> str:
        """SHA-256 over the sorted names and digests of the model's files, the manifest among them.

        The calibration is not: made again, it is the same model under another promise, which has its own digest.
        """
        files = self.manifest.files | {MANIFEST: _sha256(self.directory / MANIFEST)}
        return hashlib.sha256(
            "".join(f"{name}:{sha}\n" for name, sha in sorted(files.items())).encode()
        ).hexdigest()

    @property
    def size_bytes(self) -> int:
        """The model, its manifest and its calibration."""
        names = (*self.manifest.files, MANIFEST, CALIBRATION, CALIBRATION_ROWS_FILE)
        return sum((self.directory / name).stat().st_size for name in names)

    def file(self, name: str) -> Path:
        """The path of one of its files."""
        return self.directory / name

    def tensors(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """The arrays of one of its safetensors files.

        Raises:
            ModelError: the file cannot be read as safetensors.
        """
        return read_tensors(self.file(name))


def read_tensors(file: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a safetensors file.

    Raises:
        ModelError: the file cannot be read as safetensors.
    """
    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError):
        raise ModelError(f"{file} holds no tensors; {REMEDY}") from None


REMEDY = "reinstall the package or point [model] path at a whole model directory"


RECALIBRATE = "run triage calibrate on it"


def load_artifact(path: Path) -> Artifact:
    """Read and verify a model directory and its calibration.

    Raises:
        ModelError: it is missing, incomplete, damaged, of a format this version does not read, or its calibration
            was made for another model.
    """
    manifest = load_manifest(path)
    calibration = _read_calibration(path)
    for name, digest in _binding(manifest).items():
        if calibration.bound_to.get(name) != digest:
            raise ModelError(
                f"the calibration in {path} was made for a model with another {name}; {RECALIBRATE}"
            )
    _verify(
        path / CALIBRATION_ROWS_FILE,
        calibration.rows,
        "its digest is not the calibration's",
        RECALIBRATE,
    )
    return Artifact(path, manifest, calibration)


def load_manifest(path: Path) -> Manifest:
    """Read a model directory and verify every file its manifest lists, whether it is calibrated or not.

    Raises:
        ModelError: it is missing, incomplete, damaged, or of a format this version does not read.
    """
    manifest = _read_manifest(path)
    for name in sorted(manifest.files):
        _verify(path / name, manifest.files[name], "its digest is not the manifest's", REMEDY)
    return manifest


def write_manifest(
    directory: Path,
    *,
    name: str,
    encoder: EncoderSpec,
    domains: dict[str, DomainSpec],
    training: dict[str, Any],
) -> Manifest:
    """Seal a directory that already holds every file of `FILES`."""
    manifest = Manifest(
        name=name,
        encoder=encoder,
        domains=domains,
        files=_digests(directory, FILES),
        training=training,
    )
    _write(directory / MANIFEST, manifest)
    return manifest


def write_calibration(
    directory: Path, domains: dict[str, DomainCalibration], made_from: dict[str, Any]
) -> Artifact:
    """Bind a calibration, whose rows are in their file already, to the model in `directory`."""
    manifest = _read_manifest(directory)
    rows = _sha256(directory / CALIBRATION_ROWS_FILE)
    calibration = Calibration(
        bound_to=_binding(manifest), rows=rows, domains=domains, made_from=made_from
    )
    _write(directory / CALIBRATION, calibration)
    return Artifact(directory, manifest, calibration)


def _binding(manifest: Manifest) -> dict[str, str]:
    parts = {"labels": manifest.domains, "encoder": manifest.encoder}
    digests = {
        name: hashlib.sha256(msgspec.json.encode(part, order="sorted")).hexdigest()
        for name, part in parts.items()
    }
    return {name: manifest.files[name] for name in BOUND_FILES} | digests


def _write(file: Path, document: Manifest | Calibration) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def _read_calibration(path: Path) -> Calibration:
    try:
        return msgspec.json.decode((path / CALIBRATION).read_bytes(), type=Calibration)
    except OSError:
        raise ModelError(
            f"the model in {path} is not calibrated: it has no {CALIBRATION}; {RECALIBRATE}"
        ) from None
    except msgspec.DecodeError as error:
        raise ModelError(
            f"the calibration of the model in {path} is damaged ({error}); {RECALIBRATE}"
        ) from None


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
            raise ModelError(
                f"the model in {path} has format {found}, this version reads {FORMAT}; train it again"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise ModelError(
            f"the manifest of the model in {path} is damaged ({error}); {REMEDY}"
        ) from None
    if unread := sorted(
        {one.input_text for one in manifest.domains.values()} - {INPUT_TEXT_FORMAT}
    ):
        raise ModelError(
            f"the model in {path} was trained on {unread[0]}, this version reads {INPUT_TEXT_FORMAT}; train it again"
        )
    if missing := [name for name in FILES if name not in manifest.files]:
        raise ModelError(
            f"the manifest of the model in {path} does not list {', '.join(missing)}; {REMEDY}"
        )
    return manifest


def _verify(file: Path, expected: str, damage: str, remedy: str) -> None:
    try:
        actual = _sha256(file)
    except OSError:
        raise ModelError(f"the model file {file} is missing; {remedy}") from None
    if actual != expected:
        raise ModelError(f"the model file {file} is damaged: {damage}; {remedy}")


def _digests(directory: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: _sha256(directory / name) for name in names}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
