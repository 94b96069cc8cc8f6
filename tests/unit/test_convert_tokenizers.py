"""The tokenizers of a Hugging Face directory, made into SentencePiece models with its ids."""

import base64
import io
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from inference.errors import ModelError
from inference.training.convert.bytelevel import (
    ALPHABET,
    ByteLevelBPE,
    split_words,
    to_sentencepiece,
)
from inference.training.convert.checkpoint import read_config
from inference.training.convert.facts import describe
from inference.training.convert.finders import reference_of
from inference.training.convert.parity import measure_tokens
from inference.training.convert.pieces import read_charsmap, read_pieces
from inference.training.convert.source_tokenizer import SourceTokenizer
from inference.training.convert.vocabulary import find_tokenizers
from tests.tiny_encoder import (
    config,
    sample_texts,
    wordpiece_vocabulary,
    write_json,
    write_wordpiece,
)

TEXTS = sample_texts()
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
PIECES = 900


def train_pieces() -> bytes:
    """A SentencePiece file in the order of XLM-RoBERTa's: <unk>, <s>, </s>, then the pieces."""
    model = io.BytesIO()
    lines = [line for text in TEXTS for line in text.splitlines()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=PIECES,
        num_threads=1,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    return model.getvalue()


def train_merges(count: int) -> tuple[list[str], list[tuple[str, str]]]:
    """A byte-level vocabulary like RoBERTa's and its merges (Sennrich et al., 2016)."""
    counts = Counter(
        "".join(ALPHABET[byte] for byte in word.encode())
        for text in TEXTS
        for word in split_words(text)
    )
    words = {spelled: list(spelled) for spelled in counts}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs = Counter[tuple[str, str]]()
        for spelled, word in words.items():
            for pair in itertools.pairwise(word):
                pairs[pair] += counts[spelled]
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {spelled: join(word, best) for spelled, word in words.items()}
    tokens = [
        *ROBERTA_SPECIALS,
        *ALPHABET.values(),
        *dict.fromkeys("".join(pair) for pair in merges),
        "<mask>",
    ]
    return tokens, merges


def join(word: list[str], pair: tuple[str, str]) -> list[str]:
    """A word with each occurrence of a pair merged."""
    merged: list[str] = []
    for part in word:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


SENTENCEPIECE = train_pieces()
# The trained vocabulary may be smaller than PIECES, because the texts are few.
TRAINED = len(read_pieces(SENTENCEPIECE))
BYTE_TOKENS, MERGES = train_merges(250)
ROBERTA_CONTROLS = frozenset({"<s>", "<pad>", "</s>", "<mask>"})


def only(directory: Path, model_type: str, vocab_size: int) -> SourceTokenizer:
    """The preferred tokenizer of a directory."""
    write_json(directory / "config.json", config(vocab_size, model_type))
    return find_tokenizers(directory, read_config(directory))[0]


def encode(tokenizer: SourceTokenizer, text: str) -> list[int]:
    """The ids that the SentencePiece model of a tokenizer gives."""
    return list(sentencepiece.SentencePieceProcessor(model_proto=tokenizer.make()).encode(text))


@pytest.mark.parametrize(
    ("model_type", "shift", "begin", "end"), [("xlm-roberta", 1, 0, 2), ("camembert", 4, 5, 6)]
)
def test_pieces_have_the_ids_of_the_encoder(
    tmp_path: Path, model_type: str, shift: int, begin: int, end: int
) -> None:
    """Every id would belong to the embedding of another piece."""
    (tmp_path / "sentencepiece.bpe.model").write_bytes(SENTENCEPIECE)
    tokenizer = only(tmp_path, model_type, TRAINED + shift + 1)
    original = sentencepiece.SentencePieceProcessor(model_proto=SENTENCEPIECE)
    text = "account locked after 12 sign-ins"
    assert encode(tokenizer, text) == [id_ + shift for id_ in original.encode(text)]
    assert encode(tokenizer, "☃") == [original.piece_to_id("\u2581") + shift, 3]
    facts = describe(tmp_path)
    assert (facts.prefix_ids, facts.suffix_ids, facts.pad_id) == ([begin], [end], 1)
    assert len(tokenizer.tokens) == TRAINED + shift + 1
    assert tokenizer.tokens[-1] == "<mask>"


@pytest.mark.parametrize("model_type", ["xlm-roberta", "camembert"])
def test_reordered_pieces_agree_with_the_source(tmp_path: Path, model_type: str) -> None:
    """`triage convert` would compare with something other than the source's tokenizer."""
    (tmp_path / "sentencepiece.bpe.model").write_bytes(SENTENCEPIECE)
    tokenizer = only(tmp_path, model_type, TRAINED + 5)
    assert tokenizer.encode is not None
    assert measure_tokens(tokenizer.make(), tokenizer.encode, TEXTS) == 1.0


def test_texts_without_a_token_cannot_be_compared() -> None:
    """A tokenizer that was compared on nothing would count as perfect."""
    with pytest.raises(ModelError, match="--texts"):
        measure_tokens(SENTENCEPIECE, lambda _: [], ["", " "])


def test_multilingual_bert_counts_as_xlm_roberta(tmp_path: Path) -> None:
    """Multilingual E5, a BERT with the token order of XLM-RoBERTa, would get wrong ids."""
    (tmp_path / "sentencepiece.bpe.model").write_bytes(SENTENCEPIECE)
    assert only(tmp_path, "bert", TRAINED + 37).tokens[:4] == ROBERTA_SPECIALS


def test_unigram_saved_as_json_only(tmp_path: Path) -> None:
    """An encoder fine-tuned with recent transformers, which save only this file, would fail."""
    (tmp_path / "sentencepiece.bpe.model").write_bytes(SENTENCEPIECE)
    expected = only(tmp_path, "xlm-roberta", TRAINED + 2)
    (tmp_path / "sentencepiece.bpe.model").unlink()
    written = {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {
                    "type": "Precompiled",
                    "precompiled_charsmap": base64.b64encode(read_charsmap(SENTENCEPIECE)).decode(),
                },
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "model": {
            "type": "Unigram",
            "vocab": [[piece.text, piece.score] for piece in read_pieces(expected.make())],
        },
    }
    write_json(tmp_path / "tokenizer.json", written)
    tokenizer = only(tmp_path, "xlm-roberta", TRAINED + 2)
    text = "\n".join(TEXTS)
    assert encode(tokenizer, text) == encode(expected, text)
    write_json(tmp_path / "tokenizer.json", written | {"normalizer": {"type": "Lowercase"}})
    with pytest.raises(ModelError, match="Lowercase"):
        only(tmp_path, "xlm-roberta", TRAINED + 2).make()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't know", ["I", " don", "'t", " know"]),
        ("abc123  x", ["abc", "123", " ", " x"]),
        ("a...b\n", ["a", "...", "b", "\n"]),
        ("  ", ["  "]),
        (" été!", [" été", "!"]),
        ("", []),
    ],
)
def test_words_are_split_as_gpt2_splits_them(text: str, words: list[str]) -> None:
    """The reference for byte-level tokenizers would be wrong."""
    assert list(split_words(text)) == words


