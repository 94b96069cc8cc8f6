"""Which tokens start, end, pad and stand for the unknown, and which no text may produce."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import ModelError

USUAL = {
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "mask_token": ("[MASK]", "<mask>"),
}
TOKENIZER_CONFIG = "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class Specials:
    """The names of the tokens put around and beside a text's own."""

    begin: str
    end: str
    pad: str | None
    unknown: str
    controls: frozenset[str]


def read_specials(source: Path, tokens: Sequence[str]) -> Specials:
    """The special tokens: by the names the directory gives them, else the usual ones.

    Raises:
        ModelError: the vocabulary has no token for the start, the end or the unknown.
    """
    written = read_object(source / "special_tokens_map.json") | read_object(
        source / TOKENIZER_CONFIG
    )
    known = set(tokens)
    found = {}
    for role, usual in USUAL.items():
        name = written.get(role)
        name = name.get("content") if isinstance(name, dict) else name
        found[role] = next(
            (one for one in (name, *usual) if isinstance(one, str) and one in known), None
        )
    begin, end, unknown = found["cls_token"], found["sep_token"], found["unk_token"]
    if begin is None or end is None or unknown is None:
        raise ModelError(
            f"the vocabulary of {source} lacks [CLS], [SEP] and [UNK], and <s>, </s> and <unk>; give an encoder "
            "that has either"
        )
    usual_names = {name for names in USUAL.values() for name in names} | set(
        filter(None, found.values())
    )
    return Specials(
        begin, end, found["pad_token"], unknown, frozenset((usual_names & known) - {unknown})
    )


def read_object(file: Path) -> dict[str, Any]:
    """A JSON object; empty if the file is absent.

    Raises:
        ModelError: the file is there and holds none.
    """
    if not file.is_file():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{file} cannot be read: {error}; fetch the encoder again") from None
