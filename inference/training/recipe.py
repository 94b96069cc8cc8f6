"""The whole training: from an encoder and labelled rows to a calibrated model directory."""

import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from safetensors.numpy import save_file

from inference.errors import ModelError
from inference.labelled import LabelledRow, Labels, labels_of, read_rows, renamed_rows
from inference.labels.renames import NO_RENAMES, Renames
from inference.model.artifact import (
    ENCODER_FILES,
    HEADS_FILE,
    MANIFEST,
    Artifact,
    load_manifest,
    write_manifest,
)
from inference.model.encoder import open_tokenizer
from inference.model.files import read_tensors
from inference.model.heads import Head, Heads
from inference.model.input_text import INPUT_TEXT_FORMAT
from inference.model.manifest import EncoderSpec
from inference.model.ngrams import NgramHead
from inference.progress import Progress
from inference.training.blas_threads import threads_for
from inference.training.calibration_fit import CALIBRATING_PARTS, seal_calibration
from inference.training.convert import convert, describe
from inference.training.convert.facts import FACTS, is_converted
from inference.training.domain_fit import TrainedDomain, train_domain
from inference.training.head_fit import as_shipped
from inference.training.ngram_fit import kept
from inference.training.uncalibrated import train_uncalibrated
from schemas.event import DEFAULT_TENANT

if TYPE_CHECKING:
    from inference.training.finetune import Tuned, Tuning

TUNED = "tuned"
"""In the name of the arrays of a head as it was before it was relearned; serving reads none."""
WORK = "training"
"""The folder in the model directory that holds the state of a fine-tuning and its encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """What a model depends on, besides its encoder and its rows.

    Attributes:
        name: the name of the model.
        seed: the seed of everything random.
        pooling: how the vectors of the tokens become the vector of a text.
        max_tokens: how many tokens the encoder reads of an event.
        compute_type: how CTranslate2 stores the weights of the encoder.
        tuning: how the encoder is fine-tuned; None keeps it frozen and fits the heads only.
        keep_heads: keep the encoder's heads too, if it is that of a model directory; only n-grams,
            centres and calibration are fitted.
        relearn: the heads that are kept and learn from the rows all the same, like
            ``tickets.queue``.
        keep_ngrams: the axes like ``alerts.tactic`` whose n-grams are kept with the heads; those of
            the other axes are fitted with the same features.
        axes: the axes to train, and the keys of `labels` that they are read from.
        ignore_tenants: whether no tenant gets a threshold of its own, because those of the rows
            are invented.
        leave_out: the sources whose rows are ignored.
        reference: files with labelled text that is not events, such as an encyclopaedia of
            attacks. Only the fine-tuning reads it; the n-gram heads do not.
        renames: the names that labels of the rows have today.
        notes: sentences about the rows, for the model's card.
    """

    name: str
    seed: int = 0
    pooling: Literal["mean", "cls"] = "mean"
    max_tokens: int = 96
    compute_type: str = "int8"
    tuning: "Tuning | None" = None
    keep_heads: bool = False
    relearn: tuple[str, ...] = ()
    keep_ngrams: tuple[str, ...] = ()
    axes: Mapping[str, str] | None = None
    ignore_tenants: bool = False
    leave_out: tuple[str, ...] = ()
    reference: tuple[Path, ...] = ()
    renames: Renames = NO_RENAMES
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The rows that a model is made from.

    Attributes:
        events: the labelled events of all splits.
        labels: their labels on each axis of each domain.
        reference: the labelled text that is not events; see `TrainingOptions`.
    """

    events: list[LabelledRow]
    labels: Labels
    reference: list[LabelledRow]


def train(
    encoder_directory: Path,
    files: Sequence[Path],
    out: Path,
    options: TrainingOptions,
    progress: Progress,
) -> Artifact:
    """Read labelled rows and train a model on them; see `read_training_rows` and `train_on_rows`.

    Raises:
        ModelError: the encoder cannot be used.
        DataError: the rows cannot be used.
    """
    rows = read_training_rows(files, options)
    return train_on_rows(encoder_directory, rows, out, options, progress)


def read_training_rows(files: Sequence[Path], options: TrainingOptions) -> TrainingRows:
    """The rows of `files` and of the reference, without the sources that are left out of `files`.

    Raises:
        DataError: the rows cannot be used.
    """
    rows = renamed_rows(read_rows(files, options.axes), options.renames)
    events = [row for row in rows if row.source not in options.leave_out]
    labels = labels_of(events)
    return TrainingRows(events, labels, read_reference(options, labels))


