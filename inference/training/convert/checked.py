"""Converting with a check on real text, and nothing left behind where the check fails."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import ModelError
from inference.model.artifact import ENCODER_FILES, HEADS_FILE, MANIFEST, Artifact, load_artifact
from inference.model.encoder import Pooling
from inference.training.convert.checkpoint import read_config
from inference.training.convert.conversion import convert
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
from inference.training.convert.stored import restore
from inference.training.convert.vocabulary import TAKEN, SourceTokenizer, find_tokenizers

FLOAT32 = "float32"


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
    """Convert `source` to `out` and say, in the facts' `parity`, what that has changed on `texts`.

    `source` is a Hugging Face directory, or a model directory of ours, of which the encoder is taken and the heads
    are compared, each on the texts whose entry in `domains` is its own; the pooling is then the model's.

    Raises:
        ModelError: it cannot be converted, or token agreement or mean cosine is below `floor`; `out` is as before.
    """
    if out.resolve() == source.resolve():
        raise ModelError(
            f"{out} is where the encoder comes from; name another directory for the result"
        )
    if not any(text.strip() for text in texts):
        raise ModelError("there is no text to check the encoder on; give some with --texts")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        if (source / MANIFEST).is_file():
            facts, parity = _restore(
                load_artifact(source), work, texts, domains or [None] * len(texts), compute_type
            )
        elif is_converted(source):
            raise ModelError(
                f"{source} is converted already; give the Hugging Face encoder it was made from"
            )
        else:
            facts, parity = _convert(source, work, texts, compute_type, floor, pooling)
        check(parity, compute_type, floor)
        facts = msgspec.structs.replace(facts, parity=msgspec.to_builtins(parity))
        write_facts(facts, work / "out")
        shutil.copytree(work / "out", out, dirs_exist_ok=True)
    return facts


def _convert(
    source: Path,
    work: Path,
    texts: Sequence[str],
    compute_type: str,
    floor: float,
    pooling: Pooling,
) -> tuple[EncoderFacts, Parity]:
    tokenizer, agreements = _choose(find_tokenizers(source, read_config(source)), texts, floor)
    facts = convert(source, work / "out", compute_type=compute_type, tokenizer=tokenizer)
    convert(source, work / FLOAT32, compute_type=FLOAT32, tokenizer=tokenizer)
    cut, ours = open_pair(work / "out", facts, compute_type, pooling)
    _, reference = open_pair(work / FLOAT32, facts, FLOAT32, pooling)
    ids = cut.encode(texts)
    wide = reference.embed(ids)
    return facts, Parity(
        texts=len(texts),
        tokens=sum(map(len, ids)),
        tokenizer=tokenizer.origin,
        token_agreement=agreements.pop(tokenizer.origin, None),
        passed_over=agreements,
        reference=FLOAT32,
        vectors=compare_vectors(ours.embed(ids), wide),
        heads={},
        transformers=compare_with_torch(source, ids, wide, pooling),
    )


def _choose(
    candidates: Sequence[SourceTokenizer], texts: Sequence[str], floor: float
) -> tuple[SourceTokenizer, dict[str, float]]:
    """The first tokenizer that is the source's own or agrees with it well enough, else the best, and what was found."""
    agreements = dict[str, float]()
    for one in candidates:
        if one.encode is None:
            return one, agreements
        agreements[one.origin] = measure_tokens(one.make(), one.encode, texts)
        if agreements[one.origin] >= floor:
            return one, agreements
    return max(candidates, key=lambda one: agreements[one.origin]), agreements


def _restore(
    model: Artifact,
    work: Path,
    texts: Sequence[str],
    domains: Sequence[str | None],
    compute_type: str,
) -> tuple[EncoderFacts, Parity]:
    """A model directory's encoder, stored again. What is stored in int8 has only itself to be compared with."""
    spec = model.manifest.encoder
    if spec.compute_type not in {compute_type, FLOAT32}:
        raise ModelError(
            f"{model.directory} holds {spec.compute_type} weights; give the encoder they were made from"
        )
    out = work / "out"
    out.mkdir()
    for name in ENCODER_FILES:
        shutil.copyfile(model.file(name), out / name)
    if spec.compute_type != compute_type:
        restored = restore(model.directory)
        restored.optimize(quantization=compute_type)
        restored.save(str(out))
    facts = msgspec.structs.replace(describe(model.directory), compute_type=compute_type)
    cut, ours = open_pair(out, facts, compute_type, spec.pooling)
    _, reference = open_pair(model.directory, facts, FLOAT32, spec.pooling)
    ids = cut.encode(texts)
    vectors, wide = ours.embed(ids), reference.embed(ids)
    return facts, Parity(
        texts=len(texts),
        tokens=sum(map(len, ids)),
        tokenizer=TAKEN,
        token_agreement=None,
        reference=FLOAT32
        if spec.compute_type == FLOAT32
        else f"its {spec.compute_type} weights computed in {FLOAT32}",
        vectors=compare_vectors(vectors, wide),
        heads=compare_heads(_read_heads(model), vectors, wide, domains),
    )


def _read_heads(model: Artifact) -> Heads:
    tensors: dict[str, Any] = model.tensors(HEADS_FILE)
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    return {
        name: (tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        for name in names
        if f"{name}.bias" in tensors and tensors[f"{name}.weight"].ndim == 2  # noqa: PLR2004 - labels by width
    }
