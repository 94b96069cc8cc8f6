"""The whole way from an encoder and labelled rows to a sealed model directory."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from inference.artifact import (
    CARD,
    ENCODER_FILES,
    MANIFEST,
    Artifact,
    AxisSpec,
    DomainSpec,
    EncoderSpec,
    load_artifact,
    write_manifest,
)
from inference.calibration import Floats, Half, Promise, Sample, calibrate
from inference.encoder import Encoder, Vectors
from inference.errors import ModelError
from inference.heads import CALIBRATION_FILE, HALVES, HEADS_FILE, Heads
from inference.tokenizer import Tokenizer
from inference.training.card import write_card
from inference.training.convert import convert, read_config, read_vocabulary
from inference.training.dataset import AXES, Part, Row, read_rows
from inference.training.figures import AxisFigures, PromiseFigures, describe_axes, describe_promise, judge
from inference.training.quick import FittedAxis, Progress, embed_rows, fit_axes, tensors
from inference.view import VIEW, read
from schemas.event import DOMAINS, Domain

DECIDING = ("queue",)
ALPHA, DELTA = 0.02, 0.10
"""The promise the figures are given for; serving takes its own from configuration."""

FAMILIAR = 0.99
"""The share of training rows whose pieces per word count as familiar: a percent of the usual is the guard's price."""

Probabilities = dict[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the figures of a model depend on, beside its encoder and its rows."""

    name: str
    seed: int = 0
    pooling: Literal["mean", "cls"] = "cls"
    max_tokens: int = 128
    compute_type: str = "int8"
    notes: tuple[str, ...] = ()


class DomainFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A trained domain in numbers: by part of the data, and by source on the test rows."""

    rows: dict[str, int]
    regularisation: dict[str, float]
    axes: dict[str, dict[str, AxisFigures]]
    sources: dict[str, dict[str, AxisFigures]]
    promise: dict[str, Any]
    accepted: dict[str, PromiseFigures]


@dataclass(frozen=True, slots=True)
class TrainedDomain:
    """Everything one domain contributes to the directory."""

    spec: DomainSpec
    fitted: dict[str, FittedAxis]
    sample: Sample
    figures: DomainFigures


def train_quick(
    encoder_directory: Path, files: Sequence[Path], out: Path, settings: Settings, progress: Progress
) -> Artifact:
    """Train heads on a frozen encoder and write the model directory `out`.

    Raises:
        ModelError: the encoder cannot be used.
        DataError: the rows cannot be used.
    """
    rows = read_rows(files)
    out.mkdir(parents=True, exist_ok=True)
    spec = prepare_encoder(encoder_directory, out, settings)
    tokenizer = Tokenizer(
        out / "sentencepiece.model",
        max_tokens=spec.max_tokens,
        vocab_size=spec.vocab_size,
        prefix_ids=spec.prefix_ids,
        suffix_ids=spec.suffix_ids,
    )
    encoder = Encoder(
        out, width=spec.width, vocab_size=spec.vocab_size, pad_id=spec.pad_id, pooling=spec.pooling,
        compute_type=spec.compute_type,
    )  # fmt: skip
    domains: dict[str, TrainedDomain] = {}
    for domain in DOMAINS:
        if own := [row for row in rows if row.domain == domain]:
            vectors = embed_rows(own, tokenizer, encoder, progress, f"embedding {domain}")
            density = np.asarray(tokenizer.encode_counted([read(row.event) for row in own])[1])
            domains[domain] = train_domain(domain, own, vectors, density, settings.seed, progress)
    return _seal(out, spec, domains, settings, rows)


def prepare_encoder(source: Path, out: Path, settings: Settings) -> EncoderSpec:
    """Put the int8 encoder and its tokenizer into `out`: converted from Hugging Face, or taken from another model.

    Raises:
        ModelError: `source` is neither a Hugging Face BERT nor a whole model directory.
    """
    if (source / MANIFEST).is_file():
        return _take_encoder(load_artifact(source), out, settings)
    convert(source, out, compute_type=settings.compute_type)
    config = read_config(source)
    tokens = read_vocabulary(source)
    try:
        start, end = tokens.index("[CLS]"), tokens.index("[SEP]")
    except ValueError:
        raise ModelError(f"the vocabulary of {source} has no [CLS] and [SEP]; give a BERT encoder") from None
    return EncoderSpec(
        width=config.hidden_size,
        pooling=settings.pooling,
        max_tokens=settings.max_tokens,
        prefix_ids=[start],
        suffix_ids=[end],
        pad_id=config.pad_token_id,
        vocab_size=config.vocab_size,
        compute_type=settings.compute_type,
    )


def _take_encoder(model: Artifact, out: Path, settings: Settings) -> EncoderSpec:
    for name in ENCODER_FILES:
        if model.file(name).resolve() != (out / name).resolve():
            shutil.copyfile(model.file(name), out / name)
    return msgspec.structs.replace(model.manifest.encoder, pooling=settings.pooling, max_tokens=settings.max_tokens)


def train_domain(
    domain: Domain, rows: list[Row], vectors: Vectors, density: Floats, seed: int, progress: Progress
) -> TrainedDomain:
    """Fit the domain's heads, judge its validation halves, and measure it on them and on the test rows.

    `density` is each row's pieces per word.
    """
    max_pieces_per_word = round(float(np.quantile(density[_rows_of(rows, "train")], FAMILIAR)), 4)
    fitted = fit_axes(rows, vectors, AXES[domain], progress, seed=seed)
    heads = Heads({domain: {axis: one.head for axis, one in fitted.items()}})
    labels = heads.labels(domain)
    parts: dict[str, tuple[list[Row], Probabilities]] = {}
    for part in (*HALVES, "test"):
        chosen = _rows_of(rows, part)
        parts[part] = ([rows[i] for i in chosen], heads.predict(domain, vectors[chosen]))
    halves = {part: judge(own, probabilities, labels) for part, (own, probabilities) in parts.items()}
    for part, half in halves.items():
        # What is never accepted must not count as accepted where the promise is tested.
        half.confidence[density[_rows_of(rows, part)] > max_pieces_per_word] = 0.0
    sample = Sample(tuple(labels), *(halves[half] for half in HALVES))
    promise = calibrate(sample, DECIDING, ALPHA, DELTA)
    columns = [sample.axes.index(axis) for axis in DECIDING]
    figures = DomainFigures(
        rows={part: sum(row.part == part for row in rows) for part in ("train", *HALVES, "test")},
        regularisation={axis: one.regularisation for axis, one in fitted.items()},
        axes={part: describe_axes(own, probabilities, labels) for part, (own, probabilities) in parts.items()},
        sources=_by_source(*parts["test"], labels),
        promise=msgspec.to_builtins(promise),
        accepted={part: describe_promise(half, columns, promise) for part, half in halves.items()}
        | _accepted_by_source(parts["test"][0], halves["test"], columns, promise),
    )
    spec = _domain_spec(fitted, [parts[half][1] for half in HALVES], max_pieces_per_word)
    return TrainedDomain(spec, fitted, sample, figures)


def _rows_of(rows: Sequence[Row], part: Part | str) -> list[int]:
    return [index for index, row in enumerate(rows) if row.part == part]


def _domain_spec(
    fitted: Mapping[str, FittedAxis], calibration: Sequence[Probabilities], max_pieces_per_word: float
) -> DomainSpec:
    return DomainSpec(
        view=VIEW,
        max_pieces_per_word=max_pieces_per_word,
        axes={
            axis: AxisSpec(
                labels=list(one.head.labels),
                shares=_shares(np.concatenate([half[axis] for half in calibration])),
                temperature=one.head.temperature,
            )
            for axis, one in fitted.items()
        },
    )


def _shares(probabilities: Floats) -> list[float]:
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    return [round(float(count) / max(1, len(probabilities)), 6) for count in counts]


def _by_source(
    rows: list[Row], probabilities: Probabilities, labels: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, AxisFigures]]:
    found = {}
    for source in sorted({row.source for row in rows}):
        chosen = [index for index, row in enumerate(rows) if row.source == source]
        own = {axis: values[chosen] for axis, values in probabilities.items()}
        found[source] = describe_axes([rows[i] for i in chosen], own, labels)
    return found


