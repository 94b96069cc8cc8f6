"""Text to the token ids of one encoder, through SentencePiece. Safe for any Python string."""

import math
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from inference.errors import ModelError

CHARS_PER_TOKEN = 12
"""Characters kept per token the encoder takes: text beyond is cut *before* tokenising, so that a 100k-character
text costs no more than a long one. English has four to five a token; 256 tokens read at most 3,072 characters."""

TOKENS_PER_WORD = 1.2

_CONTROL = dict.fromkeys([*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF], " ")


def replace_control_characters(text: str) -> str:
    """The text with control characters as spaces and lone surrogates, which have no UTF-8, as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8").translate(_CONTROL)


class Tokenizer:
    """`prefix + pieces + suffix`, at most `max_tokens` ids, each in [0, vocab_size).

    Raises:
        ModelError: the SentencePiece file cannot be read, or names ids the encoder has no vector for.
    """

    def __init__(
        self,
        model_file: Path,
        *,
        max_tokens: int,
        vocab_size: int,
        prefix_ids: Sequence[int],
        suffix_ids: Sequence[int],
    ) -> None:
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
        except (OSError, RuntimeError):
            raise ModelError(
                f"{model_file} is no SentencePiece model; fetch the model directory again"
            ) from None
        highest = max([len(self._pieces) - 1, *prefix_ids, *suffix_ids])
        if highest >= vocab_size:
            raise ModelError(
                f"{model_file} names id {highest} but the encoder has {vocab_size}; they do not match"
            )
        self._prefix = list(prefix_ids)
        self._suffix = list(suffix_ids)
        self._room = max_tokens - len(self._prefix) - len(self._suffix)
        self.max_chars = max_tokens * CHARS_PER_TOKEN
        self.unknown_id: int = self._pieces.unk_id()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids a text, in the order given; an empty text is its prefix and suffix."""
        return self.encode_with_excess(texts)[0]

    def encode_with_excess(self, texts: Sequence[str]) -> tuple[list[list[int]], list[float]]:
        """The ids of each text, and how many pieces it needs beyond what English words would, in square roots of words.

        That is how foreign a text is to the vocabulary: an English word takes `TOKENS_PER_WORD`, and a text of n words
        strays from n times that by about the square root of n. Another language lies several such steps beyond, and a
        text of no words at all is infinitely foreign.
        """
        readable = [replace_control_characters(text[: self.max_chars]) for text in texts]
        pieces: list[list[int]] = self._pieces.encode(readable)
        ids = [[*self._prefix, *one[: self._room], *self._suffix] for one in pieces]
        words = [len(text.split()) for text in readable]
        return ids, [
            (len(one) - TOKENS_PER_WORD * count) / math.sqrt(count) if count else math.inf
            for one, count in zip(pieces, words, strict=True)
        ]
