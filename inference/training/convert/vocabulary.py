"""The tokenizer of a Hugging Face directory, in whatever form it is there, as a SentencePiece model with its ids."""

import base64
import binascii
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import ModelError
from inference.training.convert import bytelevel, fairseq, wordpiece
from inference.training.convert.checkpoint import BertConfig, read_config
from inference.training.convert.normalization import Casing
from inference.training.convert.pieces import Algorithm, Piece, PieceKind, PieceModel, read_pieces
from inference.training.convert.specials import (
    TOKENIZER_CONFIG,
    Specials,
    read_object,
    read_specials,
)

TAKEN = "sentencepiece.model"
FAIRSEQ = "sentencepiece.bpe.model"
TOKENIZER = "tokenizer.json"

Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class SourceTokenizer:
    """A SentencePiece model with the encoder's ids, made when asked for, and where it comes from.

    `encode` gives the ids of the source's own tokenizer, to compare with; nothing where there is no other one.
    """

    origin: str
    tokens: Sequence[str]
    specials: Specials
    make: Callable[[], bytes]
    encode: Encode | None


def find_tokenizers(source: Path, config: BertConfig) -> list[SourceTokenizer]:
    """The tokenizers to be had from a directory, the preferred one first; at least one.

    A `sentencepiece.model` that has the encoder's ids comes first, then what can be made of the other files.

    Raises:
        ModelError: there is none, or none that SentencePiece can stand in for.
    """
    made = next((one for find in FINDERS if (one := find(source, config))), None)
    taken = _find_ready(source, config, made)
    if found := [one for one in (taken, made) if one]:
        return found
    raise ModelError(
        f"{source} has no tokenizer that can be used; it needs a vocab.txt, a {TOKENIZER}, a {TAKEN} or a vocab.json "
        "with its merges.txt"
    )


def read_vocabulary(source: Path) -> list[str]:
    """The tokens in id order.

    Raises:
        ModelError: the directory has no tokenizer that can be used.
    """
    return list(find_tokenizers(source, read_config(source))[0].tokens)


def _find_ready(
    source: Path, config: BertConfig, made: SourceTokenizer | None
) -> SourceTokenizer | None:
    """`sentencepiece.model`, where its ids already are the encoder's."""
    if not (source / TAKEN).is_file():
        return None
    model = _read(source / TAKEN)
    pieces = read_pieces(model)
    known = made.tokens if made else _read_list(source / "vocabulary.json")
    if known is not None and not _same_ids(pieces, known):
        return None
    tokens = known or [piece.text for piece in pieces]
    if len(pieces) > config.vocab_size:
        return None
    encode = made.encode if made else None
    return SourceTokenizer(TAKEN, tokens, read_specials(source, tokens), lambda: model, encode)


def _same_ids(pieces: Sequence[Piece], tokens: Sequence[str]) -> bool:
    return len(pieces) <= len(tokens) and all(
        piece.kind in {PieceKind.UNUSED, PieceKind.BYTE}
        or piece.text in {token, wordpiece.piece_text(token)}
        for piece, token in zip(pieces, tokens, strict=False)
    )


def _find_fairseq(source: Path, config: BertConfig) -> SourceTokenizer | None:
    """XLM-RoBERTa's and CamemBERT's SentencePiece file, counted as the encoder counts."""
    name = FAIRSEQ if (source / FAIRSEQ).is_file() else TAKEN
    if not (source / name).is_file() or any(
        (source / other).is_file() for other in ("vocab.txt", "vocabulary.json")
    ):
        return None
    model = _read(source / name)
    pieces = read_pieces(model)
    order = fairseq.order_of(config.model_type, pieces, config.vocab_size)
    if order is None and name == TAKEN:
        return None
    counted = fairseq.tokens_in_order(pieces, order) if order else pieces
    tokens = [piece.text for piece in counted]
    specials = read_specials(source, tokens)
    if order is None:
        return SourceTokenizer(name, tokens, specials, lambda: model, None)
    make = cache(partial(fairseq.reorder, model, order))
    return SourceTokenizer(name, tokens, specials, make, fairseq.reference(model, order))


def _find_wordpiece(source: Path, config: BertConfig) -> SourceTokenizer | None:  # noqa: ARG001 - a finder's signature
    file = read_object(source / TOKENIZER)
    model = file.get("model") or {}
    if (source / "vocab.txt").is_file():
        origin = "vocab.txt"
        tokens = (
            _read(source / origin)
            .decode("utf-8", "replace")
            .rstrip("\n")
            .replace("\r\n", "\n")
            .split("\n")
        )
    elif model.get("type") == "WordPiece":
        origin, tokens = TOKENIZER, _by_id(file)
    else:
        return None
    specials = read_specials(source, tokens)
    casing = _read_casing(source, file)
    make = cache(
        partial(wordpiece.to_sentencepiece, tokens, specials.unknown, specials.controls, casing)
    )
    encode = wordpiece.WordPiece(tokens, specials.unknown, casing).encode
    return SourceTokenizer(origin, tokens, specials, make, encode)


