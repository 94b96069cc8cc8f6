"""What BERT does to text before it cuts words, as a rule a character, compiled into SentencePiece's normalizer.

BERT's basic tokenizer (Devlin et al., 2019) treats each character alone: it drops control characters, lowercases,
strips accents, and puts spaces around punctuation and Chinese characters. So one rule a character says all of it.
"""

import io
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sentencepiece

from inference.training.convert.pieces import read_charsmap

IDEOGRAPHS = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B81F), (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)  # fmt: skip
# What ASCII calls symbols, BERT calls punctuation.
ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")

RULED_BELOW = 0x20000
"""Ideographs beyond are in no vocabulary, and their 65,000 rules would weigh more than all others together."""


@dataclass(frozen=True, slots=True)
class Casing:
    """The switches of BERT's basic tokenizer; the defaults are those of uncased models."""

    lowercase: bool = True
    strip_accents: bool = True
    split_ideographs: bool = True


@cache
def normalize(char: str, casing: Casing) -> str:
    """What becomes of one character: nothing, a space, itself, or others with spaces around what stands alone."""
    category = unicodedata.category(char)
    if char in "\t\n\r" or category == "Zs":
        return " "
    if category in {"Cc", "Cf", "Co", "Cs"} or char == "\N{REPLACEMENT CHARACTER}":
        return ""
    text = char
    if casing.strip_accents:
        text = "".join(
            part
            for part in unicodedata.normalize("NFD", text)
            if unicodedata.category(part) != "Mn"
        )
    if casing.lowercase:
        text = text.lower()
    if casing.split_ideographs and _is_ideograph(char):
        return f" {text} "
    return "".join(f" {part} " if _is_punctuation(part) else part for part in text)


@cache
def compile_charsmap(casing: Casing) -> bytes:
    """The rules as SentencePiece compiles them; about a second. It compiles only while it trains, so it trains.

    The trained pieces are thrown away.
    """
    with tempfile.TemporaryDirectory() as directory:
        rules = Path(directory) / "rules.tsv"
        rules.write_text("".join(_rules(casing)), "utf-8")
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c"]),
            model_writer=model,
            model_type="char",
            vocab_size=8,
            hard_vocab_limit=False,
            normalization_rule_tsv=str(rules),
            num_threads=1,
            minloglevel=2,
        )
    return read_charsmap(model.getvalue())


def _rules(casing: Casing) -> Iterator[str]:
    for code in range(1, min(RULED_BELOW, sys.maxunicode)):
        char = chr(code)
        # Surrogates are in no UTF-8 text.
        if unicodedata.category(char) == "Cs" or (normalized := normalize(char, casing)) == char:
            continue
        yield f"{code:X}\t{' '.join(f'{ord(part):X}' for part in normalized)}\n"


def _is_ideograph(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in IDEOGRAPHS)


def _is_punctuation(char: str) -> bool:
    return char in ASCII_PUNCTUATION or unicodedata.category(char).startswith("P")