def train_on_rows(
    encoder_directory: Path,
    training_rows: TrainingRows,
    out: Path,
    options: TrainingOptions,
    progress: Progress,
) -> Artifact:
    """Train a model and write it into the directory `out`.

    A fine-tuning that was interrupted continues after its last whole epoch.

    Raises:
        ModelError: the encoder cannot be used.
        DataError: the rows cannot be used.
    """
    rows, labels = training_rows.events, training_rows.labels
    if options.ignore_tenants:
        rows = [replace(row, event=replace(row.event, tenant=DEFAULT_TENANT)) for row in rows]
    reference = training_rows.reference
    out.mkdir(parents=True, exist_ok=True)
    spec = prepare_encoder(encoder_directory, out, options)
    tuned = _fine_tune(encoder_directory, [*rows, *reference], labels, out, spec, options, progress)
    # The manifest will hold the same facts.
    (out / FACTS).unlink(missing_ok=True)
    with threads_for(len(rows)):
        domains = {
            domain: _train_domain(
                encoder_directory,
                domain,
                [row for row in rows if row.domain == domain],
                labels_of_domain,
                tuned,
                out,
                spec,
                options,
                progress,
            )
            for domain, labels_of_domain in labels.items()
        }
    _save_tensors(domains, out / HEADS_FILE)
    write_manifest(
        out,
        name=options.name,
        encoder=spec,
        domains={domain: trained.spec for domain, trained in domains.items()},
        training=_provenance(encoder_directory, rows, reference, options, tuned),
    )
    fitted = {domain: (trained.calibration, trained.sample) for domain, trained in domains.items()}
    learning = {domain: trained.learning for domain, trained in domains.items() if trained.learning}
    return seal_calibration(out, fitted, rows, learning)


def _train_domain(
    encoder_directory: Path,
    domain: str,
    rows: Sequence[LabelledRow],
    labels: Mapping[str, tuple[str, ...]],
    tuned: "Tuned | None",
    out: Path,
    spec: EncoderSpec,
    options: TrainingOptions,
    progress: Progress,
) -> TrainedDomain:
    heads = _tuned_heads(tuned, domain, labels)
    if options.keep_heads:
        heads = _kept_heads(encoder_directory, domain, labels)
    if heads is None and not any(row.part in CALIBRATING_PARTS for row in rows):
        return train_uncalibrated(domain, rows, labels, out, spec, progress, seed=options.seed)
    return train_domain(
        domain,
        rows,
        labels,
        heads,
        out,
        spec,
        progress,
        seed=options.seed,
        relearned=[axis for axis in labels if f"{domain}.{axis}" in options.relearn],
        unchanged_ngrams=_kept_ngrams(encoder_directory, domain, options),
    )


def prepare_encoder(source: Path, out: Path, options: TrainingOptions) -> EncoderSpec:
    """Put the int8 encoder and its tokenizer into `out`.

    A Hugging Face encoder is converted. The files of a converted encoder or of a model directory
    are copied.

    Raises:
        ModelError: `source` is none of these, or its type cannot be converted.
    """
    facts = describe(source)
    if (source / MANIFEST).is_file() or is_converted(source):
        for name in ENCODER_FILES:
            if (source / name).resolve() != (out / name).resolve():
                shutil.copyfile(source / name, out / name)
    else:
        convert(source, out, compute_type=options.compute_type)
    return EncoderSpec(
        width=facts.width,
        pooling=options.pooling,
        max_tokens=min(options.max_tokens, facts.max_positions),
        prefix_ids=facts.prefix_ids,
        suffix_ids=facts.suffix_ids,
        pad_id=facts.pad_id,
        vocab_size=facts.vocab_size,
        compute_type=facts.compute_type or options.compute_type,
    )


def read_reference(
    options: TrainingOptions, known: Mapping[str, Collection[str]]
) -> list[LabelledRow]:
    """The labelled text that is not events, with the `known` axes of each domain.

    Raises:
        DataError: it cannot be used.
    """
    if not options.reference:
        return []
    return renamed_rows(read_rows(options.reference, options.axes, known=known), options.renames)


def _fine_tune(
    source: Path,
    rows: Sequence[LabelledRow],
    labels: Labels,
    out: Path,
    spec: EncoderSpec,
    options: TrainingOptions,
    progress: Progress,
) -> "Tuned | None":
    """Fine-tune the encoder and convert it into `out`, if the options ask for it."""
    if options.tuning is None:
        return None
    from inference.training.finetune import fine_tune  # noqa: PLC0415 - torch is an extra

    tuned = fine_tune(
        source,
        rows,
        labels,
        open_tokenizer(out, spec),
        out / WORK,
        pad_id=spec.pad_id,
        pooling=spec.pooling,
        tuning=options.tuning,
        progress=progress,
    )
    convert(tuned.encoder, out, compute_type=options.compute_type)
    return tuned


def _tuned_heads(
    tuned: "Tuned | None", domain: str, labels: Mapping[str, tuple[str, ...]]
) -> dict[str, Head] | None:
    if tuned is None:
        return None
    return {axis: as_shipped(labels[axis], *pair) for axis, pair in tuned.heads[domain].items()}


