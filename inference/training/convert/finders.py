"""One finder per tokenizer form: each reads the files of a directory, or returns None.

The forms are the SentencePiece files of fairseq, WordPiece, byte-level BPE, and Unigram models that
exist only as `tokenizer.json`.
"""

import base64
import binascii
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from inference.errors import ModelError
from inference.training.convert import bytelevel, fairseq, wordpiece
from inference.training.convert.checkpoint import BertConfig
from inference.training.convert.normalization import Casing
from inference.training.convert.pieces import Algorithm, Piece, PieceKind, PieceModel, read_pieces
from inference.training.convert.source_tokenizer import (
    FAIRSEQ_FILE,
    SENTENCEPIECE_FILE,
    TOKENIZER_FILE,
    Encode,
    SourceTokenizer,
    read_bytes,
    tokens_by_id,
)
from inference.training.convert.specials import (
    TOKENIZER_CONFIG,
    Specials,
    read_object,
    read_specials,
)

# SentencePiece itself handles runs of spaces, and spaces at the ends of a text.
SUPPORTED_NORMALIZERS = frozenset({"Precompiled", "Replace", "Strip"})


def find_fairseq(source: Path, config: BertConfig) -> SourceTokenizer | None:
    """The SentencePiece file of an XLM-RoBERTa or a CamemBERT, with the ids of the encoder."""
    name = FAIRSEQ_FILE if (source / FAIRSEQ_FILE).is_file() else SENTENCEPIECE_FILE
    others = ("vocab.txt", "vocabulary.json")
    if not (source / name).is_file() or any((source / other).is_file() for other in others):
        return None
    model = read_bytes(source / name)
    pieces = read_pieces(model)
    order = fairseq.order_of(config.model_type, pieces, config.vocab_size)
    if order is None:
        if name == SENTENCEPIECE_FILE:
            return None
        tokens = [piece.text for piece in pieces]
        return SourceTokenizer(name, tokens, read_specials(source, tokens), lambda: model, None)
    tokens = [piece.text for piece in fairseq.tokens_in_order(pieces, order)]
    specials = read_specials(source, tokens)
    make = cache(partial(fairseq.reorder, model, order))
    return SourceTokenizer(name, tokens, specials, make, fairseq.reference(model, order))


def find_wordpiece(source: Path, _config: BertConfig) -> SourceTokenizer | None:
    """The WordPiece vocabulary of a `vocab.txt`, or of a `tokenizer.json`."""
    tokenizer = read_object(source / TOKENIZER_FILE)
    if (source / "vocab.txt").is_file():
        origin = "vocab.txt"
        text = read_bytes(source / origin).decode("utf-8", "replace")
        tokens = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    elif _model_of(tokenizer).get("type") == "WordPiece":
        origin, tokens = TOKENIZER_FILE, tokens_by_id(tokenizer)
    else:
        return None
    specials = read_specials(source, tokens)
    casing = _read_casing(source, tokenizer)
    make = cache(
        partial(wordpiece.to_sentencepiece, tokens, specials.unknown, specials.controls, casing)
    )
    encode = wordpiece.WordPiece(tokens, specials.unknown, casing).encode
    return SourceTokenizer(origin, tokens, specials, make, encode)


def find_bytelevel(source: Path, _config: BertConfig) -> SourceTokenizer | None:
    """The byte-level BPE of a `vocab.json` with its `merges.txt`, or of a `tokenizer.json`."""
    tokenizer = read_object(source / TOKENIZER_FILE)
    if (source / "vocab.json").is_file() and (source / "merges.txt").is_file():
        origin = "vocab.json"
        tokens = tokens_by_id({"model": {"vocab": read_object(source / origin)}})
        lines = read_bytes(source / "merges.txt").decode("utf-8", "replace").split("\n")
        merges = _pairs(line.rstrip("\r") for line in lines if not line.startswith("#version"))
    elif _is_bytelevel(tokenizer):
        origin, tokens = TOKENIZER_FILE, tokens_by_id(tokenizer)
        merges = _pairs(_model_of(tokenizer).get("merges", []))
    else:
        return None
    specials = read_specials(source, tokens)
    settings = tokenizer.get("pre_tokenizer") or read_object(source / TOKENIZER_CONFIG)
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


