"""Converts a source directory to a CTranslate2 encoder, its tokenizer and its facts.

CTranslate2's own converter loads the model through transformers: several gigabytes of packages that
only rename arrays. The weights are in `model.safetensors`, so this module renames them itself.
"""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import ModelError
from inference.model.artifact import ENCODER_FILES
from inference.training.convert.architecture import build
from inference.training.convert.checkpoint import BertConfig, read_config, read_weights
from inference.training.convert.facts import (
    FACTS,
    EncoderFacts,
    describe,
    facts_of,
    is_converted,
    write_facts,
)
from inference.training.convert.source_tokenizer import SENTENCEPIECE_FILE, SourceTokenizer
from inference.training.convert.vocabulary import find_tokenizers

VOCABULARY_FILE = "vocabulary.json"


def convert(
    source: Path, out: Path, *, compute_type: str = "int8", tokenizer: SourceTokenizer | None = None
) -> EncoderFacts:
    """Write `source` to `out` as a CTranslate2 encoder, a SentencePiece tokenizer and a facts file.

    Args:
        source: a Hugging Face directory. It may also be an encoder that is already converted to
            `compute_type`; its files are then copied.
        out: the directory for the result.
        compute_type: how the weights are stored, ``int8`` or ``float32``.
        tokenizer: one of the tokenizers that `find_tokenizers` returns for `source`. The default is
            the first of them.

    Raises:
        ModelError: a file is missing or unreadable, the encoder is of a kind that cannot be
            converted, or `out` is `source`.
    """
    check_out(source, out)
    if is_converted(source):
        return _copy(source, out, compute_type)
    config = read_config(source)
    tokenizer = tokenizer or find_tokenizers(source, config)[0]
    _check_size(source, tokenizer, config)
    spec = _build_spec(source, tokenizer, config)
    spec.optimize(quantization=compute_type)
    model = tokenizer.make()
    out.mkdir(parents=True, exist_ok=True)
    spec.save(str(out))
    _shorten(out / VOCABULARY_FILE)
    (out / SENTENCEPIECE_FILE).write_bytes(model)
    facts = msgspec.structs.replace(facts_of(config, tokenizer), compute_type=compute_type)
    write_facts(facts, out)
    return facts


def _shorten(vocabulary: Path) -> None:
    """Write the vocabulary without a line and an escape for each token: a quarter of its bytes."""
    vocabulary.write_bytes(msgspec.json.encode(msgspec.json.decode(vocabulary.read_bytes())))


def check_out(source: Path, out: Path) -> None:
    """Refuse to write the result over its own source.

    Raises:
        ModelError: both are the same directory.
    """
    if out.resolve() == source.resolve():
        raise ModelError(
            f"{out} is the directory of the source encoder; name another directory for the result"
        )


def _check_size(source: Path, tokenizer: SourceTokenizer, config: BertConfig) -> None:
    if len(tokenizer.tokens) > config.vocab_size:
        raise ModelError(
            f"{source / tokenizer.origin} has {len(tokenizer.tokens)} tokens, but the encoder has "
            f"only {config.vocab_size}; give the tokenizer that belongs to this encoder"
        )


def _build_spec(source: Path, tokenizer: SourceTokenizer, config: BertConfig) -> Any:
    """The complete CTranslate2 model, with float32 weights."""
    spec = build(config, read_weights(source))
    spec.register_vocabulary(
        [*tokenizer.tokens, *_unused_names(len(tokenizer.tokens), config.vocab_size)]
    )
    spec.config.unk_token = tokenizer.specials.unknown
    spec.config.layer_norm_epsilon = config.layer_norm_eps
    spec.validate()
    return spec


def _copy(source: Path, out: Path, compute_type: str) -> EncoderFacts:
    facts = describe(source)
    if facts.compute_type != compute_type:
        raise ModelError(
            f"{source} is already converted to {facts.compute_type}; give the Hugging Face encoder "
            "that it was made from"
        )
    out.mkdir(parents=True, exist_ok=True)
    for name in (*ENCODER_FILES, FACTS):
        if not (source / name).is_file():
            raise ModelError(f"{source} has no {name}; convert the encoder again")
        shutil.copyfile(source / name, out / name)
    return facts


def _unused_names(tokens: int, rows: int) -> list[str]:
    """Names for the embedding rows without a token.

    Embedding tables are often padded to a round number of rows.
    """
    return [f"<extra_id_{id_}>" for id_ in range(tokens, rows)]
