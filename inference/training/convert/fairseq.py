"""The vocabularies of XLM-RoBERTa and CamemBERT, whose ids differ from those of their file.

Both were trained with fairseq, which puts its own special tokens first. This module puts the pieces
of the SentencePiece file into that order, so that SentencePiece itself gives the encoder's ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sentencepiece

from inference.errors import ModelError
from inference.training.convert.pieces import Piece, PieceKind, read_pieces, replace_pieces

MASK = "<mask>"
SENTENCEPIECE_ORDER = ("<unk>", "<s>", "</s>")


@dataclass(frozen=True, slots=True)
class Order:
    """The first tokens of the encoder, which replace the first `dropped` pieces of the file."""

    head: tuple[str, ...]
    dropped: int


ORDERS = {
    "xlm-roberta": Order(("<s>", "<pad>", "</s>", "<unk>"), dropped=3),
    "camembert": Order(("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"), dropped=1),
}
SPECIALS = frozenset({"<s>", "<pad>", "</s>", "<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED", MASK})


def order_of(model_type: str, pieces: Sequence[Piece], vocab_size: int) -> Order | None:
    """The order in which the encoder numbers these pieces; None if it is the order of the file.

    Raises:
        ModelError: the encoder has fewer tokens than there are pieces.
    """
    first_pieces = tuple(piece.text for piece in pieces[:3])
    if first_pieces == SENTENCEPIECE_ORDER and len(pieces) != vocab_size:
        # Multilingual E5 calls itself a BERT, but it has the order of XLM-RoBERTa, and more
        # embeddings than tokens.
        order = ORDERS.get(model_type, ORDERS["xlm-roberta"])
        if len(order.head) + len(pieces) - order.dropped + 1 <= vocab_size:
            return order
    if len(pieces) <= vocab_size:
        return None
    raise ModelError(
        f"the tokenizer has {len(pieces)} pieces, but the encoder has only {vocab_size} tokens; "
        "give the tokenizer that belongs to this encoder"
    )


def tokens_in_order(pieces: Sequence[Piece], order: Order) -> list[Piece]:
    """The pieces in the order of the encoder's ids."""
    head = [_head_piece(text) for text in order.head]
    rest = [_encoder_piece(piece) for piece in pieces[order.dropped :]]
    return [*head, *rest, Piece(MASK, kind=PieceKind.CONTROL)]


def reorder(model: bytes, order: Order) -> bytes:
    """The same tokenizer with the encoder's ids.

    Raises:
        ModelError: `model` is not a SentencePiece model.
    """
    return replace_pieces(model, tokens_in_order(read_pieces(model), order))


def reference(model: bytes, order: Order) -> Callable[[str], list[int]]:
    """The encoding of Hugging Face: the ids of the file, shifted to those of the encoder."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    shift = len(order.head) - order.dropped
    unknown_id = order.head.index("<unk>")

    def encoder_id(id_: int) -> int:
        # The id 0 of the file is <unk>.
        return id_ + shift if id_ else unknown_id

    return lambda text: [encoder_id(id_) for id_ in pieces.encode(text)]


def _head_piece(text: str) -> Piece:
    kind = PieceKind.UNKNOWN if text == "<unk>" else PieceKind.CONTROL
    return Piece(text, kind=kind)


def _encoder_piece(piece: Piece) -> Piece:
    """A special token as a control piece, which no text can produce; any other piece unchanged."""
    if piece.text not in SPECIALS:
        return piece
    return Piece(piece.text, piece.score, PieceKind.CONTROL)
