"""What converting has changed: tokens against the source's own tokenizer, vectors and logits against float32."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inference.arrays import Vectors
from inference.errors import ModelError
from inference.model.encoder import Encoder, Pooling
from inference.model.heads import unit
from inference.model.tokenizer import Tokenizer, replace_control_characters
from inference.training.convert.facts import EncoderFacts
from inference.training.convert.vocabulary import TAKEN

MAX_TOKENS = 256
"""Of a text; what is beyond is as what is before."""

MAX_TEXTS_IN_TORCH = 64

Heads = Mapping[str, tuple[Vectors, Vectors]]
"""Weight (labels, width) and bias (labels) by name."""


class Closeness(msgspec.Struct, frozen=True, kw_only=True):
    """Pooled vectors beside those of a reference: cosines, and the largest difference of any component."""

    mean_cosine: float
    min_cosine: float
    max_difference: float


class HeadCloseness(msgspec.Struct, frozen=True, kw_only=True):
    """A head's logits beside those on the reference's vectors, and how often the same label wins."""

    max_logit_difference: float
    top1_agreement: float


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `token_agreement` is absent where the tokenizer is the source's own, or nothing could be compared.

    `passed_over` has the agreement of tokenizers that were there and not good enough.
    `transformers` compares our float32 with torch's, where both packages happen to be installed.
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
        ModelError: the texts have no token at all.
    """
    pieces = importlib.import_module("sentencepiece").SentencePieceProcessor(model_proto=model)
    same = total = 0
    for text in map(replace_control_characters, texts):
        ours, theirs = list(pieces.encode(text)), encode(text)
        total += max(len(ours), len(theirs))
        same += len(ours) if ours == theirs else _in_common(ours, theirs)
    if not total:
        raise ModelError("there is no text to compare tokenizers on; give some with --texts")
    return same / total


def open_pair(
    directory: Path, facts: EncoderFacts, compute_type: str, pooling: Pooling
) -> tuple[Tokenizer, Encoder]:
    """A converted directory's tokenizer and encoder."""
    tokenizer = Tokenizer(
        directory / TAKEN,
        max_tokens=min(MAX_TOKENS, facts.max_positions),
        vocab_size=facts.vocab_size,
        prefix_ids=facts.prefix_ids,
        suffix_ids=facts.suffix_ids,
    )
    encoder = Encoder(
        directory, width=facts.width, vocab_size=facts.vocab_size, pad_id=facts.pad_id, pooling=pooling,
        compute_type=compute_type,
    )  # fmt: skip
    return tokenizer, encoder


def compare_vectors(ours: Vectors, reference: Vectors) -> Closeness:
    """Row by row; both of shape (rows, width)."""
    cosines = np.array([float(unit(a) @ unit(b)) for a, b in zip(ours, reference, strict=True)])
    return Closeness(
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        max_difference=float(np.abs(ours - reference).max()),
    )


def compare_heads(
    heads: Heads, ours: Vectors, reference: Vectors, domains: Sequence[str | None]
) -> dict[str, HeadCloseness]:
    """Each head, named ``DOMAIN.AXIS``, on both, for the texts of its domain and of none said.

    Heads of another width, which read more than the vector, are left out.
    """
    found = {}
    for name, (weight, bias) in heads.items():
        rows = [row for row, domain in enumerate(domains) if domain in {None, name.split(".")[0]}]
        if rows and weight.shape[1] == ours.shape[1]:
            a, b = (
                np.array([unit(vectors[row]) for row in rows]) @ weight.T + bias
                for vectors in (ours, reference)
            )
            found[name] = HeadCloseness(
                max_logit_difference=float(np.abs(a - b).max()),
                top1_agreement=float((a.argmax(axis=1) == b.argmax(axis=1)).mean()),
            )
    return found


def compare_with_torch(
    source: Path, ids: Sequence[Sequence[int]], ours: Vectors, pooling: Pooling
) -> Closeness | None:
    """Our float32 beside the same encoder run by transformers; nothing where that is not installed or does not load."""
    try:
        torch, transformers = (importlib.import_module(name) for name in ("torch", "transformers"))
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        model = (
            transformers.AutoModel.from_pretrained(str(source), local_files_only=True)
            .float()
            .eval()
        )
    except (ImportError, OSError, ValueError, RuntimeError):
        return None
    some = ids[:MAX_TEXTS_IN_TORCH]
    return compare_vectors(
        ours[: len(some)], np.stack([_forward(torch, model, one, pooling) for one in some])
    )


def check(parity: Parity, compute_type: str, floor: float) -> None:
    """Refuse what came out below the floor.

    Raises:
        ModelError: too many tokens differ, or the vectors are too far from the reference's.
    """
    agreement, cosine = parity.token_agreement, parity.vectors.mean_cosine
    if agreement is not None and agreement < floor:
        raise ModelError(
            f"the tokenizer from {parity.tokenizer} agrees with the source's own on {agreement:.1%} of {parity.tokens} "
            f"tokens, below the floor of {floor:.1%}; give texts like your events with --texts, or a lower --floor"
        )
    if not cosine >= floor:
        raise ModelError(
            f"{compute_type} keeps a mean cosine of {cosine:.4f} to {parity.reference}, below the floor of {floor:g}; "
            "store the encoder with --compute-type float32, or give a lower --floor"
        )


def _in_common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


def _forward(torch: Any, model: Any, ids: Sequence[int], pooling: Pooling) -> Vectors:
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([list(ids)])).last_hidden_state[0]
    pooled = hidden[0] if pooling == "cls" else hidden.mean(dim=0)
    return np.asarray(pooled.numpy(), dtype=np.float32)