def test_merges_are_applied_in_order() -> None:
    """The reference would apply another merge before the one that was learned first."""
    tokens = ["a", "b", "c", "ab", "bc", "abc", "\u0120"]
    bpe = ByteLevelBPE(tokens, [("b", "c"), ("a", "b"), ("a", "bc")], prefix=False)
    assert [tokens[id_] for id_ in bpe.encode("abc")] == ["abc"]
    assert [tokens[id_] for id_ in bpe.encode("ab")] == ["ab"]
    assert bpe.encode(" ab") == [6, 3]


def test_byte_level_tokens_are_nearly_all_kept() -> None:
    """A RoBERTa would read other tokens than in its training."""
    model = to_sentencepiece(BYTE_TOKENS, MERGES, "<unk>", ROBERTA_CONTROLS, prefix=False)
    reference = ByteLevelBPE(BYTE_TOKENS, MERGES, prefix=False)
    assert measure_tokens(model, reference.encode, TEXTS) > 0.98


def test_characters_without_a_token_become_their_bytes() -> None:
    """All emoji and rare scripts would become the same unknown token."""
    parts = [f"{ALPHABET[0xE2]}{ALPHABET[byte]}" for byte in range(0x80, 0x80 + 128)]
    tokens = [*BYTE_TOKENS[:-1], *parts, "<mask>"]
    model = to_sentencepiece(tokens, MERGES, "<unk>", ROBERTA_CONTROLS, prefix=False)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert list(pieces.encode("😀")) == [tokens.index(ALPHABET[byte]) for byte in "😀".encode()]


