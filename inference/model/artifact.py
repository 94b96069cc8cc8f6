"""The model directory: what it contains, how it is verified, and how it is written.

manifest.json
    Names, shapes, labels, facts about the training, and the digest of every file of the model.
model.bin, config.json, vocabulary.json
    The CTranslate2 encoder.
sentencepiece.model
    The tokenizer.
heads.safetensors
    For each axis: DOMAIN.AXIS.weight (labels, width) and DOMAIN.AXIS.bias (labels), float32.
    For each domain: DOMAIN.centres (centres, width), and the n-gram head in
    DOMAIN.lexical.idf (buckets), .weights (buckets, columns) int8, .scales and .bias (columns).
MODEL_CARD.md
    Data, licences, figures and limits.
calibration.json
    Temperatures, shares and limits, and the digests of the model that they were made for.
calibration.safetensors
    The calibration rows. For each domain and each split (``tuning`` and ``testing``):
    DOMAIN.SPLIT.doubt (rows, axes) float32 and .correct (rows, axes) int8, .tenant (rows) int32,
    and .unseen (rows) uint8, which is 1 if the model was not trained on the row's source.

manifest.json.minisig, calibration.json.minisig
    Optional: who made them (`inference.model.signature`). The manifest has the digests of the
    model's files and the calibration that of its rows, so together they cover the directory.

`inference.model.manifest` has the types of the two JSON files.

A model is made once. Its calibration can be made again from other rows. The calibration carries
the digests of its model.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy.typing as npt

from inference.errors import ModelError
from inference.model.files import (
    REMEDY,
    digests_of,
    is_plain_name,
    read_bounded,
    read_tensors,
    require_readable,
    sha256_of,
    verify_file,
)
from inference.model.input_text import INPUT_TEXT_FORMAT
from inference.model.manifest import (
    FORMAT,
    Calibration,
    DomainCalibration,
    DomainSpec,
    EncoderSpec,
    Manifest,
)
from inference.model.signature import PublicKey
from schemas.codec import prepared

MANIFEST = "manifest.json"
CALIBRATION = "calibration.json"
ENCODER_FILES = ("model.bin", "config.json", "vocabulary.json", "sentencepiece.model")
HEADS_FILE = "heads.safetensors"
CALIBRATION_ROWS_FILE = "calibration.safetensors"
CARD = "MODEL_CARD.md"
FILES = (*ENCODER_FILES, HEADS_FILE)
BOUND_FILES = ("model.bin", "config.json", "sentencepiece.model", HEADS_FILE)
"""The files that a calibration depends on.

