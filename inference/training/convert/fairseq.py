"""The vocabularies of XLM-RoBERTa and CamemBERT: a SentencePiece model whose ids the encoder counts differently.

They were trained with fairseq, which puts its own special tokens first; the pieces are put into that order, so that
SentencePiece gives the encoder's ids by itself.
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
    """The encoder's first tokens, and how many of the file's first pieces they stand for."""

    head: tuple[str, ...]
    dropped: int


ORDERS = {
    "xlm-roberta": Order(("<s>", "<pad>", "</s>", "<unk>"), dropped=3),
    "camembert": Order(("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"), dropped=1),
}
SPECIALS = frozenset({"<s>", "<pad>", "</s>", "<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED", MASK})


def order_of(model_type: str, pieces: Sequence[Piece], vocab_size: int) -> Order | None:
    """How the encoder counts these pieces; nothing if as the file does.

    Raises:
        ModelError: the encoder has too few tokens for these pieces.
    """
    if (
        tuple(piece.text for piece in pieces[:3]) == SENTENCEPIECE_ORDER
        and len(pieces) != vocab_size
    ):
        # Multilingual E5 is a BERT that counts as XLM-RoBERTa does, and its embeddings have rows to spare.
        order = ORDERS.get(model_type, ORDERS["xlm-roberta"])
        if len(order.head) + len(pieces) - order.dropped + 1 <= vocab_size:
            return order
    if len(pieces) <= vocab_size:
        return None
    raise ModelError(
        f"the tokenizer has {len(pieces)} pieces and the encoder only {vocab_size} tokens; give the encoder its own one"
    )


def tokens_in_order(pieces: Sequence[Piece], order: Order) -> list[Piece]:
    """The pieces as the encoder counts them."""
    head = [
        Piece(text, kind=PieceKind.UNKNOWN if text == "<unk>" else PieceKind.CONTROL)
        for text in order.head
    ]
    rest = [
        Piece(one.text, one.score, PieceKind.CONTROL if one.text in SPECIALS else one.kind)
        for one in pieces
    ]
    return [*head, *rest[order.dropped :], Piece(MASK, kind=PieceKind.CONTROL)]


def reorder(model: bytes, order: Order) -> bytes:
    """The same tokenizer with the encoder's ids."""
    return replace_pieces(model, tokens_in_order(read_pieces(model), order))


def reference(model: bytes, order: Order) -> Callable[[str], list[int]]:
    """The ids as Hugging Face gets them: the file's own, shifted, and its first pieces by name."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    shift = len(order.head) - order.dropped
    unknown = order.head.index("<unk>")

    def encode(text: str) -> list[int]:
        return [id_ + shift if id_ else unknown for id_ in pieces.encode(text)]

    return encode