@pytest.mark.parametrize("form", ["files", "json"])
def test_byte_level_files_are_found(tmp_path: Path, form: str) -> None:
    """A RoBERTa with its tokenizer in only one of the two forms would be refused."""
    vocabulary: Any = {token: id_ for id_, token in enumerate(BYTE_TOKENS)}
    if form == "files":
        write_json(tmp_path / "vocab.json", vocabulary)
        lines = "\n".join(" ".join(pair) for pair in MERGES)
        (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{lines}\n", "utf-8")
    else:
        model = {"type": "BPE", "vocab": vocabulary, "merges": [" ".join(pair) for pair in MERGES]}
        write_json(
            tmp_path / "tokenizer.json", {"pre_tokenizer": {"type": "ByteLevel"}, "model": model}
        )
    tokenizer = only(tmp_path, "roberta", len(BYTE_TOKENS))
    assert list(tokenizer.tokens) == BYTE_TOKENS
    assert tokenizer.encode is not None
    assert encode(tokenizer, "account locked") == tokenizer.encode("account locked")
    facts = describe(tmp_path)
    assert (facts.prefix_ids, facts.suffix_ids, facts.pad_id) == ([0], [2], 1)


@pytest.mark.parametrize("lowercase", [True, False])
def test_wordpiece_saved_as_json_only(tmp_path: Path, lowercase: bool) -> None:
    """A BERT without a vocab.txt would be refused, or its option for lower case ignored."""
    tokens = wordpiece_vocabulary(TEXTS)
    written = {
        "normalizer": {"type": "BertNormalizer", "lowercase": lowercase, "strip_accents": None},
        "model": {"type": "WordPiece", "vocab": {token: id_ for id_, token in enumerate(tokens)}},
    }
    write_json(tmp_path / "tokenizer.json", written)
    tokenizer = only(tmp_path, "bert", len(tokens))
    assert tokenizer.encode is not None
    expected = "a" if lowercase else "A"
    assert encode(tokenizer, "A") == tokenizer.encode("A") == [tokens.index(expected)]


def test_case_is_kept_if_the_directory_is_cased(tmp_path: Path) -> None:
    """A cased BERT would read only lower case."""
    tokens = wordpiece_vocabulary(TEXTS)
    write_wordpiece(tmp_path, tokens)
    write_json(tmp_path / "tokenizer_config.json", {"do_lower_case": False})
    assert encode(only(tmp_path, "bert", len(tokens)), "A") == [tokens.index("A")]


def test_other_names_of_special_tokens_are_known(tmp_path: Path) -> None:
    """A vocabulary with unusual names of its special tokens would be refused."""
    tokens = [
        {"[CLS]": "[BEGIN]", "[SEP]": "[END]"}.get(token, token)
        for token in wordpiece_vocabulary(TEXTS)
    ]
    write_wordpiece(tmp_path, tokens)
    write_json(
        tmp_path / "special_tokens_map.json",
        {"cls_token": "[BEGIN]", "sep_token": {"content": "[END]"}},
    )
    specials = only(tmp_path, "bert", len(tokens)).specials
    assert (specials.begin, specials.end) == ("[BEGIN]", "[END]")


def test_a_ready_model_with_the_right_ids_is_taken(tmp_path: Path) -> None:
    """An encoder trained on a SentencePiece model would get another model."""
    pieces = [piece.text for piece in read_pieces(SENTENCEPIECE)]
    (tmp_path / "sentencepiece.model").write_bytes(SENTENCEPIECE)
    write_json(tmp_path / "vocabulary.json", pieces)
    tokenizer = only(tmp_path, "bert", len(pieces))
    assert tokenizer.make() == SENTENCEPIECE
    assert (tokenizer.origin, tokenizer.encode) == ("sentencepiece.model", None)


def test_a_ready_model_with_other_ids_is_not_taken(tmp_path: Path) -> None:
    """The encoder would read noise, without any warning."""
    tokens = wordpiece_vocabulary(TEXTS)
    write_wordpiece(tmp_path, tokens)
    (tmp_path / "sentencepiece.model").write_bytes(SENTENCEPIECE)
    origins = [found.origin for found in all_tokenizers(tmp_path, max(TRAINED, len(tokens)))]
    assert origins == ["vocab.txt"]


def test_a_ready_model_is_checked_against_the_vocabulary(tmp_path: Path) -> None:
    """A SentencePiece model made by somebody else would be used without a check."""
    tokens = wordpiece_vocabulary(TEXTS)
    write_wordpiece(tmp_path, tokens)
    (tmp_path / "sentencepiece.model").write_bytes(all_tokenizers(tmp_path, len(tokens))[0].make())
    ready, made = all_tokenizers(tmp_path, len(tokens))
    assert (ready.origin, made.origin) == ("sentencepiece.model", "vocab.txt")
    assert ready.encode is not None


def test_a_vocabulary_with_windows_line_ends_is_the_same(tmp_path: Path) -> None:
    """The last token would keep a carriage return, and no text would ever contain it."""
    tokens = wordpiece_vocabulary(TEXTS)
    write_wordpiece(tmp_path, tokens)
    (tmp_path / "vocab.txt").write_bytes("".join(f"{token}\r\n" for token in tokens).encode())
    (found,) = all_tokenizers(tmp_path, len(tokens))
    assert list(found.tokens) == list(tokens)


def all_tokenizers(directory: Path, vocab_size: int) -> list[SourceTokenizer]:
    """All tokenizers of a directory, the preferred one first."""
    write_json(directory / "config.json", config(vocab_size, "bert"))
    return find_tokenizers(directory, read_config(directory))


@pytest.mark.parametrize(
    "name", ["sentencepiece.model", "sentencepiece.bpe.model", "tokenizer.json", "vocabulary.json"]
)
def test_damaged_files_are_one_sentence(tmp_path: Path, name: str) -> None:
    """A truncated download would end in a traceback."""
    (tmp_path / "sentencepiece.model").write_bytes(SENTENCEPIECE)
    damaged = SENTENCEPIECE[:-1] if name.endswith(".model") else b"{"
    (tmp_path / name).write_bytes(damaged)
    with pytest.raises(ModelError):
        all_tokenizers(tmp_path, PIECES)


def test_no_tokenizer_is_one_sentence(tmp_path: Path) -> None:
    """An encoder without a tokenizer would end in a traceback."""
    with pytest.raises(ModelError, match=r"vocab\.txt"):
        all_tokenizers(tmp_path, PIECES)


def test_a_file_that_tokenizers_cannot_read_is_one_sentence(tmp_path: Path) -> None:
    """A person with the package installed would see its traceback."""
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="save the encoder again"):
        reference_of(tmp_path / "tokenizer.json")
