"""A tokenizer found in a Hugging Face directory, and the readers of its files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import ModelError
from inference.training.convert.specials import Specials

SENTENCEPIECE_FILE = "sentencepiece.model"
FAIRSEQ_FILE = "sentencepiece.bpe.model"
TOKENIZER_FILE = "tokenizer.json"

Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class SourceTokenizer:
    """A tokenizer of a source directory, and the SentencePiece model that replaces it.

    Attributes:
        origin: the name of the file that it was read from.
        tokens: the tokens in the order of the encoder's ids.
        specials: the special tokens.
        make: builds the SentencePiece model file, whose ids are the encoder's.
        encode: turns a text into the ids of the source's own tokenizer, for a comparison. It is
            None if the SentencePiece model is the source's own tokenizer, or if nothing installed
            can run that tokenizer.
    """

    origin: str
    tokens: Sequence[str]
    specials: Specials
    make: Callable[[], bytes]
    encode: Encode | None


def read_bytes(file: Path) -> bytes:
    """Read a tokenizer file.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{file} cannot be read: {error.strerror}; fetch the encoder again"
        ) from None


def read_token_list(file: Path) -> list[str] | None:
    """Read a JSON list of tokens. The result is None if the file is absent.

    Raises:
        ModelError: the file holds no list of tokens.
    """
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[str])
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(
            f"there is no usable vocabulary in {file}: {error}; fetch the encoder again"
        ) from None


def tokens_by_id(tokenizer: dict[str, Any]) -> list[str]:
    """The tokens of a decoded `tokenizer.json` in the order of their ids.

    An id without a token gets the name ``<extra_id_N>``.
    """
    vocabulary = tokenizer["model"]["vocab"]
    if isinstance(vocabulary, dict):
        ids = {int(id_): str(token) for token, id_ in vocabulary.items()}
    else:
        ids = {id_: str(entry[0]) for id_, entry in enumerate(vocabulary)}
    added_tokens = tokenizer.get("added_tokens") or []
    ids |= {int(token["id"]): str(token["content"]) for token in added_tokens}
    return [ids.get(id_, f"<extra_id_{id_}>") for id_ in range(max(ids) + 1)]
