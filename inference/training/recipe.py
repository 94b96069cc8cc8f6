"""The whole way from an encoder and labelled rows to a sealed, calibrated model directory."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from inference.acceptance.samples import CALIBRATION_SPLITS, CalibrationSample
from inference.labelled import LabelledRow, labels_of, read_rows
from inference.model.artifact import (
    ENCODER_FILES,
    HEADS_FILE,
    MANIFEST,
    Artifact,
    AxisSpec,
    DomainCalibration,
    DomainSpec,
    EncoderSpec,
    write_manifest,
)
from inference.model.encoder import open_tokenizer
from inference.model.heads import Head, Heads
from inference.model.input_text import INPUT_TEXT_FORMAT
from inference.model.ngrams import NgramHead
from inference.progress import Progress
from inference.training.calibration_fit import SHARES, calibrate_domain, seal_calibration
from inference.training.centre_fit import fit_centres
from inference.training.convert import convert, describe
from inference.training.convert.facts import FACTS, is_converted
from inference.training.head_fit import as_shipped, fit_heads
from inference.training.ngram_fit import fit_ngram_head, kept
from inference.training.row_features import RowFeatures, embed_rows

if TYPE_CHECKING:
    from inference.training.finetune import Tuned, Tuning

MIN_NGRAM_SHARE = SHARES[1]
"""Below, a lexical head is left out: it would cost its bytes and microseconds for nothing."""
WORK = "training"
"""The folder of a fine-tuning beside its model: what is needed to resume, and the fine-tuned encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """What a model depends on, beside its encoder and its rows.

    `tuning` fine-tunes the encoder; without it the heads are fitted on the frozen one. `axes` maps axes to the keys
    of `labels` they are read from. Rows of the sources in `leave_out` are not looked at. The files of `reference` hold
    labelled text of another genre than events (an encyclopaedia of attacks): fine-tuning reads it, the n-grams do not.
    """

    name: str
    seed: int = 0
    pooling: Literal["mean", "cls"] = "mean"
    max_tokens: int = 96
    compute_type: str = "int8"
    tuning: "Tuning | None" = None
    axes: Mapping[str, str] | None = None
    leave_out: tuple[str, ...] = ()
    reference: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainedDomain:
    """Everything one domain contributes to the directory."""

    heads: Heads
    ngram_head: NgramHead
    spec: DomainSpec
    calibration: DomainCalibration
    sample: CalibrationSample


def train(
    encoder_directory: Path,
    files: Sequence[Path],
    out: Path,
    settings: TrainingOptions,
    progress: Progress,
) -> Artifact:
    """Train a model and write its directory `out`; a fine-tuning that was interrupted goes on where it was.

    Raises:
        ModelError: the encoder cannot be used.
        DataError: the rows cannot be used.
    """
    rows = [row for row in read_rows(files, settings.axes) if row.source not in settings.leave_out]
    labels = labels_of(rows)
    reference = (
        read_rows(settings.reference, settings.axes, known=labels) if settings.reference else []
    )
    out.mkdir(parents=True, exist_ok=True)
    spec = prepare_encoder(encoder_directory, out, settings)
    tuned = None
    if settings.tuning:
        tuned = _fine_tune(
            encoder_directory, [*rows, *reference], labels, out, spec, settings, progress
        )
        convert(tuned.encoder, out, compute_type=settings.compute_type)
    (out / FACTS).unlink(missing_ok=True)  # the manifest says it all
    domains = {}
    for domain in labels:
        own = [row for row in rows if row.domain == domain]
        heads = (
            {
                axis: as_shipped(labels[domain][axis], *pair)
                for axis, pair in tuned.heads[domain].items()
            }
            if tuned
            else None
        )
        domains[domain] = train_domain(
            domain, own, labels[domain], heads, out, spec, settings, progress
        )
    _save(domains, out / HEADS_FILE)
    training = _provenance(encoder_directory, rows, reference, settings, tuned)
    write_manifest(
        out,
        name=settings.name,
        encoder=spec,
        domains={d: one.spec for d, one in domains.items()},
        training=training,
    )
    return seal_calibration(
        out, {d: (one.calibration, one.sample) for d, one in domains.items()}, rows
    )


def prepare_encoder(source: Path, out: Path, settings: TrainingOptions) -> EncoderSpec:
    """Put the int8 encoder and its tokenizer into `out`: converted from Hugging Face, or taken as they are.

    Raises:
        ModelError: `source` is no encoder of a type that can be converted, no converted one, and no model directory.
    """
    facts = describe(source)
    if (source / MANIFEST).is_file() or is_converted(source):
        for name in ENCODER_FILES:
            if (source / name).resolve() != (out / name).resolve():
                shutil.copyfile(source / name, out / name)
    else:
        convert(source, out, compute_type=settings.compute_type)
    return EncoderSpec(
        width=facts.width,
        pooling=settings.pooling,
        max_tokens=min(settings.max_tokens, facts.max_positions),
        prefix_ids=facts.prefix_ids,
        suffix_ids=facts.suffix_ids,
        pad_id=facts.pad_id,
        vocab_size=facts.vocab_size,
        compute_type=facts.compute_type or settings.compute_type,
    )


