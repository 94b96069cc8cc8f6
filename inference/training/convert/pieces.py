"""Reads and writes SentencePiece model files: the few protobuf fields that a tokenizer needs.

The field numbers are those of sentencepiece_model.proto. Its generated classes would need the
protobuf package.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from inference.errors import ModelError

PIECES, TRAINER, NORMALIZER = 1, 2, 3
PIECE_TEXT, PIECE_SCORE, PIECE_KIND = 1, 2, 3
MODEL_TYPE, VOCAB_SIZE, BYTE_FALLBACK = 3, 4, 35
# For each special piece: the field of its id and the field of its name.
UNK, BOS, EOS, PAD = (40, 45), (41, 46), (42, 47), (43, 48)
CHARSMAP, DUMMY_PREFIX, REMOVE_WHITESPACE, ESCAPE_WHITESPACE = 2, 3, 4, 5

# The wire types of protobuf, and the bit that marks all bytes of a varint but the last.
VARINT, BYTES, FOUR_BYTES = 0, 2, 5
_CONTINUES = 0x80

SPACE = "\u2581"
"""The character that SentencePiece writes for a space."""


class PieceKind(IntEnum):
    """The purpose of a piece, with its number in the file."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Algorithm(IntEnum):
    """The algorithm that cuts text into pieces, with its number in the file."""

    UNIGRAM = 1
    BPE = 2
    CHAR = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of a vocabulary. Its position is its id."""

    text: str
    score: float = 0.0
    kind: PieceKind = PieceKind.NORMAL


@dataclass(frozen=True, slots=True)
class PieceModel:
    """A SentencePiece tokenizer.

    Attributes:
        pieces: the vocabulary in the order of ids.
        algorithm: how text is cut.
        charsmap: the compiled normalizer; empty for none.
        trim: drop the spaces at both ends, and all but one of several spaces.
        prefix: put a space before the text.
        byte_fallback: encode characters without a piece as bytes.
    """

    pieces: Sequence[Piece]
    algorithm: Algorithm
    charsmap: bytes = b""
    trim: bool = True
    prefix: bool = True
    byte_fallback: bool = False

    def write(self) -> bytes:
        """The content of the model file."""
        normalizer = (
            _field(CHARSMAP, self.charsmap)
            + _field(DUMMY_PREFIX, self.prefix)
            + _field(REMOVE_WHITESPACE, self.trim)
            + _field(ESCAPE_WHITESPACE, True)
        )
        return (
            _encode_pieces(self.pieces)
            + _field(TRAINER, self.encode_trainer())
            + _field(NORMALIZER, normalizer)
        )

    def encode_trainer(self) -> bytes:
        """The trainer part of the file: algorithm, size and special pieces."""
        unknown_id, unknown_text = self._find_unknown()
        # Our encoder.json says which ids start, end and pad a text, so the file names none.
        absent = b"".join(_field(number, -1) for number, _ in (BOS, EOS, PAD))
        return (
            _field(MODEL_TYPE, int(self.algorithm))
            + _field(VOCAB_SIZE, len(self.pieces))
            + _field(BYTE_FALLBACK, self.byte_fallback)
            + _field(UNK[0], unknown_id)
            + _field(UNK[1], unknown_text)
            + absent
        )

    def _find_unknown(self) -> tuple[int, str]:
        for id_, piece in enumerate(self.pieces):
            if piece.kind is PieceKind.UNKNOWN:
                return id_, piece.text
        return -1, ""


def replace_pieces(model: bytes, pieces: Sequence[Piece]) -> bytes:
    """The same tokenizer with other pieces. Its algorithm and its normalizer stay.

    Raises:
        ModelError: `model` is not a SentencePiece model.
    """
    replaced = {VOCAB_SIZE, *UNK, *BOS, *EOS, *PAD}
    old_trainer = _first(model, TRAINER)
    new_trainer = PieceModel(pieces, Algorithm.UNIGRAM).encode_trainer()
    kept = [
        _field(number, value) for number, value in fields(old_trainer) if number not in replaced
    ]
    new = [_field(number, value) for number, value in fields(new_trainer) if number in replaced]
    return (
        _encode_pieces(pieces)
        + _field(TRAINER, b"".join([*kept, *new]))
        + _field(NORMALIZER, _first(model, NORMALIZER))
    )


def read_pieces(model: bytes) -> list[Piece]:
    """Read the vocabulary of a model file, in the order of ids.

    Raises:
        ModelError: `model` is not a SentencePiece model.
    """
    return [
        _decode_piece(value)
        for number, value in fields(model)
        if number == PIECES and isinstance(value, bytes)
    ]


def read_charsmap(model: bytes) -> bytes:
    """Read the compiled normalizer of a model file. It is empty if there is none.

    Raises:
        ModelError: `model` is not a SentencePiece model.
    """
    return _first(_first(model, NORMALIZER), CHARSMAP)


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The fields of a protobuf message as number and value, in the order of the bytes.

    Raises:
        ModelError: the bytes are not such a message.
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


def _encode_pieces(pieces: Sequence[Piece]) -> bytes:
    entries = (
        _field(PIECE_TEXT, piece.text)
        + _field(PIECE_SCORE, piece.score)
        + _field(PIECE_KIND, int(piece.kind))
        for piece in pieces
    )
    return b"".join(_field(PIECES, entry) for entry in entries)


def _decode_piece(entry: bytes) -> Piece:
    values = dict(fields(entry))
    text = values.get(PIECE_TEXT, b"")
    score = values.get(PIECE_SCORE, 0.0)
    kind = values.get(PIECE_KIND, 1)
    if not isinstance(text, bytes) or isinstance(score, bytes) or isinstance(kind, bytes):
        raise _damaged()
    return Piece(text.decode("utf-8", "replace"), float(score), PieceKind(int(kind)))


def _damaged() -> ModelError:
    return ModelError("a SentencePiece file is damaged; fetch the encoder again")


def _slice(message: bytes, at: int, length: int) -> bytes:
    if at + length > len(message):
        raise _damaged()
    return message[at : at + length]


def _first(message: bytes, wanted_number: int) -> bytes:
    """The first field of bytes with this number; empty if there is none."""
    for number, value in fields(message):
        if number == wanted_number and isinstance(value, bytes):
            return value
    return b""


def _field(number: int, value: bool | float | str | bytes) -> bytes:
    if isinstance(value, int):
        return _to_varint(number << 3 | VARINT) + _to_varint(int(value))
    if isinstance(value, float):
        return _to_varint(number << 3 | FOUR_BYTES) + struct.pack("<f", value)
    encoded = value.encode() if isinstance(value, str) else value
    return _to_varint(number << 3 | BYTES) + _to_varint(len(encoded)) + encoded


def _to_varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # a negative number is stored as its 64-bit two's complement
    out = bytearray()
    while value >= _CONTINUES:
        out.append(value & 0x7F | _CONTINUES)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < _CONTINUES:
            return value, at
