"""Finds the tokenizers of a Hugging Face directory, in any form that can be replaced."""

from collections.abc import Sequence
from pathlib import Path

from inference.errors import ModelError
from inference.training.convert import wordpiece
from inference.training.convert.checkpoint import BertConfig, read_config
from inference.training.convert.finders import FINDERS
from inference.training.convert.pieces import Piece, PieceKind, read_pieces
from inference.training.convert.source_tokenizer import (
    SENTENCEPIECE_FILE,
    TOKENIZER_FILE,
    SourceTokenizer,
    read_bytes,
    read_token_list,
)
from inference.training.convert.specials import read_specials


def find_tokenizers(source: Path, config: BertConfig) -> list[SourceTokenizer]:
    """Find the tokenizers of a directory, the preferred one first. There is at least one.

    A `sentencepiece.model` that already has the encoder's ids comes first. Then comes the one that
    is made from the other files.

    Raises:
        ModelError: there is no tokenizer, or SentencePiece cannot replace it.
    """
    made = _find_made(source, config)
    ready = _find_ready(source, config, made)
    tokenizers = [tokenizer for tokenizer in (ready, made) if tokenizer]
    if not tokenizers:
        raise ModelError(
            f"{source} has no tokenizer that can be used; it needs a vocab.txt, a "
            f"{TOKENIZER_FILE}, a {SENTENCEPIECE_FILE}, or a vocab.json with its merges.txt"
        )
    return tokenizers


def read_vocabulary(source: Path) -> list[str]:
    """Read the tokens of a directory in the order of their ids.

    Raises:
        ModelError: the directory has no tokenizer that can be used.
    """
    return list(find_tokenizers(source, read_config(source))[0].tokens)


def _find_made(source: Path, config: BertConfig) -> SourceTokenizer | None:
    for find in FINDERS:
        if tokenizer := find(source, config):
            return tokenizer
    return None


def _find_ready(
    source: Path, config: BertConfig, made: SourceTokenizer | None
) -> SourceTokenizer | None:
    """The `sentencepiece.model` of the directory, if its ids already are the encoder's."""
    if not (source / SENTENCEPIECE_FILE).is_file():
        return None
    model = read_bytes(source / SENTENCEPIECE_FILE)
    pieces = read_pieces(model)
    known_tokens: Sequence[str] | None
    if made:
        known_tokens, encode = made.tokens, made.encode
    else:
        known_tokens, encode = read_token_list(source / "vocabulary.json"), None
    if known_tokens is not None and not _same_ids(pieces, known_tokens):
        return None
    if len(pieces) > config.vocab_size:
        return None
    tokens = known_tokens or [piece.text for piece in pieces]
    specials = read_specials(source, tokens)
    return SourceTokenizer(SENTENCEPIECE_FILE, tokens, specials, lambda: model, encode)


def _same_ids(pieces: Sequence[Piece], tokens: Sequence[str]) -> bool:
    """Whether each piece stands for the token with its id. Unused and byte pieces always match."""
    return len(pieces) <= len(tokens) and all(
        piece.kind in {PieceKind.UNUSED, PieceKind.BYTE}
        or piece.text in {token, wordpiece.piece_text(token)}
        for piece, token in zip(pieces, tokens, strict=False)
    )
