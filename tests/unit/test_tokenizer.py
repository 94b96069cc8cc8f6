"""The tokenizer: any string becomes ids that do not crash the encoder."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.errors import ModelError
from inference.model.artifact import load_artifact
from inference.model.encoder import open_tokenizer
from inference.model.tokenizer import Tokenizer, replace_control_characters
from tests.patience import within_cpu_s


def tokenizer_of(model: Path, **changes: Any) -> Tokenizer:
    """The tiny model's tokenizer, with changes to its spec."""
    return open_tokenizer(
        model, msgspec.structs.replace(load_artifact(model).manifest.encoder, **changes)
    )


HOSTILE = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "x\udfffy",
    "\u202e\ufeff",
    "🙂" * 9,
    "\n\t\r\x0b",
    "é" * 500,
    "[PAD]",
    "中文",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_string_becomes_ids_in_range(tiny_model: Path, text: str) -> None:
    """An id out of range would end the process, and an exception would fail the batch."""
    spec = load_artifact(tiny_model).manifest.encoder
    (ids,) = tokenizer_of(tiny_model).encode([text])
    assert ids[: len(spec.prefix_ids)] == spec.prefix_ids
    assert ids[-len(spec.suffix_ids) :] == spec.suffix_ids
    assert len(ids) <= spec.max_tokens
    assert all(0 <= i < spec.vocab_size for i in ids)


def test_a_long_text_is_cut_before_tokenising(tiny_model: Path) -> None:
    """Otherwise a text of millions of characters would delay its whole batch."""
    tokenizer = tokenizer_of(tiny_model)
    long = "powershell -enc " * 1_000_000
    with within_cpu_s(1):
        assert tokenizer.encode([long]) == tokenizer.encode([long[: tokenizer.max_chars]])


def test_ids_are_in_the_order_of_the_texts(tiny_model: Path) -> None:
    """Otherwise events would get the labels of other events."""
    tokenizer = tokenizer_of(tiny_model)
    texts = ["card declined", "", "ssh brute force"]
    assert tokenizer.encode(texts) == [tokenizer.encode([text])[0] for text in texts]
    assert tokenizer.encode([]) == []


def test_a_vocabulary_larger_than_the_encoders_is_refused(tiny_model: Path) -> None:
    """Otherwise the highest ids would be read beyond the end of the encoder's table."""
    with pytest.raises(ModelError, match="do not match"):
        tokenizer_of(tiny_model, vocab_size=10)


def test_a_file_that_is_no_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """Otherwise a damaged tokenizer would end in a traceback of the library."""
    (tmp_path / "sentencepiece.model").write_bytes(b"not a model")
    spec = load_artifact(tiny_model).manifest.encoder
    with pytest.raises(ModelError, match="SentencePiece"):
        open_tokenizer(tmp_path, spec)


def test_control_characters_and_surrogates_are_replaced() -> None:
    """Otherwise a lone surrogate would raise an exception inside the library."""
    assert replace_control_characters("a\x00b\ud800c\u2028d") == "a b?c d"


def test_foreign_text_has_more_excess_tokens(tiny_model: Path) -> None:
    """Otherwise other languages, gibberish and empty texts would not be recognised."""
    familiar, foreign, empty = tokenizer_of(tiny_model).tokenize(
        ["the card", "xqzw kvbjh", " \x00 "]
    )
    assert familiar.excess_tokens < foreign.excess_tokens
    assert empty.excess_tokens == math.inf


def test_only_what_the_encoder_reads_is_counted(tiny_model: Path) -> None:
    """Otherwise an English alert would be foreign because of a log line that nobody reads."""
    tokenizer = tokenizer_of(tiny_model, max_tokens=16)
    plain, with_log = tokenizer.tokenize(["the card " * 20, "the card " * 20 + "xqzw kvbjh " * 20])
    assert with_log == plain
    assert plain.truncated


def test_a_text_that_is_cut_is_truncated(tiny_model: Path) -> None:
    """The metric would not say that the limit of the encoder hides text."""
    tokenizer = tokenizer_of(tiny_model)
    long = " " * (tokenizer.max_chars + 1) + "the card"
    assert [tokens.truncated for tokens in tokenizer.tokenize(["the card", "", long])] == [
        False,
        False,
        True,
    ]


def test_the_words_of_a_name_are_counted(tiny_model: Path) -> None:
    """``AssumeRole`` costs as many tokens as a word of another language."""
    apart, together = tokenizer_of(tiny_model).tokenize(["my Payment", "myPayment"])
    assert together.ids != apart.ids
    assert together.excess_tokens == apart.excess_tokens
