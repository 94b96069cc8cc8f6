"""Converts an encoder and checks it on texts. If the check fails, nothing is written."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import ModelError
from inference.model.artifact import ENCODER_FILES, HEADS_FILE, MANIFEST, Artifact, load_artifact
from inference.model.encoder import Pooling
from inference.model.manifest import EncoderSpec
from inference.scratch import scratch_directory
from inference.training.convert.checkpoint import read_config
from inference.training.convert.conversion import check_out, convert
from inference.training.convert.facts import EncoderFacts, describe, is_converted, write_facts
from inference.training.convert.parity import (
    Heads,
    Parity,
    check,
    compare_heads,
    compare_vectors,
    compare_with_torch,
    measure_tokens,
    open_pair,
)
from inference.training.convert.source_tokenizer import SENTENCEPIECE_FILE, SourceTokenizer
from inference.training.convert.stored import restore
from inference.training.convert.vocabulary import find_tokenizers

FLOAT32 = "float32"
WEIGHT_DIMENSIONS = 2  # labels and width


@dataclass(frozen=True, slots=True)
class _CheckOptions:
    """What a conversion is checked on, and how. `domains` has one entry per text."""

    texts: Sequence[str]
    domains: Sequence[str | None]
    compute_type: str
    floor: float
    pooling: Pooling


def convert_checked(
    source: Path,
    out: Path,
    texts: Sequence[str],
    *,
    domains: Sequence[str | None] | None = None,
    compute_type: str = "int8",
    floor: float = 0.98,
    pooling: Pooling = "mean",
) -> EncoderFacts:
    """Convert `source` to `out`, and report in `parity` what that has changed on `texts`.

    Args:
        source: a Hugging Face directory or a model directory. Of a model directory, the encoder is
            converted and the logits of its heads are compared too.
        out: the directory for the result.
        texts: the texts to check on.
        domains: the domain of each text, or None if it is not known. A head is compared only on
            texts of its domain and on texts without a known domain.
        compute_type: how the weights are stored, ``int8`` or ``float32``.
        floor: the lowest accepted share of equal tokens and the lowest accepted mean cosine.
        pooling: how token vectors become one vector. A model directory has its own pooling.

    Raises:
        ModelError: the encoder cannot be converted, or it is below `floor`. `out` is then
            unchanged.
    """
    check_out(source, out)
    if not any(text.strip() for text in texts):
        raise ModelError("there is no text to check the encoder on; give some with --texts")
    options = _CheckOptions(texts, domains or [None] * len(texts), compute_type, floor, pooling)
    with scratch_directory() as work:
        facts, parity = _convert_any(source, work, options)
        check(parity, compute_type, floor)
        facts = msgspec.structs.replace(facts, parity=msgspec.to_builtins(parity))
        write_facts(facts, work / "out")
        shutil.copytree(work / "out", out, dirs_exist_ok=True)
    return facts


def _convert_any(source: Path, work: Path, options: _CheckOptions) -> tuple[EncoderFacts, Parity]:
    if (source / MANIFEST).is_file():
        return _convert_model(load_artifact(source), work, options)
    if is_converted(source):
        raise ModelError(
            f"{source} is already converted; give the Hugging Face encoder that it was made from"
        )
    return _convert_encoder(source, work, options)


def _convert_encoder(
    source: Path, work: Path, options: _CheckOptions
) -> tuple[EncoderFacts, Parity]:
    """Convert a Hugging Face directory to `work`/out, and compare it with its float32 version."""
    tokenizer, agreements = _choose(
        find_tokenizers(source, read_config(source)), options.texts, options.floor
    )
    facts = convert(source, work / "out", compute_type=options.compute_type, tokenizer=tokenizer)
    convert(source, work / FLOAT32, compute_type=FLOAT32, tokenizer=tokenizer)
    sentencepiece, encoder = open_pair(work / "out", facts, options.compute_type, options.pooling)
    _, reference = open_pair(work / FLOAT32, facts, FLOAT32, options.pooling)
    ids = sentencepiece.encode(options.texts)
    reference_vectors = reference.embed(ids)
    return facts, Parity(
        texts=len(options.texts),
        tokens=sum(map(len, ids)),
        tokenizer=tokenizer.origin,
        token_agreement=agreements.pop(tokenizer.origin, None),
        passed_over=agreements,
        reference=FLOAT32,
        vectors=compare_vectors(encoder.embed(ids), reference_vectors),
        heads={},
        transformers=compare_with_torch(source, ids, reference_vectors, options.pooling),
    )


def _choose(
    candidates: Sequence[SourceTokenizer], texts: Sequence[str], floor: float
) -> tuple[SourceTokenizer, dict[str, float]]:
    """Choose a tokenizer, and return the measured agreements by origin.

    The first tokenizer wins that is the source's own or agrees with it well enough. If there is
    none, the one with the highest agreement wins.
    """
    agreements: dict[str, float] = {}
    for candidate in candidates:
        if candidate.encode is None:
            return candidate, agreements
        agreement = measure_tokens(candidate.make(), candidate.encode, texts)
        agreements[candidate.origin] = agreement
        if agreement >= floor:
            return candidate, agreements
    return max(candidates, key=lambda candidate: agreements[candidate.origin]), agreements


def _convert_model(
    model: Artifact, work: Path, options: _CheckOptions
) -> tuple[EncoderFacts, Parity]:
    """Store the encoder of a model directory again, in `work`/out, and compare it with before."""
    spec = model.manifest.encoder
    out = work / "out"
    _store_again(model, out, options.compute_type)
    facts = msgspec.structs.replace(describe(model.directory), compute_type=options.compute_type)
    sentencepiece, encoder = open_pair(out, facts, options.compute_type, spec.pooling)
    _, reference = open_pair(model.directory, facts, FLOAT32, spec.pooling)
    ids = sentencepiece.encode(options.texts)
    vectors, reference_vectors = encoder.embed(ids), reference.embed(ids)
    return facts, Parity(
        texts=len(options.texts),
        tokens=sum(map(len, ids)),
        tokenizer=SENTENCEPIECE_FILE,
        token_agreement=None,
        reference=_reference_name(spec),
        vectors=compare_vectors(vectors, reference_vectors),
        heads=compare_heads(_read_heads(model), vectors, reference_vectors, options.domains),
    )


def _store_again(model: Artifact, out: Path, compute_type: str) -> None:
    stored_type = model.manifest.encoder.compute_type
    if stored_type not in {compute_type, FLOAT32}:
        raise ModelError(
            f"{model.directory} holds {stored_type} weights; give the encoder that they were made "
            "from"
        )
    out.mkdir()
    for name in ENCODER_FILES:
        shutil.copyfile(model.file(name), out / name)
    if stored_type != compute_type:
        restored = restore(model.directory)
        restored.optimize(quantization=compute_type)
        restored.save(str(out))


def _reference_name(spec: EncoderSpec) -> str:
    """What the vectors are compared with.

    A model directory in int8 has no float32 weights, so its int8 weights are computed in float32.
    """
    if spec.compute_type == FLOAT32:
        return FLOAT32
    return f"its {spec.compute_type} weights computed in {FLOAT32}"


def _read_heads(model: Artifact) -> Heads:
    tensors: dict[str, Any] = model.tensors(HEADS_FILE)
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    return {
        name: (tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        for name in names
        if f"{name}.bias" in tensors and tensors[f"{name}.weight"].ndim == WEIGHT_DIMENSIONS
    }
