"""From text to the token ids of one encoder, with SentencePiece. It accepts any Python string."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sentencepiece

from inference.errors import ModelError
from inference.model.normalization import split_names

CHARS_PER_TOKEN = 12
"""How many characters of a text are kept for each token that the encoder takes.

The rest is cut off *before* tokenising, so that a text of 100,000 characters costs no more than a
long one. English has four to five characters per token. For 256 tokens, at most 3,072 characters
are read.
"""

TOKENS_PER_WORD = 1.2
"""How many tokens an English word has on average."""
USUAL_EXCESS = 0.1
"""English rarely has more excess tokens than this, and another language rarely has fewer."""
_WORD_START = "\u2581"

_CONTROL = dict.fromkeys([*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF], " ")


def replace_control_characters(text: str) -> str:
    """The text with a space for each control character and ``?`` for each lone surrogate.

    A lone surrogate has no UTF-8.
    """
    return text.encode("utf-8", "replace").decode("utf-8").translate(_CONTROL)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token ids of one text.

    `excess_tokens` measures how foreign the text is to the vocabulary. It is the number of tokens
    beyond `TOKENS_PER_WORD` per word, divided by the square root of the number of words. In
    English, the number of tokens of n words varies by about the square root of n. A text in another
    language lies several such steps higher. Only the tokens in `ids` are counted, and a punctuation
    mark is a word. A text without words has infinite excess tokens. `truncated` says whether the
    text has more tokens than `ids`.
    """

    ids: list[int]
    excess_tokens: float
    truncated: bool


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
        self._starts_word = [
            self._processor.id_to_piece(token).startswith(_WORD_START)
            for token in range(len(self._processor))
        ]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, in the same order. An empty text has only prefix and suffix."""
        return [tokens.ids for tokens in self.tokenize(texts)]

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text, in the same order."""
        readable = [replace_control_characters(text[: self.max_chars]) for text in texts]
        tokens_of_texts: list[list[int]] = self._processor.encode(readable)
        return [
            self._tokens(text, tokens, is_cut=len(whole) > len(text))
            for whole, text, tokens in zip(texts, readable, tokens_of_texts, strict=True)
        ]

    def _tokens(self, text: str, tokens: list[int], *, is_cut: bool) -> Tokens:
        kept = tokens[: self._max_text_tokens]
        excess_tokens = self._excess_tokens(kept)
        if USUAL_EXCESS < excess_tokens < math.inf:
            # Names like ``AssumeRole`` cost many tokens, but their words are English.
            apart = self._processor.encode(split_names(text))[: self._max_text_tokens]
            excess_tokens = min(excess_tokens, self._excess_tokens(apart))
        truncated = is_cut or len(tokens) > len(kept)
        return Tokens([*self._prefix, *kept, *self._suffix], excess_tokens, truncated)

    def _excess_tokens(self, tokens: Sequence[int]) -> float:
        words = sum(self._starts_word[token] for token in tokens)
        if not tokens:
            return math.inf
        words = max(1, words)
        return (len(tokens) - TOKENS_PER_WORD * words) / math.sqrt(words)