def _find_bytelevel(source: Path, config: BertConfig) -> SourceTokenizer | None:  # noqa: ARG001 - a finder's signature
    file = read_object(source / TOKENIZER)
    model = file.get("model") or {}
    if (source / "vocab.json").is_file() and (source / "merges.txt").is_file():
        origin = "vocab.json"
        tokens = _by_id({"model": {"vocab": read_object(source / origin)}})
        lines = _read(source / "merges.txt").decode("utf-8", "replace").split("\n")
        pairs = [line.rstrip("\r").split(" ") for line in lines if not line.startswith("#version")]
    elif model.get("type") == "BPE" and "ByteLevel" in str(file.get("pre_tokenizer")):
        origin, tokens = TOKENIZER, _by_id(file)
        pairs = [one.split(" ") if isinstance(one, str) else one for one in model.get("merges", [])]
    else:
        return None
    merges = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]  # noqa: PLR2004 - a pair
    specials = read_specials(source, tokens)
    settings = file.get("pre_tokenizer") or read_object(source / TOKENIZER_CONFIG)
    prefix = bool(settings.get("add_prefix_space", False))
    make = cache(
        partial(
            bytelevel.to_sentencepiece,
            tokens,
            merges,
            specials.unknown,
            specials.controls,
            prefix=prefix,
        )
    )
    encode = bytelevel.ByteLevelBPE(tokens, merges, prefix=prefix).encode
    return SourceTokenizer(origin, tokens, specials, make, encode)


def _find_unigram(source: Path, config: BertConfig) -> SourceTokenizer | None:  # noqa: ARG001 - a finder's signature
    """A SentencePiece model that was saved as `tokenizer.json` only."""
    file = read_object(source / TOKENIZER)
    model = file.get("model") or {}
    if model.get("type") != "Unigram":
        return None
    scores = [float(score) for _, score in model["vocab"]]
    tokens = _by_id(file)
    specials = read_specials(source, tokens)

    def make() -> bytes:
        pieces = [
            Piece(token, scores[id_] if id_ < len(scores) else 0.0, _kind(token, specials))
            for id_, token in enumerate(tokens)
        ]
        return PieceModel(pieces, Algorithm.UNIGRAM, _read_charsmap(source, file)).write()

    return SourceTokenizer(TOKENIZER, tokens, specials, make, _reference(source / TOKENIZER))


FINDERS = (_find_fairseq, _find_wordpiece, _find_bytelevel, _find_unigram)


def _reference(file: Path) -> Encode | None:
    """Hugging Face's own tokenizer, where its package happens to be installed."""
    try:
        tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(file))
    except ModuleNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - the package raises nothing more telling
        raise ModelError(
            f"the tokenizers package cannot read {file} ({error}); save the encoder again"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def _kind(token: str, specials: Specials) -> PieceKind:
    if token == specials.unknown:
        return PieceKind.UNKNOWN
    return PieceKind.CONTROL if token in specials.controls else PieceKind.NORMAL


def _read_charsmap(source: Path, file: dict[str, Any]) -> bytes:
    written = file.get("normalizer") or {}
    steps = written.get("normalizers", [written])
    maps = [step.get("precompiled_charsmap") for step in steps if step.get("type") == "Precompiled"]
    # Runs of spaces and those at the ends are SentencePiece's own business.
    if unknown := {step.get("type") for step in steps if step} - {
        "Precompiled",
        "Replace",
        "Strip",
    }:
        raise ModelError(
            f"{source / TOKENIZER} normalizes by {', '.join(map(str, sorted(unknown)))}, which SentencePiece cannot "
            f"stand in for; put a {TAKEN} beside it"
        )
    try:
        return base64.b64decode(maps[0]) if maps and maps[0] else b""
    except (binascii.Error, TypeError) as error:
        raise ModelError(
            f"{source / TOKENIZER} cannot be read: {error}; fetch the encoder again"
        ) from None


def _read_casing(source: Path, file: dict[str, Any]) -> Casing:
    """The switches of BERT's basic tokenizer, from either of the files that may hold them."""
    written = read_object(source / TOKENIZER_CONFIG)
    casing = Casing(
        lowercase=bool(written.get("do_lower_case", True)),
        split_ideographs=bool(written.get("tokenize_chinese_chars", True)),
    )
    strip = written.get("strip_accents")
    normalizer = file.get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer":
        casing = replace(
            casing,
            lowercase=bool(normalizer.get("lowercase", True)),
            split_ideographs=bool(normalizer.get("handle_chinese_chars", True)),
        )
        strip = normalizer.get("strip_accents")
    return replace(casing, strip_accents=casing.lowercase if strip is None else bool(strip))


def _by_id(file: dict[str, Any]) -> list[str]:
    """The tokens of a `tokenizer.json` in id order; an id without one has a name of its own."""
    vocabulary = file["model"]["vocab"]
    pairs = (
        vocabulary.items()
        if isinstance(vocabulary, dict)
        else ((one[0], id_) for id_, one in enumerate(vocabulary))
    )
    ids = {int(id_): str(token) for token, id_ in pairs}
    ids |= {int(one["id"]): str(one["content"]) for one in file.get("added_tokens") or []}
    return [ids.get(id_, f"<extra_id_{id_}>") for id_ in range(max(ids) + 1)]


def _read_list(file: Path) -> list[str] | None:
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[str])
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(
            f"no usable vocabulary in {file}: {error}; fetch the encoder again"
        ) from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{file} cannot be read: {error.strerror}; fetch the encoder again"
        ) from None
