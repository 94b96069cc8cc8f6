"""What a conversion has changed.

The tokens are compared with the source's own tokenizer, vectors and logits with float32.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inference.arrays import Floats, Vectors
from inference.errors import ModelError
from inference.model.encoder import Encoder, Pooling
from inference.model.heads import unit
from inference.model.tokenizer import Tokenizer, replace_control_characters
from inference.training.convert.facts import EncoderFacts
from inference.training.convert.source_tokenizer import SENTENCEPIECE_FILE

MAX_TOKENS = 256
"""The number of tokens that are read of each text. Further tokens would show nothing new."""

MAX_TEXTS_IN_TORCH = 64

Heads = Mapping[str, tuple[Vectors, Vectors]]
"""The weight, of shape (labels, width), and the bias, of shape (labels,), of each head by name."""


class Closeness(msgspec.Struct, frozen=True, kw_only=True):
    """How close pooled vectors are to those of a reference.

    `max_difference` is the largest absolute difference of a component.
    """

    mean_cosine: float
    min_cosine: float
    max_difference: float


class HeadCloseness(msgspec.Struct, frozen=True, kw_only=True):
    """How close the logits of a head are to those that it computes from the reference's vectors.

    `top1_agreement` is the share of texts with the same best label.
    """

    max_logit_difference: float
    top1_agreement: float


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """The complete comparison.

    Attributes:
        texts: how many texts were compared.
        tokens: how many tokens they have.
        tokenizer: the file that the tokenizer was read from.
        token_agreement: the share of tokens that equal those of the source's own tokenizer. It is
            None if the tokenizer is the source's own, or if there was nothing to compare it with.
        passed_over: the agreement of each tokenizer that was not good enough, by its file.
        reference: what vectors and logits are compared with.
        vectors: the pooled vectors.
        heads: the logits of each head, by name.
        transformers: our float32 vectors compared with those of transformers on torch. It is None
            if these packages are not installed.
    """

    texts: int
    tokens: int
    tokenizer: str
    token_agreement: float | None
    passed_over: dict[str, float] = {}
    reference: str
    vectors: Closeness
    heads: dict[str, HeadCloseness]
    transformers: Closeness | None = None


def measure_tokens(model: bytes, encode: Callable[[str], list[int]], texts: Sequence[str]) -> float:
    """The share of tokens, in order, that a SentencePiece model and a reference have in common.

    Raises:
        ModelError: the texts have no tokens at all.
    """
    pieces = importlib.import_module("sentencepiece").SentencePieceProcessor(model_proto=model)
    same = total = 0
    for text in map(replace_control_characters, texts):
        ours, reference = list(pieces.encode(text)), encode(text)
        total += max(len(ours), len(reference))
        same += _count_common(ours, reference)
    if not total:
        raise ModelError("there is no text to compare tokenizers on; give some with --texts")
    return same / total


def open_pair(
    directory: Path, facts: EncoderFacts, compute_type: str, pooling: Pooling
) -> tuple[Tokenizer, Encoder]:
    """Open the tokenizer and the encoder of a converted directory.

    Raises:
        ModelError: one of them cannot be loaded.
    """
    tokenizer = Tokenizer(
        directory / SENTENCEPIECE_FILE,
        max_tokens=min(MAX_TOKENS, facts.max_positions),
        vocab_size=facts.vocab_size,
        prefix_ids=facts.prefix_ids,
        suffix_ids=facts.suffix_ids,
    )
    encoder = Encoder(
        directory,
        width=facts.width,
        vocab_size=facts.vocab_size,
        pad_id=facts.pad_id,
        pooling=pooling,
        compute_type=compute_type,
    )
    return tokenizer, encoder


def compare_vectors(ours: Vectors, reference: Vectors) -> Closeness:
    """Compare vectors row by row. Both arrays have the shape (rows, width)."""
    cosines = np.array([float(unit(a) @ unit(b)) for a, b in zip(ours, reference, strict=True)])
    return Closeness(
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        max_difference=float(np.abs(ours - reference).max()),
    )


def compare_heads(
    heads: Heads, ours: Vectors, reference: Vectors, domains: Sequence[str | None]
) -> dict[str, HeadCloseness]:
    """Compare the logits of each head, named ``DOMAIN.AXIS``, on two sets of vectors.

    A head is compared on the texts of its domain and on the texts whose domain is None. Heads of
    another width are left out, because they read more than the vector.
    """
    closeness = {}
    for name, (weight, bias) in heads.items():
        head_domain = name.split(".")[0]
        rows = [row for row, domain in enumerate(domains) if domain in {None, head_domain}]
        if rows and weight.shape[1] == ours.shape[1]:
            closeness[name] = _compare_logits(
                _normalized(ours, rows) @ weight.T + bias,
                _normalized(reference, rows) @ weight.T + bias,
            )
    return closeness


def compare_with_torch(
    source: Path, ids: Sequence[Sequence[int]], ours: Vectors, pooling: Pooling
) -> Closeness | None:
    """Compare our float32 vectors with those of the same encoder in transformers.

    The result is None if transformers is not installed or cannot load the encoder.
    """
    try:
        torch, transformers = (importlib.import_module(name) for name in ("torch", "transformers"))
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        model = transformers.AutoModel.from_pretrained(str(source), local_files_only=True)
        model = model.float().eval()
    except (ImportError, OSError, ValueError, RuntimeError):
        return None
    compared = ids[:MAX_TEXTS_IN_TORCH]
    reference = np.stack([_forward(torch, model, text_ids, pooling) for text_ids in compared])
    return compare_vectors(ours[: len(compared)], reference)


def check(parity: Parity, compute_type: str, floor: float) -> None:
    """Refuse a conversion that is below the floor.

    Raises:
        ModelError: too many tokens differ, or the vectors are too far from the reference's.
    """
    agreement, cosine = parity.token_agreement, parity.vectors.mean_cosine
    if agreement is not None and agreement < floor:
        raise ModelError(
            f"the tokenizer from {parity.tokenizer} agrees with the source's own on "
            f"{agreement:.1%} of {parity.tokens} tokens, below the floor of {floor:.1%}; give "
            "texts like your events with --texts, or a lower --floor"
        )
    if not cosine >= floor:  # also refuses a cosine that is not a number
        raise ModelError(
            f"{compute_type} has a mean cosine of {cosine:.4f} to {parity.reference}, below the "
            f"floor of {floor:g}; store the encoder with --compute-type float32, or give a lower "
            "--floor"
        )


def _count_common(ours: Sequence[int], reference: Sequence[int]) -> int:
    if ours == reference:
        return len(ours)
    blocks = SequenceMatcher(None, ours, reference, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


def _normalized(vectors: Vectors, rows: Sequence[int]) -> Floats:
    """Some rows of the vectors, scaled to length one."""
    return np.array([unit(vectors[row]) for row in rows])


def _compare_logits(ours: Floats, reference: Floats) -> HeadCloseness:
    return HeadCloseness(
        max_logit_difference=float(np.abs(ours - reference).max()),
        top1_agreement=float((ours.argmax(axis=1) == reference.argmax(axis=1)).mean()),
    )


def _forward(torch: Any, model: Any, ids: Sequence[int], pooling: Pooling) -> Vectors:
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([list(ids)])).last_hidden_state[0]
    pooled = hidden[0] if pooling == "cls" else hidden.mean(dim=0)
    return np.asarray(pooled.numpy(), dtype=np.float32)