def _kept_heads(
    source: Path, domain: str, labels: Mapping[str, tuple[str, ...]]
) -> dict[str, Head]:
    """The encoder's heads of the model in `source`.

    Raises:
        ModelError: the model has other labels than the rows.
    """
    manifest = load_manifest(source, as_source=True)
    of_model: dict[str, Head] = {}
    if domain in manifest.domains:
        of_model = Heads.of(source, manifest, domain).heads
    tensors = read_tensors(source / HEADS_FILE)
    for axis, head in of_model.items():
        name = f"{domain}.{axis}.{TUNED}"
        if f"{name}.weight" in tensors:
            weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
            of_model[axis] = as_shipped(head.labels, weight, bias)
    if {axis: head.labels for axis, head in of_model.items()} != dict(labels):
        raise ModelError(
            f"the heads of {source} cannot be kept: the rows of {domain} have other labels; "
            "fit new heads, or give rows with its labels"
        )
    return of_model


def _kept_ngrams(source: Path, domain: str, options: TrainingOptions) -> NgramHead | None:
    """The n-gram columns of the model in `source` that stay; None if none of the domain does.

    Raises:
        ModelError: the model has no such columns.
    """
    axes = [axis for axis in options.keep_ngrams if axis.startswith(f"{domain}.")]
    if not axes or not options.keep_heads:
        return None
    manifest = load_manifest(source, as_source=True)
    ngram_head = Heads.of(source, manifest, domain).ngram_head
    names = [axis.partition(".")[2] for axis in axes]
    if unknown := [axis for axis in names if axis not in ngram_head.columns]:
        raise ModelError(
            f"the n-grams of {', '.join(unknown)} cannot be kept: {source} has none for {domain}; "
            f"keep some of {', '.join(ngram_head.columns)}"
        )
    return kept(ngram_head, [axis for axis in ngram_head.columns if axis in names])


def _provenance(
    encoder_directory: Path,
    rows: Sequence[LabelledRow],
    reference: Sequence[LabelledRow],
    options: TrainingOptions,
    tuned: "Tuned | None",
) -> dict[str, Any]:
    """What the model was made from, for its manifest and its card."""
    all_rows = [*rows, *reference]
    training: dict[str, Any] = {
        "recipe": "quick",
        "encoder": encoder_directory.name,
        "seed": options.seed,
        "rows": Counter(row.domain for row in rows),
        "sources": sorted({row.source for row in all_rows}),
        "taught": sorted({row.source for row in rows if row.part == "train"}),
        "licences": sorted({row.license for row in all_rows if row.license}),
        "view": INPUT_TEXT_FORMAT,
    }
    if options.notes:
        training["notes"] = list(options.notes)
    if tuned and options.tuning:
        training |= {
            "recipe": "fine-tuned",
            "tuning": asdict(options.tuning),
            "epoch": tuned.epoch + 1,
            "log_loss": list(tuned.log_loss),
        }
    if options.keep_heads:
        # The encoder and its heads are those of another model, and so is what they were made from.
        before = load_manifest(encoder_directory, as_source=True).training
        merged = ("sources", "taught", "licences")
        training |= {key: sorted({*before.get(key, ()), *training[key]}) for key in merged}
        training = before | training | {"recipe": before.get("recipe", "quick")}
        training["encoder"] = before.get("encoder", encoder_directory.name)
        training["relearned"] = sorted(options.relearn)
        training["kept_ngrams"] = sorted(options.keep_ngrams)
    return training


def _save_tensors(domains: Mapping[str, TrainedDomain], file: Path) -> None:
    tensors: dict[str, npt.NDArray[Any]] = {}
    for domain, trained in domains.items():
        for axis, (weight, bias) in trained.heads.arrays().items():
            tensors |= {f"{domain}.{axis}.weight": weight, f"{domain}.{axis}.bias": bias}
        for axis, head in trained.tuned.items():
            tensors |= {
                f"{domain}.{axis}.{TUNED}.weight": head.weight.astype(np.float32),
                f"{domain}.{axis}.{TUNED}.bias": head.bias.astype(np.float32),
            }
        if trained.heads.scope_centres is not None:
            tensors[f"{domain}.scope_centres"] = trained.heads.scope_centres.vectors
        ngram_head = trained.heads.ngram_head
        # On disk the n-gram head is still called lexical: see `inference.model.manifest`.
        tensors |= {
            f"{domain}.centres": trained.heads.centres.vectors,
            f"{domain}.lexical.idf": ngram_head.idf,
            f"{domain}.lexical.weights": ngram_head.weights,
            f"{domain}.lexical.scales": ngram_head.scales.astype(np.float32),
            f"{domain}.lexical.bias": ngram_head.bias.astype(np.float32),
        }
    # safetensors writes the bytes as they are in memory, and some arrays are not in C order.
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, file)
    # safetensors lets only the owner read the file, but a service may run as another user.
    file.chmod(0o644)
