"""RoBERTa's byte-level BPE, and the same vocabulary as a SentencePiece BPE model.

Byte-level BPE (Radford et al., 2019) merges bytes within words. SentencePiece merges characters
within a text. No merge crosses a word boundary, and most characters have a token of their own, so
the two agree, with three exceptions: runs of spaces, a quote before a word, and characters for
which the vocabulary has only bytes.
"""

import itertools
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from inference.training.convert.pieces import SPACE, Algorithm, Piece, PieceKind, PieceModel

BYTES = 256
ASCII = 128
CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")

Merges = Sequence[tuple[str, str]]


def _alphabet() -> dict[int, str]:
    """The character that GPT-2 writes for each byte.

    Printable Latin-1 characters stand for themselves. Every other byte is a letter from U+0100 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(BYTES) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(BYTES + n) for n, byte in enumerate(others)
    }


ALPHABET = _alphabet()
BYTE_OF = {char: byte for byte, char in ALPHABET.items()}


class ByteLevelBPE:
    """The reference: it gives the ids of RoBERTa's own tokenizer, without special tokens."""

    def __init__(self, tokens: Sequence[str], merges: Merges, *, prefix: bool) -> None:
        self._ids = {token: id_ for id_, token in enumerate(tokens)}
        self._rank = {pair: rank for rank, pair in enumerate(merges)}
        self._prefix = prefix
        self._ids_of_word: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """The ids of one text. A byte without a token is left out."""
        if self._prefix and not text.startswith(" "):
            text = f" {text}"
        return [id_ for word in split_words(text) for id_ in self._encode_word(word)]

    def _encode_word(self, word: str) -> list[int]:
        if word not in self._ids_of_word:
            parts = self._merge_all([ALPHABET[byte] for byte in word.encode()])
            self._ids_of_word[word] = [self._ids[part] for part in parts if part in self._ids]
        return self._ids_of_word[word]

    def _merge_all(self, parts: list[str]) -> list[str]:
        """Merge the pair with the lowest rank again and again, until no pair has a rank."""
        while len(parts) > 1:
            pairs = itertools.pairwise(parts)
            best = min(pairs, key=lambda pair: self._rank.get(pair, len(self._rank)))
            if best not in self._rank:
                break
            parts = _merge(parts, best)
        return parts


def split_words(text: str) -> Iterator[str]:
    r"""The words of a text as GPT-2 splits them.

    The pattern of GPT-2 is
    ``'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+``.
    """
    kinds = [_kind_of(char) for char in text]
    at = 0
    while at < len(text):
        end = _end_of_word(text, kinds, at)
        yield text[at:end]
        at = end


def to_sentencepiece(
    tokens: Sequence[str], merges: Merges, unknown: str, controls: frozenset[str], *, prefix: bool
) -> bytes:
    """The SentencePiece model with the ids of these tokens. No text can produce the `controls`."""
    rank = {a + b: float(n) for n, (a, b) in reversed(list(enumerate(merges)))}
    pieces = [_piece(id_, token, rank, unknown, controls) for id_, token in enumerate(tokens)]
    _drop_repeated(pieces)
    byte_fallback = _complete_bytes(pieces)
    return PieceModel(
        pieces, Algorithm.BPE, trim=False, prefix=prefix, byte_fallback=byte_fallback
    ).write()


def _drop_repeated(pieces: list[Piece]) -> None:
    """Make all but the first of several equal pieces unused. SentencePiece refuses repetitions."""
    seen: set[str] = set()
    for id_, piece in enumerate(pieces):
        if piece.text in seen:
            pieces[id_] = _unused(id_)
        seen.add(piece.text)


def _complete_bytes(pieces: list[Piece]) -> bool:
    """Complete the byte pieces, or remove them all. Return whether they are complete.

    SentencePiece needs all 256 byte pieces or none. The 128 ASCII bytes are missing, because their
    tokens are characters. They get the ids of unused pieces, which no text produces.
    """
    unused_ids = [id_ for id_, piece in enumerate(pieces) if piece.kind is PieceKind.UNUSED]
    missing = {_byte_text(byte) for byte in range(BYTES)} - {piece.text for piece in pieces}
    if len(missing) > len(unused_ids):
        _drop_bytes(pieces)
        return False
    for id_, text in zip(unused_ids, sorted(missing), strict=False):
        pieces[id_] = Piece(text, kind=PieceKind.BYTE)
    return True


def _drop_bytes(pieces: list[Piece]) -> None:
    for id_, piece in enumerate(pieces):
        if piece.kind is PieceKind.BYTE:
            pieces[id_] = _unused(id_)


def _piece(
    id_: int, token: str, rank: Mapping[str, float], unknown: str, controls: frozenset[str]
) -> Piece:
    if token == unknown:
        return Piece(token, kind=PieceKind.UNKNOWN)
    if token in controls or not token or any(char not in BYTE_OF for char in token):
        return Piece(token or f"<unused {id_}>", kind=PieceKind.CONTROL)
    raw = bytes(BYTE_OF[char] for char in token)
    if len(raw) == 1 and raw[0] >= ASCII:
        return Piece(_byte_text(raw[0]), kind=PieceKind.BYTE)
    try:
        text = raw.decode("utf-8").replace(" ", SPACE)
    except UnicodeDecodeError:
        return _unused(id_)  # a part of a character, which SentencePiece never cuts
    if "\0" in text:
        return _unused(id_)  # a zero byte ends a string in C, and SentencePiece warns about it
    # SentencePiece merges the pair with the highest score first.
    return Piece(text, score=-rank.get(token, float(len(rank))))


def _unused(id_: int) -> Piece:
    return Piece(f"<unused {id_}>", kind=PieceKind.UNUSED)


def _byte_text(byte: int) -> str:
    return f"<0x{byte:02X}>"


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """The parts with each occurrence of a pair merged."""
    merged: list[str] = []
    at = 0
    while at < len(parts):
        if tuple(parts[at : at + 2]) == pair:
            merged.append("".join(pair))
            at += 2
        else:
            merged.append(parts[at])
            at += 1
    return merged


def _end_of_word(text: str, kinds: Sequence[str], at: int) -> int:
    for contraction in CONTRACTIONS:
        if text.startswith(contraction, at):
            return at + len(contraction)
    has_space = text[at] == " " and at + 1 < len(text) and kinds[at + 1] != " "
    start = at + has_space
    end = start + 1
    while end < len(text) and kinds[end] == kinds[start]:
        end += 1
    # The last of several spaces belongs to the word after it.
    is_run_before_word = kinds[start] == " " and end < len(text) and end - start > 1
    return end - is_run_before_word


def _kind_of(char: str) -> str:
    """The kind of a character: space, letter (L), number (N) or other."""
    if char.isspace():
        return " "
    category = unicodedata.category(char)[0]
    return category if category in "LN" else "other"
