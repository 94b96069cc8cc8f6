"""WordPiece, and the same vocabulary as a SentencePiece model that cuts text in the same places.

WordPiece takes, from the left, the longest piece a word starts with (Schuster and Nakajima, 2012; Devlin et al.,
2019). SentencePiece does just that with user-defined pieces, and its character model does nothing else: so every piece
becomes a user-defined one of a character model, ``##x`` as ``x`` and ``x`` as ``▁x``.
"""

from collections.abc import Sequence

from inference.training.convert.normalization import Casing, compile_charsmap, normalize
from inference.training.convert.pieces import SPACE, Algorithm, Piece, PieceKind, PieceModel

CONTINUES = "##"
MAX_WORD_CHARS = 100
"""A longer word is unknown to WordPiece, for speed; SentencePiece reads it."""


class WordPiece:
    """The reference: text to ids as BERT's own tokenizer gives them, without the special ones around."""

    def __init__(self, tokens: Sequence[str], unknown: str, casing: Casing) -> None:
        self._ids = {token: id_ for id_, token in enumerate(tokens)}
        self._unknown_id = self._ids[unknown]
        self._casing = casing

    def encode(self, text: str) -> list[int]:
        """The ids of one text."""
        normalized = "".join(normalize(char, self._casing) for char in text)
        return [id_ for word in normalized.split() for id_ in self._cut(word)]

    def _cut(self, word: str) -> list[int]:
        ids, start = list[int](), 0
        while start < len(word) <= MAX_WORD_CHARS:
            mark = CONTINUES if start else ""
            ends = (
                end for end in range(len(word), start, -1) if mark + word[start:end] in self._ids
            )
            end = next(ends, None)
            if end is None:
                return [self._unknown_id]
            ids.append(self._ids[mark + word[start:end]])
            start = end
        return ids or [self._unknown_id]


def to_sentencepiece(
    tokens: Sequence[str], unknown: str, controls: frozenset[str], casing: Casing
) -> bytes:
    """The SentencePiece model with these tokens' ids. `controls` are tokens no text may produce."""
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
    """A token as SentencePiece spells it."""
    return token.removeprefix(CONTINUES) if token.startswith(CONTINUES) else SPACE + token


def _piece(token: str, unknown: str, controls: frozenset[str], casing: Casing) -> Piece:
    if token == unknown:
        return Piece(token, kind=PieceKind.UNKNOWN)
    if token in controls:
        return Piece(token, kind=PieceKind.CONTROL)
    text = piece_text(token)
    # SentencePiece looks for user-defined pieces before it normalizes. One that normalizing changes, such as ``##!``,
    # can never come out of WordPiece and would here be taken out of the middle of what it must split.
    alone = text.startswith(SPACE) and len(token) == 1
    reachable = alone or all(
        normalize(char, casing) == char for char in token.removeprefix(CONTINUES)
    )
    return Piece(text, kind=PieceKind.USER_DEFINED if reachable else PieceKind.UNUSED)
