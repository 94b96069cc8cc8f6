"""From a source directory to a CTranslate2 encoder with its SentencePiece tokenizer and what feeds it.

CTranslate2's own converter loads the model through transformers, several gigabytes for what is a renaming of
arrays; the weights are in `model.safetensors`, so they are renamed here.
"""

import shutil
from pathlib import Path

import msgspec

from inference.errors import ModelError
from inference.model.artifact import ENCODER_FILES
from inference.training.convert.architecture import build
from inference.training.convert.checkpoint import read_config, read_weights
from inference.training.convert.facts import (
    FACTS,
    EncoderFacts,
    describe,
    facts_of,
    is_converted,
    write_facts,
)
from inference.training.convert.vocabulary import TAKEN, SourceTokenizer, find_tokenizers

COMPUTE_TYPES = ("int8", "float32")


def convert(
    source: Path, out: Path, *, compute_type: str = "int8", tokenizer: SourceTokenizer | None = None
) -> EncoderFacts:
    """Write `source` to `out` as a CTranslate2 encoder with its SentencePiece tokenizer, and `encoder.json`.

    `source` is a Hugging Face directory, or an encoder already converted to `compute_type`, which is copied.
    `compute_type` is the storage type: ``int8`` or ``float32``. `tokenizer` is one of those `find_tokenizers` found
    there (default: the first).

    Raises:
        ModelError: a file is missing or unreadable, or the encoder is of a kind that cannot be converted.
    """
    if out.resolve() == source.resolve():
        raise ModelError(
            f"{out} is where the encoder comes from; name another directory for the result"
        )
    if is_converted(source):
        return _copy(source, out, compute_type)
    config = read_config(source)
    tokenizer = tokenizer or find_tokenizers(source, config)[0]
    if len(tokenizer.tokens) > config.vocab_size:
        raise ModelError(
            f"{source / tokenizer.origin} has {len(tokenizer.tokens)} tokens and the encoder {config.vocab_size}; "
            "give the encoder its own tokenizer"
        )
    spec = build(config, read_weights(source))
    spec.register_vocabulary([*tokenizer.tokens, *_spare(len(tokenizer.tokens), config.vocab_size)])
    spec.config.unk_token = tokenizer.specials.unknown
    spec.config.layer_norm_epsilon = config.layer_norm_eps
    spec.validate()
    spec.optimize(quantization=compute_type)
    model = tokenizer.make()
    out.mkdir(parents=True, exist_ok=True)
    spec.save(str(out))
    (out / TAKEN).write_bytes(model)
    facts = msgspec.structs.replace(facts_of(config, tokenizer), compute_type=compute_type)
    write_facts(facts, out)
    return facts


def _copy(source: Path, out: Path, compute_type: str) -> EncoderFacts:
    facts = describe(source)
    if facts.compute_type != compute_type:
        raise ModelError(
            f"{source} is already converted to {facts.compute_type}; give the Hugging Face encoder it was made from"
        )
    out.mkdir(parents=True, exist_ok=True)
    for name in (*ENCODER_FILES, FACTS):
        if not (source / name).is_file():
            raise ModelError(f"{source} lacks {name}; convert the encoder again")
        shutil.copyfile(source / name, out / name)
    return facts


def _spare(tokens: int, rows: int) -> list[str]:
    """Names for embeddings no token uses: vocabularies are padded to a round number of rows."""
    return [f"<extra_id_{id_}>" for id_ in range(tokens, rows)]