def _accepted_by_source(rows: list[Row], half: Half, columns: list[int], promise: Promise) -> dict[str, PromiseFigures]:
    found = {}
    for source in sorted({row.source for row in rows}):
        chosen = [index for index, row in enumerate(rows) if row.source == source]
        found[source] = describe_promise(Half(half.confidence[chosen], half.correct[chosen]), columns, promise)
    return found


def _seal(
    out: Path, spec: EncoderSpec, domains: Mapping[str, TrainedDomain], settings: Settings, rows: Sequence[Row]
) -> Artifact:
    save_file(tensors({domain: one.fitted for domain, one in domains.items()}), out / HEADS_FILE)
    save_file(_calibration_tensors(domains), out / CALIBRATION_FILE)
    figures = {domain: one.figures for domain, one in domains.items()}
    for name in (HEADS_FILE, CALIBRATION_FILE):
        (out / name).chmod(0o644)  # safetensors writes for its owner only; a service reads as somebody else
    (out / CARD).write_text(write_card(settings.name, spec, figures, rows, settings.notes), "utf-8")
    return write_manifest(
        out,
        name=settings.name,
        encoder=spec,
        domains={domain: one.spec for domain, one in domains.items()},
        training={
            "recipe": "quick",
            "seed": settings.seed,
            "rows": len(rows),
            "sources": sorted({row.source for row in rows}),
            "view": VIEW,
            "figures": msgspec.to_builtins(figures),
        },
    )


def _calibration_tensors(domains: Mapping[str, TrainedDomain]) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    for domain, one in domains.items():
        for name in HALVES:
            half: Half = getattr(one.sample, name)
            found[f"{domain}.{name}.confidence"] = np.ascontiguousarray(half.confidence, dtype=np.float32)
            found[f"{domain}.{name}.correct"] = np.ascontiguousarray(half.correct)
    return found
