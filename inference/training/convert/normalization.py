"""BERT's normalization of text, compiled into a SentencePiece normalizer.

BERT's basic tokenizer (Devlin et al., 2019) treats each character alone: it drops control
characters, lowercases, strips accents, and puts spaces around punctuation and Chinese characters.
So one rule per character describes it completely.
"""

import io
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import sentencepiece

from inference.scratch import scratch_directory
from inference.training.convert.pieces import read_charsmap

IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
# BERT counts all of these as punctuation. For Unicode some of them, such as "$", are symbols.
ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")

DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs"})

RULED_BELOW = 0x20000
"""Characters from this code on have no rule.

No vocabulary has the ideographs there, and their 65,000 rules would be larger than all others.
"""


@dataclass(frozen=True, slots=True)
class Casing:
    """The options of BERT's basic tokenizer. The defaults are those of uncased models."""

    lowercase: bool = True
    strip_accents: bool = True
    split_ideographs: bool = True


@cache
def normalize(char: str, casing: Casing) -> str:
    """The text that replaces one character.

    It is empty, a space, the character itself, or other characters. Punctuation and Chinese
    characters have spaces around them.
    """
    category = unicodedata.category(char)
    if char in "\t\n\r" or category == "Zs":
        return " "
    if category in DROPPED_CATEGORIES or char == "\N{REPLACEMENT CHARACTER}":
        return ""
    text = char
    if casing.strip_accents:
        text = _strip_accents(text)
    if casing.lowercase:
        text = text.lower()
    if casing.split_ideographs and _is_ideograph(char):
        return f" {text} "
    return "".join(map(_space_punctuation, text))


@cache
def compile_charsmap(casing: Casing) -> bytes:
    """Compile the rules to the format of SentencePiece. It takes about a second.

    SentencePiece compiles rules only during a training, so this function trains a tokenizer and
    throws its pieces away.
    """
    with scratch_directory() as directory:
        rules = directory / "rules.tsv"
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
        if unicodedata.category(char) == "Cs":
            continue  # UTF-8 text has no surrogates
        normalized = normalize(char, casing)
        if normalized != char:
            yield f"{code:X}\t{' '.join(f'{ord(part):X}' for part in normalized)}\n"


def _strip_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(part for part in decomposed if unicodedata.category(part) != "Mn")


def _space_punctuation(char: str) -> str:
    is_punctuation = char in ASCII_PUNCTUATION or unicodedata.category(char).startswith("P")
    return f" {char} " if is_punctuation else char


def _is_ideograph(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in IDEOGRAPHS)