def find_unigram(source: Path, _config: BertConfig) -> SourceTokenizer | None:
    """A SentencePiece Unigram model that was saved only as `tokenizer.json`."""
    tokenizer = read_object(source / TOKENIZER_FILE)
    model = _model_of(tokenizer)
    if model.get("type") != "Unigram":
        return None
    tokens = tokens_by_id(tokenizer)
    scores = [float(score) for _, score in model["vocab"]]
    scores += [0.0] * (len(tokens) - len(scores))
    specials = read_specials(source, tokens)

    def make() -> bytes:
        pieces = [
            Piece(token, score, _kind(token, specials))
            for token, score in zip(tokens, scores, strict=False)
        ]
        return PieceModel(pieces, Algorithm.UNIGRAM, _read_charsmap(source, tokenizer)).write()

    encode = reference_of(source / TOKENIZER_FILE)
    return SourceTokenizer(TOKENIZER_FILE, tokens, specials, make, encode)


Finder = Callable[[Path, BertConfig], SourceTokenizer | None]

FINDERS: tuple[Finder, ...] = (find_fairseq, find_wordpiece, find_bytelevel, find_unigram)


def reference_of(file: Path) -> Encode | None:
    """Hugging Face's own tokenizer of a `tokenizer.json`; None if its package is not installed.

    Raises:
        ModelError: the package cannot read the file.
    """
    try:
        tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(file))
    except ModuleNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - the package raises nothing more specific
        raise ModelError(
            f"the tokenizers package cannot read {file} ({error}); save the encoder again"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def _model_of(tokenizer: dict[str, Any]) -> dict[str, Any]:
    return tokenizer.get("model") or {}


def _is_bytelevel(tokenizer: dict[str, Any]) -> bool:
    is_bpe = _model_of(tokenizer).get("type") == "BPE"
    return is_bpe and "ByteLevel" in str(tokenizer.get("pre_tokenizer"))


def _pairs(merges: Iterable[str | Sequence[str]]) -> list[tuple[str, str]]:
    """The merges as pairs. A file may write a merge as ``"a b"`` or as ``["a", "b"]``."""
    pairs = []
    for merge in merges:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if len(parts) == 2:  # noqa: PLR2004 - a pair
            pairs.append((parts[0], parts[1]))
    return pairs


def _kind(token: str, specials: Specials) -> PieceKind:
    if token == specials.unknown:
        return PieceKind.UNKNOWN
    return PieceKind.CONTROL if token in specials.controls else PieceKind.NORMAL


def _read_charsmap(source: Path, tokenizer: dict[str, Any]) -> bytes:
    """The compiled normalizer of a `tokenizer.json`, empty if it has none."""
    normalizer = tokenizer.get("normalizer") or {}
    steps = normalizer.get("normalizers", [normalizer])
    unsupported = {step.get("type") for step in steps if step} - SUPPORTED_NORMALIZERS
    if unsupported:
        raise ModelError(
            f"{source / TOKENIZER_FILE} normalizes by {', '.join(map(str, sorted(unsupported)))}, "
            f"which SentencePiece cannot do; put a {SENTENCEPIECE_FILE} beside it"
        )
    maps = [step.get("precompiled_charsmap") for step in steps if step.get("type") == "Precompiled"]
    try:
        return base64.b64decode(maps[0]) if maps and maps[0] else b""
    except (binascii.Error, TypeError) as error:
        raise ModelError(
            f"{source / TOKENIZER_FILE} cannot be read: {error}; fetch the encoder again"
        ) from None


def _read_casing(source: Path, tokenizer: dict[str, Any]) -> Casing:
    """The options of BERT's basic tokenizer.

    `tokenizer_config.json` may hold them. A `tokenizer.json` with a normalizer of BERT overrides
    them.
    """
    options = read_object(source / TOKENIZER_CONFIG)
    casing = Casing(
        lowercase=bool(options.get("do_lower_case", True)),
        split_ideographs=bool(options.get("tokenize_chinese_chars", True)),
    )
    strip = options.get("strip_accents")
    normalizer = tokenizer.get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer":
        casing = replace(
            casing,
            lowercase=bool(normalizer.get("lowercase", True)),
            split_ideographs=bool(normalizer.get("handle_chinese_chars", True)),
        )
        strip = normalizer.get("strip_accents")
    if strip is None:
        strip = casing.lowercase  # BERT's default: an uncased model also drops the accents
    return replace(casing, strip_accents=bool(strip))
