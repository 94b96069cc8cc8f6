"""SentencePiece's model file: the few protobuf fields of it that a tokenizer is made of, read and written.

Field numbers are those of sentencepiece_model.proto; its generated classes would need the protobuf package.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from inference.errors import ModelError

PIECES, TRAINER, NORMALIZER = 1, 2, 3
PIECE_TEXT, PIECE_SCORE, PIECE_KIND = 1, 2, 3
MODEL_TYPE, VOCAB_SIZE, BYTE_FALLBACK = 3, 4, 35
# The trainer's id and name of each special piece.
UNK, BOS, EOS, PAD = (40, 45), (41, 46), (42, 47), (43, 48)
CHARSMAP, DUMMY_PREFIX, REMOVE_WHITESPACE, ESCAPE_WHITESPACE = 2, 3, 4, 5

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
_CONTINUES = 0x80

SPACE = "\u2581"
"""What SentencePiece writes for a space."""


class PieceKind(IntEnum):
    """What a piece is for, by the numbers of the file."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Algorithm(IntEnum):
    """How text is cut into pieces, by the numbers of the file."""

    UNIGRAM = 1
    BPE = 2
    CHAR = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of a vocabulary; its place is its id."""

    text: str
    score: float = 0.0
    kind: PieceKind = PieceKind.NORMAL


@dataclass(frozen=True, slots=True)
class PieceModel:
    """A SentencePiece tokenizer. `charsmap` is its compiled normalizer, empty for none.

    `trim` drops spaces at the ends and all but one in between; `prefix` puts one in front.
    """

    pieces: Sequence[Piece]
    algorithm: Algorithm
    charsmap: bytes = b""
    trim: bool = True
    prefix: bool = True
    byte_fallback: bool = False

    def write(self) -> bytes:
        """The model file."""
        pieces = (
            _field(PIECE_TEXT, one.text)
            + _field(PIECE_SCORE, one.score)
            + _field(PIECE_KIND, int(one.kind))
            for one in self.pieces
        )
        normalizer = (
            _field(CHARSMAP, self.charsmap)
            + _field(DUMMY_PREFIX, self.prefix)
            + _field(REMOVE_WHITESPACE, self.trim)
            + _field(ESCAPE_WHITESPACE, True)
        )
        return (
            b"".join(_field(PIECES, piece) for piece in pieces)
            + _field(TRAINER, self._trainer())
            + _field(NORMALIZER, normalizer)
        )

    def _trainer(self) -> bytes:
        unknown = next(
            (i for i, piece in enumerate(self.pieces) if piece.kind is PieceKind.UNKNOWN), -1
        )
        name = self.pieces[unknown].text if unknown >= 0 else ""
        # Which ids start, end and pad a text is said beside the tokenizer, by whoever puts them around it.
        absent = b"".join(_field(number, -1) for number, _ in (BOS, EOS, PAD))
        return (
            _field(MODEL_TYPE, int(self.algorithm))
            + _field(VOCAB_SIZE, len(self.pieces))
            + _field(BYTE_FALLBACK, self.byte_fallback)
            + _field(UNK[0], unknown)
            + _field(UNK[1], name)
            + absent
        )


def replace_pieces(model: bytes, pieces: Sequence[Piece]) -> bytes:
    """The same tokenizer with other pieces: its algorithm and its normalizer stay.

    Raises:
        ModelError: `model` is no SentencePiece model.
    """
    known = PieceModel(pieces, Algorithm.UNIGRAM)
    head = b"".join(
        _field(number, value) for number, value in fields(known.write()) if number == PIECES
    )
    trainer, normalizer = _first(model, TRAINER), _first(model, NORMALIZER)
    specials = {VOCAB_SIZE, *UNK, *BOS, *EOS, *PAD}
    kept = b"".join(
        _field(number, value) for number, value in fields(trainer) if number not in specials
    )
    own = b"".join(
        _field(number, value) for number, value in fields(known._trainer()) if number in specials
    )  # noqa: SLF001 - this module's own
    return head + _field(TRAINER, kept + own) + _field(NORMALIZER, normalizer)


def read_pieces(model: bytes) -> list[Piece]:
    """The vocabulary of a model file, in id order.

    Raises:
        ModelError: `model` is no SentencePiece model.
    """
    pieces = []
    for number, value in fields(model):
        if number == PIECES and isinstance(value, bytes):
            entry = dict(fields(value))
            text, score, kind = (
                entry.get(PIECE_TEXT, b""),
                entry.get(PIECE_SCORE, 0.0),
                entry.get(PIECE_KIND, 1),
            )
            if not isinstance(text, bytes) or isinstance(score, bytes) or isinstance(kind, bytes):
                raise _damaged()
            pieces.append(
                Piece(text.decode("utf-8", "replace"), float(score), PieceKind(int(kind)))
            )
    return pieces


def read_charsmap(model: bytes) -> bytes:
    """The compiled normalizer of a model file, empty if it has none.

    Raises:
        ModelError: `model` is no SentencePiece model.
    """
    return _first(_first(model, NORMALIZER), CHARSMAP)


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The fields of a protobuf message, in file order, as number and value.

    Raises:
        ModelError: the bytes are no such message.
    """
    at = 0
    try:
        while at < len(message):
            key, at = _varint(message, at)
            number, wire = key >> 3, key & 7
            if wire == VARINT:
                value, at = _varint(message, at)
                yield number, value
            elif wire == FOUR_BYTES:
                yield number, struct.unpack_from("<f", message, at)[0]
                at += 4
            elif wire == BYTES:
                length, at = _varint(message, at)
                yield number, _slice(message, at, length)
                at += length
            else:
                raise _damaged()
    except (IndexError, struct.error):
        raise _damaged() from None


def _damaged() -> ModelError:
    return ModelError("a SentencePiece file is damaged; fetch the encoder again")


def _slice(message: bytes, at: int, length: int) -> bytes:
    if at + length > len(message):
        raise _damaged()
    return message[at : at + length]


def _first(message: bytes, wanted: int) -> bytes:
    return next(
        (
            value
            for number, value in fields(message)
            if number == wanted and isinstance(value, bytes)
        ),
        b"",
    )


def _field(number: int, value: bool | float | str | bytes) -> bytes:
    if isinstance(value, int):
        return _to_varint(number << 3 | VARINT) + _to_varint(int(value))
    if isinstance(value, float):
        return _to_varint(number << 3 | FOUR_BYTES) + struct.pack("<f", value)
    encoded = value.encode() if isinstance(value, str) else value
    return _to_varint(number << 3 | BYTES) + _to_varint(len(encoded)) + encoded


def _to_varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # negative numbers are written as two's complement of 64 bits
    out = bytearray()
    while value >= _CONTINUES:
        out.append(value & 0x7F | _CONTINUES)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < _CONTINUES:
            return value, at
