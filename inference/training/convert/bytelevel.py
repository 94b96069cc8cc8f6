"""Byte-level BPE, RoBERTa's, and the same vocabulary as a SentencePiece BPE model.

Byte-level BPE (Radford et al., 2019) merges bytes within words; SentencePiece merges characters within a text. No
merge crosses a word, and most characters have a token of their own, so the two agree except on runs of spaces, on a
quote before a word, and on characters the vocabulary has only bytes for.
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
    """GPT-2's spelling of bytes: printable Latin-1 as itself, every other byte as a letter from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(BYTES) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(BYTES + n) for n, byte in enumerate(others)
    }


ALPHABET = _alphabet()
BYTE_OF = {char: byte for byte, char in ALPHABET.items()}


class ByteLevelBPE:
    """The reference: text to ids as RoBERTa's own tokenizer gives them, without the special ones around."""

    def __init__(self, tokens: Sequence[str], merges: Merges, *, prefix: bool) -> None:
        self._ids = {token: id_ for id_, token in enumerate(tokens)}
        self._rank = {pair: rank for rank, pair in enumerate(merges)}
        self._prefix = prefix
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """The ids of one text; a byte without a token is left out."""
        if self._prefix and not text.startswith(" "):
            text = f" {text}"
        return [id_ for word in split_words(text) for id_ in self._cut(word)]

    def _cut(self, word: str) -> list[int]:
        if word not in self._known:
            parts = [ALPHABET[byte] for byte in word.encode()]
            while len(parts) > 1:
                pairs = list(itertools.pairwise(parts))
                best = min(pairs, key=lambda pair: self._rank.get(pair, len(self._rank)))
                if best not in self._rank:
                    break
                parts = _merge(parts, best)
            self._known[word] = [self._ids[part] for part in parts if part in self._ids]
        return self._known[word]


def split_words(text: str) -> Iterator[str]:
    r"""GPT-2's words: ``'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+``."""
    kinds = [_class(char) for char in text]
    at = 0
    while at < len(text):
        end = _end_of_word(text, kinds, at)
        yield text[at:end]
        at = end


def to_sentencepiece(
    tokens: Sequence[str], merges: Merges, unknown: str, controls: frozenset[str], *, prefix: bool
) -> bytes:
    """The SentencePiece model with these tokens' ids. `controls` are tokens no text may produce."""
    rank = {a + b: float(n) for n, (a, b) in reversed(list(enumerate(merges)))}
    pieces = [_piece(id_, token, rank, unknown, controls) for id_, token in enumerate(tokens)]
    seen: set[str] = set()
    for id_, piece in enumerate(pieces):
        if piece.text in seen:
            pieces[id_] = _unused(id_)
        seen.add(piece.text)
    byte_fallback = _complete_bytes(pieces)
    return PieceModel(
        pieces, Algorithm.BPE, trim=False, prefix=prefix, byte_fallback=byte_fallback
    ).write()


def _complete_bytes(pieces: list[Piece]) -> bool:
    """SentencePiece wants all 256 byte pieces or none. The half that are characters too take places never produced."""
    free = [id_ for id_, piece in enumerate(pieces) if piece.kind is PieceKind.UNUSED]
    missing = {_byte_text(byte) for byte in range(BYTES)} - {piece.text for piece in pieces}
    complete = len(missing) <= len(free)
    for id_, text in zip(free, sorted(missing), strict=False):
        if complete:
            pieces[id_] = Piece(text, kind=PieceKind.BYTE)
    if not complete:
        for id_, piece in enumerate(pieces):
            if piece.kind is PieceKind.BYTE:
                pieces[id_] = _unused(id_)
    return complete


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
        return _unused(id_)  # part of a character: SentencePiece cuts no characters
    # What is merged first scores highest; a zero ends a string in C, and SentencePiece warns of it.
    return _unused(id_) if "\0" in text else Piece(text, score=-rank.get(token, float(len(rank))))


def _unused(id_: int) -> Piece:
    return Piece(f"<unused {id_}>", kind=PieceKind.UNUSED)


def _byte_text(byte: int) -> str:
    return f"<0x{byte:02X}>"


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged, at = list[str](), 0
    while at < len(parts):
        joined = tuple(parts[at : at + 2]) == pair
        merged.append("".join(pair) if joined else parts[at])
        at += 2 if joined else 1
    return merged


def _end_of_word(text: str, kinds: Sequence[str], at: int) -> int:
    if contraction := next((one for one in CONTRACTIONS if text.startswith(one, at)), ""):
        return at + len(contraction)
    start = at + 1 if text[at] == " " and at + 1 < len(text) and kinds[at + 1] != " " else at
    end = start + 1
    while end < len(text) and kinds[end] == kinds[start]:
        end += 1
    # Of several spaces before a word the last belongs to it.
    return end - 1 if kinds[start] == " " and end < len(text) and end - start > 1 else end


def _class(char: str) -> str:
    if char.isspace():
        return " "
    category = unicodedata.category(char)[0]
    return category if category in "LN" else "other"
