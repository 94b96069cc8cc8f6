"""Finds the special tokens of a vocabulary: start, end, padding, unknown and mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import ModelError

USUAL_NAMES = {
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "mask_token": ("[MASK]", "<mask>"),
}
TOKENIZER_CONFIG = "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class Specials:
    """The special tokens of a vocabulary. No text may produce one of the `controls`."""

    begin: str
    end: str
    pad: str | None
    unknown: str
    controls: frozenset[str]


def read_specials(source: Path, tokens: Sequence[str]) -> Specials:
    """Find the special tokens, by the names in the directory or by the usual names.

    Raises:
        ModelError: the vocabulary has no token for the start, for the end or for unknown text.
    """
    names = read_object(source / "special_tokens_map.json")
    names |= read_object(source / TOKENIZER_CONFIG)
    vocabulary = set(tokens)
    roles = {role: _find(role, names.get(role), vocabulary) for role in USUAL_NAMES}
    begin, end, unknown = roles["cls_token"], roles["sep_token"], roles["unk_token"]
    if begin is None or end is None or unknown is None:
        raise ModelError(
            f"the vocabulary of {source} has neither [CLS], [SEP] and [UNK] nor <s>, </s> and "
            "<unk>; give an encoder that has them"
        )
    special_names = {name for usual in USUAL_NAMES.values() for name in usual}
    special_names |= {token for token in roles.values() if token}
    controls = frozenset((special_names & vocabulary) - {unknown})
    return Specials(begin, end, roles["pad_token"], unknown, controls)


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object. It is empty if the file is absent.

    Raises:
        ModelError: the file holds no JSON object.
    """
    if not file.is_file():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{file} cannot be read: {error}; fetch the encoder again") from None


def _find(role: str, stored_name: Any, vocabulary: set[str]) -> str | None:
    """The token of a role. A directory stores its name as a string, or as an object with it."""
    if isinstance(stored_name, dict):
        stored_name = stored_name.get("content")
    for name in (stored_name, *USUAL_NAMES[role]):
        if isinstance(name, str) and name in vocabulary:
            return name
    return None