def _fine_tune(
    source: Path, rows: Sequence[LabelledRow], labels: dict[str, dict[str, tuple[str, ...]]], out: Path, spec: EncoderSpec,
    settings: TrainingOptions, progress: Progress,
) -> "Tuned":  # fmt: skip
    from inference.training.finetune import fine_tune  # noqa: PLC0415 - torch, which the quick way does without

    assert settings.tuning  # noqa: S101 - the caller looked
    return fine_tune(
        source, rows, labels, open_tokenizer(out, spec), out / WORK,
        pad_id=spec.pad_id, pooling=spec.pooling, tuning=settings.tuning, progress=progress,
    )  # fmt: skip


def train_domain(
    domain: str, rows: Sequence[LabelledRow], labels: dict[str, tuple[str, ...]], heads: Mapping[str, Head] | None, out: Path,
    spec: EncoderSpec, settings: TrainingOptions, progress: Progress,
) -> TrainedDomain:  # fmt: skip
    """The lexical heads, centres and calibration of a domain, and the heads on the frozen encoder if none are given."""
    rows = [row for row in rows if row.part != "test"]
    taught = [i for i, row in enumerate(rows) if row.part == "train"]
    held_out = [i for i, row in enumerate(rows) if row.part in CALIBRATION_SPLITS]
    progress(f"n-grams of {domain}", 0, 1)
    ngram_head = fit_ngram_head([rows[i] for i in taught], labels, seed=settings.seed)
    progress(f"n-grams of {domain}", 1, 1)
    vectors, excess_tokens = embed_rows(rows, out, spec, progress, f"reading {domain}")
    fitted = heads or fit_heads(rows, vectors, labels, progress, seed=settings.seed)
    centres = fit_centres(vectors[taught], seed=settings.seed)
    own = [rows[i] for i in held_out]
    read = RowFeatures(
        vectors[held_out], [ngram_head.read(row.event) for row in own], excess_tokens[held_out]
    )
    sources = {rows[i].source for i in taught}
    calibration, sample = calibrate_domain(
        domain, own, read, Heads(fitted, ngram_head, centres), sources
    )
    # The next share below the least is none at all: leaving such a head out changes no answer.
    useful = [
        axis for axis in ngram_head.columns if calibration.axes[axis].ngram_share >= MIN_NGRAM_SHARE
    ]
    both = Heads(fitted, kept(ngram_head, useful), centres)
    axes = {
        axis: AxisSpec(labels=list(names), ngrams=axis in useful) for axis, names in labels.items()
    }
    return TrainedDomain(
        both,
        both.ngram_head,
        DomainSpec(input_text=INPUT_TEXT_FORMAT, axes=axes),
        calibration,
        sample,
    )


def _provenance(
    encoder_directory: Path,
    rows: Sequence[LabelledRow],
    reference: Sequence[LabelledRow],
    settings: TrainingOptions,
    tuned: "Tuned | None",
) -> dict[str, Any]:
    """What a model was made of, for its manifest and its card."""
    read = [*rows, *reference]
    training: dict[str, Any] = {
        "recipe": "fine-tuned" if tuned else "quick",
        "encoder": encoder_directory.name,
        "seed": settings.seed,
        "rows": Counter(row.domain for row in rows),
        "sources": sorted({row.source for row in read}),
        "taught": sorted({row.source for row in rows if row.part == "train"}),
        "licences": sorted({row.license for row in read if row.license}),
        "view": INPUT_TEXT_FORMAT,
    }
    if tuned and settings.tuning:
        training |= {
            "tuning": asdict(settings.tuning),
            "epoch": tuned.epoch + 1,
            "log_loss": list(tuned.log_loss),
        }
    return training


def _save(domains: Mapping[str, TrainedDomain], file: Path) -> None:
    """Write the arrays in C order: safetensors writes their bytes as they lie, and not all come lying that way."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    for domain, one in domains.items():
        for axis, (weight, bias) in one.heads.arrays().items():
            tensors |= {f"{domain}.{axis}.weight": weight, f"{domain}.{axis}.bias": bias}
        ngram_head = one.ngram_head
        tensors |= {
            f"{domain}.centres": one.heads.centres.vectors,
            f"{domain}.lexical.idf": ngram_head.idf,
            f"{domain}.lexical.weights": ngram_head.weights,
            f"{domain}.lexical.scales": ngram_head.scales.astype(np.float32),
            f"{domain}.lexical.bias": ngram_head.bias.astype(np.float32),
        }
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, file)
    file.chmod(0o644)  # safetensors writes for its owner only; a service reads as somebody else
