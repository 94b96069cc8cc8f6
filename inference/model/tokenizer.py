"""From text to the token ids of one encoder, with SentencePiece. It accepts any Python string."""

import math
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from inference.errors import ModelError

CHARS_PER_TOKEN = 12
"""How many characters of a text are kept for each token that the encoder takes.

The rest is cut off *before* tokenising, so that a text of 100,000 characters costs no more than a
long one. English has four to five characters per token. For 256 tokens, at most 3,072 characters
are read.
"""

TOKENS_PER_WORD = 1.2
"""How many tokens an English word has on average."""

_CONTROL = dict.fromkeys([*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF], " ")


def replace_control_characters(text: str) -> str:
    """The text with a space for each control character and ``?`` for each lone surrogate.

    A lone surrogate has no UTF-8.
    """
    return text.encode("utf-8", "replace").decode("utf-8").translate(_CONTROL)


class Tokenizer:
    """Makes token ids: `prefix_ids`, the tokens of the text, `suffix_ids`.

    A text has at most `max_tokens` ids. Each id is in [0, vocab_size).

    Raises:
        ModelError: The SentencePiece file cannot be read, or it has an id that the encoder has no
            vector for.
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
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
        except (OSError, RuntimeError):
            raise ModelError(
                f"{model_file} is no SentencePiece model; fetch the model directory again"
            ) from None
        highest = max([len(self._processor) - 1, *prefix_ids, *suffix_ids])
        if highest >= vocab_size:
            raise ModelError(
                f"{model_file} has token id {highest}, but the encoder has only {vocab_size} ids, "
                "so the two do not match; fetch the model directory again"
            )
        self._prefix = list(prefix_ids)
        self._suffix = list(suffix_ids)
        self._max_text_tokens = max_tokens - len(self._prefix) - len(self._suffix)
        self.max_chars = max_tokens * CHARS_PER_TOKEN
        self.unknown_id: int = self._processor.unk_id()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, in the same order. An empty text has only prefix and suffix."""
        return self.encode_with_excess(texts)[0]

    def encode_with_excess(self, texts: Sequence[str]) -> tuple[list[list[int]], list[float]]:
        """The ids and the excess tokens of each text, in the same order.

        Excess tokens measure how foreign a text is to the vocabulary. They are the number of
        tokens beyond `TOKENS_PER_WORD` per word, divided by the square root of the number of
        words. In English, the number of tokens of n words varies by about the square root of n.
        A text in another language lies several such steps higher. A text without words has
        infinite excess tokens.
        """
        readable = [replace_control_characters(text[: self.max_chars]) for text in texts]
        tokens_of_texts: list[list[int]] = self._processor.encode(readable)
        ids = [
            [*self._prefix, *tokens[: self._max_text_tokens], *self._suffix]
            for tokens in tokens_of_texts
        ]
        excess_tokens = [
            _excess_tokens(len(tokens), len(text.split()))
            for tokens, text in zip(tokens_of_texts, readable, strict=True)
        ]
        return ids, excess_tokens


def _excess_tokens(tokens: int, words: int) -> float:
    if not words:
        return math.inf
    return (tokens - TOKENS_PER_WORD * words) / math.sqrt(words)
