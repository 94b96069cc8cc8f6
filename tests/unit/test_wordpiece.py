"""BERT's WordPiece, and the SentencePiece model that replaces it."""

from collections.abc import Callable

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.training.convert.normalization import Casing
from inference.training.convert.pieces import PieceKind, read_pieces
from inference.training.convert.wordpiece import WordPiece, to_sentencepiece
from tests.tiny_encoder import SPECIALS, sample_texts, wordpiece_vocabulary

CASED = Casing(lowercase=False, strip_accents=False)
CONTROLS = frozenset({"[PAD]", "[CLS]", "[SEP]", "[MASK]"})
TEXTS = sample_texts()
VOCABULARY = wordpiece_vocabulary(TEXTS)

Encode = Callable[[str], list[int]]


def pair(tokens: list[str], casing: Casing) -> tuple[Encode, Encode]:
    """The encode functions of the reference and of its SentencePiece model."""
    model = to_sentencepiece(tokens, "[UNK]", CONTROLS, casing)
    replacement = sentencepiece.SentencePieceProcessor(model_proto=model)
    return WordPiece(tokens, "[UNK]", casing).encode, replacement.encode


def words(*tokens: str) -> list[str]:
    """A vocabulary of the special tokens and these tokens."""
    return [*SPECIALS, *tokens]


UNCASED_PAIR, CASED_PAIR = pair(VOCABULARY, Casing()), pair(VOCABULARY, CASED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unaffable", ["un", "##aff", "##able"]),
        ("UnAffable", ["un", "##aff", "##able"]),
        ("unaffablé\u0301", ["un", "##aff", "##able"]),
        (" un\t\naffable ", ["un", "aff", "##able"]),
        ("un!un", ["un", "!", "un"]),
        ("un\u00adaff\u200dable", ["un", "##aff", "##able"]),
        ("un日un", ["un", "日", "un"]),
        ("", []),
    ],
)
def test_words_are_cut_as_bert_cuts_them(text: str, expected: list[str]) -> None:
    """The reference would be wrong, and with it every agreement that is printed."""
    tokens = words("un", "aff", "##aff", "##able", "!", "##!", "日")
    for encode in pair(tokens, Casing()):
        assert [tokens[id_] for id_ in encode(text)] == expected


def test_the_longest_piece_wins_over_fewer_pieces() -> None:
    """SentencePiece would take the likeliest pieces, and one token in twenty would differ."""
    tokens = words("a", "##bc", "##bcd", "##d", "##def", "##e", "##f", "abc")
    for encode in pair(tokens, Casing()):
        assert [tokens[id_] for id_ in encode("abcdef")] == ["abc", "##def"]
        assert [tokens[id_] for id_ in encode("abcde abcd")] == ["abc", "##d", "##e", "abc", "##d"]


def test_cased_models_keep_case_and_accents() -> None:
    """A cased encoder would read only lower case."""
    tokens = words("Été", "ete", "É", "é", "##té", "t", "##t", "##e", "e")
    for encode in pair(tokens, CASED):
        assert [tokens[id_] for id_ in encode("Été ete")] == ["Été", "ete"]
    for encode in pair(tokens, Casing()):
        assert [tokens[id_] for id_ in encode("Été ete")] == ["ete", "ete"]


def test_unknown_words_are_unknown_to_both() -> None:
    """A word without any piece would become the token of another word."""
    tokens = words("a")
    for encode in pair(tokens, Casing()):
        assert encode("☃ a") == [tokens.index("[UNK]"), tokens.index("a")]


def test_special_tokens_cannot_be_typed() -> None:
    """A customer could write [SEP] into a ticket and end its text there."""
    tokens = words("[", "]", "sep", "pad", "unused", "##0")
    specials = {tokens.index(token) for token in SPECIALS}
    for encode in pair(tokens, Casing()):
        assert not specials & set(encode("[SEP] [PAD] [sep] [unused0]"))


def test_repeated_tokens_do_not_end_in_a_crash() -> None:
    """A vocabulary with a repeated token, such as [PAD], would be refused by SentencePiece."""
    tokens = words("a", "a", "b")
    for encode in pair(tokens, Casing()):
        assert encode("b") == [tokens.index("b")]


@pytest.mark.parametrize("both", [UNCASED_PAIR, CASED_PAIR], ids=["uncased", "cased"])
def test_shipped_events_are_cut_alike(both: tuple[Encode, Encode]) -> None:
    """An encoder would read other tokens than in its training."""
    reference, replacement = both
    assert [replacement(text) for text in TEXTS] == [reference(text) for text in TEXTS]


@settings(max_examples=300)
@given(st.text(alphabet=sorted(set("".join(TEXTS))), max_size=60))
def test_any_text_of_known_characters_is_cut_alike(text: str) -> None:
    """The two would agree only on the shipped events."""
    for reference, replacement in (UNCASED_PAIR, CASED_PAIR):
        assert replacement(text) == reference(text)


def test_every_token_keeps_its_id() -> None:
    """One piece too many would shift all ids after it to other embeddings."""
    pieces = read_pieces(to_sentencepiece(VOCABULARY, "[UNK]", CONTROLS, Casing()))
    assert len(pieces) == len(VOCABULARY)
    assert pieces[VOCABULARY.index("[UNK]")].kind is PieceKind.UNKNOWN
    assert {
        VOCABULARY[id_] for id_, piece in enumerate(pieces) if piece.kind is PieceKind.CONTROL
    } == CONTROLS
