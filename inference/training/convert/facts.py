"""The facts about an encoder that its caller needs, from a directory in any supported form."""

from pathlib import Path
from typing import Annotated, Any

import msgspec

from inference.errors import ModelError
from inference.model.artifact import MANIFEST, load_manifest
from inference.model.encoder import MAX_POSITIONS
from inference.training.convert.checkpoint import BertConfig, read_config
from inference.training.convert.source_tokenizer import SourceTokenizer
from inference.training.convert.vocabulary import find_tokenizers
from schemas.codec import prepared

FACTS = "encoder.json"
"""The file beside a converted encoder. A directory that has it counts as converted."""


class EncoderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How to feed an encoder.

    Attributes:
        model_type: the type in the source's `config.json`, or ``triage`` for a model directory.
        width: the length of an embedding.
        vocab_size: how many token ids the encoder knows.
        max_positions: how many tokens the encoder can read at once.
        prefix_ids: the ids before the tokens of a text.
        suffix_ids: the ids after the tokens of a text.
        pad_id: the id that fills up a shorter text.
        compute_type: how the weights are stored; None before the conversion.
        parity: what the conversion has changed, measured on texts.
    """

    model_type: str
    width: Annotated[int, msgspec.Meta(gt=0)]
    vocab_size: Annotated[int, msgspec.Meta(gt=0)]
    max_positions: Annotated[int, msgspec.Meta(gt=0)]
    prefix_ids: list[int]
    suffix_ids: list[int]
    pad_id: int
    compute_type: str | None = None
    parity: dict[str, Any] | None = None


def describe(source: Path) -> EncoderFacts:
    """Read the facts of a Hugging Face directory, a converted encoder or a model directory.

    Raises:
        ModelError: `source` is none of these.
    """
    if (source / MANIFEST).is_file():
        return _facts_of_model(source)
    if is_converted(source):
        return _read_facts(source / FACTS)
    config = read_config(source)
    return facts_of(config, find_tokenizers(source, config)[0])


def is_converted(source: Path) -> bool:
    """Whether the directory holds an encoder that is already converted."""
    return (source / FACTS).is_file()


def facts_of(config: BertConfig, tokenizer: SourceTokenizer) -> EncoderFacts:
    """The facts of a Hugging Face encoder with one of its tokenizers."""
    tokens, specials = tokenizer.tokens, tokenizer.specials
    pad_id = config.pad_token_id if specials.pad is None else tokens.index(specials.pad)
    return EncoderFacts(
        model_type=config.model_type,
        width=config.hidden_size,
        vocab_size=config.vocab_size,
        max_positions=min(config.max_positions, MAX_POSITIONS),
        prefix_ids=[tokens.index(specials.begin)],
        suffix_ids=[tokens.index(specials.end)],
        pad_id=pad_id,
    )


def write_facts(facts: EncoderFacts, directory: Path) -> None:
    """Write `encoder.json` beside a converted encoder."""
    (directory / FACTS).write_bytes(
        msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n"
    )


def _facts_of_model(directory: Path) -> EncoderFacts:
    spec = load_manifest(directory, as_source=True).encoder
    return EncoderFacts(
        model_type="triage",
        width=spec.width,
        vocab_size=spec.vocab_size,
        max_positions=MAX_POSITIONS,
        prefix_ids=spec.prefix_ids,
        suffix_ids=spec.suffix_ids,
        pad_id=spec.pad_id,
        compute_type=spec.compute_type,
    )


def _read_facts(file: Path) -> EncoderFacts:
    try:
        return msgspec.json.decode(file.read_bytes(), type=prepared(EncoderFacts))
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{file} cannot be read: {error}; convert the encoder again") from None