It also depends on the labels and on the `EncoderSpec`. If any of these changes, the calibration
is refused, because its promise was not tested on the changed model.
"""

DEFAULT_MODEL = Path(__file__).parent.parent / "models" / "default"
RECALIBRATE = "run triage calibrate on it"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified model directory: every file has its listed digest, the calibration belongs to it.

    `load_artifact` and `write_calibration` make it. `signed_by` is the name of the key that its
    signatures were checked with; None if they were not checked.
    """

    directory: Path
    manifest: Manifest
    calibration: Calibration
    signed_by: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over the sorted names and digests of the model's files and its manifest.

        The calibration is not part of it. A model that is calibrated again is the same model with
        another promise, and the promise has a digest of its own.
        """
        files = self.manifest.files | {MANIFEST: sha256_of(self.directory / MANIFEST)}
        lines = "".join(f"{name}:{sha}\n" for name, sha in sorted(files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """The size of the model's files, its manifest and its calibration together."""
        names = (*self.manifest.files, MANIFEST, CALIBRATION, CALIBRATION_ROWS_FILE)
        return sum((self.directory / name).stat().st_size for name in names)

    def file(self, name: str) -> Path:
        """The path of a file in the directory."""
        return self.directory / name

    def tensors(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a safetensors file in the directory.

        Raises:
            ModelError: The file cannot be read as safetensors.
        """
        return read_tensors(self.file(name))


def load_artifact(path: Path, *, public_key: PublicKey | None = None) -> Artifact:
    """Read and verify a model directory and its calibration.

    With a `public_key`, both must be signed with it. Without one, signatures are not looked at.

    Raises:
        ModelError: The model or its calibration is missing, incomplete, damaged or not signed, has
            a format that this version does not read, or the calibration was made for another model.
    """
    manifest = load_manifest(path, public_key=public_key)
    calibration = _read_calibration(path, public_key)
    for name, digest in _binding(manifest).items():
        if calibration.bound_to.get(name) != digest:
            raise ModelError(
                f"the calibration in {path} was made for another model: the digest of {name} "
                f"differs; {RECALIBRATE}"
            )
    verify_file(
        path / CALIBRATION_ROWS_FILE, calibration.rows, listed_in=CALIBRATION, remedy=RECALIBRATE
    )
    return Artifact(path, manifest, calibration, public_key.name if public_key else None)


def load_manifest(
    path: Path, *, public_key: PublicKey | None = None, as_source: bool = False
) -> Manifest:
    """Read the manifest of a model directory and verify every file that it lists.

    The model need not be calibrated. With a `public_key`, the manifest must be signed with it.
    With `as_source`, the model is what another one is made from: its own input text may have
    another format than this version makes.

    Raises:
        ModelError: The model is missing, incomplete, damaged or not signed, or has a format that
            this version does not read.
    """
    manifest = _read_manifest(path, public_key, as_source=as_source)
    for name in sorted(manifest.files):
        verify_file(path / name, manifest.files[name], listed_in=MANIFEST)
    return manifest


def write_manifest(
    directory: Path,
    *,
    name: str,
    encoder: EncoderSpec,
    domains: dict[str, DomainSpec],
    training: dict[str, Any],
) -> Manifest:
    """Write the manifest of a directory that already has every file of `FILES`."""
    manifest = Manifest(
        name=name,
        encoder=encoder,
        domains=domains,
        files=digests_of(directory, FILES),
        training=training,
    )
    _write_json(directory / MANIFEST, manifest)
    return manifest


def write_calibration(
    directory: Path, domains: dict[str, DomainCalibration], made_from: dict[str, Any]
) -> Artifact:
    """Write a calibration for the model in `directory`, which already has the calibration rows."""
    manifest = _read_manifest(directory)
    calibration = Calibration(
        bound_to=_binding(manifest),
        rows=sha256_of(directory / CALIBRATION_ROWS_FILE),
        domains=domains,
        made_from=made_from,
    )
    _write_json(directory / CALIBRATION, calibration)
    return Artifact(directory, manifest, calibration)


def _binding(manifest: Manifest) -> dict[str, str]:
    """The digests of everything that a calibration depends on."""
    parts = {"labels": manifest.domains, "encoder": manifest.encoder}
    digests = {
        name: hashlib.sha256(msgspec.json.encode(part, order="sorted")).hexdigest()
        for name, part in parts.items()
    }
    return {name: manifest.files[name] for name in BOUND_FILES} | digests


def _write_json(file: Path, document: Manifest | Calibration) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def _read_calibration(path: Path, public_key: PublicKey | None) -> Calibration:
    try:
        data = read_bounded(path / CALIBRATION)
    except OSError as error:
        require_readable(error, path / CALIBRATION)
        raise ModelError(
            f"the model in {path} is not calibrated: it has no {CALIBRATION}; {RECALIBRATE}"
        ) from None
    if public_key is not None:
        public_key.check(path / CALIBRATION, data)
    try:
        return msgspec.json.decode(data, type=prepared(Calibration))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ModelError(
            f"the calibration of the model in {path} is damaged ({error}); {RECALIBRATE}"
        ) from None


class _Format(msgspec.Struct):
    """The only field that every manifest format has. It is read before all others."""

    format: int


def _read_manifest(
    path: Path, public_key: PublicKey | None = None, *, as_source: bool = False
) -> Manifest:
    try:
        data = read_bounded(path / MANIFEST)
    except OSError as error:
        require_readable(error, path / MANIFEST)
        raise ModelError(f"there is no model in {path}: it has no {MANIFEST}; {REMEDY}") from None
    if public_key is not None:
        public_key.check(path / MANIFEST, data)
    try:
        format_number = msgspec.json.decode(data, type=prepared(_Format)).format
        if format_number != FORMAT:
            raise ModelError(
                f"the model in {path} has format {format_number}, but this version reads format "
                f"{FORMAT}; train the model again"
            )
        manifest = msgspec.json.decode(data, type=prepared(Manifest))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ModelError(
            f"the manifest of the model in {path} is damaged ({error}); {REMEDY}"
        ) from None
    _check_manifest(path, manifest, as_source=as_source)
    return manifest


def _check_manifest(path: Path, manifest: Manifest, *, as_source: bool) -> None:
    """Check what the types of the fields cannot express."""
    input_texts = {domain_spec.input_text for domain_spec in manifest.domains.values()}
    unknown = sorted(input_texts - {INPUT_TEXT_FORMAT})
    if unknown and not as_source:
        raise ModelError(
            f"the model in {path} was trained on input text of the format {unknown[0]}, but this "
            f"version makes {INPUT_TEXT_FORMAT}; train the model again"
        )
    if strange := [name for name in manifest.files if not is_plain_name(name)]:
        raise ModelError(
            f"the manifest of the model in {path} lists {strange[0][:80]!r}, which is not the name "
            f"of a file in its directory; {REMEDY}"
        )
    if missing := [name for name in FILES if name not in manifest.files]:
        raise ModelError(
            f"the manifest of the model in {path} does not list {', '.join(missing)}; {REMEDY}"
        )
