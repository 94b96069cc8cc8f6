"""WordPiece, and a SentencePiece model that cuts text in the same places.

WordPiece takes, from the left, the longest piece that the rest of a word starts with (Schuster and
Nakajima, 2012; Devlin et al., 2019). SentencePiece does the same with user-defined pieces, and its
character model does nothing else. So each piece becomes a user-defined piece of a character model:
``##x`` becomes ``x``, and ``x`` becomes ``▁x``.
"""

from collections.abc import Sequence

from inference.training.convert.normalization import Casing, compile_charsmap, normalize
from inference.training.convert.pieces import SPACE, Algorithm, Piece, PieceKind, PieceModel

CONTINUES = "##"
MAX_WORD_CHARS = 100
"""WordPiece reads a longer word as unknown, to save time. SentencePiece still cuts it."""


class WordPiece:
    """The reference: it gives the ids of BERT's own tokenizer, without special tokens."""

    def __init__(self, tokens: Sequence[str], unknown: str, casing: Casing) -> None:
        self._ids = {token: id_ for id_, token in enumerate(tokens)}
        self._unknown_id = self._ids[unknown]
        self._casing = casing

    def encode(self, text: str) -> list[int]:
        """The ids of one text."""
        normalized = "".join(normalize(char, self._casing) for char in text)
        return [id_ for word in normalized.split() for id_ in self._cut(word)]

    def _cut(self, word: str) -> list[int]:
        if len(word) > MAX_WORD_CHARS:
            return [self._unknown_id]
        ids: list[int] = []
        start = 0
        while start < len(word):
            end = self._end_of_longest(word, start)
            if end is None:
                return [self._unknown_id]
            ids.append(self._ids[_marked(word, start, end)])
            start = end
        return ids

    def _end_of_longest(self, word: str, start: int) -> int | None:
        """Where the longest piece ends that starts here; None if there is no such piece."""
        for end in range(len(word), start, -1):
            if _marked(word, start, end) in self._ids:
                return end
        return None


def to_sentencepiece(
    tokens: Sequence[str], unknown: str, controls: frozenset[str], casing: Casing
) -> bytes:
    """The SentencePiece model with the ids of these tokens. No text can produce the `controls`."""
    seen: set[str] = set()
    pieces = []
    for id_, token in enumerate(tokens):
        piece = _piece(token, unknown, controls, casing)
        if piece.text in seen or not piece.text:
            piece = Piece(f"[same as before {id_}]", kind=PieceKind.UNUSED)
        seen.add(piece.text)
        pieces.append(piece)
    return PieceModel(pieces, Algorithm.CHAR, compile_charsmap(casing)).write()


def piece_text(token: str) -> str:
    """The text of a token in SentencePiece."""
    if token.startswith(CONTINUES):
        return token.removeprefix(CONTINUES)
    return SPACE + token


def _marked(word: str, start: int, end: int) -> str:
    """A part of a word as the vocabulary writes it."""
    return f"{CONTINUES}{word[start:end]}" if start else word[:end]


def _piece(token: str, unknown: str, controls: frozenset[str], casing: Casing) -> Piece:
    if token == unknown:
        return Piece(token, kind=PieceKind.UNKNOWN)
    if token in controls:
        return Piece(token, kind=PieceKind.CONTROL)
    kind = PieceKind.USER_DEFINED if _is_reachable(token, casing) else PieceKind.UNUSED
    return Piece(piece_text(token), kind=kind)


def _is_reachable(token: str, casing: Casing) -> bool:
    """Whether WordPiece can ever produce this token.

    It cannot if the normalization changes the token: ``##!``, for example, becomes a word of its
    own. SentencePiece looks for user-defined pieces before it normalizes, so it would cut such a
    piece out of the middle of a word.
    """
    if len(token) == 1:
        return True
    return all(normalize(char, casing) == char for char in token.removeprefix(CONTINUES))
